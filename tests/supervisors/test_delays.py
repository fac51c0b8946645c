"""Restarts that wait, and the supervisor which does not wait with them."""

from typing import Any

import anyio
import pytest

from supervisors import (
    AlreadyPresent,
    Backoff,
    BackoffExhausted,
    ChildRestarting,
    ChildSpec,
    ExitReason,
    NotRunning,
    Progress,
    RestartDelayed,
    RestartLimitReached,
    Supervisor,
    SupervisorReport,
    System,
    TooManyChildren,
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Puppet, crash, group, puppet, sleep, started
from tests.supervisors.trees import Kind, contexts, let_pass, refs, running, tree

pytestmark = pytest.mark.anyio

BACKOFF = Backoff(min_seconds=1, max_seconds=5, reset_after=20)
KINDS = pytest.mark.parametrize("kind", ["static", "dynamic"])


class Starts:
    """An `init` which notes when it ran, and fails so many times, from the second start on."""

    def __init__(self, failures: int = 0) -> None:
        self.times: list[float] = []
        self.failures = failures

    async def __call__(self, actor: Puppet) -> None:
        self.times.append(anyio.current_time())
        if 1 < len(self.times) <= 1 + self.failures:
            raise Boom("not yet")


async def crash_twice(system: System, path: str = "app/a") -> None:
    """Leave a child waiting for its second restart."""
    for _ in range(2):
        started(system, path).cast(crash)
        await settle()


@KINDS
async def test_starts_that_fail_are_tried_after_longer_and_longer(kind: Kind) -> None:
    starts = Starts(failures=5)
    async with running(kind, puppet("a", on_init=starts), backoff=BACKOFF, max_restarts=100) as system:
        started(system, "app/a").cast(crash)
        await anyio.sleep(60)
        assert starts.times == pytest.approx([0, 0, 1, 3, 7, 12, 17])
        assert await system.named("app/a").call(Ask()) == "a"


@KINDS
async def test_delays_are_spread_by_the_draw(kind: Kind) -> None:
    draws = iter([0.5, 1.0])
    starts = Starts(failures=2)
    spec = puppet("a", on_init=starts)
    async with running(kind, spec, backoff=BACKOFF, draw=lambda: next(draws)) as system:
        started(system, "app/a").cast(crash)
        await anyio.sleep(60)
        assert starts.times == pytest.approx([0, 0, 1.25, 1.25 + 3])


@KINDS
@pytest.mark.parametrize(("stays_up", "delay"), [(19.9, 1), (20, 0)])
async def test_a_child_which_stayed_up_long_enough_comes_back_at_once(
    kind: Kind, stays_up: float, delay: float
) -> None:
    starts = Starts()
    async with running(kind, puppet("a", on_init=starts), backoff=BACKOFF) as system:
        started(system, "app/a").cast(crash)
        await anyio.sleep(stays_up)
        started(system, "app/a").cast(crash)
        await anyio.sleep(10)
        assert starts.times == pytest.approx([0, 0, stays_up + delay])


@KINDS
async def test_a_child_that_waits_is_listed_with_the_time_of_its_start(kind: Kind) -> None:
    async with running(kind, puppet("a"), puppet("b"), backoff=BACKOFF) as system:
        await anyio.sleep(3)
        await crash_twice(system)
        a, b = await which_children(system.named("app"))
        assert (a.ref, a.status) == (None, "restarting")
        assert a.next_at == pytest.approx(4)
        assert (b.status, b.next_at) == ("running", None)
        assert (await count_children(system.named("app"))).active == 1
        node = system.tree().find("app/a")
        assert node is not None
        assert (node.status, node.restarts) == ("restarting", 1)
        assert node.next_at == pytest.approx(4)
        await let_pass(1)
        assert [child.next_at for child in await which_children(system.named("app"))] == [None, None]


@KINDS
async def test_the_report_of_the_crash_and_of_the_delay_come_before_the_restart(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), backoff=BACKOFF, log=log) as system:
        await crash_twice(system)
        await let_pass(1)
    [delayed] = log.of(RestartDelayed)
    assert (delayed.supervisor, delayed.child.path, delayed.seconds, delayed.attempt) == ("app", "app/a", 1, 2)
    told = [type(event) for event in log.events if isinstance(event, SupervisorReport | RestartDelayed | Progress)]
    assert told == [Progress, SupervisorReport, Progress, SupervisorReport, RestartDelayed, Progress]


# --- callers


