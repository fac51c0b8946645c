"""Administering the children of a static supervisor."""

from typing import Any

import anyio
import pytest

from supervisors import (
    ActorDown,
    ActorRef,
    AlreadyPresent,
    AlreadyStarted,
    CallTimeout,
    ChildCounts,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Ignore,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    System,
    Traced,
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors import sys as actors
from supervisors.testing import EventLog, check_tree, settle
from tests.supervisors.actors import Ask, Puppet, answer, crash, group, hang, puppet, sleep, started
from tests.supervisors.trees import Kind, refs, running

pytestmark = pytest.mark.anyio


def tree(*specs: ChildSpec, **flags: Any) -> System:
    return System("app", Supervisor(specs, **flags), on_event=EventLog())


async def ids(system: System) -> list[str]:
    return [child.id for child in await which_children(system.named("app"))]


async def test_a_started_child_is_appended_and_serves() -> None:
    async with tree(puppet("a")) as system:
        ref = await start_child(system.named("app"), puppet("b"))
        assert ref == system.whereis("app/b")
        assert await ref.call(Ask()) == "b"
        assert await ids(system) == ["a", "b"]


async def test_starting_a_running_child_names_its_reference() -> None:
    async with tree(puppet("a")) as system:
        with pytest.raises(AlreadyStarted) as caught:
            await start_child(system.named("app"), puppet("a"))
        assert caught.value.ref == system.whereis("app/a")


async def test_starting_a_stopped_child_finds_it_present() -> None:
    async with tree(puppet("a")) as system:
        await terminate_child(system.named("app"), "a")
        with pytest.raises(AlreadyPresent):
            await start_child(system.named("app"), puppet("a"))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (puppet("a", on_init=crash), "crashed: Boom: a"),
        (puppet("a", on_init=answer(Stop(ExitReason.shutdown("closed")))), "shutdown: closed"),
        (puppet("a", on_init=answer("what?")), "init returned a str"),
        (ChildSpec("a", lambda: Puppet(1, 2, 3)), "takes from 1 to 3 positional arguments"),  # type: ignore[call-arg,arg-type]
    ],
)
async def test_a_child_that_fails_to_start_is_not_kept(spec: ChildSpec, text: str) -> None:
    async with tree() as system:
        with pytest.raises(StartFailed, match=text):
            await start_child(system.named("app"), spec)
        assert await ids(system) == []
        assert await (await start_child(system.named("app"), puppet("a"))).call(Ask()) == "a"


@pytest.mark.parametrize(("restart", "kept"), [("permanent", ["a"]), ("temporary", [])])
async def test_a_child_that_declines_is_kept_unless_temporary(restart: Any, kept: list[str]) -> None:
    async with tree() as system:
        with pytest.raises(StartIgnored):
            await start_child(system.named("app"), puppet("a", on_init=answer(Ignore()), restart=restart))
        assert await ids(system) == kept


async def test_terminating_keeps_the_spec_and_may_be_repeated() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await terminate_child(system.named("app"), "a")
        await terminate_child(system.named("app"), "a")
        assert ref.info().exit_reason == ExitReason.SHUTDOWN
        [child] = await which_children(system.named("app"))
        assert (child.ref, child.status) == (None, "stopped")


async def test_terminating_a_temporary_child_forgets_it() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        await terminate_child(system.named("app"), "a")
        assert await ids(system) == []


async def test_an_incarnation_is_terminated_and_no_other_in_its_place() -> None:
    async with tree(puppet("a"), puppet("b")) as system:
        supervisor = system.named("app")
        old = started(system, "app/a")
        old.cast(crash)
        await settle()
        with pytest.raises(ChildNotFound, match="app/a"):
            await terminate_child(supervisor, old)
        new = started(system, "app/a")
        await terminate_child(supervisor, new)
        assert new.info().exit_reason == ExitReason.SHUTDOWN
        with pytest.raises(ChildNotFound):
            await terminate_child(supervisor, new)


async def test_the_results_of_a_termination_can_be_told_apart() -> None:
    async with tree(group(puppet("a"), puppet("stuck", shutdown=10, on_terminate=hang)), puppet("b")) as system:
        supervisor = system.named("app/group")
        a, stuck, foreign = (started(system, path) for path in ("app/group/a", "app/group/stuck", "app/b"))
        await terminate_child(supervisor, a)
        assert not a.alive
        with pytest.raises(ChildNotFound):
            await terminate_child(supervisor, foreign)
        assert foreign.alive
        with pytest.raises(CallTimeout):
            await terminate_child(supervisor, stuck, timeout=3)
        assert stuck.alive
        await anyio.sleep(7)
        await settle()
        assert stuck.info().exit_reason == ExitReason.KILLED
        ended = started(system, "app/group")
        await terminate_child(system.named("app"), "group")
        with pytest.raises(ActorDown):
            await terminate_child(ended, "a")


async def test_an_ending_supervisor_refuses_at_once() -> None:
    async with tree(group(puppet("a", on_terminate=sleep(3)), restart="temporary")) as system:
        supervisor = started(system, "app/group")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.stop)
            await settle()
            with pytest.raises(ActorDown, match="app/group is stopping") as caught:
                await start_child(supervisor, puppet("b"))
            assert not caught.value.started
            assert system.now() == 0
        assert system.whereis("app/group/b") is None


async def test_only_a_stopped_child_can_be_deleted() -> None:
    async with tree(puppet("a")) as system:
        with pytest.raises(ChildRunning):
            await delete_child(system.named("app"), "a")
        await terminate_child(system.named("app"), "a")
        await delete_child(system.named("app"), "a")
        assert await ids(system) == []


