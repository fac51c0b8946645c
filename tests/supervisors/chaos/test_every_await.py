"""A small program is harmed at its first await, then at its second, and so on to the last: the tree keeps its promises.

The awaits are those of the actors and of the supervisors, and in the last test those of the program which uses them.
"""

from itertools import count
from typing import Literal

import anyio
import pytest

from supervisors import CrashReport, SupervisorError
from supervisors.testing import (
    CrashPoint,
    Harm,
    InjectedCrash,
    check_nothing_left,
    count_tasks,
    every_await,
    run_virtual,
    settle,
    stepped,
)
from tests.supervisors.actors import Boom
from tests.supervisors.chaos.hamlet import Hamlet

SCHEDULES: list[tuple[Literal["asyncio", "trio"], int]] = [("asyncio", 0), *(("trio", seed) for seed in range(3))]

PLACES = [
    *(f"Villager.{callback}" for callback in ("init", "activate", "handle_continue", "handle_call", "handle_cast")),
    "Villager.terminate",
    *(f"Supervisor.{callback}" for callback in ("init", "handle_call", "handle_info", "terminate")),
    "DynamicSupervisor.terminate",
]
"""Where the sweep must have been."""


async def harmed(point: CrashPoint) -> None:
    before = count_tasks()
    hamlet = Hamlet(point.into)
    await hamlet.program()
    await settle()
    check_nothing_left(hamlet.system, before)
    hamlet.check_ends()
    errors = [report.reason.error for report in hamlet.log.of(CrashReport)]
    assert all(isinstance(error, Boom | InjectedCrash | SupervisorError) for error in errors), errors


@pytest.mark.parametrize("harm", ["crash", "kill"])
@pytest.mark.parametrize(("backend", "seed"), SCHEDULES)
def test_the_tree_keeps_its_promises_wherever_a_member_ends(
    backend: Literal["asyncio", "trio"], seed: int, harm: Harm
) -> None:
    points = list[CrashPoint]()
    for point in every_await(harm):
        points.append(point)
        run_virtual(harmed, point, backend=backend, seed=seed)
    assert len(points) > 50
    awaits = "".join(line for point in points for line in point.where)
    assert [place for place in PLACES if f"in {place}\n" not in awaits] == []


@pytest.mark.parametrize(("backend", "seed"), SCHEDULES)
def test_a_program_that_is_cancelled_at_any_await_leaves_nothing_behind(
    backend: Literal["asyncio", "trio"], seed: int
) -> None:
    for number in count(1):
        if not run_virtual(cancelled, number, backend=backend, seed=seed):
            break
    assert number > 20


async def cancelled(number: int) -> bool:
    """Cancel the program at one of its awaits; False when it has fewer than that."""
    before = count_tasks()
    hamlet, awaits = Hamlet(), count(1)
    with anyio.CancelScope() as scope:

        def suspends() -> None:
            if next(awaits) == number:
                scope.cancel()

        await stepped(hamlet.program(), suspends)
    await settle()
    check_nothing_left(hamlet.system, before)
    hamlet.check_ends()
    return scope.cancel_called
