"""The circuit breaker of one provider: after enough failures it is left alone, then one single call finds out.

    Closed   --enough failures, or refused credentials-->   Open
    Open     --open_s have passed, somebody asks-->         HalfOpen, and the one who asked is the probe
    HalfOpen --the probe was answered-->                    Closed
    HalfOpen --the probe failed-->                          Open
    HalfOpen --the probe was called off-->                  Open, and the next who asks is the probe

A state is a value and a transition returns the next one; time is an argument. Calls that were under way when the breaker opened
change nothing by how they end: only the probe does.

Enough means: `failures` of them within `window_s`, with no more answers between them than failures. A busy provider that fails
one call in a hundred reaches any number of failures soon, and is better left in use.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wardwright.domain.errors import Failure, FailureClass

Verdict = Literal["alive", "failing", "locked_out", "unknown"]
"""What the end of a call says of its provider; `unknown` is a call that was called off, or not made at all."""


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a provider is left alone: after so many failures within `window_s`, for `open_s`. Then one call finds out."""

    failures: Annotated[int, Meta(ge=1, le=1000, description="a number of failures, 1 to 1000")] = 5
    window_s: Annotated[float, Meta(gt=0, le=1e6, description="a positive number of seconds")] = 30
    open_s: Annotated[float, Meta(gt=0, le=1e6, description="a positive number of seconds")] = 15


class Mark(msgspec.Struct, frozen=True):
    """A failure: when it was, and how many answers there had been before it."""

    at: float
    answers_before: int


class Closed(msgspec.Struct, frozen=True):
    """Calls go through. `marks` are the last failures, the oldest first; `answers` counts from the first of them on."""

    marks: tuple[Mark, ...] = ()
    answers: int = 0


class Open(msgspec.Struct, frozen=True):
    """No call goes through until then."""

    until: float


class HalfOpen(msgspec.Struct, frozen=True):
    """One call is finding out; no other goes through."""


Breaker = Closed | Open | HalfOpen

SOUND = Closed()
"""The state of a provider that has given no cause for concern."""

_FAILING: frozenset[FailureClass] = frozenset(
    {"connect", "timeout", "overloaded", "server_error", "bad_response", "stream_broken"}
)
_FORBIDDEN = 403


def verdict_of(failure: Failure | None) -> Verdict:
    """Judge a provider by how a call to it ended. Purity: pure.

    What the caller brought about, a filter's refusal and a rate limit come from a provider that works. Refused credentials stay
    refused, whoever asks; but a 403 may mean a single model, so it says nothing against the provider as a whole. Where nobody was
    asked nothing was found out.
    """
    if failure is None:
        return "alive"
    if failure.is_inability:
        return "unknown"
    if failure.failure_class in _FAILING:
        return "failing"
    if failure.failure_class == "auth" and failure.status != _FORBIDDEN:
        return "locked_out"
    return "alive"


def lets_through(breaker: Breaker, now: float) -> bool:
    """Whether a call may be made now; in an `Open` state it would be the probe. Purity: pure."""
    return isinstance(breaker, Closed) or (isinstance(breaker, Open) and now >= breaker.until)


def after_admission(breaker: Breaker) -> Breaker:
    """The state once a call was let through: `HalfOpen` says that it is the probe. Purity: pure."""
    return HalfOpen() if isinstance(breaker, Open) else breaker


def after_call(breaker: Breaker, verdict: Verdict, policy: BreakerPolicy, now: float, *, is_probe: bool) -> Breaker:
    """The state after a call has ended, or has shown what it will end in. Purity: pure."""
    if isinstance(breaker, Closed):
        return _after_call_when_closed(breaker, verdict, policy, now)
    if not is_probe or isinstance(breaker, Open):
        return breaker
    if verdict == "alive":
        return SOUND
    return Open(now if verdict == "unknown" else now + policy.open_s)


def _after_call_when_closed(breaker: Closed, verdict: Verdict, policy: BreakerPolicy, now: float) -> Breaker:
    match verdict:
        case "locked_out":
            return Open(now + policy.open_s)
        case "failing":
            marks = (*breaker.marks, Mark(now, breaker.answers))[-policy.failures :]
            return (
                Open(now + policy.open_s)
                if _is_enough(marks, breaker.answers, policy, now)
                else Closed(marks, breaker.answers)
            )
        case "alive" if breaker.marks:
            is_past = now - breaker.marks[-1].at > policy.window_s
            return SOUND if is_past else Closed(breaker.marks, breaker.answers + 1)
        case _:
            return breaker


def _is_enough(marks: tuple[Mark, ...], answers: int, policy: BreakerPolicy, now: float) -> bool:
    first = marks[0]
    is_dense = now - first.at <= policy.window_s and answers - first.answers_before <= policy.failures
    return len(marks) >= policy.failures and is_dense
