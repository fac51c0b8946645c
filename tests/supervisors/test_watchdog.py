"""The watchdog barks at a loop which is really blocked, by the wall clock, and at nothing else."""

import ctypes
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from supervisors import ActorRef, ChildSpec, DynamicSupervisor, Supervisor, System, adopt
from supervisors.testing import EventLog
from supervisors.watchdog import Blockage, Watchdog, log_blockage
from tests.supervisors.actors import Ask, Do, Puppet, puppet, started

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

THRESHOLD = 0.2
MUCH_S = 30.0

_found = threading.Lock()


@pytest.fixture(autouse=True)
def nothing_is_found_yet() -> None:
    _found.acquire(blocking=False)


def hold_the_loop() -> None:
    """Block until the watchdog has found out, so that no machine is too slow for it to look in time."""
    assert _found.acquire(timeout=MUCH_S), "the watchdog has not noticed"


def hold_the_loop_in_vain() -> None:
    time.sleep(2 * THRESHOLD)


class Reports:
    """Keeps what the watchdog says of `hold_the_loop`; its thread may be waited for.

    A machine that is busy elsewhere may really keep the loop from running now and then, which is nobody's doing here.
    """

    def __init__(self) -> None:
        self.all: list[Blockage] = []
        self.others: list[Blockage] = []
        self._more = threading.Condition()

    def __call__(self, blockage: Blockage) -> None:
        ours = any("in hold_the_loop\n" in line for line in blockage.stack)
        with self._more:
            (self.all if ours else self.others).append(blockage)
            self._more.notify_all()
        if ours and not blockage.over:
            _found.release()

    async def first(self, count: int) -> list[Blockage]:
        await self._wait(lambda: len(self.all) >= count)
        return self.all[:count]

    async def other_over(self, least_s: float) -> Blockage:
        """The end of a blockage by other code than `hold_the_loop`."""

        def found() -> list[Blockage]:
            return [report for report in self.others if report.over and report.seconds > least_s]

        await self._wait(lambda: bool(found()))
        return found()[0]

    async def _wait(self, condition: Callable[[], bool]) -> None:
        def wait() -> None:
            with self._more:
                assert self._more.wait_for(condition, MUCH_S)

        await anyio.to_thread.run_sync(wait)


def tree() -> System:
    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    return System("app", Supervisor([puppet("a"), puppet("b"), pool]), on_event=EventLog())


async def block(puppet: Puppet) -> None:
    hold_the_loop()


async def test_a_blocking_handler_is_reported_while_it_blocks_and_when_it_is_over() -> None:
    reports = Reports()
    async with tree() as system:
        with Watchdog(system, threshold=THRESHOLD, on_report=reports):
            await started(system, "app/a").call(Do(block))
            found, over = await reports.first(2)
    assert (found.path, over.path) == ("app/a", "app/a")
    assert (found.over, over.over) == (False, True)
    assert "in hold_the_loop" in found.stack[-1]
    assert any("in handle_call" in line for line in found.stack)
    assert THRESHOLD <= found.seconds < over.seconds
    assert reports.all == [found, over]


async def test_every_blockage_has_its_own_two_reports() -> None:
    reports = Reports()
    async with tree() as system:
        with Watchdog(system, threshold=THRESHOLD, on_report=reports):
            await started(system, "app/a").call(Do(block))
            await reports.first(2)
            await started(system, "app/b").call(Do(block))
            await reports.first(4)
    assert [(report.path, report.over) for report in reports.all] == [
        ("app/a", False),
        ("app/a", True),
        ("app/b", False),
        ("app/b", True),
    ]


async def test_a_loop_at_work_and_an_idle_loop_are_not_reported() -> None:
    async def quiet() -> bool:
        reports = Reports()
        async with tree() as system:
            with Watchdog(system, threshold=2 * THRESHOLD, on_report=reports):
                ref, until = started(system, "app/a"), time.monotonic() + 4 * THRESHOLD
                while time.monotonic() < until:
                    await ref.call(Ask())
                await anyio.sleep(4 * THRESHOLD)
        return reports.others == []

    for _ in range(5):  # a machine that is busy elsewhere may really keep the loop from running, but not every time
        if await quiet():
            return
    pytest.fail("the watchdog reports what is not there")


async def helped(puppet: Puppet) -> None:
    async def helper() -> None:
        hold_the_loop()

    puppet.spawn(helper)


