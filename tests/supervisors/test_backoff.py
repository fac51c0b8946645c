from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import Backoff, InvalidChildSpec, Pause

SECONDS = st.floats(0, 1000)
DRAWS = st.floats(0, 1, exclude_max=True)


def test_the_first_restart_is_at_once_and_each_later_one_waits_twice_as_long_up_to_the_most() -> None:
    backoff = Backoff(min_seconds=0.5, max_seconds=5)
    assert [backoff.delay(attempts, 0.0) for attempts in range(7)] == [0, 0.5, 1, 2, 4, 5, 5]


def test_a_delay_is_lengthened_by_its_share_of_the_draw() -> None:
    backoff = Backoff(min_seconds=2, max_seconds=4, jitter=0.5)
    assert [backoff.delay(attempts, 0.5) for attempts in range(4)] == [0, 2.5, 5, 5]
    assert Pause(seconds=10, jitter=0.2).length(0.5) == 11


@given(
    low=SECONDS, further=SECONDS, jitter=st.floats(0, 3), attempts=st.integers(1, 5000), draw=DRAWS, other_draw=DRAWS
)
def test_every_delay_lies_within_its_bounds_and_grows(
    low: float, further: float, jitter: float, attempts: int, draw: float, other_draw: float
) -> None:
    backoff = Backoff(min_seconds=low, max_seconds=low + further, jitter=jitter)
    least = backoff.delay(attempts, 0.0)
    assert low <= least <= low + further
    assert least <= backoff.delay(attempts, draw) <= least * (1 + jitter)
    assert backoff.delay(attempts, other_draw) <= backoff.delay(attempts + 1, other_draw)


def test_there_is_a_limit_of_restarts_in_a_row_if_one_is_set() -> None:
    assert not Backoff().exhausted(10**6)
    assert [Backoff(max_attempts=2).exhausted(attempts) for attempts in range(4)] == [False, False, True, True]
    assert Backoff(max_attempts=0).exhausted(0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_seconds", -1),
        ("min_seconds", "short"),
        ("min_seconds", float("nan")),
        ("max_seconds", float("inf")),
        ("max_seconds", 0.05),
        ("jitter", -0.1),
        ("jitter", None),
        ("reset_after", True),
        ("max_attempts", -1),
        ("max_attempts", 1.5),
    ],
)
def test_a_wrong_field_of_a_backoff_is_named(field: str, value: object) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(InvalidChildSpec, match=f"backoff: {field}") as caught:
        Backoff(**fields)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"), [("threshold", -1), ("half_life", 0), ("seconds", float("inf")), ("jitter", "some")]
)
def test_a_wrong_field_of_a_pause_is_named(field: str, value: object) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(InvalidChildSpec, match=f"pause: {field}") as caught:
        Pause(**fields)
    assert caught.value.field == field