async def test_only_a_stopped_child_can_be_restarted() -> None:
    async with tree(puppet("a")) as system:
        old = started(system, "app/a")
        with pytest.raises(ChildRunning):
            await restart_child(system.named("app"), "a")
        await terminate_child(system.named("app"), "a")
        new = await restart_child(system.named("app"), "a")
        assert new != old
        assert await new.call(Ask()) == "a"


async def test_a_restart_that_fails_keeps_the_spec() -> None:
    starts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        starts.append(1)
        if len(starts) == 2:
            await crash(actor)

    async with tree(puppet("a", on_init=fail_second_time)) as system:
        await terminate_child(system.named("app"), "a")
        with pytest.raises(StartFailed):
            await restart_child(system.named("app"), "a")
        [child] = await which_children(system.named("app"))
        assert (child.ref, child.status) == (None, "stopped")


@pytest.mark.parametrize("action", [terminate_child, restart_child, delete_child])
async def test_an_unknown_child_is_not_found(action: Any) -> None:
    async with tree(puppet("a")) as system:
        with pytest.raises(ChildNotFound, match="app/b"):
            await action(system.named("app"), "b")


async def test_a_restarting_child_can_only_be_terminated() -> None:
    async def slow_failure(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            await crash(actor)

    async with tree(puppet("a", on_init=slow_failure), max_restarts=1000) as system:
        await anyio.sleep(2)
        supervisor = system.named("app")
        started(system, "app/a").cast(crash)
        await anyio.sleep(1.5)
        with pytest.raises(ChildRestarting):
            await restart_child(supervisor, "a")
        with pytest.raises(ChildRestarting):
            await delete_child(supervisor, "a")
        await terminate_child(supervisor, "a")
        await delete_child(supervisor, "a")
        await anyio.sleep(10)
        assert await ids(system) == []


async def test_counts_and_lists_agree_after_every_step() -> None:
    async with tree(puppet("a"), group(puppet("x"))) as system:
        supervisor = system.named("app")

        async def counts() -> ChildCounts:
            counts = await count_children(supervisor)
            children = await which_children(supervisor)
            assert counts.specs == len(children)
            assert counts.active == sum(child.ref is not None for child in children)
            assert counts.supervisors == sum(child.type == "supervisor" for child in children)
            return counts

        assert await counts() == ChildCounts(specs=2, active=2, supervisors=1, workers=1)
        await start_child(supervisor, puppet("b"))
        assert await counts() == ChildCounts(specs=3, active=3, supervisors=1, workers=2)
        await terminate_child(supervisor, "a")
        assert await counts() == ChildCounts(specs=3, active=2, supervisors=1, workers=2)
        await delete_child(supervisor, "a")
        assert await counts() == ChildCounts(specs=2, active=2, supervisors=1, workers=1)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
async def test_administration_of_a_dead_supervisor_fails_at_once(kind: Kind) -> None:
    start = Supervisor if kind == "static" else DynamicSupervisor
    async with tree(ChildSpec("group", start, type="supervisor", restart="temporary")) as system:
        supervisor = started(system, "app/group")
        supervisor.kill()
        await settle()
        for request in (
            start_child(supervisor, puppet("a")),
            terminate_child(supervisor, "a"),
            restart_child(supervisor, "a"),
            delete_child(supervisor, "a"),
            which_children(supervisor),
            count_children(supervisor),
        ):
            with pytest.raises(ActorDown) as caught:
                await request
            assert caught.value.reason == ExitReason.NOPROC
        assert system.now() == 0


async def test_a_starter_who_gives_up_takes_the_child_back() -> None:
    async with tree() as system:
        with anyio.move_on_after(2):
            await start_child(system.named("app"), puppet("a", on_init=hang))
        await settle()
        assert system.whereis("app/a") is None
        assert await ids(system) == []
        assert await (await start_child(system.named("app"), puppet("a"))).call(Ask()) == "a"


async def test_a_starter_who_gives_up_at_the_last_moment_takes_the_child_back_too() -> None:
    async with tree() as system:
        with anyio.CancelScope() as scope:

            async def cancel_the_starter(actor: Puppet) -> None:
                await anyio.sleep(1)
                scope.cancel()

            await start_child(system.named("app"), puppet("a", on_init=cancel_the_starter))
        await settle()
        assert system.whereis("app/a") is None
        assert await ids(system) == []


async def test_a_starter_whose_time_is_up_takes_the_child_back() -> None:
    async with tree() as system:
        with pytest.raises(CallTimeout):
            await start_child(system.named("app"), puppet("a", on_init=sleep(10)), timeout=2)
        await anyio.sleep(20)
        assert system.whereis("app/a") is None
        assert await ids(system) == []


@pytest.mark.parametrize("how", ["start", "restart"])
async def test_a_child_whose_starter_never_saw_the_answer_is_taken_back(how: str) -> None:
    """The starter is cancelled after the answer was given and before it could look at it."""
    received: list[ActorRef | None] = []
    async with running("static") as system:
        supervisor, scope = started(system, "app"), anyio.CancelScope()

        def cancel_the_starter(traced: Traced) -> None:
            if traced.lane == "reply":
                scope.cancel()

        if how == "restart":
            await start_child(supervisor, puppet("a"))
            await terminate_child(supervisor, "a")
        await actors.trace(supervisor, to=cancel_the_starter)
        with scope:
            received.append(
                await (start_child(supervisor, puppet("a")) if how == "start" else restart_child(supervisor, "a"))
            )
        await actors.trace(supervisor, to=False)
        await settle()
        assert refs(system, "a") == (received or [None])
        assert await ids(system) == (["a"] if received or how == "restart" else [])
        check_tree(system)
