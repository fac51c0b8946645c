"""Who comes back after which end."""

from typing import Any

import pytest

from supervisors import CrashReport, ExitReason, Progress, Stop, SupervisorReport, which_children
from supervisors._reasons import Restart
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import answer, crash, puppet, started, stop_normally
from tests.supervisors.trees import Kind, contexts, running, tree

pytestmark = pytest.mark.anyio

ENDS: dict[str, Any] = {
    "normal": stop_normally,
    "shutdown": answer(Stop(ExitReason.SHUTDOWN)),
    "shutdown with detail": answer(Stop(ExitReason.shutdown("why"))),
    "crash": crash,
}


@pytest.mark.parametrize("end", ["normal", "shutdown", "shutdown with detail"])
async def test_a_transient_child_may_end_in_peace(end: str) -> None:
    log = EventLog()
    async with tree(puppet("a", restart="transient"), log=log) as system:
        started(system, "app/a").cast(ENDS[end])
        await settle()
        assert system.whereis("app/a") is None
        [child] = await which_children(system.named("app"))
        assert (child.ref, child.status) == (None, "stopped")
        assert contexts(log) == []


async def test_a_transient_child_comes_back_after_a_crash_or_a_kill() -> None:
    async with tree(puppet("a", restart="transient")) as system:
        first = started(system, "app/a")
        first.cast(crash)
        await settle()
        second = started(system, "app/a")
        second.kill()
        await settle()
        assert len({first, second, started(system, "app/a")}) == 3


async def test_the_report_of_a_crash_comes_before_the_restart() -> None:
    log = EventLog()
    async with tree(puppet("a"), log=log) as system:
        log.clear()
        started(system, "app/a").cast(crash)
        await settle()
        assert [type(event) for event in log.events] == [CrashReport, SupervisorReport, Progress]


FAULTS = ("crash", "kill")
RESTARTED = {
    "permanent": (*ENDS, "kill"),
    "transient": FAULTS,
    "temporary": (),
}


@pytest.mark.parametrize("kind", ["static", "dynamic"])
@pytest.mark.parametrize("restart", list(RESTARTED))
@pytest.mark.parametrize("end", [*ENDS, "kill"])
async def test_what_follows_an_end_is_what_the_table_says(end: str, restart: Restart, kind: Kind) -> None:
    log = EventLog()
    async with running(kind, puppet("a", restart=restart), log=log) as system:
        old = started(system, "app/a")
        if end == "kill":
            old.kill()
        else:
            old.cast(ENDS[end])
        await settle()
        back = end in RESTARTED[restart]
        assert (system.whereis("app/a") not in (old, None)) == back
        kept = back or (kind == "static" and restart == "transient")
        assert len(await which_children(system.named("app"))) == kept
        reported = back or end in FAULTS
        assert contexts(log) == [("child_terminated", "app/a")] * reported
