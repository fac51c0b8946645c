"""Who waits for whom: finding the circle that a call would close.

Pure. On one event loop the answer is exact, also for two that call each other at the same moment: whoever asks second
finds the first already waiting.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol


class Waiting(Protocol):
    """Somebody who may be waiting for others."""

    @property
    def path(self) -> str:
        """Its name."""

    @property
    def waiting_on(self) -> Sequence["Waiting"]:
        """Those it waits for."""


def find_trail(start: Waiting, goal: Waiting) -> list[str] | None:
    """Follow the waits from `start`; the way to `goal`, if there is one.

    A queue of waiting actors may be longer than Python's stack is deep, so the way back is kept in a list.
    """
    if start is goal:
        return [start.path]
    seen = {id(start)}
    trail: list[tuple[Waiting, Iterator[Waiting]]] = [(start, iter(start.waiting_on))]
    while trail:
        target = next(trail[-1][1], None)
        if target is None:
            trail.pop()
        elif target is goal:
            return [*(waiting.path for waiting, _ in trail), goal.path]
        elif id(target) not in seen:
            seen.add(id(target))
            trail.append((target, iter(target.waiting_on)))
    return None
