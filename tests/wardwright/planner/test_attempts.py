"""What follows a failure, as a table over the failure classes, and the limits that hold for any run of failures."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.errors import Clock, Failure, FailureClass
from wardwright.domain.route import RequestFacts, RoutePlan, Target
from wardwright.planner.attempts import FailedAttempt, GiveUp, Next, Retry, RetryPolicy, Step, next_step

A = Target("a", "p", "a", 100)
B = Target("b", "p", "b", 100)
C = Target("c", "q", "c", 400)
PLAN = RoutePlan("cascade", "r", "ordered_fallback", "", (A, B, C), (), ("r",))
FACTS = RequestFacts(50)


def failure(
    kind: FailureClass, status: int | None = None, retry_after: float | None = None, clock: Clock | None = None
) -> Failure:
    return Failure(kind, kind, status, retry_after, clock)


def after(
    *failures: tuple[Target, Failure],
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    max_attempts: int = 9,
    jitter: float = 0.5,
    released: bool = False,
    facts: RequestFacts = FACTS,
) -> Step:
    history = [FailedAttempt(target.id, found) for target, found in failures]
    return next_step(PLAN, facts, history, policy, max_attempts=max_attempts, jitter=jitter, released=released)


class TestGoingOn:
    """What follows when a part of an answer has reached the client, and selectors have it gone on with."""

    PLAN = msgspec.structs.replace(PLAN, resumable=("a",))

    def after(self, *history: FailedAttempt, released: bool = False, plan: RoutePlan = PLAN) -> Step:
        return next_step(plan, FACTS, history, RetryPolicy(attempts=3), max_attempts=9, jitter=0.5, released=released)

    @pytest.mark.parametrize("kind", ["stream_broken", "bad_response", "server_error", "timeout", "connect"])
    def test_the_next_target_goes_on_never_the_same(self, kind: FailureClass) -> None:
        assert self.after(FailedAttempt("a", failure(kind), released=True)) == Next(B)

    def test_nobody_goes_on_with_a_target_of_another_selector(self) -> None:
        assert self.after(FailedAttempt("b", failure("stream_broken"), released=True)) == GiveUp("already_released")

    def test_nobody_goes_on_from_what_none_can(self) -> None:
        broken = FailedAttempt("a", failure("stream_broken"), released=True)
        assert self.after(broken, released=True) == GiveUp("already_released")

    def test_who_goes_on_and_fails_before_saying_anything_is_followed_like_any_other(self) -> None:
        broken = FailedAttempt("a", failure("stream_broken"), released=True)
        assert self.after(broken, FailedAttempt("b", failure("connect"))) == Retry(B, 0.1)
        assert self.after(broken, FailedAttempt("b", failure("not_resumed"))) == Next(C)

    def test_a_refusal_of_what_the_gateway_made_of_the_request_is_not_the_callers_fault(self) -> None:
        broken = FailedAttempt("a", failure("stream_broken"), released=True)
        assert self.after(broken, FailedAttempt("b", failure("invalid_request", 400))) == Next(C)
        assert self.after(broken, FailedAttempt("b", failure("content_filter", 400))) == GiveUp("content_filter")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (failure("connect"), Retry(A, 0.1)),
        (failure("timeout", clock="connect"), Retry(A, 0.1)),
        (failure("server_error", 500), Retry(A, 0.1)),
        (failure("overloaded", 503), Retry(A, 0.1)),
        (failure("overloaded", 503, 1.0), Retry(A, 1.1)),
        (failure("overloaded", 503, 60.0), Next(B)),
        (failure("rate_limited", 429, 2.0), Retry(A, 2.1)),
        (failure("rate_limited", 429, 5.0), Retry(A, 5.0)),
        (failure("rate_limited", 429, 5.1), Next(B)),
        (failure("rate_limited", 429), Next(B)),
        (failure("timeout", clock="first_token"), Next(B)),
        (failure("timeout", clock="idle"), Next(B)),
        (failure("timeout", clock="total"), Next(B)),
        (failure("timeout", 504), Next(B)),
        (failure("auth", 401), Next(B)),
        (failure("stream_broken"), Next(B)),
        (failure("bad_response", 200), Next(B)),
        (failure("context_exceeded", 400), Next(C)),
        (failure("invalid_request", 404), Next(B)),
        (failure("invalid_request", 402), Next(B)),
        (failure("invalid_request", 400), GiveUp("callers_fault")),
        (failure("invalid_request", 422), GiveUp("callers_fault")),
        (failure("invalid_request"), GiveUp("callers_fault")),
        (Failure("invalid_request", "n: one answer", code="unsupported_parameter"), Next(B)),
        (Failure("invalid_request", "n: one answer", 400, code="unsupported_parameter"), GiveUp("callers_fault")),
        (failure("content_filter", 400), GiveUp("content_filter")),
    ],
)
def test_each_failure_has_its_answer(found: Failure, expected: Step) -> None:
    assert after((A, found)) == expected


def test_the_first_attempt_is_the_first_target_of_the_plan() -> None:
    assert after() == Next(A)


@pytest.mark.parametrize("kind", ["connect", "server_error", "content_filter", "stream_broken"])
def test_nothing_is_tried_after_release(kind: FailureClass) -> None:
    assert after((A, failure(kind)), released=True) == GiveUp("already_released")


def test_a_second_server_error_goes_to_the_next_target_whatever_the_policy_allows() -> None:
    patient = RetryPolicy(attempts=5)
    assert after((A, failure("server_error", 500)), (A, failure("overloaded", 503)), policy=patient) == Next(B)


def test_a_connect_failure_is_retried_as_often_as_the_policy_allows() -> None:
    patient = RetryPolicy(attempts=3)
    connect = (A, failure("connect"))
    assert after(connect, connect, policy=patient) == Retry(A, 0.2)
    assert after(connect, connect, connect, policy=patient) == Next(B)


def test_one_attempt_per_target_means_no_retry() -> None:
    assert after((A, failure("connect")), policy=RetryPolicy(attempts=1)) == Next(B)


def test_failures_of_another_target_do_not_count_against_this_one() -> None:
    assert after((A, failure("server_error", 500)), (B, failure("server_error", 500))) == Retry(B, 0.1)


@pytest.mark.parametrize(
    ("jitter", "calls", "delay_s"), [(0.0, 1, 0.0), (0.5, 1, 0.1), (0.5, 2, 0.2), (0.5, 4, 0.8), (0.5, 8, 2.5)]
)
def test_the_wait_is_drawn_below_a_doubling_bound_with_a_ceiling(jitter: float, calls: int, delay_s: float) -> None:
    history = [(A, failure("connect"))] * calls
    assert after(*history, policy=RetryPolicy(attempts=10), jitter=jitter) == Retry(A, delay_s)


def test_a_refusal_of_the_content_moves_on_where_a_selector_says_so() -> None:
    plan = msgspec.structs.replace(PLAN, refusal_moves_on=("a", "b"))
    refused = [FailedAttempt(name, failure("content_filter", 400)) for name in ("a", "b", "c")]

    def step(count: int) -> Step:
        return next_step(plan, FACTS, refused[:count], RetryPolicy(), max_attempts=9, jitter=0.5)

    assert [step(count) for count in (1, 2, 3)] == [Next(B), Next(C), GiveUp("content_filter")]


def test_a_target_taken_although_it_is_too_small_is_asked_and_retried() -> None:
    plan = RoutePlan("dispatcher", "r", "", "", (C,), (), ("r",), overflow="r")
    facts = RequestFacts(1000)
    assert next_step(plan, facts, [], RetryPolicy(), max_attempts=9, jitter=0.5) == Next(C)
    failed = [FailedAttempt("c", failure("connect"))]
    assert next_step(plan, facts, failed, RetryPolicy(), max_attempts=9, jitter=0.5) == Retry(C, 0.1)
    too_long = [FailedAttempt("c", failure("context_exceeded", 400))]
    assert next_step(plan, facts, too_long, RetryPolicy(), max_attempts=9, jitter=0.5) == GiveUp("no_larger_window")


def test_total_calls_stop_at_the_models_limit_even_with_targets_left() -> None:
    history = [(A, failure("auth", 401)), (B, failure("auth", 401))]
    assert after(*history, max_attempts=2) == GiveUp("attempts_spent")
    assert after(*history, max_attempts=3) == Next(C)


def test_the_callers_fault_is_named_even_when_attempts_are_spent() -> None:
    assert after((A, failure("invalid_request", 400)), max_attempts=1) == GiveUp("callers_fault")


def test_a_plan_walked_to_its_end_is_exhausted() -> None:
    assert after((A, failure("auth")), (B, failure("auth")), (C, failure("auth"))) == GiveUp("targets_exhausted")


def test_a_prompt_too_long_for_the_largest_window_has_nowhere_to_go() -> None:
    assert after((A, failure("auth")), (C, failure("context_exceeded", 400))) == GiveUp("no_larger_window")


def test_a_window_that_refused_the_prompt_rules_out_its_like_for_later_failures_too() -> None:
    plan = RoutePlan("cascade", "r", "", "", (A, C, B), (), ("r",))
    history = [FailedAttempt("a", failure("context_exceeded", 400)), FailedAttempt("c", failure("auth", 401))]
    step = next_step(plan, FACTS, history, RetryPolicy(), max_attempts=9, jitter=0.0)
    assert step == GiveUp("no_larger_window")


def test_a_request_that_has_grown_is_not_sent_where_it_no_longer_fits() -> None:
    grown = RequestFacts(300)
    assert after((A, failure("connect")), facts=grown) == Next(C)
    assert after(facts=grown) == Next(C)


def test_an_empty_plan_has_no_first_attempt() -> None:
    empty = RoutePlan("cascade", "r", "", "", (), (), ("r",))
    assert next_step(empty, FACTS, (), RetryPolicy(), max_attempts=4, jitter=0.0) == GiveUp("targets_exhausted")


targets_of = st.lists(st.integers(1, 200), min_size=0, max_size=6).map(
    lambda windows: tuple(Target(f"t{index}", "p", "u", window) for index, window in enumerate(windows))
)
classes: tuple[FailureClass, ...] = (
    "connect",
    "timeout",
    "rate_limited",
    "overloaded",
    "server_error",
    "auth",
    "context_exceeded",
    "bad_response",
    "stream_broken",
)
failures_of = st.builds(
    Failure,
    st.sampled_from(classes),
    st.just("f"),
    st.none() | st.sampled_from([404, 429, 500, 503]),
    st.none() | st.floats(0, 20),
    st.none() | st.sampled_from(["connect", "first_token", "idle", "total"]),
)
policies_of = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10),
    base_ms=st.integers(0, 1000),
    max_ms=st.integers(0, 5000),
    max_wait_ms=st.integers(0, 8000),
)


@given(targets_of, st.integers(1, 60), st.integers(1, 12), policies_of, st.floats(0, 1, exclude_max=True), st.data())
def test_any_run_of_failures_ends_within_its_limits(
    targets: tuple[Target, ...], tokens: int, max_attempts: int, policy: RetryPolicy, jitter: float, data: st.DataObject
) -> None:
    plan = RoutePlan("cascade", "r", "", "", targets, (), ("r",))
    facts = RequestFacts(tokens)
    history: list[FailedAttempt] = []
    visited: list[str] = []
    while True:
        step = next_step(plan, facts, history, policy, max_attempts=max_attempts, jitter=jitter)
        if isinstance(step, GiveUp):
            break
        assert len(history) < max_attempts
        assert step.target.context_window >= tokens
        if isinstance(step, Retry):
            assert step.target.id == visited[-1]
            assert 0 <= step.delay_s <= max(policy.max_ms, policy.max_wait_ms) / 1000
        else:
            assert step.target.id not in visited
        too_small = [attempt.target for attempt in history if attempt.failure.failure_class == "context_exceeded"]
        for refused in too_small:
            assert step.target.context_window > next(found.context_window for found in targets if found.id == refused)
        visited.append(step.target.id)
        history.append(FailedAttempt(step.target.id, data.draw(failures_of)))
    assert all(visited.count(name) <= policy.attempts for name in visited)
