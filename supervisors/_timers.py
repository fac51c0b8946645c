"""Every deadline of a System: one heap, and one task which sleeps until the nearest.

A cancel scope per call would cost more than the call. Entries are never searched for: one that is settled early just
says so (`settled`), stays in the heap until its time, and is swept out when such entries are the majority. Staying
is what keeps calls cheap: with an old deadline at the head, a new and later one need not wake the timer task.
"""

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

import anyio

from supervisors._backend import Backend, Waiter

_SWEEP_FROM = 128


class Deadline:
    """Something that happens at a given time unless it is settled before."""

    __slots__ = ("settled",)

    def __init__(self) -> None:
        self.settled = False

    def due(self) -> None:
        """Do what the deadline was set for."""
        raise NotImplementedError


class Alarm(Deadline):
    """A deadline which runs a function."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__()
        self._action = action

    def due(self) -> None:
        """Run the function."""
        self.settled = True
        self._action()


class Timers:
    """The deadline heap; `run` is the timer task."""

    __slots__ = ("_armed", "_backend", "_heap", "_order", "_settled", "_sleeper")

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._heap: list[tuple[float, int, Deadline]] = []
        self._order = count()
        self._settled = 0
        self._armed = -math.inf
        self._sleeper: Waiter | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: float, deadline: Deadline) -> None:
        """Let `deadline` fall due at `when`; two at the same instant keep the order of their adding."""
        if when == math.inf:
            return
        heappush(self._heap, (when, next(self._order), deadline))
        if when < self._armed and self._sleeper is not None:
            self._sleeper.wake()

    def after(self, seconds: float, action: Callable[[], object]) -> Alarm:
        """Run `action` in this many seconds, unless the alarm is discarded."""
        alarm = Alarm(action)
        self.add(self._backend.now() + seconds, alarm)
        return alarm

    def discard(self, deadline: Deadline) -> None:
        """Settle a deadline which is no longer wanted."""
        deadline.settled = True
        self._settled += 1
        if self._settled > _SWEEP_FROM and self._settled * 2 > len(self._heap):
            self._sweep()

    async def run(self) -> None:
        """Fire what falls due, for as long as the System lives."""
        while True:
            self._fire()
            self._sleeper = self._backend.new_waiter()
            self._armed = self._heap[0][0] if self._heap else math.inf
            with anyio.CancelScope(deadline=self._armed):
                await self._sleeper

    def _fire(self) -> None:
        now = self._backend.now()
        while self._heap and self._heap[0][0] <= now:
            deadline = heappop(self._heap)[2]
            if deadline.settled:
                self._settled = max(0, self._settled - 1)
            else:
                deadline.due()

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if not entry[2].settled]
        heapify(self._heap)
        self._settled = 0


class Revocable(Deadline):
    """A deadline which its owner may call off."""

    __slots__ = ("_timers",)

    def __init__(self, timers: Timers) -> None:
        super().__init__()
        self._timers = timers

    def cancel(self) -> bool:
        """Call it off; False when it has happened already."""
        if self.settled:
            return False
        self._timers.discard(self)
        return True
