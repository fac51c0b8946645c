"""The supervisor's own end, and its own faults."""

from typing import Any

import anyio
import pytest

from supervisors import ChildSpec, ExitReason, Stop, Supervisor, UnexpectedMessage, UnexpectedRequest, which_children
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Puppet, group, hang_shielded, puppet, started
from tests.supervisors.trees import Kind, running, tree

pytestmark = pytest.mark.anyio


async def test_a_killed_supervisor_leaves_no_orphans() -> None:
    trace: list[str] = []
    async with tree(group(puppet("b", trace), group(puppet("c", trace)))) as system:
        b, c = started(system, "app/group/b"), started(system, "app/group/group/c")
        started(system, "app/group").kill()
        await settle()
        assert not b.alive
        assert not c.alive
        assert await started(system, "app/group/group/c").call(Ask()) == "c"
        assert not any("terminate" in line for line in trace)


async def test_a_supervisors_death_is_told_after_its_childrens() -> None:
    order: list[str] = []

    class Listener(Puppet):
        async def handle_info(self, message: Any) -> None:
            order.append(message.ref.path)

    specs = [ChildSpec("listener", Listener), group(puppet("b"), restart="temporary")]
    async with tree(*specs) as system:

        async def watch(actor: Puppet) -> None:
            actor.monitor(started(system, "app/group"))
            actor.monitor(started(system, "app/group/b"))

        await started(system, "app/listener").call(Do(watch))
        started(system, "app/group").kill()
        await settle()
        assert order == ["app/group/b", "app/group"]


async def test_a_killed_supervisor_with_a_hung_child_dies_after_it() -> None:
    async with tree(group(puppet("b"), restart="temporary")) as system:
        supervisor, child = started(system, "app/group"), started(system, "app/group/b")
        child.cast(hang_shielded)
        await settle()
        supervisor.kill()
        await settle()
        assert system.whereis("app/group") == supervisor
        await anyio.sleep(1.1)
        assert not supervisor.alive
        assert not child.alive
        assert system.unstopped[0] == "app/group/b"


async def test_the_children_of_a_hung_supervisor_die_with_its_kill_and_not_after_it() -> None:
    class Stuck(Supervisor):
        async def handle_info(self, message: Any) -> Stop | None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)
            return None

    spec = ChildSpec("stuck", lambda: Stuck([puppet("b")]), type="supervisor", restart="temporary")
    async with tree(spec) as system:
        supervisor, child = started(system, "app/stuck"), started(system, "app/stuck/b")
        supervisor.send("get stuck")
        await settle()
        supervisor.kill()
        await settle()
        assert not child.alive
        assert system.now() == 0


async def test_a_fault_of_the_supervisor_itself_is_dealt_with_above() -> None:
    class Faulty(Supervisor):
        async def handle_info(self, message: Any) -> Stop | None:
            if message == "fault":
                raise Boom
            return await super().handle_info(message)

    spec = ChildSpec("faulty", lambda: Faulty([puppet("b")]), type="supervisor")
    async with tree(spec) as system:
        old, child = started(system, "app/faulty"), started(system, "app/faulty/b")
        old.send("fault")
        await settle()
        assert not child.alive
        assert started(system, "app/faulty") != old
        assert await started(system, "app/faulty/b").call(Ask()) == "b"


async def test_a_supervisor_that_fails_to_clean_up_leaves_no_orphans() -> None:
    class Careless(Supervisor):
        async def terminate(self, reason: ExitReason) -> None:
            raise Boom

    spec = ChildSpec("careless", lambda: Careless([puppet("b")]), type="supervisor", restart="temporary")
    async with tree(spec) as system:
        supervisor, child = started(system, "app/careless"), started(system, "app/careless/b")
        reason = await supervisor.stop()
        assert isinstance(reason.error, Boom)
        assert child.info().exit_reason == ExitReason.KILLED


@pytest.mark.parametrize("kind", ["static", "dynamic"])
async def test_a_supervisor_mentions_what_it_does_not_know_and_serves_on(kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a"), log=log) as system:
        supervisor = started(system, "app")
        supervisor.cast("hello")
        supervisor.send("hello")
        with pytest.raises(UnexpectedRequest):
            await supervisor.call(Ask())
        assert len(await which_children(supervisor)) == 1
    assert [(event.path, event.lane) for event in log.of(UnexpectedMessage)] == [("app", "cast"), ("app", "info")]
