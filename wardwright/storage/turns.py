"""Doing a long piece of work in turns, so that whoever waits for the same lock comes in between."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 500
_REST_S = 0.001


def in_turns(items: Sequence[T], at_once: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """So many items at a time, with a rest between: a lock of Python's is not fair, and who asks again at once gets it again."""
    for begin in range(0, len(items), at_once):
        if begin:
            time.sleep(_REST_S)
        yield items[begin : begin + at_once]
