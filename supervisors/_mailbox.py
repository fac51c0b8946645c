"""The mailbox of an actor: one queue in arrival order, and a single sleeper at its end.

The spec asks for two lanes. The fast one is not here: a stop or a kill needs no queue, since only the first of each
matters, and system requests wait on the actor's desk. What is here is the other lane, in which user messages share one
order with timer signals and the news of deaths, so that what an actor sent before it died arrives before that news.

Rules:
- A waiter is made only when the actor finds the queue empty; a burst costs one wake-up.
- The queue itself exists only while something is in it: an idle actor should not pay for an empty deque.
- Signals are exempt from the bound and are never dropped.
- Dropping a request fails its caller.
"""

from collections import deque
from typing import Any, TypeAlias

from supervisors._backend import Backend, Waiter
from supervisors._call import ReplyTo
from supervisors._child_spec import Mailbox, Overflow
from supervisors._reasons import ExitReason
from supervisors.exceptions import ActorDown, MailboxFull, SupervisorError


class Cast:
    """A message nobody waits for, on its way to `handle_cast`."""

    __slots__ = ("message",)

    def __init__(self, message: object) -> None:
        self.message = message


class Info:
    """A message on its way to `handle_info`."""

    __slots__ = ("message",)

    def __init__(self, message: object) -> None:
        self.message = message


class Signal(Info):
    """An `Info` of the library's own: a timer, or news of a death. Always delivered."""

    __slots__ = ()


Envelope: TypeAlias = Cast | Info | ReplyTo[Any]


_EMPTY: deque[Envelope] = deque()
"""The queue of every idle actor; nothing is ever put into it."""


class Inbox:
    """The queue of one actor, with its bound."""

    __slots__ = ("_backend", "_capacity", "_overflow", "_path", "_sleeper", "closed", "dropped", "queue")

    def __init__(self, backend: Backend, bound: Mailbox, path: str) -> None:
        self._backend = backend
        self._capacity = bound.capacity
        self._overflow: Overflow = bound.overflow
        self._path = path
        self._sleeper: Waiter | None = None
        self.closed = False
        self.dropped = 0
        self.queue = _EMPTY

    def __len__(self) -> int:
        return len(self.queue)

    def offer(self, envelope: Cast | Info) -> bool:
        """Queue a message; False tells the sender that it was refused."""
        queue = self.queue
        if len(queue) >= self._capacity and not self._make_room():
            self.dropped += 1
            return self._overflow.startswith("drop")
        if queue is _EMPTY:
            self._append(envelope)
        else:
            queue.append(envelope)
        return True

    def admit(self, request: ReplyTo[Any]) -> None:
        """Queue a request; a refusal fails its caller."""
        if len(self.queue) >= self._capacity and not self._make_room():
            self._drop(request)
        else:
            self._append(request)

    def push(self, signal: Signal) -> None:
        """Queue a signal, whatever the bound says."""
        self._append(signal)

    def nudge(self) -> None:
        """Wake the actor: something for it has happened."""
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.wake()

    async def wait(self) -> None:
        """Sleep on an empty queue until the next nudge.

        Cancellation: cancel point; nothing is lost.
        """
        self.queue = _EMPTY
        sleeper = self._sleeper = self._backend.new_waiter()
        await sleeper

    async def doze(self) -> None:
        """Sleep until the next nudge although messages may be waiting.

        Cancellation: cancel point; nothing is lost.
        """
        sleeper = self._sleeper = self._backend.new_waiter()
        await sleeper

    def close(self) -> None:
        """Take in nothing more but signals; what is queued stays."""
        self.closed = True
        self._capacity, self._overflow = 0, "reject"
        self.nudge()

    def clear(self) -> list[Envelope]:
        """Take out everything that was never looked at."""
        left, self.queue = self.queue, _EMPTY
        return list(left)

    def _append(self, envelope: Envelope) -> None:
        if self.queue is _EMPTY:
            self.queue = self._new_queue()
        self.queue.append(envelope)
        if self._sleeper is not None:
            self.nudge()

    def _new_queue(self) -> deque[Envelope]:
        return deque()

    def _make_room(self) -> bool:
        if self._overflow == "drop_oldest":
            for position, waiting in enumerate(self.queue):
                if not isinstance(waiting, Signal):
                    del self.queue[position]
                    self._drop(waiting)
                    return True
        return False

    def _drop(self, envelope: Envelope) -> None:
        self.dropped += 1
        if isinstance(envelope, ReplyTo):
            envelope.fail(self._refusal())

    def _refusal(self) -> SupervisorError:
        if self.closed:
            return ActorDown(self._path, ExitReason.NOPROC, problem="is draining")
        return MailboxFull(self._path, self._capacity)
