"""What to do after an attempt failed: the same target again, the next one, or give up.

Rules, in the order they are applied:

- what has reached the client cannot be taken back: after release nothing more is tried, unless a selector has the answer gone on with
  (`resumable`): then the next target is asked, never the one whose stream broke. What it is asked is not what the caller wrote, so
  that it refuses that is no fault of the caller's;
- a failure the caller caused would only repeat itself: it is passed on, and so is a content filter's refusal, unless a selector
  says that it moves on to the next target. What one kind of provider has no way to say is no fault of the caller's: another may;
- all upstream calls for one request together stay within `max_attempts`: this is the only place that retries;
- a fault that may pass by itself is tried on the same target again, within its provider's retry policy and after a full-jitter
  wait: no connection, a reset before headers, a first 5xx, a 429 that names a short enough wait;
- anything else goes to the next target of the plan at once; a target that was left is not returned to. A prompt that the
  upstream found too long goes only to a window larger than every one that refused it. Whether a target can serve is judged
  again for each one, by the request as it stands then; a target that was planned although it is too small is exempt.

The draw behind a jittered wait is an argument, so that the decision itself is pure.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

import msgspec

from wardwright.domain.errors import Failure
from wardwright.domain.route import RequestFacts, RoutePlan, Target
from wardwright.planner.fitness import incapable, unfit

GiveUpReason = Literal[
    "already_released", "callers_fault", "content_filter", "attempts_spent", "targets_exhausted", "no_larger_window"
]

_ONCE_PER_TARGET = ("server_error", "overloaded")

# Upstream answers that the caller did not bring about: the account is out of funds, the model or the endpoint is not there.
_NOT_CALLERS_FAULT = (402, 404, 405, 410)


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How patiently one provider's targets are retried.

    `attempts` counts the calls to one target, the first included. A wait is drawn between zero and `base_ms`, doubled with every
    attempt up to `max_ms`. A provider's `Retry-After` is waited for when it is at most `max_wait_ms`.
    """

    attempts: Annotated[int, msgspec.Meta(ge=1, le=10, description="a whole number from 1 to 10")] = 2
    base_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000, description="milliseconds, 0 to 600000")] = 200
    max_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000, description="milliseconds, 0 to 600000")] = 5000
    max_wait_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000, description="milliseconds, 0 to 600000")] = 5000


class FailedAttempt(msgspec.Struct, frozen=True):
    """One call that failed: the id of the target asked, how it failed, and whether a part of its answer had reached the client."""

    target: str
    failure: Failure
    released: bool = False


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """Ask the same target again after a wait."""

    target: Target
    delay_s: float


class Next(msgspec.Struct, frozen=True, tag="next"):
    """Ask this target at once."""

    target: Target


class GiveUp(msgspec.Struct, frozen=True, tag="give_up"):
    """Ask nobody any more."""

    reason: GiveUpReason


Step = Retry | Next | GiveUp


def next_step(
    route_plan: RoutePlan,
    facts: RequestFacts,
    history: Sequence[FailedAttempt],
    policy: RetryPolicy,
    *,
    max_attempts: int,
    jitter: float,
    released: bool = False,
    passed_over: Collection[str] = (),
) -> Step:
    """Decide what follows the failures so far; without any, the first target of the plan is next. Purity: pure.

    Args:
        route_plan: the plan being executed.
        facts: the request as it stands now; it may have grown since the plan was made, so windows are checked again.
        history: every failed attempt of this request, oldest first.
        policy: the retry policy of the provider that failed last.
        max_attempts: the limit on upstream calls for this request.
        jitter: a draw from [0, 1) for the wait before a retry.
        released: whether anything has reached the client that no other answer can go on from.
        passed_over: ids of targets that could not be asked at their turn; it does not come again.
    """
    broken = next((attempt.target for attempt in reversed(history) if attempt.released), None)
    if released or (broken is not None and broken not in route_plan.resumable):
        return GiveUp("already_released")
    final = _final_reason(route_plan, history[-1], goes_on=broken is not None) if history else None
    if final is not None:
        return GiveUp(final)
    if len(history) >= max_attempts:
        return GiveUp("attempts_spent")
    is_over = bool(history) and history[-1].target in passed_over
    again = None if is_over else _retry(route_plan, facts, history, policy, jitter)
    return again or _next(route_plan, facts, history, passed_over)


