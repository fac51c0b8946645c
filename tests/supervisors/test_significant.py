"""Children whose end is the end of their supervisor."""

from typing import Any

import pytest

from supervisors import (
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Ignore,
    InvalidChildSpec,
    Progress,
    RestartLimitReached,
    Supervisor,
    SupervisorReport,
    System,
    restart_child,
    start_child,
    terminate_child,
)
from supervisors._child_spec import AutoShutdown
from supervisors._reasons import Restart
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Action, Puppet, answer, crash, group, puppet, started, stop_normally
from tests.supervisors.trees import FailingStart, refs, tree

pytestmark = pytest.mark.anyio

RULES: list[AutoShutdown] = ["any_significant", "all_significant"]


def significant(id: str, restart: Restart = "transient", **options: Any) -> ChildSpec:
    return puppet(id, restart=restart, significant=True, **options)


@pytest.mark.parametrize(
    ("restart", "end", "ends"),
    [
        ("transient", stop_normally, True),
        ("transient", crash, False),
        ("temporary", stop_normally, True),
        ("temporary", crash, True),
    ],
)
@pytest.mark.parametrize("rule", RULES)
async def test_the_supervisor_ends_with_a_significant_child_that_does_not_come_back(
    rule: AutoShutdown, restart: Restart, end: Action, ends: bool
) -> None:
    async with tree(significant("a", restart), puppet("b"), auto_shutdown=rule) as system:
        root, bystander = started(system, "app"), started(system, "app/b")
        started(system, "app/a").cast(end)
        await settle()
        assert root.alive == bystander.alive == (not ends)
        if ends:
            assert str(await system.wait_stopped()) == "shutdown: the significant child app/a has ended"
            assert bystander.info().exit_reason == ExitReason.SHUTDOWN


async def test_any_significant_ends_with_the_first() -> None:
    async with tree(significant("a"), significant("b"), auto_shutdown="any_significant") as system:
        started(system, "app/b").cast(stop_normally)
        assert (await system.wait_stopped()).is_normal


async def test_all_significant_ends_with_the_last() -> None:
    async with tree(significant("a"), significant("b", "temporary"), puppet("c"), auto_shutdown=RULES[1]) as system:
        started(system, "app/b").cast(crash)
        await settle()
        assert system.whereis("app/a") is not None
        started(system, "app/a").cast(stop_normally)
        assert (await system.wait_stopped()).is_normal


async def test_two_that_end_at_once_are_the_last() -> None:
    async with tree(significant("a"), significant("b"), auto_shutdown="all_significant") as system:
        started(system, "app/a").cast(stop_normally)
        started(system, "app/b").cast(stop_normally)
        assert (await system.wait_stopped()).is_normal


async def test_one_that_is_being_restarted_is_not_gone() -> None:
    def end_the_other(event: object) -> None:
        if isinstance(event, SupervisorReport) and event.context == "start_error":
            ended.cast(stop_normally)

    specs = [significant("a"), significant("b", on_init=FailingStart())]
    root = Supervisor(specs, auto_shutdown="all_significant", max_restarts=5)
    async with System("app", root, on_event=end_the_other) as system:
        ended = started(system, "app/a")
        started(system, "app/b").cast(crash)
        assert isinstance((await system.wait_stopped()).detail, RestartLimitReached)
        assert ended.info().exit_reason == ExitReason.NORMAL


async def test_one_that_has_none_significant_beside_it_alive_is_the_last() -> None:
    specs = [significant("a"), significant("b", on_init=answer(Ignore()))]
    async with tree(*specs, auto_shutdown="all_significant") as system:
        started(system, "app/a").cast(stop_normally)
        assert (await system.wait_stopped()).is_normal


async def test_an_end_that_is_not_significant_ends_nobody() -> None:
    async with tree(significant("a"), puppet("b", restart="temporary"), auto_shutdown="any_significant") as system:
        started(system, "app/b").cast(crash)
        await settle()
        assert system.whereis("app/a") is not None


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_a_significant_child_may_be_terminated_by_request(restart: Restart) -> None:
    async with tree(significant("a", restart), auto_shutdown="any_significant") as system:
        await terminate_child(system.named("app"), "a")
        await settle()
        assert system.whereis("app") is not None


@pytest.mark.parametrize("rule", RULES)
async def test_a_significant_child_may_be_stopped_for_the_sake_of_a_sibling(rule: AutoShutdown) -> None:
    specs = [significant("a"), significant("b", "temporary"), puppet("c")]
    async with tree(*specs, strategy="one_for_all", auto_shutdown=rule) as system:
        before = refs(system, "a", "c")
        started(system, "app/c").cast(crash)
        await settle()
        assert system.whereis("app/b") is None
        after = refs(system, "a", "c")
        assert None not in after
        assert not set(after) & set(before)


async def test_a_significant_child_started_later_counts() -> None:
    async with tree(significant("a"), auto_shutdown="all_significant") as system:
        await start_child(system.named("app"), significant("b", "temporary"))
        await terminate_child(system.named("app"), "a")
        await restart_child(system.named("app"), "a")
        started(system, "app/a").cast(stop_normally)
        await settle()
        assert system.whereis("app/b") is not None
        started(system, "app/b").cast(crash)
        assert (await system.wait_stopped()).is_normal


async def test_an_automatic_shutdown_goes_up_as_far_as_it_is_significant_there() -> None:
    inner = group(significant("x"), auto_shutdown="any_significant", restart="transient", significant=True)
    async with tree(inner, puppet("b"), auto_shutdown="any_significant") as system:
        started(system, "app/group/x").cast(stop_normally)
        assert str(await system.wait_stopped()) == "shutdown: the significant child app/group has ended"


async def test_a_permanent_supervisor_that_shut_down_by_itself_is_started_anew() -> None:
    async with tree(group(significant("x"), auto_shutdown="any_significant")) as system:
        old = started(system, "app/group")
        started(system, "app/group/x").cast(stop_normally)
        await settle()
        assert started(system, "app/group") != old
        assert system.whereis("app/group/x") is not None


async def test_events_say_that_a_child_is_significant() -> None:
    log = EventLog()
    async with tree(significant("a"), puppet("b"), auto_shutdown="any_significant", log=log):
        assert [event.child.significant for event in log.of(Progress)] == [True, False]


# --- what makes no sense is refused


async def test_a_supervisor_that_never_shuts_down_takes_no_significant_child() -> None:
    with pytest.raises(InvalidChildSpec, match="child 'a': significant: the supervisor"):
        tree(significant("a"))
    async with tree() as system:
        with pytest.raises(InvalidChildSpec, match="significant"):
            await start_child(system.named("app"), significant("a"))
        assert system.whereis("app/a") is None


async def test_a_dynamic_supervisor_takes_no_significant_child() -> None:
    async with System("app", DynamicSupervisor()) as system:
        with pytest.raises(InvalidChildSpec, match="significant"):
            await start_child(system.named("app"), significant("a"))
        assert system.whereis("app/a") is None


async def test_a_permanent_child_cannot_be_significant() -> None:
    with pytest.raises(InvalidChildSpec, match="significant: a permanent child"):
        ChildSpec("a", Puppet, significant=True)
