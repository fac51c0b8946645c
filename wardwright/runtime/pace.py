"""The pace of a thread that has much to do while the event loop serves requests.

Python lets one thread compute at a time, and takes the turn from one that does not give it up only after five milliseconds. A request
wakes several times, so beside a thread that computes without a pause it would wait for tens. A thread that rests as long as it has worked,
a millisecond at a time, costs it next to nothing, and still gets half of a core.
"""

import time
from collections.abc import Callable

_WORKS_S = 0.001
_LONGEST_REST_S = 0.005


class Pace:
    """Call it often: it rests when it is time to. For one thread."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._began = clock()

    def __call__(self) -> None:
        """Rest for as long as was worked since the last rest, if that was a while."""
        worked = self._clock() - self._began
        if worked >= _WORKS_S:
            self._sleep(min(worked, _LONGEST_REST_S))
            self._began = self._clock()


def unpaced() -> None:
    """No pace at all."""
