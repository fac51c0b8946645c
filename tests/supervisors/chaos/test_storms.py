"""Ten thousand kills on each backend, under many seeds: whom, when, amid what, and (on trio) in which order of tasks."""

from typing import Literal

import pytest

from supervisors import (
    CrashReport,
    DeadLetters,
    RestartDelayed,
    RestartsPaused,
    SupervisorError,
    SupervisorReport,
    Unstopped,
)
from supervisors.testing import chaos, run_virtual
from tests.supervisors.actors import Boom
from tests.supervisors.chaos.city import NEWS, City

KILLS = 500
SEEDS = range(20)


async def storm(seed: int, kills: int) -> City:
    city = City(seed)
    async with chaos(city.system, seed=seed, load=city.traffic, patience=120) as over:
        await over.strike(kills)
        assert city.news.subscribers(NEWS) == 1
    assert over.kills == kills
    assert over.answered > kills / 4
    assert over.refused.total() > 0
    assert city.wrongs == []
    assert city.downs > 0
    assert city.returns > 0
    assert city.wells.drawn > 0
    assert city.wells.crowded == 0
    assert city.news.subscribers(NEWS) == 0
    crashes = [report.reason.error for report in city.log.of(CrashReport) if report.reason.kind == "crashed"]
    assert [error for error in crashes if not isinstance(error, Boom | SupervisorError)] == []
    return city


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_tree_keeps_its_promises_whoever_is_killed(backend: Literal["asyncio", "trio"], seed: int) -> None:
    city = run_virtual(storm, seed, KILLS, backend=backend, seed=seed)
    for kind in (CrashReport, DeadLetters, RestartDelayed, RestartsPaused, SupervisorReport, Unstopped):
        assert city.log.of(kind)
