"""How long a function takes when nothing disturbs it."""

import timeit
from collections.abc import Callable

_WANTED_S = 0.02
_REPETITIONS = 5


def best(function: Callable[[], object]) -> float:
    """Microseconds of a call: the best of several repetitions."""
    timer = timeit.Timer(function)
    once = max(timer.timeit(1), 1e-7)
    number = max(1, int(_WANTED_S / once))
    return min(timer.repeat(_REPETITIONS, number)) / number * 1e6
