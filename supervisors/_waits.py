"""Who waits for whom: finding the circle that a call would close.

Pure. On one event loop the answer is exact, also for two that call each other at the same moment: whoever asks second
finds the first already waiting.
"""

from collections.abc import Sequence
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
    """Follow the waits from `start`; the way to `goal`, if there is one."""
    return _follow(start, goal, set())


def _follow(start: Waiting, goal: Waiting, seen: set[int]) -> list[str] | None:
    if start is goal:
        return [start.path]
    seen.add(id(start))
    for target in start.waiting_on:
        if id(target) not in seen:
            trail = _follow(target, goal, seen)
            if trail is not None:
                return [start.path, *trail]
    return None
