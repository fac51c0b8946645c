"""Whatever is done to a tree, these things hold.

Hypothesis makes up the story: crashes, kills, stops and administration, in any order, of any child, under any strategy,
while callers wait. After every step the names and the tree agree; at the end nothing is left and nobody still waits.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisors import (
    ActorRef,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    Mailbox,
    MonitorRef,
    NamedRef,
    Pause,
    Supervisor,
    SupervisorError,
    System,
    TreeNode,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
)
from supervisors._child_spec import Strategy
from supervisors._reasons import Restart, Shutdown
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Do, Puppet, crash, hang, hang_shielded, puppet, sleep, stop_normally

pytestmark = pytest.mark.anyio

Request = Callable[[], Awaitable[object]]

IDS = ["a", "b", "c"]
MESSAGES = {"crash": crash, "stop": stop_normally, "hang": hang, "hang shielded": hang_shielded}
RESTARTS: st.SearchStrategy[Restart] = st.sampled_from(["permanent", "transient", "temporary"])
SHUTDOWNS: st.SearchStrategy[Shutdown] = st.sampled_from([0.5, "brutal_kill", 2])
BACKOFFS = st.sampled_from([None, Backoff(min_seconds=0.5, max_seconds=2, reset_after=3), Backoff(max_attempts=4)])
PAUSES = st.sampled_from([None, Pause(threshold=2, half_life=2, seconds=3)])
STRATEGIES: st.SearchStrategy[Strategy] = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])

STEPS = st.tuples(
    st.sampled_from(
        [
            "crash",
            "stop",
            "kill",
            "hang",
            "hang shielded",
            "call",
            "slow call",
            "flood",
            "poison init",
            "terminate",
            "restart",
            "delete",
            "start",
            "let time pass",
        ]
    ),
    st.sampled_from(["app", "app/pool"]),
    st.sampled_from(IDS),
)


class Story:
    """One system, and what happened to everybody in it."""

    def __init__(self, system: System, tasks: TaskGroup, poisoned: set[str]) -> None:
        self.system = system
        self.tasks = tasks
        self.poisoned = poisoned
        self.seen: dict[ActorRef, MonitorRef] = {}
        self.waiting = 0

    async def step(self, action: str, parent: str, child: str) -> None:
        name = self.system.named(f"{parent}/{child}")
        supervisor = self.system.named(parent)
        match action:
            case "kill":
                if (ref := name.resolve()) is not None:
                    ref.kill()
            case "flood":
                for _ in range(8):
                    name.cast("noise")
            case "poison init":
                self.poisoned ^= {child}
            case "let time pass":
                await anyio.sleep(1)
            case _ if action in MESSAGES:
                name.cast(MESSAGES[action])
            case _:
                self.attempt(self.request(action, name, supervisor, child))
        await settle()

    def request(self, action: str, name: NamedRef, supervisor: NamedRef, child: str) -> Request:
        requests: dict[str, Request] = {
            "call": lambda: name.call(Ask(), timeout=3),
            "slow call": lambda: name.call(Do(sleep(2)), timeout=1),
            "terminate": lambda: terminate_child(supervisor, child, timeout=20),
            "restart": lambda: restart_child(supervisor, child, timeout=20),
            "delete": lambda: delete_child(supervisor, child, timeout=20),
            "start": lambda: start_child(supervisor, self.spec(child), timeout=20),
        }
        return requests[action]

    def attempt(self, request: Request) -> None:
        async def run() -> None:
            self.waiting += 1
            try:
                await request()
            except SupervisorError:
                pass
            finally:
                self.waiting -= 1

        self.tasks.start_soon(run)

    def spec(self, child: str, restart: Restart = "permanent", shutdown: Shutdown = 1) -> ChildSpec:
        return child_spec(child, restart, shutdown, self.poisoned)

    def check(self) -> None:
        names = self.system.hub.names._holders
        nodes = {node.path: node for node in flattened(self.system.tree())}
        for path, cell in names.items():
            assert cell.path == path
            assert cell.exit_reason is None, f"{path} is dead and still holds its name"
            assert path in nodes, f"{path} is not in the tree"
        for path, node in nodes.items():
            assert (path in names) == (node.status in ("starting", "running", "stopping")), node
        for path, cell in names.items():
            ref = ActorRef(cell)
            if ref not in self.seen:
                self.seen[ref] = self.system.monitor(ref)
            if cell.parent is not None:
                assert cell in cell.parent.children, f"{path} is an orphan"


def child_spec(child: str, restart: Restart, shutdown: Shutdown, poisoned: set[str]) -> ChildSpec:
    async def init(actor: Puppet) -> None:
        if child in poisoned:
            await anyio.sleep(0.3)
            await crash(actor)

    return puppet(child, restart=restart, shutdown=shutdown, on_init=init, mailbox=Mailbox(5))


def flattened(node: TreeNode) -> list[TreeNode]:
    return [node, *(below for child in node.children for below in flattened(child))]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    strategy=STRATEGIES,
    kinds=st.tuples(*[st.tuples(RESTARTS, SHUTDOWNS)] * len(IDS)),
    steps=st.lists(STEPS, max_size=25),
    backoff=BACKOFFS,
    pause=PAUSES,
)
async def test_names_tree_and_callers_survive_any_story(
    strategy: Strategy,
    kinds: tuple[tuple[Restart, Shutdown], ...],
    steps: list[tuple[str, str, str]],
    backoff: Backoff | None,
    pause: Pause | None,
) -> None:
    poisoned: set[str] = set()
    specs = [child_spec(child, *kind, poisoned) for child, kind in zip(IDS, kinds, strict=True)]
    flags: dict[str, Any] = {"max_restarts": 1000, "backoff": backoff, "pause": pause}
    pool = ChildSpec("pool", lambda: DynamicSupervisor(**flags), type="supervisor", backoff=Backoff())
    root = Supervisor([*specs, pool], strategy=strategy, **flags)
    system = System("app", root, on_event=EventLog(), shutdown_budget=20)
    async with anyio.create_task_group() as tasks:
        async with system:
            story = Story(system, tasks, poisoned)
            story.check()
            for step in steps:
                await story.step(*step)
                story.check()
        await settle()
        assert story.waiting == 0
    assert len(system.hub.names) == 0
    assert system.unstopped == ()
    for ref, monitor in story.seen.items():
        assert ref.info().status == "dead"
        assert (await monitor.wait()).ref == ref
    assert ref_waits(story) == []


def ref_waits(story: Story) -> list[str]:
    return [path for ref in story.seen for path in ref.info().waiting_on]
