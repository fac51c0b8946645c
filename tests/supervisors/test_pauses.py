"""Supervisors which rest from restarting instead of giving up."""

import anyio
import pytest

from supervisors import (
    Backoff,
    BackoffExhausted,
    ExitReason,
    Pause,
    RestartsPaused,
    RestartsResumed,
    System,
    terminate_child,
    which_children,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, crash, puppet, started
from tests.supervisors.trees import FailingStart, Kind, let_pass, refs, running, tree

pytestmark = pytest.mark.anyio

PAUSE = Pause(threshold=2, half_life=10, seconds=15)
KINDS = pytest.mark.parametrize("kind", ["static", "dynamic"])


async def crash_often(system: System, path: str = "app/a", times: int = 3) -> None:
    for _ in range(times):
        started(system, path).cast(crash)
        await settle()


@KINDS
async def test_too_many_failures_bring_a_pause_in_which_the_healthy_work_on(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), puppet("b"), pause=PAUSE, log=log) as system:
        healthy = started(system, "app/b")
        await crash_often(system, times=2)
        assert log.of(RestartsPaused) == []
        await crash_often(system, times=1)
        [paused] = log.of(RestartsPaused)
        assert (paused.supervisor, paused.child.path, paused.seconds) == ("app", "app/a", 15)
        [a, _] = await which_children(system.named("app"))
        assert a.status == "restarting"
        assert a.next_at == pytest.approx(15)
        assert await healthy.call(Ask()) == "b"
        assert await system.named("app/a").call(Ask(), timeout=20) == "a"
        assert system.now() == pytest.approx(15)
        assert log.of(RestartsResumed) == [RestartsResumed("app", 1)]
        assert healthy.alive


@KINDS
async def test_after_the_pause_the_count_begins_anew(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), pause=PAUSE, log=log) as system:
        await crash_often(system)
        await let_pass(15)
        await crash_often(system, times=2)
        assert system.whereis("app/a") is not None
        await crash_often(system, times=1)
        assert system.whereis("app/a") is None
        assert len(log.of(RestartsPaused)) == 2


@KINDS
async def test_failures_that_are_far_enough_apart_never_bring_a_pause(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), pause=PAUSE, log=log) as system:
        for _ in range(20):
            await crash_often(system, times=1)
            assert system.whereis("app/a") is not None
            await let_pass(10)
    assert log.of(RestartsPaused) == []


@KINDS
async def test_who_fails_during_a_pause_waits_as_well_and_does_not_lengthen_it(kind: Kind) -> None:
    trace: list[str] = []
    log = EventLog()
    specs = [puppet(child, trace) for child in "abc"]
    async with running(kind, *specs, pause=PAUSE, log=log) as system:
        await crash_often(system, "app/b")
        await anyio.sleep(5)
        for path in ("app/c", "app/a"):
            await crash_often(system, path, times=1)
        trace.clear()
        await let_pass(9)
        assert trace == []
        await let_pass(1)
        back = [line.split()[0] for line in trace if line.endswith("init")]
        assert back == ["b", "c", "a"] if kind == "static" else sorted(back) == ["a", "b", "c"]
        assert log.of(RestartsResumed) == [RestartsResumed("app", 3)]
        assert len(log.of(RestartsPaused)) == 1


@KINDS
async def test_a_supervisor_that_rests_never_gives_up(kind: Kind) -> None:
    stubborn = FailingStart()
    async with running(kind, puppet("a", on_init=stubborn), puppet("b"), pause=PAUSE, max_restarts=0) as system:
        sibling = started(system, "app/b")
        started(system, "app/a").cast(crash)
        await anyio.sleep(3600)
        assert sibling.alive
        assert stubborn.attempts > 100


@KINDS
async def test_a_pause_is_lengthened_by_its_share_of_the_draw(kind: Kind) -> None:
    async with running(kind, puppet("a"), pause=PAUSE, draw=lambda: 0.5) as system:
        await crash_often(system)
        assert await system.named("app/a").call(Ask(), timeout=100) == "a"
        assert system.now() == pytest.approx(15 * 1.25)


@KINDS
async def test_who_is_terminated_during_a_pause_stays_down(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), pause=PAUSE, log=log) as system:
        await crash_often(system)
        await terminate_child(system.named("app"), "a")
        await anyio.sleep(60)
        assert system.whereis("app/a") is None
        assert log.of(RestartsResumed) == [RestartsResumed("app", 0)]


@KINDS
async def test_a_supervisor_that_rests_can_be_stopped(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), pause=PAUSE, log=log) as system:
        await crash_often(system)
        assert await system.shutdown() == ExitReason.SHUTDOWN
        assert system.now() == 0
    assert log.of(RestartsResumed) == []


@KINDS
@pytest.mark.parametrize(("delay", "back_at"), [(4, 15), (20, 20)])
async def test_the_later_of_delay_and_pause_counts(kind: Kind, delay: float, back_at: float) -> None:
    backoff, pause = Backoff(min_seconds=delay), Pause(threshold=1, seconds=15)
    async with running(kind, puppet("a"), pause=pause, backoff=backoff) as system:
        await crash_often(system, times=2)
        [a] = await which_children(system.named("app"))
        assert a.next_at == pytest.approx(back_at)
        assert await system.named("app/a").call(Ask(), timeout=60) == "a"
        assert system.now() == pytest.approx(back_at)


@KINDS
async def test_the_limit_of_restarts_in_a_row_holds_with_pauses_too(kind: Kind) -> None:
    stubborn = FailingStart()
    backoff = Backoff(min_seconds=1, max_attempts=4)
    async with running(kind, puppet("a", on_init=stubborn), pause=PAUSE, backoff=backoff) as system:
        started(system, "app/a").cast(crash)
        assert isinstance((await system.wait_stopped()).detail, BackoffExhausted)
        assert stubborn.attempts == 1 + 4


async def test_the_group_of_a_child_that_waits_out_a_pause_waits_with_it() -> None:
    async with tree(puppet("a"), puppet("b"), strategy="one_for_all", pause=PAUSE) as system:
        await crash_often(system)
        assert refs(system, "a", "b") == [None, None]
        await let_pass(15)
        assert None not in refs(system, "a", "b")