def _final_reason(route_plan: RoutePlan, last: FailedAttempt, *, goes_on: bool) -> GiveUpReason | None:
    failure = last.failure
    if failure.failure_class == "content_filter":
        return None if last.target in route_plan.refusal_moves_on else "content_filter"
    is_refusal = failure.failure_class == "invalid_request" and not failure.is_inability
    if is_refusal and failure.status not in _NOT_CALLERS_FAULT and not goes_on:
        return "callers_fault"
    return None


def _retry(
    route_plan: RoutePlan, facts: RequestFacts, history: Sequence[FailedAttempt], policy: RetryPolicy, jitter: float
) -> Retry | None:
    if not history:
        return None
    last = history[-1]
    here = [attempt.failure for attempt in history if attempt.target == last.target]
    target = next((target for target in route_plan.targets if target.id == last.target), None)
    if target is None or last.released or not _can_serve(route_plan, target, facts):
        return None
    if len(here) >= policy.attempts or not _may_pass(here, policy):
        return None
    return Retry(target, _delay(last.failure, len(here), policy, jitter))


def _may_pass(failures: Sequence[Failure], policy: RetryPolicy) -> bool:
    """Whether the last failure of one target is of a kind that passes by itself soon enough to wait for."""
    last = failures[-1]
    wait_ms = None if last.retry_after_s is None else last.retry_after_s * 1000
    if wait_ms is not None and wait_ms > policy.max_wait_ms:
        return False
    match last.failure_class:
        case "connect":
            return True
        case "timeout":
            return last.clock == "connect"
        case "rate_limited":
            # Without a named wait the limit may hold for hours; a fallback that answers now is the better guess.
            return wait_ms is not None
        case _:
            return last.failure_class in _ONCE_PER_TARGET and not _seen_before(failures)


def _seen_before(failures: Sequence[Failure]) -> bool:
    return any(failure.failure_class in _ONCE_PER_TARGET for failure in failures[:-1])


def _delay(failure: Failure, calls_made: int, policy: RetryPolicy, jitter: float) -> float:
    backoff_s = jitter * min(policy.max_ms, policy.base_ms << (calls_made - 1)) / 1000
    if failure.retry_after_s is None:
        return backoff_s
    # The draw comes on top, or every caller told to wait as long would be back in the same instant.
    return min(max(0.0, failure.retry_after_s) + backoff_s, policy.max_wait_ms / 1000)


def _next(
    route_plan: RoutePlan, facts: RequestFacts, history: Sequence[FailedAttempt], passed_over: Collection[str]
) -> Next | GiveUp:
    too_long_for = {attempt.target for attempt in history if attempt.failure.failure_class == "context_exceeded"}
    refused_window = max(_windows(route_plan, too_long_for), default=0) if too_long_for else 0
    asked = {attempt.target for attempt in history}.union(passed_over)
    # Everything up to the last target asked has been passed, whether it was asked or not.
    passed = -1
    if asked:
        passed = max((index for index, target in enumerate(route_plan.targets) if target.id in asked), default=-1)
    for target in route_plan.targets[passed + 1 :]:
        if target.context_window > refused_window and _can_serve(route_plan, target, facts):
            return Next(target)
    return GiveUp("no_larger_window" if refused_window else "targets_exhausted")


def _can_serve(route_plan: RoutePlan, target: Target, facts: RequestFacts) -> bool:
    if route_plan.overflow is not None:
        return incapable(target, facts.needs) is None
    return unfit(target, facts) is None


def _windows(route_plan: RoutePlan, names: Collection[str]) -> list[int]:
    return [target.context_window for target in route_plan.targets if target.id in names]
