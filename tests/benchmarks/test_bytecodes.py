"""A request does not come to cost much more without anybody noticing."""

from pathlib import Path

from tests.benchmarks.bytecodes import cost_of
from tests.benchmarks.phases import PHASES
from tests.benchmarks.systems import run_upstream

CEILING = 17_500
"""A fifth above what Python 3.11 was counted at in November 2026 (3.13 executes fewer); h11 alone would be more than that."""


def test_a_whole_answer_takes_a_bounded_number_of_bytecodes(tmp_path: Path) -> None:
    with run_upstream() as upstream:
        cost = cost_of(PHASES["u1"], upstream, tmp_path, answers=10)
    assert "h11" not in cost.parts
    assert {"wardwright/edge", "wardwright/storage", "supervisors", "python"} <= cost.parts.keys()
    assert 5_000 < cost.bytecodes < CEILING, cost
