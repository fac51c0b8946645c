"""What code costs, told in ways that do not depend on the machine or on who else works on it.

What Python executes can be counted (`counted`, `bytecodes`). What C does for it cannot: `times_as_long` then compares two calls with
each other, taken in turn. No test judges by seconds; those are the business of `make bench`.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import thread_time
from types import FrameType
from typing import Any


class Count:
    """How many bytecodes have been executed."""

    total = 0


@contextmanager
def counted() -> Iterator[Count]:
    """Count the bytecodes of the functions that this thread calls or resumes within the block."""
    count = Count()

    def each(frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            count.total += 1
        return each

    def enter(frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return each

    before = sys.gettrace()
    with no_collection():
        sys.settrace(enter)
        try:
            yield count
        finally:
            sys.settrace(before)


def bytecodes(function: Callable[[], object]) -> int:
    """How many bytecodes a call executes."""
    with counted() as count:
        function()
    return count.total


def times_as_long(large: Callable[[], object], small: Callable[[], object], *, attempts: int = 5) -> float:
    """How many times the processor time of `small` `large` takes: each by the best of its attempts, taken in turn."""
    with no_collection():
        taken = [(_seconds(large), _seconds(small)) for _ in range(attempts)]
    return min(of_large for of_large, _ in taken) / min(of_small for _, of_small in taken)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage of other tests out of what is being measured."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _seconds(function: Callable[[], object]) -> float:
    began = thread_time()
    function()
    return thread_time() - began