@KINDS
async def test_a_call_by_name_waits_for_the_delayed_restart_within_its_deadline(kind: Kind) -> None:
    async with running(kind, puppet("a"), backoff=BACKOFF) as system:
        await crash_twice(system)
        with pytest.raises(NotRunning, match="is restarting") as caught:
            await system.named("app/a").call(Ask(), timeout=0.5)
        assert (system.now(), caught.value.next_at) == pytest.approx((0.5, 1))
        assert await system.named("app/a").call(Ask(), timeout=5) == "a"
        assert system.now() == pytest.approx(1)


@KINDS
async def test_a_call_by_name_which_does_not_wait_hears_at_once_when_the_child_will_be_back(kind: Kind) -> None:
    async with running(kind, puppet("a/b"), backoff=BACKOFF) as system:
        await crash_twice(system, "app/a%2Fb")
        with pytest.raises(NotRunning, match="app/a%2Fb is restarting") as caught:
            await system.named("app/a%2Fb").call(Ask(), wait_for_restart=False)
        assert caught.value.next_at == pytest.approx(1)
        with pytest.raises(NotRunning, match="app/x is not running") as caught:
            await system.named("app/x").call(Ask(), wait_for_restart=False)
        assert caught.value.next_at is None
        assert system.now() == 0


# --- what calls a restart off


@KINDS
async def test_terminating_a_child_that_waits_calls_its_restart_off(kind: Kind) -> None:
    starts = Starts()
    async with running(kind, puppet("a", on_init=starts), backoff=BACKOFF) as system:
        await crash_twice(system)
        await terminate_child(system.named("app"), "a")
        await anyio.sleep(60)
        assert len(starts.times) == 2
        assert [child.status for child in await which_children(system.named("app"))] == ["stopped"] * (kind == "static")


@KINDS
async def test_the_end_of_the_supervisor_calls_every_restart_off(kind: Kind) -> None:
    starts = Starts()
    async with running(
        kind, puppet("a", on_init=starts), puppet("b", on_terminate=sleep(3)), backoff=BACKOFF
    ) as system:
        await crash_twice(system)
        assert await system.shutdown() == ExitReason.SHUTDOWN
        assert system.now() == pytest.approx(3)
        assert len(starts.times) == 2


@KINDS
async def test_nobody_waits_for_the_children_of_a_killed_supervisor(kind: Kind) -> None:
    starts = Starts()
    async with running(kind, puppet("a", on_init=starts), backoff=BACKOFF) as system:
        await crash_twice(system)
        started(system, "app").kill()
        await anyio.sleep(60)
        assert len(starts.times) == 2


async def test_a_child_that_waits_can_only_be_terminated() -> None:
    async with tree(puppet("a"), backoff=BACKOFF) as system:
        await crash_twice(system)
        supervisor = system.named("app")
        with pytest.raises(ChildRestarting):
            await restart_child(supervisor, "a")
        with pytest.raises(ChildRestarting):
            await delete_child(supervisor, "a")
        with pytest.raises(AlreadyPresent):
            await start_child(supervisor, puppet("a"))
        assert system.now() == 0


async def test_a_child_started_again_by_hand_begins_a_new_row() -> None:
    starts = Starts()
    async with tree(puppet("a", on_init=starts), backoff=BACKOFF) as system:
        await crash_twice(system)
        await terminate_child(system.named("app"), "a")
        await restart_child(system.named("app"), "a")
        started(system, "app/a").cast(crash)
        await settle()
        assert starts.times == [0, 0, 0, 0]
        await anyio.sleep(60)
        assert len(starts.times) == 4


async def test_a_waiting_child_has_its_place_in_a_dynamic_supervisor() -> None:
    async with running("dynamic", puppet("a"), backoff=BACKOFF, max_children=1) as system:
        await crash_twice(system)
        with pytest.raises(TooManyChildren):
            await start_child(system.named("app"), puppet("b"))


# --- groups


async def test_the_group_of_a_child_that_waits_is_stopped_at_once_and_started_with_it() -> None:
    trace: list[str] = []
    specs = [puppet("a", trace), puppet("b", trace), puppet("c", trace), puppet("d", trace, restart="temporary")]
    async with tree(*specs, strategy="rest_for_one", backoff=BACKOFF) as system:
        await crash_twice(system, "app/b")
        first, *others = await which_children(system.named("app"))
        assert (first.ref, first.status) == (system.whereis("app/a"), "running")
        assert [(child.id, child.status) for child in others] == [("b", "restarting"), ("c", "stopped")]
        trace.clear()
        await let_pass(1)
        assert trace == ["b init", "b up", "c init", "c up"]


