"""Holding an actor: its messages wait, and everything that must go on goes on."""

import anyio
import pytest

from supervisors import CallTimeout, ExitReason, Mailbox, which_children
from supervisors import sys as actors
from supervisors.testing import settle
from tests.supervisors.actors import Ask, Puppet, crash, group, puppet, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio


async def test_a_suspended_actor_looks_at_no_message_and_resumed_takes_them_in_order() -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace)) as system:
        ref = started(system, "app/a")
        ref.cast("before")
        await settle()
        await actors.suspend(ref)
        for message in ("one", "two", "three"):
            ref.cast(message)
        await anyio.sleep(100)
        assert trace[2:] == ["before"]
        assert ref.info().status == "suspended"
        await actors.resume(ref)
        await settle()
        assert trace[2:] == ["before", "one", "two", "three"]
        assert ref.info().status == "running"


async def test_a_call_to_a_suspended_actor_waits_and_fails_unstarted_at_its_deadline() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Ask(), timeout=3)
        assert not caught.value.started
        await actors.resume(ref)
        assert await ref.call(Ask()) == "a"


async def test_suspending_twice_is_the_same_as_once_and_resuming_the_running_is_nothing() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.resume(ref)
        await actors.suspend(ref)
        await actors.suspend(ref)
        await actors.resume(ref)
        assert await ref.call(Ask()) == "a"


async def test_a_suspension_waits_for_the_running_handler_and_passes_the_queue() -> None:
    trace: list[str] = []

    async def slow(actor: Puppet) -> None:
        await anyio.sleep(2)
        actor.trace.append("finished")

    async with tree(puppet("a", trace)) as system:
        ref = started(system, "app/a")
        ref.cast(slow)
        ref.cast("queued")
        await settle()
        await actors.suspend(ref)
        assert trace[2:] == ["finished"]
        assert system.now() == pytest.approx(2)


async def test_the_mailbox_of_a_suspended_actor_fills_as_its_bound_allows() -> None:
    async with tree(puppet("a", mailbox=Mailbox(2))) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        assert [ref.cast("message") for _ in range(3)] == [True, True, False]


async def test_a_suspended_actor_can_be_stopped_by_its_supervisor() -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace)) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        assert await system.shutdown() == ExitReason.SHUTDOWN
        assert trace[-1] == "a terminate shutdown"
        assert system.now() == 0


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_suspended_actor_can_be_stopped_and_killed(how: str) -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        ref.kill() if how == "kill" else await ref.stop()
        await settle()
        assert str(ref.info().exit_reason) == {"stop": "normal", "kill": "killed"}[how]
        assert system.now() == 0


async def test_the_successor_of_a_suspended_actor_is_not_suspended() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        ref.kill()
        assert await system.named("app/a").call(Ask()) == "a"


async def test_a_suspended_supervisor_restarts_nobody_until_it_is_resumed() -> None:
    async with tree(group(puppet("x"))) as system:
        supervisor, x = started(system, "app/group"), started(system, "app/group/x")
        await actors.suspend(supervisor)
        x.cast(crash)
        await anyio.sleep(100)
        assert system.whereis("app/group/x") is None
        await actors.resume(supervisor)
        assert await system.named("app/group/x").call(Ask()) == "x"


async def test_the_state_of_a_suspended_supervisor_can_be_read() -> None:
    async with tree(group(puppet("x"))) as system:
        supervisor = started(system, "app/group")
        await actors.suspend(supervisor)
        assert "_children" in await actors.get_state(supervisor)
        assert (await actors.get_status(supervisor)).status == "suspended"
        await actors.resume(supervisor)
        assert len(await which_children(supervisor)) == 1


async def test_a_suspended_supervisor_is_stopped_in_order() -> None:
    trace: list[str] = []
    async with tree(group(puppet("x", trace), puppet("y", trace))) as system:
        await actors.suspend(started(system, "app/group"))
        trace.clear()
        await system.shutdown()
        assert trace == ["y terminate shutdown", "x terminate shutdown"]
