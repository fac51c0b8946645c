"""What a key may use: requests and tokens in any minute, dollars in a day. Reserved before the call, settled after it.

A request reserves what it may come to; what it came to takes the place of that when it ends. So requests that run at the same time
cannot spend the same allowance twice. The minute slides: no 60 seconds, wherever they begin, hold more than is allowed. A day is one
of UTC, and a request belongs to the day on which it began. All times are Unix seconds and are brought by the caller.

A request that asks for no limit on its answer reserves `UNBOUNDED_ANSWER` tokens for it; what its answer exceeds that by is counted
when it ends, and then keeps others waiting.
"""

from collections import deque
from collections.abc import Iterable
from itertools import accumulate
from typing import Literal

import msgspec

from wardwright.domain.control import KeyLimits
from wardwright.domain.money import as_nano_usd

MINUTE_S = 60.0
DAY_S = 86_400
UNBOUNDED_ANSWER = 1024

Limit = Literal["requests_per_minute", "tokens_per_minute", "usd_per_day"]


class Use:
    """One request's part of an allowance: what it reserves, and once it is settled what it used."""

    __slots__ = ("at", "is_open", "is_recent", "nano_usd", "tokens")

    def __init__(self, at: float, tokens: int, nano_usd: int) -> None:
        self.at = at
        self.tokens = tokens
        self.nano_usd = nano_usd
        self.is_recent = True
        self.is_open = True


class Refused(msgspec.Struct, frozen=True):
    """Which limit a request would break; `retry_after_s` is None when waiting would not help."""

    limit: Limit
    retry_after_s: float | None


class Allowance:
    """The account of one key; `open_reservations` counts the requests that have reserved and not settled. For the one event loop's use: a reservation is decided and made in one step."""

    def __init__(self, limits: KeyLimits) -> None:
        self.limits = limits
        self._recent: deque[Use] = deque()
        self._recent_tokens = 0
        self._day = 0
        self._spent = 0
        self.open_reservations = 0

    def reserve(self, now: float, tokens: int, nano_usd: int) -> Use | Refused:
        """Set aside what a request may come to, or say which limit that would break; nothing is set aside then."""
        self._move_to(now)
        refused = (
            self._requests_refused(now) or self._tokens_refused(now, tokens) or self._spending_refused(now, nano_usd)
        )
        if refused is not None:
            return refused
        use = Use(now, tokens, nano_usd)
        self._take_in(use)
        self.open_reservations += 1
        return use

    def settle(self, use: Use, tokens: int, nano_usd: int) -> None:
        """Put what a request came to in the place of what it had reserved. Only the first time counts."""
        if not use.is_open:
            return
        use.is_open = False
        self.open_reservations -= 1
        if use.is_recent:
            self._recent_tokens += tokens - use.tokens
        if _day_of(use.at) == self._day:
            self._spent += nano_usd - use.nano_usd
        use.tokens, use.nano_usd = tokens, nano_usd

    def restore(self, now: float, recent: Iterable[tuple[float, int]], spent: int) -> None:
        """Begin with what receipts tell: when requests of the last minute began, in order, with their tokens, and what this day has cost."""
        self._move_to(now)
        for at, tokens in recent:
            self._take_in(Use(at, tokens, 0))
        self._spent += spent

    def spent_on(self, now: float) -> int:
        """What the day of `now` has cost so far, in billionths of a dollar, reservations included."""
        self._move_to(now)
        return self._spent

    def in_minute(self, now: float) -> tuple[int, int]:
        """How many requests and tokens the minute before `now` holds."""
        self._move_to(now)
        return len(self._recent), self._recent_tokens

    def _take_in(self, use: Use) -> None:
        self._recent.append(use)
        self._recent_tokens += use.tokens
        self._spent += use.nano_usd

    def _move_to(self, now: float) -> None:
        while self._recent and self._recent[0].at <= now - MINUTE_S:
            expired = self._recent.popleft()
            expired.is_recent = False
            self._recent_tokens -= expired.tokens
        if _day_of(now) > self._day:
            self._day = _day_of(now)
            self._spent = 0

    def _requests_refused(self, now: float) -> Refused | None:
        limit = self.limits.requests_per_minute
        if limit is None or len(self._recent) < limit:
            return None
        if limit == 0:
            return Refused("requests_per_minute", None)
        return Refused("requests_per_minute", self._recent[-limit].at + MINUTE_S - now)

    def _tokens_refused(self, now: float, tokens: int) -> Refused | None:
        limit = self.limits.tokens_per_minute
        if limit is None or self._recent_tokens + tokens <= limit:
            return None
        if tokens > limit:
            return Refused("tokens_per_minute", None)
        excess = self._recent_tokens + tokens - limit
        freed = zip(self._recent, accumulate(use.tokens for use in self._recent), strict=True)
        enough = next(use for use, total in freed if total >= excess)
        return Refused("tokens_per_minute", enough.at + MINUTE_S - now)

    def _spending_refused(self, now: float, nano_usd: int) -> Refused | None:
        limit = self.limits.usd_per_day
        if limit is None or self._spent + nano_usd <= as_nano_usd(limit):
            return None
        if nano_usd > as_nano_usd(limit):
            return Refused("usd_per_day", None)
        return Refused("usd_per_day", (_day_of(now) + 1) * DAY_S - now)


def _day_of(at: float) -> int:
    return int(at // DAY_S)
