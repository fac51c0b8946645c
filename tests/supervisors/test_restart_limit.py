"""How many restarts a supervisor bears, and what its giving up means above."""

import anyio
import pytest

from supervisors import (
    ChildSpec,
    DynamicSupervisor,
    RestartLimitReached,
    SupervisorReport,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors._child_spec import Strategy
from supervisors.testing import EventLog, check_tree, settle
from tests.supervisors.actors import Ask, crash, group, puppet, started
from tests.supervisors.trees import FailingStart, Kind, contexts, refs, running, tree

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_a_start_that_keeps_failing_takes_the_supervisor_down(strategy: Strategy) -> None:
    stubborn = FailingStart()
    log = EventLog()
    specs = [puppet("a"), puppet("b", on_init=stubborn)]
    async with tree(*specs, strategy=strategy, max_restarts=3, log=log) as system:
        sibling = started(system, "app/a")
        started(system, "app/b").cast(crash)
        reason = await system.wait_stopped()
        assert isinstance(reason.detail, RestartLimitReached)
        assert stubborn.attempts == 1 + 3
        assert not sibling.alive
    assert contexts(log)[-1] == ("shutdown", "app/b")


async def test_one_crash_more_than_allowed_trips() -> None:
    async with tree(puppet("a"), max_restarts=2) as system:
        for _ in range(2):
            started(system, "app/a").cast(crash)
            await settle()
        assert system.whereis("app") is not None
        started(system, "app/a").cast(crash)
        await settle()
        assert str(await system.wait_stopped()) == "shutdown: app reached more than 2 restarts within 5 s"


async def test_slow_crashes_never_trip() -> None:
    async with tree(puppet("a"), max_restarts=1, max_seconds=1) as system:
        for _ in range(4):
            started(system, "app/a").cast(crash)
            await anyio.sleep(2.1)
        assert system.whereis("app/a") is not None


async def test_zero_restarts_trips_at_the_first_crash() -> None:
    async with tree(puppet("a"), max_restarts=0) as system:
        started(system, "app/a").cast(crash)
        assert (await system.wait_stopped()).is_normal


async def test_a_group_restart_counts_once() -> None:
    async with tree(*[puppet(child) for child in "abcde"], strategy="one_for_all", max_restarts=1) as system:
        started(system, "app/a").cast(crash)
        await settle()
        assert system.whereis("app/e") is not None


async def test_administration_never_counts() -> None:
    async with tree(puppet("a"), max_restarts=0) as system:
        for _ in range(5):
            await terminate_child(system.named("app"), "a")
            await restart_child(system.named("app"), "a")
        assert system.whereis("app/a") is not None


async def test_a_permanent_supervisor_that_gave_up_is_started_anew() -> None:
    async with tree(group(puppet("b"), max_restarts=0), puppet("a")) as system:
        old = started(system, "app/group")
        started(system, "app/group/b").cast(crash)
        await settle()
        assert started(system, "app/group") != old
        assert await started(system, "app/group/b").call(Ask()) == "b"
        assert system.tree().children[0].restarts == 1


async def test_a_transient_supervisor_that_gave_up_stays_down() -> None:
    async with tree(group(puppet("b"), max_restarts=0, restart="transient")) as system:
        started(system, "app/group/b").cast(crash)
        await settle()
        assert system.whereis("app/group") is None
        assert (await which_children(system.named("app")))[0].status == "stopped"


@pytest.mark.parametrize("kind", ["static", "dynamic"])
async def test_a_supervisor_that_gave_up_and_stays_down_is_reported_above(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, group(puppet("b"), max_restarts=0, restart="transient"), log=log) as system:
        started(system, "app/group/b").cast(crash)
        await settle()
    assert contexts(log)[-2:] == [("shutdown", "app/group/b"), ("child_terminated", "app/group")]
    assert "reached more than 0 restarts" in str(log.of(SupervisorReport)[-1].reason)


async def test_nested_limits_multiply() -> None:
    crashes = 0
    async with tree(group(puppet("b"), max_restarts=2), max_restarts=2) as system:
        while system.whereis("app/group/b") is not None:
            started(system, "app/group/b").cast(crash)
            crashes += 1
            await settle()
    assert crashes == 9


async def test_the_window_is_the_supervisors_and_not_the_childs() -> None:
    async with tree(puppet("a"), puppet("b"), max_restarts=1) as system:
        started(system, "app/a").cast(crash)
        await settle()
        started(system, "app/b").cast(crash)
        await settle()
        assert str(await system.wait_stopped()) == "shutdown: app reached more than 1 restarts within 5 s"


async def test_a_supervisor_that_gives_up_stops_its_children_in_reverse_and_restarts_nobody() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace) for child in "abcd"], max_restarts=0) as system:
        trace.clear()
        started(system, "app/b").cast(crash)
        await system.wait_stopped()
    assert trace == ["b terminate crashed: Boom: b", *(f"{child} terminate shutdown" for child in "dca")]


async def test_a_temporary_supervisor_that_gave_up_is_forgotten() -> None:
    async with tree(group(puppet("x"), max_restarts=0, restart="temporary")) as system:
        started(system, "app/group/x").cast(crash)
        await settle()
        assert await which_children(system.named("app")) == []


async def test_giving_up_counts_above() -> None:
    async with tree(group(puppet("x"), max_restarts=0), max_restarts=1) as system:
        for _ in range(2):
            started(system, "app/group/x").cast(crash)
            await settle()
        assert str(await system.wait_stopped()) == "shutdown: app reached more than 1 restarts within 5 s"


async def test_what_was_added_to_a_supervisor_that_gave_up_is_gone_and_what_it_was_made_with_is_back() -> None:
    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    inner = group(puppet("x"), pool, max_restarts=0)
    async with tree(inner, puppet("b"), strategy="one_for_all") as system:
        old = refs(system, "group", "group/x", "group/pool", "b")
        await start_child(system.named("app/group"), puppet("added"))
        await start_child(system.named("app/group/pool"), puppet("guest"))
        started(system, "app/group/x").cast(crash)
        await settle()
        new = refs(system, "group", "group/x", "group/pool", "b")
        assert all(ref is not None and ref not in old for ref in new)
        assert refs(system, "group/added", "group/pool/guest") == [None, None]
        check_tree(system)
