"""Holds: for how long a target, or a whole provider, is left alone because the provider asked for it.

A provider asks by `Retry-After`, by a limit of which nothing is left, or by a bare 429. What it asks is believed for a few minutes at
most: clocks differ, headers lie, and one call that is refused costs less than a target that stays out for a day.
"""

import math
from collections.abc import Sequence

import msgspec

from wardwright.domain.errors import Failure
from wardwright.domain.limits import RateWindow
from wardwright.domain.route import HealthReason

LONGEST_HOLD_S = 300.0
_LONGEST_GUESS_S = 30.0
# A loop's clock may count whole milliseconds, as uvloop's does: who slept for as long as a hold lasts wakes at its end, not after it.
_TIMER_SLACK_S = 0.001
_MOST_DOUBLINGS = 5
_TOKENS_SHARE = 0.01
_FORBIDDEN = 403
_NO_FUNDS = 402
_OUT_OF_FUNDS = "insufficient_quota"


class Hold(msgspec.Struct, frozen=True):
    """Nobody is asked before `until`. `guesses` counts the refusals in a row that named no time."""

    until: float
    reason: HealthReason
    guesses: int = 0

    def lasts_at(self, now: float) -> bool:
        """Whether nobody is to be asked yet. Purity: pure."""
        return self.until - now > _TIMER_SLACK_S


def covers_provider(failure: Failure) -> bool:
    """Whether a limit that was met is the account's, and so holds for every target of the provider. Purity: pure."""
    return failure.status == _NO_FUNDS or failure.code == _OUT_OF_FUNDS


def hold_after_failure(failure: Failure, before: Hold | None, open_s: float, now: float) -> Hold | None:
    """The hold that a failed call puts on what it asked, None when it puts none. Purity: pure.

    `before` is the hold that was there, `open_s` how long what is locked is left alone.
    """
    if failure.failure_class == "auth" and failure.status == _FORBIDDEN:
        return Hold(now + open_s, "breaker_open")
    if failure.failure_class not in ("rate_limited", "overloaded"):
        return None
    if failure.retry_after_s is not None:
        wait_s = min(failure.retry_after_s, LONGEST_HOLD_S)
        return Hold(_later(now + wait_s, before), "rate_limited")
    if failure.failure_class == "overloaded":
        return None  # it named no time, and the breaker counts it
    guesses = 0 if before is None else before.guesses
    wait_s = min(float(1 << min(guesses, _MOST_DOUBLINGS)), _LONGEST_GUESS_S)
    return Hold(_later(now + wait_s, before), "rate_limited", guesses + 1)


def hold_after_limits(windows: Sequence[RateWindow], before: Hold | None, now: float) -> Hold | None:
    """The hold that a provider's stated limits put on a target, None when something is left of each. Purity: pure.

    A limit fills up evenly, and its reset is when it is whole: of 60 requests that are whole again in a minute, the first is there
    after a second. Of tokens a request needs many, so a hundredth of them is waited for.
    """
    waits = [_share(window) * window.resets_in_s for window in windows if window.remaining == 0 and window.resets_in_s]
    if not waits:
        return None
    return Hold(_later(now + min(max(waits), LONGEST_HOLD_S), before), "rate_limited")


def seconds_left(hold: Hold, now: float) -> float:
    """How long a hold still lasts, in whole seconds rounded up, as clients are told. Purity: pure."""
    return float(max(1, math.ceil(hold.until - now)))


def _share(window: RateWindow) -> float:
    """The part of a used-up limit that has to be there for one more request."""
    return 1 / (window.limit or 1) if window.unit == "requests" else _TOKENS_SHARE


def _later(until: float, before: Hold | None) -> float:
    return until if before is None else max(until, before.until)
