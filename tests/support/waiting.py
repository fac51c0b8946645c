"""Waiting for what another process or thread does, by asking again and again for longer than any machine needs."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
_PAUSE_S = 0.02


def wait_until(ask: Callable[[], T], missing: str, *, within_s: float = PATIENCE_S) -> T:
    """Ask until the answer is true, and return it. Raises: AssertionError with what is `missing`, and the last answer."""
    until = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < until, f"{missing}: {answer!r}"
        time.sleep(_PAUSE_S)
    return answer
