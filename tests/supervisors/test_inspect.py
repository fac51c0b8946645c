"""The tree as data."""

import anyio
import pytest

from supervisors import ActorDown, CallTimeout, ChildSpec, DynamicSupervisor, Supervisor, System, start_child
from supervisors.inspect import describe_traceback
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import (
    Ask,
    Do,
    Puppet,
    crash,
    group,
    hang,
    hang_shielded,
    puppet,
    started,
    stop_normally,
)

pytestmark = pytest.mark.anyio


async def test_the_tree_shows_everybody_in_start_order() -> None:
    specs = [puppet("b"), group(puppet("x")), puppet("a", restart="transient")]
    async with System("app", Supervisor(specs)) as system:
        tree = system.tree()
        assert (tree.path, tree.kind, tree.type, tree.status) == ("app", "Supervisor", "supervisor", "running")
        assert [(child.path, child.kind, child.restart) for child in tree.children] == [
            ("app/b", "Puppet", "permanent"),
            ("app/group", "Supervisor", "permanent"),
            ("app/a", "Puppet", "transient"),
        ]
        assert [child.path for child in tree.children[1].children] == ["app/group/x"]


async def test_a_member_is_found_by_its_path() -> None:
    async with System("app", Supervisor([group(puppet("x"), id="gr"), group(puppet("x"))])) as system:
        tree = system.tree()
        found = tree.find("app/group/x")
        assert found is not None
        assert found.path == "app/group/x"
        assert tree.find("app/group/y") is None
        assert tree.find("other") is None


async def test_one_place_of_the_tree_can_be_looked_at_alone() -> None:
    async with System("app", Supervisor([group(puppet("x")), puppet("a", restart="transient")])) as system:
        system.register("alias", started(system, "app/group/x"))
        assert system.node("app") == system.tree()
        assert system.node("app/group/x") == system.tree().find("app/group/x")
        await started(system, "app/a").stop()
        await settle()
        node = system.node("app/a")
        assert node is not None
        assert node.status == "stopped"
        assert system.node("alias") is None
        assert system.node("app/b") is None


async def test_restarts_and_the_last_end_are_remembered() -> None:
    async with System("app", Supervisor([puppet("a")]), on_event=EventLog()) as system:
        for _ in range(2):
            await anyio.sleep(10)
            started(system, "app/a").cast(crash)
            await settle()
        [node] = system.tree().children
        assert (node.restarts, str(node.last_exit)) == (2, "crashed: Boom: a")
        assert node.since == pytest.approx(20)
        info = started(system, "app/a").info()
        assert (info.restarts, str(info.last_exit)) == (2, "crashed: Boom: a")
        assert info.since == pytest.approx(20)


async def test_a_child_that_is_down_keeps_its_place() -> None:
    async with System("app", Supervisor([puppet("a", restart="transient"), puppet("b")])) as system:
        await anyio.sleep(3)
        started(system, "app/a").cast(stop_normally)
        await settle()
        node = system.tree().children[0]
        assert (node.path, node.status, str(node.last_exit)) == ("app/a", "stopped", "normal")
        assert node.kind == "Puppet"
        assert node.since == pytest.approx(3)


async def test_a_stuck_actor_can_still_be_described() -> None:
    async with System("app", Supervisor([puppet("a", shutdown=1), puppet("b")]), on_event=EventLog()) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        a.cast(hang_shielded)
        await settle()
        a.cast("waiting")
        await anyio.sleep(2)

        async def ask(actor: Puppet) -> None:
            with pytest.raises(CallTimeout):
                await a.call(Ask(), timeout=3)

        b.cast(ask)
        await settle()
        info = a.info()
        assert (info.status, info.mailbox_depth, info.current_message) == ("running", 2, "function")
        assert info.busy_since == pytest.approx(0)
        assert b.info().waiting_on == ("app/a",)
        node = system.tree().find("app/b")
        assert node is not None
        assert node.waiting_on == ("app/a",)


async def test_the_dead_can_be_described() -> None:
    async with System("app", Supervisor([puppet("a", restart="temporary")]), on_event=EventLog()) as system:
        ref = started(system, "app/a")
        ref.cast(crash)
        await settle()
        info = ref.info()
        assert (info.status, str(info.exit_reason), info.handled) == ("dead", "crashed: Boom: a", 0)
        assert repr(ref) == "<ActorRef app/a dead>"


async def test_a_member_on_its_way_up_or_down_says_so() -> None:
    spec = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    async with System("app", Supervisor([spec]), on_event=EventLog()) as system:
        pool = system.named("app/pool")
        async with anyio.create_task_group() as tasks:

            async def start() -> None:
                with pytest.raises(ActorDown):
                    await start_child(pool, puppet("a", on_init=hang, on_terminate=hang, shutdown=1))

            tasks.start_soon(start)
            await settle()
            assert started(system, "app/pool/a").info().status == "starting"
            started(system, "app/pool").kill()


async def test_messages_are_counted() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        ref = started(system, "app/a")
        for _ in range(3):
            ref.cast("hello")
        await ref.call(Do(_nothing))
        assert ref.info().handled == 4


async def _nothing(actor: Puppet) -> None:
    return None


def dive(depth: int) -> None:
    if depth == 0:
        raise RuntimeError("the bottom")
    dive(depth - 1)


def test_a_traceback_is_described_with_its_source_lines_and_no_values() -> None:
    with pytest.raises(RuntimeError) as caught:
        dive(1)
    test, first, last = describe_traceback(caught.value.__traceback__)
    assert "in test_a_traceback_is_described" in test
    assert first.endswith("in dive\n    dive(depth - 1)\n")
    assert last.endswith('in dive\n    raise RuntimeError("the bottom")\n')


def test_of_a_very_deep_traceback_the_middle_is_left_out() -> None:
    with pytest.raises(RuntimeError) as caught:
        dive(500)
    stack = describe_traceback(caught.value.__traceback__)
    assert len(stack) < 100
    assert "in test_of_a_very_deep" in stack[0]
    assert 'raise RuntimeError("the bottom")' in stack[-1]
    assert [line for line in stack if "more calls" in line] == [f"  ... {502 - len(stack) + 1} more calls ...\n"]
