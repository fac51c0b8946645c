"""For how long a target is left alone after a refusal, or after a limit that is used up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.errors import Failure
from wardwright.domain.limits import RateWindow
from wardwright.planner.holds import (
    LONGEST_HOLD_S,
    Hold,
    covers_provider,
    hold_after_failure,
    hold_after_limits,
    seconds_left,
)

NOW = 100.0
OPEN_S = 15.0


def limited(retry_after_s: float | None = None) -> Failure:
    return Failure("rate_limited", "", 429, retry_after_s)


@pytest.mark.parametrize(
    ("failure", "hold"),
    [
        (limited(3.0), Hold(103, "rate_limited")),
        (limited(0.0), Hold(100, "rate_limited")),
        (limited(86400.0), Hold(100 + LONGEST_HOLD_S, "rate_limited")),
        (limited(), Hold(101, "rate_limited", guesses=1)),
        (Failure("overloaded", "", 503, 20.0), Hold(120, "rate_limited")),
        (Failure("overloaded", "", 503), None),
        (Failure("auth", "", 403), Hold(115, "breaker_open")),
        (Failure("auth", "", 401), None),
        (Failure("server_error", "", 500, 20.0), None),
        (Failure("invalid_request", "", 404), None),
        (Failure("connect", ""), None),
    ],
)
def test_a_failure_puts_the_hold_that_the_provider_asks_for(failure: Failure, hold: Hold | None) -> None:
    assert hold_after_failure(failure, None, OPEN_S, NOW) == hold


def test_refusals_that_name_no_time_are_waited_out_longer_and_longer() -> None:
    waits, hold, now = [], None, NOW
    for _ in range(8):
        hold = hold_after_failure(limited(), hold, OPEN_S, now)
        assert hold is not None
        waits.append(hold.until - now)
        now = hold.until
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_shorter_wait_does_not_cut_a_longer_one_short() -> None:
    assert hold_after_failure(limited(2.0), Hold(150, "rate_limited"), OPEN_S, NOW) == Hold(150, "rate_limited")


@pytest.mark.parametrize(
    ("failure", "whole"),
    [
        (limited(), False),
        (Failure("rate_limited", "", 429, code="rate_limit_exceeded"), False),
        (Failure("rate_limited", "", 429, code="insufficient_quota"), True),
        (Failure("rate_limited", "", 402), True),
    ],
)
def test_a_limit_of_the_account_holds_for_every_target(failure: Failure, whole: bool) -> None:
    assert covers_provider(failure) is whole


@pytest.mark.parametrize(
    ("windows", "until"),
    [
        ([], None),
        ([RateWindow("requests", 60, 1, 59.0)], None),
        ([RateWindow("requests", 60, 0, 60.0)], 101.0),
        ([RateWindow("requests", None, 0, 2.0)], 102.0),
        ([RateWindow("requests", 60, 0, None)], None),
        ([RateWindow("tokens", 90000, 0, 60.0)], 100.6),
        ([RateWindow("requests", 60, 0, 60.0), RateWindow("tokens", 90000, 0, 300.0)], 103.0),
        ([RateWindow("requests", 1, 0, 86400.0)], 100 + LONGEST_HOLD_S),
    ],
)
def test_a_used_up_limit_holds_until_one_more_request_fits(windows: list[RateWindow], until: float | None) -> None:
    hold = hold_after_limits(windows, None, NOW)
    assert (None if hold is None else hold.until) == (None if until is None else pytest.approx(until))


def test_clients_are_told_whole_seconds_and_never_none() -> None:
    assert [seconds_left(Hold(until, "rate_limited"), NOW) for until in (102.0, 101.1, 100.001)] == [2, 2, 1]


@given(st.none() | st.floats(0, 1e9), st.floats(0, 1e6), st.none() | st.floats(0, 1e6))
def test_no_hold_lasts_longer_than_is_believed(wait: float | None, now: float, before: float | None) -> None:
    held = None if before is None else Hold(before, "rate_limited", guesses=2000)
    hold = hold_after_failure(limited(wait), held, OPEN_S, now)
    assert hold is not None
    assert hold.until <= max(now + LONGEST_HOLD_S, before or 0)


@given(st.integers(0, 10**10), st.integers(1, 300_000))
def test_who_slept_for_as_long_as_a_hold_lasts_may_ask(slept_from_ms: int, wait_ms: int) -> None:
    """A loop that counts milliseconds wakes a sleeper at `(from + wait) / 1000`, and sums of floats end a little later."""
    hold = hold_after_failure(limited(wait_ms / 1000), None, OPEN_S, slept_from_ms / 1000)
    assert hold is not None
    assert not hold.lasts_at((slept_from_ms + wait_ms) / 1000)
    assert wait_ms < 2 or hold.lasts_at((slept_from_ms + wait_ms - 2) / 1000)
