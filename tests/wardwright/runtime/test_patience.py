"""Who may use how much of a request's time."""

import pytest

from wardwright.config.settings import Timeouts
from wardwright.domain.errors import Clock, Failure
from wardwright.runtime.patience import Patience

TIMEOUTS = Timeouts(connect=5, first_token=60, idle=30, total=100)


class Hands:
    """A clock to be set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def begun(after: float = 0.0) -> tuple[Patience, Hands]:
    hands = Hands()
    patience = Patience(hands)
    patience.begin(TIMEOUTS)
    hands.at += after
    return patience, hands


def test_the_first_targets_total_is_the_requests_time_whatever_others_have() -> None:
    patience, _ = begun(after=30)
    patience.begin(Timeouts(total=1))
    patience.begin(Timeouts(total=10_000))
    assert (patience.deadline, patience.left_s, patience.spent_s, patience.is_over) == (1100, 70, 30, False)
    assert begun(after=100)[0].is_over


def test_before_a_target_is_known_there_is_no_end() -> None:
    assert not Patience(Hands()).is_over


@pytest.mark.parametrize(("after", "has_other", "wait"), [(0, True, 5), (97, True, 3), (0, False, 100), (97, False, 3)])
def test_a_turn_is_waited_for_briefly_while_somebody_else_may_be_asked(
    after: float, has_other: bool, wait: float
) -> None:
    assert begun(after)[0].for_turn(TIMEOUTS, has_other=has_other) == wait


@pytest.mark.parametrize(
    ("after", "has_other", "stream", "total"),
    [(0, True, False, 50), (50, True, False, 25), (0, False, False, 100), (0, True, True, 100)],
)
def test_a_whole_answer_leaves_time_for_others(after: float, has_other: bool, stream: bool, total: float) -> None:
    timeouts = begun(after)[0].for_call(TIMEOUTS, has_other=has_other, stream=stream)
    assert (timeouts.total, timeouts.first_token, timeouts.idle, timeouts.connect) == (total, 60, 30, 5)


def test_a_quick_fallback_keeps_its_own_shorter_total() -> None:
    assert begun()[0].for_call(Timeouts(total=10), has_other=True, stream=False).total == 10


@pytest.mark.parametrize(
    ("clock", "had", "fair"),
    [("total", 100, True), ("total", 50, True), ("total", 25, False), ("idle", 1, True), (None, 0, True)],
)
def test_only_who_had_time_is_blamed_for_taking_long(clock: Clock | None, had: float, fair: bool) -> None:
    patience, hands = begun(after=had)
    assert patience.was_fair(Failure("timeout", "", clock=clock), TIMEOUTS, hands.at - had) is fair
