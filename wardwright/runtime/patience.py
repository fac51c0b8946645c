"""The time of one request: who may use how much of it.

The `total` of the first target is the request's time, with all fallbacks and waits. While somebody else may still be asked:

- a busy provider is waited for no longer than for a connection;
- a call for a whole answer gets half of the time that is left. Such an answer shows no sign of life before its end, and one that
  never comes must not use up the time of those who would answer. A stream shows by its first content that it is alive.
"""

import math
from collections.abc import Callable

import msgspec

from wardwright.config.settings import Timeouts
from wardwright.domain.errors import Failure

_SHARE_OF_CALL = 0.5
_FAIR_SHARE = 0.4


class Patience:
    """Counts from its making."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self.deadline = math.inf

    @property
    def spent_s(self) -> float:
        """How long the request has taken so far."""
        return self._now() - self._began

    @property
    def left_s(self) -> float:
        """How long it may still take."""
        return self.deadline - self._now()

    @property
    def is_over(self) -> bool:
        """Whether its time is used up."""
        return self.left_s <= 0

    def begin(self, timeouts: Timeouts) -> None:
        """Go by these clocks unless there were others before: a fallback's own must neither shorten nor extend the request's time."""
        if self.deadline == math.inf:
            self.deadline = self._began + timeouts.total

    def for_turn(self, timeouts: Timeouts, *, has_other: bool) -> float:
        """How many seconds to wait for a permit."""
        return min(self.left_s, timeouts.connect) if has_other else self.left_s

    def for_call(self, timeouts: Timeouts, *, has_other: bool, stream: bool) -> Timeouts:
        """The clocks of a call that begins now."""
        if stream or not has_other:
            return timeouts
        return msgspec.structs.replace(timeouts, total=min(timeouts.total, self.left_s * _SHARE_OF_CALL))

    def was_fair(self, failure: Failure, timeouts: Timeouts, since: float) -> bool:
        """Whether a call that took too long had enough of its provider's own time to be blamed for that.

        Args: since: when it began, put off by the time that its client took.
        """
        return failure.clock != "total" or self._now() - since >= timeouts.total * _FAIR_SHARE
