"""The figures of the supervision library: that each is measured, on what it says, and that a broken promise shows."""

import gc
import tracemalloc
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from tests.benchmarks import supervision, supervision_floors
from tests.benchmarks.report import supervisors_table
from tests.benchmarks.supervision import FIGURES, Figure, Measured

MEASURED = {key: Measured(FIGURES[key].target, 0.5) for key in FIGURES}


@pytest.fixture
def collector() -> Iterator[None]:
    """Leave the garbage collector and the tracing of memory as they were; what other tests have left is no part of any figure."""
    gc.freeze()
    yield
    gc.unfreeze()
    gc.enable()
    tracemalloc.stop()


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.usefixtures("collector")
async def test_every_figure_is_measured() -> None:
    found = await supervision.times(0.01) | await supervision.memory(0.01)
    assert {*found, "call/floor"} == set(FIGURES)
    for key, measured in found.items():
        assert measured.value > 0, key


@pytest.mark.anyio
@pytest.mark.parametrize("figure", [supervision.calls, supervision.casts, supervision.restarts, supervision.spawns])
async def test_a_measurement_sees_to_it_that_the_work_was_done(figure: supervision.SystemMeasurement) -> None:
    async with supervision.running() as system:
        assert await figure(system, 5) > 0
        worker, crowd = system.tree().children
        assert worker.restarts == (5 if figure is supervision.restarts else 0)
        assert len(crowd.children) == (5 if figure is supervision.spawns else 0)


@pytest.mark.anyio
async def test_passive_actors_are_measured_while_they_are() -> None:
    async with supervision.running() as system:
        assert await supervision.passivations(system, 20) > 0
        assert await supervision.wakes(system, 5, of=20) > 0
        crowd = system.tree().children[1]
        assert (len(crowd.children), crowd.passive) == (0, 20)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "floor",
    [
        supervision_floors.calls,
        supervision_floors.appends,
        supervision_floors.appends_and_handling,
        supervision_floors.spawns,
        supervision_floors.stops,
        supervision_floors.crashes,
    ],
)
async def test_a_floor_takes_time(floor: supervision.Measurement) -> None:
    assert await floor(50) > 0


def test_a_promise_holds_up_to_its_target_and_only_where_it_was_given() -> None:
    figure = Figure("a call", "µs", 15.0, promised_on=("uvloop",))
    assert figure.holds("uvloop", Measured(15.0))
    assert not figure.holds("uvloop", Measured(15.1))
    assert figure.holds("trio", Measured(99.0))


def test_the_table_has_every_target_and_marks_what_was_missed() -> None:
    missed = MEASURED | {"idle": Measured(9.0, 5.0)}
    console = Console(width=160, file=StringIO())
    with console.capture() as shown:
        console.print(supervisors_table({"asyncio": MEASURED, "trio": missed}))
    rows = {line.split("│")[1].strip(): line for line in shown.get().splitlines() if "≤" in line}
    assert list(rows) == [figure.title for figure in FIGURES.values()]
    assert "≤ 6.5" in rows["an idle actor"]
    assert "9.00 ✗" in rows["an idle actor"]
    assert sum("✗" in row for row in rows.values()) == 1
