"""The candidates of one request: who is asked next, what became of those before, and what is told when none is left."""

from collections.abc import Callable, Collection
from typing import get_args

from wardwright.domain.errors import (
    NoTargetAvailable,
    Overloaded,
    ProviderError,
    RateLimitExceeded,
    WardwrightError,
)
from wardwright.domain.route import HealthReason, RequestFacts, RoutePlan, Target
from wardwright.planner.attempts import FailedAttempt, Retry, RetryPolicy, Step, next_step
from wardwright.runtime.gate import NotNow
from wardwright.runtime.health import HealthBoard

_SOON_S = 1.0
_HEALTH = get_args(HealthReason)


class Candidates:
    """Executes a plan as far as deciding goes; calling anybody is the run's part."""

    def __init__(self, plan: RoutePlan, facts: RequestFacts, *, max_attempts: int, jitter: Callable[[], float]) -> None:
        self._plan = plan
        self._facts = facts
        self._max_attempts = max_attempts
        self._jitter = jitter
        self._retry = RetryPolicy()
        self._failed: list[FailedAttempt] = []
        self._errors: list[ProviderError] = []
        self._broken: ProviderError | None = None
        self._refused: dict[str, NotNow] = {}
        self._stopped = 0
        self.left: tuple[str, str] | None = None
        """The provider of the last candidate and why it did not answer: a failure class, or what kept it from being asked."""

    @property
    def calls_made(self) -> int:
        """How many upstream calls have been made without an answer that may be given."""
        return len(self._failed) + self._stopped

    def stopped(self) -> None:
        """A call was answered, and policy has ended the answer."""
        self._stopped += 1

    def go_by(self, plan: RoutePlan, facts: RequestFacts) -> None:
        """From now on another plan is executed, or the same one for a request that has grown."""
        self._plan, self._facts = plan, facts

    def failed(self, target: Target, error: ProviderError, retry: RetryPolicy, *, released: bool = False) -> None:
        """A call failed; `retry` is its provider's policy, and `released` says whether a part of its answer had left."""
        self._failed.append(FailedAttempt(target.id, error.failure, released))
        self._errors.append(error)
        self._broken = error if released else self._broken
        self._retry = retry
        self.left = (target.provider, error.failure.failure_class)

    def passed_over(self, target: Target, why: NotNow) -> None:
        """The target could not be called at this moment."""
        self._refused[target.id] = why
        self.left = (target.provider, why.reason)

    def has_other(self, target: Target) -> bool:
        """Whether anybody may still be asked after this target."""
        is_last = all(last.id == target.id for last in self._plan.targets[-1:])
        return not is_last and self.calls_made + 1 < self._max_attempts

    def step(self, *, released: bool, time_left_s: float) -> Step:
        """Who is next. A wait that would outlast the request is not begun: whoever can answer at once is better."""
        step = self._step(self._refused.keys(), released=released)
        if isinstance(step, Retry) and step.delay_s >= time_left_s:
            step = self._step(self._refused.keys() | {step.target.id}, released=released)
        return step

    def verdict(self, health: HealthBoard, now: float) -> WardwrightError:
        """What the client is told when nobody is left: a rate limit only if nobody else could have answered.

        What may be tried again later says when: as soon as the first of the plan's targets may be asked. Of a stream that broke behind
        its release that is told which broke it, whatever kept others from going on with it.
        """
        told = [error for error in self._errors if not error.failure.is_inability]
        others = (error for error in reversed(told) if error.failure.failure_class != "rate_limited")
        error: WardwrightError
        if self._broken is not None:
            error = self._broken
        elif told:
            error = next(others, told[-1])
        else:
            error = self._nobody_was_asked()
        if error.retryable:
            soonest = health.retry_after_s(self._plan.targets, now)
            error.retry_after_s = error.retry_after_s if soonest is None else soonest
        return error

    def _nobody_was_asked(self) -> WardwrightError:
        """What no target here has a way to do is the request's fault, unless one might have that cannot be asked now."""
        reasons: set[str] = {why.reason for why in self._refused.values()}
        waits = []
        for skip in self._plan.skipped if self._errors else ():
            if skip.reason in _HEALTH:
                reasons.add(skip.reason)
                waits.append(skip.retry_after_s or _SOON_S)
        if self._errors and not reasons:
            return self._errors[-1]
        error = _unavailable(reasons)
        error.retry_after_s = min(waits, default=_SOON_S)  # a probe may be under way: nobody knows how long it takes
        return error

    def _step(self, passed_over: Collection[str], *, released: bool) -> Step:
        return next_step(
            self._plan,
            self._facts,
            self._failed,
            self._retry,
            max_attempts=self._max_attempts - self._stopped,
            jitter=self._jitter(),
            released=released,
            passed_over=passed_over,
        )


def _unavailable(reasons: set[str]) -> WardwrightError:
    """It is a rate limit, or an overload, only if there was nothing else."""
    if reasons == {"rate_limited"}:
        return RateLimitExceeded("every target that could serve this request is limiting requests")
    if reasons == {"saturated"}:
        return Overloaded("every target that could serve this request has too many requests waiting")
    return NoTargetAvailable("no target that could serve this request is available now")
