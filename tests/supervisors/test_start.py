"""Starting a tree: in order, one after the other, and nothing is left when it fails."""

import gc
import weakref
from typing import Any

import anyio
import pytest

from supervisors import (
    ChildSpec,
    ExitReason,
    Ignore,
    Progress,
    StartFailed,
    Stop,
    Supervisor,
    System,
    count_children,
    start_child,
    which_children,
)
from supervisors._reasons import Restart
from supervisors.testing import EventLog, check_tree
from tests.supervisors.actors import Ask, Boom, Puppet, answer, crash, group, hang, puppet, sleep, started
from tests.supervisors.trees import contexts, tree

pytestmark = pytest.mark.anyio


async def test_an_empty_supervisor_starts_and_stops() -> None:
    async with tree() as system:
        assert (await count_children(system.named("app"))).specs == 0
        assert await system.shutdown() == ExitReason.SHUTDOWN


async def test_children_start_in_list_order_one_after_the_other() -> None:
    trace: list[str] = []
    specs = [puppet(child, trace, on_init=sleep(1)) for child in "cabed"]
    async with tree(*specs) as system:
        assert trace == [f"{child} {step}" for child in "cabed" for step in ("init", "up")]
        assert system.now() == pytest.approx(5)


async def test_progress_is_reported_for_every_child() -> None:
    log = EventLog()
    async with tree(puppet("a"), group(puppet("b")), log=log):
        assert [(event.supervisor, event.child.path) for event in log.of(Progress)] == [
            ("app", "app/a"),
            ("app/group", "app/group/b"),
            ("app", "app/group"),
        ]


async def test_a_child_that_fails_to_start_takes_those_before_it_down_in_reverse() -> None:
    trace: list[str] = []
    log = EventLog()
    specs = [puppet("a", trace), puppet("b", trace), puppet("c", trace, on_init=crash), puppet("d", trace)]
    with pytest.raises(StartFailed) as caught:
        async with tree(*specs, log=log):
            pytest.fail("the system must not start")
    assert str(caught.value) == "app failed to start: shutdown: app/c failed to start: crashed: Boom: c"
    assert trace[4:] == ["c init", "b terminate shutdown", "a terminate shutdown"]
    assert contexts(log) == [("start_error", "app/c")]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [(Stop(ExitReason.shutdown("no")), "shutdown: no"), (Stop(), "normal"), ("what?", "init returned a str")],
)
async def test_an_init_that_does_not_say_yes_fails_the_start(outcome: Any, text: str) -> None:
    with pytest.raises(StartFailed, match=text):
        async with tree(puppet("a", on_init=answer(outcome))):
            pytest.fail("the system must not start")


async def test_a_factory_that_raises_fails_the_start() -> None:
    def broken() -> Puppet:
        raise Boom("no actor")

    with pytest.raises(StartFailed, match="Boom: no actor"):
        async with tree(ChildSpec("a", broken)):
            pytest.fail("the system must not start")


async def test_a_factory_that_makes_no_actor_fails_the_start() -> None:
    made: Any = lambda: "an actor"
    with pytest.raises(StartFailed, match="start returned a str"):
        async with tree(ChildSpec("a", made)):
            pytest.fail("the system must not start")


async def test_an_init_that_takes_too_long_is_killed_and_its_name_is_free() -> None:
    with pytest.raises(StartFailed, match="app/a was not initialised within 3 s"):
        async with tree(puppet("a", on_init=hang, start_timeout=3)):
            pytest.fail("the system must not start")


async def test_an_init_in_time_is_not_troubled_later() -> None:
    async with tree(puppet("a", on_init=sleep(2), start_timeout=3)) as system:
        ref = started(system, "app/a")
        await anyio.sleep(100)
        assert await ref.call(Ask()) == "a"


@pytest.mark.parametrize(("restart", "listed"), [("permanent", 1), ("transient", 1), ("temporary", 0)])
async def test_a_child_that_declines_is_kept_unless_temporary(restart: Restart, listed: int) -> None:
    async with tree(puppet("a", on_init=answer(Ignore()), restart=restart), puppet("b")) as system:
        counts = await count_children(system.named("app"))
        assert (counts.specs, counts.active) == (1 + listed, 1)
        assert [child.ref is None for child in await which_children(system.named("app"))] == [True] * listed + [False]


async def test_what_a_temporary_child_was_made_from_is_not_kept() -> None:
    class Ingredient:
        pass

    ingredient = Ingredient()
    watched = weakref.ref(ingredient)

    def recipe(ingredient: Ingredient) -> ChildSpec:
        def factory() -> Puppet:
            return Puppet(str(ingredient is None))

        return ChildSpec("a", factory, restart="temporary")

    supervisor = Supervisor([recipe(ingredient)])
    del ingredient
    async with System("app", supervisor):
        gc.collect()
        assert watched() is None


class Reluctant(Supervisor):
    """Starts its children and then thinks better of it."""

    outcome: Any = Ignore()

    async def init(self) -> Any:
        await super().init()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def reluctant(outcome: Any, *specs: ChildSpec) -> ChildSpec:
    def start() -> Reluctant:
        made = Reluctant(specs)
        made.outcome = outcome
        return made

    return ChildSpec("group", start, type="supervisor")


async def test_a_supervisor_that_declines_leaves_nothing_below_it() -> None:
    async with tree(reluctant(Ignore(), puppet("x")), puppet("b")) as system:
        assert system.whereis("app/group") is None
        assert system.whereis("app/group/x") is None
        assert (await count_children(system.named("app"))).active == 1
        check_tree(system)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Boom("not today"), "crashed: Boom: not today"),
        (Stop(ExitReason.shutdown("closed")), "shutdown: closed"),
        ("what?", "init returned a str"),
    ],
)
async def test_a_supervisor_whose_init_fails_says_why_and_leaves_nothing_below_it(outcome: Any, text: str) -> None:
    async with tree() as system:
        with pytest.raises(StartFailed, match=text):
            await start_child(system.named("app"), reluctant(outcome, puppet("x")))
        assert system.whereis("app/group") is None
        assert system.whereis("app/group/x") is None
        check_tree(system)


async def test_a_start_that_fails_far_below_unwinds_the_whole_tree_and_names_the_culprit() -> None:
    trace: list[str] = []
    inner = group(
        puppet("x", trace), group(puppet("y", trace), puppet("z", trace, on_init=crash), id="inner"), id="outer"
    )
    with pytest.raises(StartFailed) as caught:
        async with tree(puppet("a", trace), inner, puppet("b", trace)):
            pytest.fail("the system must not start")
    assert str(caught.value) == (
        "app failed to start: shutdown: app/outer failed to start: shutdown: app/outer/inner failed to start: "
        "shutdown: app/outer/inner/z failed to start: crashed: Boom: z"
    )
    assert trace[6:] == ["z init", *(f"{child} terminate shutdown" for child in "yxa")]


async def test_a_starter_goes_on_when_the_child_is_up_and_not_before() -> None:
    async with tree() as system:
        ref = await start_child(system.named("app"), puppet("a", on_init=sleep(3)))
        assert system.now() == pytest.approx(3)
        assert ref.info().status == "running"
