"""Concurrency permits: how many calls one provider is given at a time, and whose turn is next.

First come, first served: while anybody waits, a permit that comes back goes to the one at the head of the queue and to nobody who
comes later. A permit that was handed to somebody who has just been cancelled goes on to the next.
"""

from collections import deque

import anyio


class _Turn:
    """A place in the queue, for a call to `subject`."""

    __slots__ = ("came", "is_granted", "subject")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.is_granted = False
        self.came = anyio.Event()


class Permits:
    """So many permits, and the queue for them. Whoever takes one gives it back, exactly once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_use = 0
        self._queue: deque[_Turn] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    def take_nowait(self) -> bool:
        """Take a permit if there is one that nobody waits for."""
        if self._queue or self.in_use >= self.limit:
            return False
        self.in_use += 1
        return True

    async def take(self, subject: str) -> bool:
        """Wait for a permit; False when turned away.

        Cancellation: cancel point; on cancel the place in the queue is given up, and a permit that had just come goes to the next.
        """
        if self.take_nowait():
            return True
        turn = _Turn(subject)
        self._queue.append(turn)
        try:
            await turn.came.wait()
        except BaseException:
            if turn.is_granted:
                self.give_back()
            elif turn in self._queue:
                self._queue.remove(turn)
            raise
        return turn.is_granted

    def give_back(self) -> None:
        """Give a permit back; the next in the queue has it at once."""
        self.in_use -= 1
        self._hand_out()

    def resize(self, limit: int) -> None:
        """Change how many there are. Permits beyond a smaller limit stay with those who have them."""
        self.limit = limit
        self._hand_out()

    def turn_away(self, subject: str | None = None) -> None:
        """Send away everybody who waits, or those who wait to call one subject."""
        staying = deque(turn for turn in self._queue if subject is not None and turn.subject != subject)
        leaving = [turn for turn in self._queue if subject is None or turn.subject == subject]
        self._queue = staying
        for turn in leaving:
            turn.came.set()

    def _hand_out(self) -> None:
        while self._queue and self.in_use < self.limit:
            turn = self._queue.popleft()
            self.in_use += 1
            turn.is_granted = True
            turn.came.set()