async def test_the_restart_of_its_group_takes_a_child_that_waits_along() -> None:
    starts = Starts()
    specs = [puppet("a"), puppet("b", on_init=starts)]
    async with tree(*specs, strategy="rest_for_one", backoff=BACKOFF) as system:
        await crash_twice(system, "app/b")
        await anyio.sleep(0.5)
        started(system, "app/a").cast(crash)
        await settle()
        present = refs(system, "a", "b")
        assert None not in present
        await anyio.sleep(60)
        assert refs(system, "a", "b") == present
        assert starts.times == pytest.approx([0, 0, 0.5])


async def test_a_group_whose_start_fails_waits_for_the_child_that_failed() -> None:
    trace: list[str] = []
    starts = Starts(failures=2)
    specs = [puppet("a", trace), puppet("b", trace, on_init=starts), puppet("c", trace)]
    async with tree(*specs, strategy="one_for_all", backoff=BACKOFF) as system:
        started(system, "app/c").cast(crash)
        await settle()
        statuses = [(child.id, child.status) for child in await which_children(system.named("app"))]
        assert statuses == [("a", "running"), ("b", "restarting"), ("c", "stopped")]
        await anyio.sleep(60)
        assert starts.times == pytest.approx([0, 0, 0, 1])
        assert None not in refs(system, "a", "b", "c")


# --- limits


@KINDS
async def test_delays_longer_than_the_window_never_reach_the_limit(kind: Kind) -> None:
    starts = Starts(failures=1000)
    spec = puppet("a", on_init=starts)
    async with running(kind, spec, backoff=Backoff(min_seconds=4, jitter=0), max_restarts=3, max_seconds=5) as system:
        started(system, "app/a").cast(crash)
        await anyio.sleep(3600)
        assert system.whereis("app") is not None
        assert len(starts.times) > 100


@KINDS
async def test_short_delays_count_towards_the_limit(kind: Kind) -> None:
    spec = puppet("a", on_init=Starts(failures=1000))
    async with running(kind, spec, backoff=Backoff(min_seconds=0.1), max_restarts=3, max_seconds=5) as system:
        started(system, "app/a").cast(crash)
        assert isinstance((await system.wait_stopped()).detail, RestartLimitReached)
        assert system.now() == pytest.approx(0.1 + 0.2)


@KINDS
async def test_the_supervisor_gives_up_after_so_many_restarts_in_a_row(kind: Kind) -> None:
    log = EventLog()
    starts = Starts(failures=1000)
    backoff = Backoff(min_seconds=10, max_seconds=10, jitter=0, max_attempts=3)
    async with running(kind, puppet("a", on_init=starts), puppet("b"), backoff=backoff, log=log) as system:
        sibling = started(system, "app/b")
        started(system, "app/a").cast(crash)
        reason = await system.wait_stopped()
        assert isinstance(reason.detail, BackoffExhausted)
        assert str(reason) == "shutdown: app/a was restarted 3 times in a row and never stayed up for 30 s"
        assert starts.times == pytest.approx([0, 0, 10, 20])
        assert sibling.info().exit_reason == ExitReason.SHUTDOWN
    assert contexts(log)[-1] == ("shutdown", "app/a")


async def test_the_delays_of_the_spec_go_before_those_of_the_supervisor() -> None:
    own = Backoff(min_seconds=3)
    async with tree(puppet("a"), puppet("b", backoff=own), backoff=BACKOFF, max_restarts=10) as system:
        await crash_twice(system, "app/a")
        await crash_twice(system, "app/b")
        assert [child.next_at for child in await which_children(system.named("app"))] == pytest.approx([1, 3])


async def test_a_supervisor_is_a_child_with_delays_too() -> None:
    spec = group(puppet("x"), max_restarts=0)
    delayed = ChildSpec(spec.id, spec.start, type="supervisor", backoff=BACKOFF)
    async with tree(delayed) as system:
        await crash_twice(system, "app/group/x")
        assert system.whereis("app/group") is None
        assert await system.named("app/group/x").call(Ask()) == "x"
        assert system.now() == pytest.approx(1)


async def test_delays_are_spread_at_random_unless_a_draw_is_given() -> None:
    delays: set[float] = set()

    def note(event: Any) -> None:
        if isinstance(event, RestartDelayed):
            delays.add(event.seconds)

    async with System("app", Supervisor([puppet("a")], backoff=BACKOFF, max_restarts=100), on_event=note) as system:
        for _ in range(20):
            started(system, "app/a").cast(crash)
            await anyio.sleep(10)
    assert len({delay for delay in delays if delay >= 5}) > 5
    assert all(1 <= delay < 7.5 for delay in delays)
