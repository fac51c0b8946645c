"""Interrupting a coroutine at each place where it can be interrupted."""

import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def stepped(coroutine: Coroutine[Any, Any, T], on_suspend: Callable[[int], None]) -> Generator[Any, Any, T]:
    """Run a coroutine and call `on_suspend(n)` when it is about to wait for the n-th time, counting from 1."""
    resume: Callable[[], Any] = partial(coroutine.send, None)
    number = 0
    while True:
        try:
            waits_for = resume()
        except StopIteration as done:
            value: T = done.value
            return value
        number += 1
        on_suspend(number)
        try:
            resume = partial(coroutine.send, (yield waits_for))
        except BaseException as error:  # noqa: BLE001 - whatever is thrown in goes where it was meant to go
            resume = partial(coroutine.throw, error)
