"""Whatever happens to whatever tree: the library does what the model says."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import anyio
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from supervisors import StartFailed, TreeNode
from supervisors.testing import check_nothing_left, check_tree, count_tasks, run_virtual, settle
from tests.supervisors.properties.planned_trees import Tree
from tests.supervisors.properties.tree_model import Dynamic, Member, Model, Place, Plan, Static, Step, Worker

Backend = Literal["asyncio", "trio"]

# --- plans

RESTARTS = st.sampled_from(["permanent", "permanent", "transient", "temporary"])
SIGNIFICANT = st.sampled_from([True, False, False])
LIMITS = {
    "restart": RESTARTS,
    "significant": SIGNIFICANT,
    "shutdown": st.sampled_from(["infinity", "infinity", "brutal_kill"]),
    "max_restarts": st.sampled_from([0, 1, 2, 3, 10]),
    "max_seconds": st.sampled_from([1.0, 5.0, 50.0]),
}
IDS = "abcd"
FIRST = st.sampled_from(["ok"] * 18 + ["fail", "ignore"])
SECOND = st.sampled_from(["ok", "ok", "fail", "ignore"])


def workers(id: str) -> st.SearchStrategy[Worker]:
    return st.builds(
        Worker,
        id=st.just(id),
        restart=RESTARTS,
        significant=SIGNIFICANT,
        shutdown=st.sampled_from([0.5, 2.0, "brutal_kill"]),
        starts=st.tuples(FIRST, SECOND, SECOND, SECOND),
        cleaning=st.sampled_from(["quick", "quick", "slow", "hang", "deaf", "crash"]),
    )


def statics(id: str, depth: int, *, least: int = 0) -> st.SearchStrategy[Static]:
    children = st.integers(least, 3).flatmap(
        lambda count: st.tuples(*[plans(child, depth - 1) for child in IDS[:count]])
    )
    return st.builds(
        Static,
        id=st.just(id),
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        auto_shutdown=st.sampled_from(["never", "any_significant", "all_significant"]),
        children=children,
        **LIMITS,
    ).map(sensible)


def sensible(plan: Static) -> Static:
    """Have no child significant to whom it makes no sense."""
    never = plan.auto_shutdown == "never"
    children = [
        replace(child, significant=child.significant and not never and child.restart != "permanent")
        for child in plan.children
    ]
    return replace(plan, children=tuple(children))


def dynamics(id: str) -> st.SearchStrategy[Dynamic]:
    return st.builds(Dynamic, id=st.just(id), max_children=st.integers(1, 2), **LIMITS)


def plans(id: str, depth: int) -> st.SearchStrategy[Plan]:
    return workers(id) if depth == 0 else st.one_of(workers(id), statics(id, depth), dynamics(id))


NEWCOMERS = (
    st.sampled_from(IDS)
    .flatmap(lambda id: plans(id, 1))
    .map(lambda plan: replace(plan, significant=plan.significant and plan.restart != "permanent"))
)

# --- stories

ENDS = st.tuples(st.sampled_from(["crashed", "crashed", "killed", "normal", "shutdown"]), st.integers(0, 63))
CHANGES = st.tuples(
    st.sampled_from(["start", "start", "terminate", "restart", "delete"]), st.integers(0, 63), NEWCOMERS
)
PAUSES = st.tuples(st.just("pause"), st.sampled_from([0.5, 1.0, 5.0, 50.0]))
STORIES = st.lists(st.one_of(ENDS, ENDS, ENDS, CHANGES, CHANGES, PAUSES), min_size=4, max_size=24)


class Comparison:
    """A tree and its model, led through the same story."""

    def __init__(self, tree: Tree, model: Model) -> None:
        self.tree = tree
        self.model = model
        self._seen = 0

    async def live_through(self, story: Sequence[tuple[Any, ...]]) -> None:
        """Tell both the story, comparing them after every step, and then stop them."""
        async with self.tree.system:
            self.check()
            for step in story:
                await self.step(*step)
                self.check()
                if self.model.root.member is None:
                    return
        self.model.end(self.model.living()["app"], "shutdown")

    async def step(self, what: str, whom: Any, plan: Plan | None = None) -> None:
        living = self.model.living()
        if what == "pause":
            self.model.now += whom
        elif plan is None:
            others = [member for path, member in living.items() if path != "app"]
            if others:
                member = others[whom % len(others)]
                await self.tree.end(member.path, what)  # type: ignore[arg-type]
                self.model.end(member, what)  # type: ignore[arg-type]
        else:
            supervisors = [member for member in living.values() if not isinstance(member.place.plan, Worker)]
            supervisor = supervisors[whom % len(supervisors)]
            outcome = await self.tree.administer(what, supervisor.path, plan)
            assert outcome == self._change(what, supervisor, plan)
        await anyio.sleep(self.model.now - self.tree.system.now())
        await settle()

    def _change(self, what: str, supervisor: Member, plan: Plan) -> str:
        match what:
            case "start":
                return self.model.start_child(supervisor, plan)
            case "terminate":
                return self.model.terminate_child(supervisor, plan.id)
            case "restart":
                return self.model.restart_child(supervisor, plan.id)
            case _:
                return self.model.delete_child(supervisor, plan.id)

    def check(self) -> None:
        """See that both are alike."""
        tree, model = self.tree, self.model
        assert tree.system.now() == model.now
        self.check_trace()
        assert (model.root.member is None) == tree.system.stopping
        if model.root.member is not None:
            assert drawn(tree.system.tree()) == drawn_by_model(model.root)
            check_tree(tree.system)

    def check_trace(self) -> None:
        """See that the same was done and reported in the same order; of the trace, look at what is new."""
        assert in_streams(self.tree.diary.trace[self._seen :]) == in_streams(self.model.trace[self._seen :])
        self._seen = len(self.model.trace)
        assert self.tree.reports() == self.model.reports


def in_streams(trace: Sequence[Step]) -> dict[str, list[Step]]:
    streams: dict[str, list[Step]] = {}
    for step in trace:
        streams.setdefault(step[0], []).append(step)
    return streams


def drawn(node: TreeNode) -> tuple[Any, ...]:
    return node.path, node.status == "running", *(drawn(child) for child in node.children)


def drawn_by_model(place: Place) -> tuple[Any, ...]:
    below = [] if place.member is None else place.member.places.values()
    return place.path, place.member is not None, *(drawn_by_model(child) for child in below)


async def compare(root: Static | Dynamic, story: Sequence[tuple[Any, ...]]) -> None:
    before = count_tasks()
    both = Comparison(Tree(root), Model(root))
    if both.model.root.member is None:
        with pytest.raises(StartFailed):
            await both.tree.system.__aenter__()
    else:
        await both.live_through(story)
    both.check_trace()
    await settle()
    check_nothing_left(both.tree.system, before)
    for context in {context for reports in both.model.reports.values() for context, _, _ in reports}:
        event(f"reported: {context}")


@settings(max_examples=150, deadline=None)
@given(root=st.one_of(statics("app", 2, least=1), dynamics("app")), story=STORIES, seed=st.integers(0, 2**16))
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_tree_does_what_the_model_says(
    root: Static | Dynamic, story: list[tuple[Any, ...]], seed: int, backend: Backend
) -> None:
    run_virtual(compare, root, story, backend=backend, seed=seed)
