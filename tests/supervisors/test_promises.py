"""What checks the tree finds what is wrong with it."""

from collections.abc import Callable
from typing import Literal

import anyio
import pytest
from anyio.lowlevel import checkpoint

from supervisors import ExitReason, Progress, System
from supervisors._cell import Cell
from supervisors.testing import (
    BrokenPromise,
    EventLog,
    chaos,
    check_nothing_left,
    check_tree,
    count_tasks,
    run_virtual,
    settle,
)
from tests.supervisors.actors import group, puppet, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio

Wrong = Callable[[pytest.MonkeyPatch, System, Cell, Cell], object]


def cell_at(system: System, path: str) -> Cell:
    cell = started(system, path)._cell
    assert isinstance(cell, Cell)
    return cell


def the_dead_keep_a_name(patch: pytest.MonkeyPatch, system: System, x: Cell, b: Cell) -> None:
    patch.setitem(system.hub.names._holders, "ghost", x)
    patch.setattr(x, "exit_reason", ExitReason.NORMAL)


def one_is_on_nobodys_list(patch: pytest.MonkeyPatch, system: System, x: Cell, b: Cell) -> None:
    patch.delitem(cell_at(system, "app/group").children, x)


def one_has_outlived_its_parent(patch: pytest.MonkeyPatch, system: System, x: Cell, b: Cell) -> None:
    patch.setattr(cell_at(system, "app/group"), "exit_reason", ExitReason.NORMAL)


def one_has_lost_its_name(patch: pytest.MonkeyPatch, system: System, x: Cell, b: Cell) -> None:
    patch.delitem(system.hub.names._holders, "app/group/x")


def one_waits_for_the_dead(patch: pytest.MonkeyPatch, system: System, x: Cell, b: Cell) -> None:
    patch.setattr(b, "waiting_on", [x])
    patch.setattr(x, "exit_reason", ExitReason.NORMAL)


def the_dead_are_on_record(patch: pytest.MonkeyPatch, system: System, x: Cell, b: Cell) -> None:
    patch.setattr(x, "exit_reason", ExitReason.NORMAL)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (the_dead_keep_a_name, "the name ghost belongs to the dead"),
        (one_is_on_nobodys_list, "app/group/x is on nobody's list"),
        (one_has_outlived_its_parent, "app/group/x has outlived its parent"),
        (one_has_lost_its_name, "app/group/x is alive and has lost its name"),
        (one_waits_for_the_dead, "app/b waits for the dead app/group/x"),
        (the_dead_are_on_record, "app/group/x is dead, and on its supervisor's record"),
    ],
)
async def test_what_is_wrong_with_a_tree_is_named(wrong: Wrong, said: str) -> None:
    async with tree(group(puppet("x")), puppet("b")) as system:
        check_tree(system)
        with pytest.MonkeyPatch.context() as patch:
            wrong(patch, system, cell_at(system, "app/group/x"), cell_at(system, "app/b"))
            with pytest.raises(BrokenPromise) as caught:
                check_tree(system)
        assert said in caught.value.problems
        check_tree(system)


async def test_a_task_which_no_member_owns_is_named() -> None:
    async with tree() as system:
        stray = system.hub.spawn(anyio.sleep_forever(), "app/stray")
        with pytest.raises(BrokenPromise, match="there is a task app/stray which no member owns"):
            check_tree(system)
        stray.cancel()
        await settle()
        check_tree(system)


async def test_a_task_and_a_name_that_are_left_are_named() -> None:
    before = count_tasks()
    async with tree() as system:
        pass
    check_nothing_left(system, before)
    system.hub.names._holders["ghost"] = system._root_cell()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        await settle()
        with pytest.raises(BrokenPromise) as caught:
            check_nothing_left(system, before)
        tasks.cancel_scope.cancel()
    assert caught.value.problems == (
        "ghost is still a name",
        f"there were {before} tasks and there are {before + 1}",
    )


# --- storms that must not pass


async def strike(system: System, **options: object) -> None:
    async with chaos(system, seed=1, patience=20, **options) as storm:  # type: ignore[arg-type]
        await storm.strike(3)


async def test_a_storm_in_which_a_tree_gives_up_says_so() -> None:
    with pytest.raises(BrokenPromise, match=r"seed 1.*\n.*the tree gave up"):
        await strike(tree(puppet("a"), max_restarts=0))


async def test_a_storm_after_which_somebody_never_comes_up_says_so() -> None:
    starts: list[int] = []

    async def hang_second_time(actor: object) -> None:
        starts.append(1)
        if len(starts) > 1:
            await anyio.sleep(1000)

    with pytest.raises(BrokenPromise, match=r"app/a is still starting|nobody to kill"):
        await strike(tree(puppet("a", on_init=hang_second_time), max_restarts=1000))


async def test_a_storm_whose_load_never_ends_says_so() -> None:
    with pytest.raises(BrokenPromise, match=r"a load of .* ago has no answer"):
        await strike(tree(puppet("a"), max_restarts=1000), load=[anyio.sleep_forever])


async def test_a_load_that_fails_with_anything_but_an_error_of_the_library_ends_the_storm() -> None:
    async def wrong() -> None:
        await checkpoint()
        raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, ExceptionGroup)):
        await strike(tree(puppet("a"), max_restarts=1000), load=[wrong])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_storm_can_be_had_again(backend: Literal["asyncio", "trio"]) -> None:
    async def restarts() -> list[str]:
        log = EventLog()
        specs = [puppet(child) for child in "abc"]
        async with chaos(tree(*specs, max_restarts=1000, log=log), seed=7) as storm:
            await storm.strike(30)
        return [event.child.path for event in log.of(Progress)]

    first = run_virtual(restarts, backend=backend, seed=7)
    assert len(first) > 20
    assert run_virtual(restarts, backend=backend, seed=7) == first