async def in_terminate(system: System, ref: ActorRef) -> None:
    await ref.stop()


async def in_handler(system: System, ref: ActorRef) -> None:
    await ref.call(Do(block))


async def in_helper(system: System, ref: ActorRef) -> None:
    await ref.call(Do(helped))
    await anyio.sleep(0.01)


async def in_adopted_body(system: System, ref: ActorRef) -> None:
    async with adopt(system.named("app/pool"), "run"):
        hold_the_loop()


async def in_adopted_handler(system: System, ref: ActorRef) -> None:
    async def handler(puppet: Puppet) -> None:
        await in_adopted_body(puppet.system, ref)

    await ref.call(Do(handler))


async def outside(system: System, ref: ActorRef) -> None:
    async with adopt(system.named("app/pool"), "innocent"):
        await checkpoint()
    hold_the_loop()


@pytest.mark.parametrize(
    ("culprit", "path"),
    [
        (in_handler, "app/a"),
        (in_terminate, "app/a"),
        (in_helper, "app/a"),
        (in_adopted_body, "app/pool/run"),
        (in_adopted_handler, "app/pool/run"),
        (outside, None),
    ],
)
async def test_the_member_whose_code_blocks_is_named(culprit: Callable[..., Any], path: str | None) -> None:
    reports = Reports()
    blocking = puppet("a", on_terminate=block, restart="temporary") if culprit is in_terminate else puppet("a")
    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    async with System("app", Supervisor([blocking, pool]), on_event=EventLog()) as system:
        with Watchdog(system, threshold=THRESHOLD, on_report=reports):
            await culprit(system, started(system, "app/a"))
            found, over = await reports.first(2)
    assert (found.path, over.path) == (path, path)
    assert "in hold_the_loop" in found.stack[-1]


async def test_code_that_lets_no_thread_run_is_reported_when_it_is_over() -> None:
    reports = Reports()

    async def grab(puppet: Puppet) -> None:
        ctypes.PyDLL(None).usleep(int(3 * THRESHOLD * 1_000_000))  # keeps the interpreter's lock

    async with tree() as system:
        with Watchdog(system, threshold=THRESHOLD, on_report=reports):
            await started(system, "app/a").call(Do(grab))
            over = await reports.other_over(least_s=1.5 * THRESHOLD)
    assert over.path in ("app/a", None)  # None when it was over before anybody could look


async def test_it_may_surround_the_system_and_sees_its_start_and_its_end() -> None:
    reports = Reports()
    system = System("app", Supervisor([puppet("a", on_init=block, on_terminate=block)]), on_event=EventLog())
    with Watchdog(system, threshold=THRESHOLD, on_report=reports):
        async with system:
            await reports.first(2)
        await reports.first(4)
    assert [report.path for report in reports.all] == ["app/a"] * 4
    assert [report.over for report in reports.all] == [False, True] * 2


async def test_leaving_the_block_ends_the_thread_and_reports_what_just_ended() -> None:
    reports, before = Reports(), threading.active_count()
    async with tree() as system:
        with Watchdog(system, threshold=THRESHOLD, on_report=reports):
            hold_the_loop()
        assert [report.over for report in reports.all] == [False, True]
        others = list(reports.others)
        hold_the_loop_in_vain()
        assert (len(reports.all), reports.others) == (2, others)
    assert threading.active_count() <= before


async def test_an_observer_that_fails_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    reports = Reports()

    def fail(blockage: Blockage) -> None:
        reports(blockage)
        if blockage in reports.all:
            raise ValueError

    async with tree() as system:
        with Watchdog(system, threshold=THRESHOLD, on_report=fail):
            for count in (2, 4):
                await started(system, "app/a").call(Do(block))
                await reports.first(count)
    assert [record.message for record in caplog.records] == ["the watchdog's observer failed"] * 4


def test_reports_are_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    log_blockage(Blockage("app/a", ("here\n",), 0.5, over=False))
    log_blockage(Blockage(None, (), 1.25, over=True))
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "app/a has held the event loop for 0.500 s\nhere\n"),
        (logging.WARNING, "something outside the tree held the event loop for 1.250 s"),
    ]


def test_a_threshold_is_a_positive_number_of_seconds() -> None:
    system = System("app", Supervisor())
    for threshold in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="threshold: expected a positive number of seconds"):
            Watchdog(system, threshold=threshold)
