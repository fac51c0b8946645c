"""The circuit breaker: its transitions as a table, and what holds for any run of calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.errors import Failure
from wardwright.planner.breaker import (
    SOUND,
    Breaker,
    BreakerPolicy,
    Closed,
    HalfOpen,
    Open,
    Verdict,
    after_admission,
    after_call,
    lets_through,
    verdict_of,
)

POLICY = BreakerPolicy(failures=3, window_s=10, open_s=5)


def after(*calls: tuple[float, Verdict], policy: BreakerPolicy = POLICY) -> Breaker:
    """The state after ordinary calls that ended at these times."""
    breaker: Breaker = SOUND
    for at, verdict in calls:
        breaker = after_call(breaker, verdict, policy, at, is_probe=False)
    return breaker


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (None, "alive"),
        (Failure("connect", ""), "failing"),
        (Failure("timeout", "", clock="first_token"), "failing"),
        (Failure("overloaded", "", 503), "failing"),
        (Failure("server_error", "", 500), "failing"),
        (Failure("bad_response", "", 200), "failing"),
        (Failure("stream_broken", "", 200), "failing"),
        (Failure("auth", "", 401), "locked_out"),
        (Failure("auth", "the key is missing"), "locked_out"),
        (Failure("invalid_request", "n: one answer", code="unsupported_parameter"), "unknown"),
        (Failure("invalid_request", "n: one answer", 400, code="unsupported_parameter"), "alive"),
        (Failure("auth", "", 403), "alive"),
        (Failure("rate_limited", "", 429), "alive"),
        (Failure("context_exceeded", "", 400), "alive"),
        (Failure("content_filter", "", 400), "alive"),
        (Failure("invalid_request", "", 422), "alive"),
        (Failure("invalid_request", "", 404), "alive"),
    ],
)
def test_only_what_the_provider_is_to_blame_for_counts_against_it(failure: Failure | None, verdict: Verdict) -> None:
    assert verdict_of(failure) == verdict


class TestClosed:
    def test_enough_failures_within_the_window_open_it(self) -> None:
        assert isinstance(after((1, "failing"), (2, "failing")), Closed)
        assert after((1, "failing"), (2, "failing"), (3, "failing")) == Open(8)

    def test_failures_that_are_far_apart_do_not(self) -> None:
        assert isinstance(after((1, "failing"), (2, "failing"), (11.5, "failing")), Closed)
        assert after((1, "failing"), (2, "failing"), (11.5, "failing"), (11.8, "failing")) == Open(16.8)

    def test_refused_credentials_open_it_at_once(self) -> None:
        assert after((1, "locked_out")) == Open(6)

    def test_a_provider_that_mostly_answers_is_left_in_use(self) -> None:
        answers: list[tuple[float, Verdict]] = [(2, "alive")] * 4
        assert isinstance(after((1, "failing"), *answers, (3, "failing"), (4, "failing")), Closed)
        assert isinstance(after((1, "failing"), *answers[:3], (3, "failing"), (4, "failing")), Open)

    def test_many_answers_long_before_do_not_excuse_an_outage(self) -> None:
        answers: list[tuple[float, Verdict]] = [(2, "alive")] * 50
        assert isinstance(after((1, "failing"), *answers, (3, "failing"), (4, "failing"), (5, "failing")), Open)

    def test_a_call_that_was_called_off_says_nothing(self) -> None:
        assert after((1, "failing"), (2, "unknown")) == after((1, "failing"))
        assert after((2, "unknown")) is SOUND

    def test_a_sound_state_stays_the_very_same_so_that_it_costs_nothing(self) -> None:
        assert after((1, "alive"), (2, "alive")) is SOUND
        assert after((1, "failing"), (11.5, "alive")) is SOUND

    def test_one_failure_can_be_enough(self) -> None:
        assert after((1, "failing"), policy=BreakerPolicy(failures=1, open_s=2)) == Open(3)


class TestOpen:
    def test_it_lets_nobody_through_until_its_time_is_over(self) -> None:
        assert not lets_through(Open(8), 7.9)
        assert lets_through(Open(8), 8)

    def test_the_first_one_after_is_the_probe_and_the_only_one(self) -> None:
        probing = after_admission(Open(8))
        assert probing == HalfOpen()
        assert not lets_through(probing, 1000)

    @pytest.mark.parametrize("verdict", ["alive", "failing", "locked_out", "unknown"])
    @pytest.mark.parametrize("breaker", [Open(8), HalfOpen()])
    def test_calls_from_before_change_nothing(self, breaker: Breaker, verdict: Verdict) -> None:
        assert after_call(breaker, verdict, POLICY, 7, is_probe=False) == breaker


class TestHalfOpen:
    @pytest.mark.parametrize(
        ("verdict", "then"),
        [
            ("alive", SOUND),
            ("failing", Open(25)),
            ("locked_out", Open(25)),
            ("unknown", Open(20)),
        ],
    )
    def test_the_probe_decides(self, verdict: Verdict, then: Breaker) -> None:
        assert after_call(HalfOpen(), verdict, POLICY, 20, is_probe=True) == then

    def test_after_a_probe_that_was_called_off_the_next_call_is_the_probe(self) -> None:
        freed = after_call(HalfOpen(), "unknown", POLICY, 20, is_probe=True)
        assert lets_through(freed, 20)
        assert after_admission(freed) == HalfOpen()


VERDICTS = st.sampled_from(["alive", "failing", "unknown"])


@given(st.lists(st.tuples(st.floats(0, 5), VERDICTS), max_size=40), st.integers(1, 5))
def test_it_opens_exactly_when_the_last_failures_are_dense_and_outweigh_the_answers(
    steps: list[tuple[float, Verdict]], failures: int
) -> None:
    """The oracle looks at the whole history instead of keeping marks."""
    policy = BreakerPolicy(failures=failures, window_s=10, open_s=5)
    breaker: Breaker = SOUND
    history: list[tuple[float, Verdict]] = []
    now = 0.0
    for gap, verdict in steps:
        now += gap
        breaker = after_call(breaker, verdict, policy, now, is_probe=False)
        history.append((now, verdict))
        failed = [index for index, (_, was) in enumerate(history) if was == "failing"][-failures:]
        if verdict == "failing" and len(failed) == failures:
            first = failed[0]
            answers = sum(was == "alive" for _, was in history[first:])
            if now - history[first][0] <= policy.window_s and answers <= failures:
                assert breaker == Open(now + 5)
                return
        assert isinstance(breaker, Closed)


@given(st.lists(st.tuples(st.floats(0, 8), st.sampled_from(["ask", "alive", "failing", "locked_out", "unknown"]))))
def test_there_is_never_more_than_one_probe(steps: list[tuple[float, str]]) -> None:
    breaker: Breaker = Open(0)
    has_probe = False
    now = 0.0
    for gap, step in steps:
        now += gap
        if step == "ask":
            if lets_through(breaker, now):
                before, breaker = breaker, after_admission(breaker)
                if breaker != before:
                    assert not has_probe
                    has_probe = True
        elif has_probe:
            breaker = after_call(breaker, step, POLICY, now, is_probe=True)  # type: ignore[arg-type]
            has_probe = False
        assert isinstance(breaker, HalfOpen) == has_probe
