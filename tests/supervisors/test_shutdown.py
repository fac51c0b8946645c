"""Stopping a tree: in reverse, each child in its own time, whatever the others do."""

import pytest

from supervisors import ExitReason, SupervisorReport
from supervisors._reasons import Shutdown
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import crash, group, hang, hang_shielded, puppet, sleep, started
from tests.supervisors.trees import contexts, tree

pytestmark = pytest.mark.anyio


async def test_children_stop_in_reverse_order() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace, on_terminate=sleep(1)) for child in "cabed"]) as system:
        trace.clear()
        await system.shutdown()
        assert trace == [f"{child} terminate shutdown" for child in "debac"]
        assert system.now() == pytest.approx(5)


async def test_infinity_waits_for_a_slow_clean_up() -> None:
    async with tree(puppet("a", shutdown="infinity", on_terminate=sleep(25))) as system:
        ref = started(system, "app/a")
        await system.shutdown()
        assert ref.info().exit_reason == ExitReason.SHUTDOWN
        assert system.now() == pytest.approx(25)


@pytest.mark.parametrize(
    ("shutdown", "takes", "terminated"),
    [(3.0, 3, True), ("brutal_kill", 0, False)],
)
async def test_what_does_not_stop_in_time_is_killed(shutdown: Shutdown, takes: float, terminated: bool) -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace), puppet("b", trace, shutdown=shutdown, on_terminate=hang)) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await system.shutdown()
        assert a.info().exit_reason == ExitReason.SHUTDOWN
        assert b.info().exit_reason == ExitReason.KILLED
        assert system.now() == pytest.approx(takes)
        assert ("b terminate shutdown" in trace) == terminated


async def test_a_bad_end_during_shutdown_is_reported_and_stops_nothing() -> None:
    log = EventLog()
    specs = [puppet("a"), puppet("b", on_terminate=crash), puppet("c", shutdown=1.0, on_terminate=hang), puppet("d")]
    async with tree(*specs, log=log) as system:
        await system.shutdown()
    assert contexts(log) == [("shutdown_error", "app/c"), ("shutdown_error", "app/b")]


async def test_a_hung_child_is_given_up_and_the_rest_still_stops() -> None:
    async with tree(puppet("a"), puppet("b", shutdown=2.0)) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        b.cast(hang_shielded)
        await settle()
        await system.shutdown()
        assert system.now() == pytest.approx(3)
        assert a.info().exit_reason == ExitReason.SHUTDOWN
        assert system.unstopped == ("app/b",)


async def test_a_child_that_died_just_before_does_not_hang_the_shutdown() -> None:
    async with tree(puppet("a")) as system:
        started(system, "app/a").kill()
        assert await system.shutdown() == ExitReason.SHUTDOWN


async def test_each_child_is_stopped_in_its_own_time_one_after_the_other() -> None:
    specs = [
        puppet("brutal", shutdown="brutal_kill", on_terminate=hang),
        puppet("impatient", shutdown=2.0, on_terminate=hang),
        puppet("patient", shutdown="infinity", on_terminate=sleep(7)),
        puppet("quick", on_terminate=sleep(1)),
    ]
    async with tree(*specs) as system:
        everybody = [started(system, f"app/{spec.id}") for spec in specs]
        await system.shutdown()
        assert [str(ref.info().exit_reason) for ref in everybody] == ["killed", "killed", "shutdown", "shutdown"]
        assert system.now() == pytest.approx(2 + 7 + 1)


async def test_a_child_with_no_time_at_all_is_killed_at_once() -> None:
    async with tree(puppet("a", shutdown=0, on_terminate=hang)) as system:
        ref = started(system, "app/a")
        await system.shutdown()
        assert ref.info().exit_reason == ExitReason.KILLED
        assert system.now() == 0


async def test_a_killed_child_is_reported_as_killed() -> None:
    log = EventLog()
    async with tree(puppet("a", shutdown=1.0, on_terminate=hang), log=log) as system:
        await system.shutdown()
    assert [(report.context, report.reason.kind) for report in log.of(SupervisorReport)] == [
        ("shutdown_error", "killed")
    ]


async def test_a_supervisor_that_is_cut_short_takes_its_whole_subtree_along() -> None:
    inner = group(puppet("x"), puppet("y", shutdown="infinity", on_terminate=hang))
    async with tree(puppet("a"), group(inner, id="outer", shutdown=2.0)) as system:
        refs = [started(system, f"app/outer{path}") for path in ("", "/group", "/group/x", "/group/y")]
        await system.shutdown()
        assert [str(ref.info().exit_reason) for ref in refs] == ["killed"] * 4
        assert system.now() == pytest.approx(2)
