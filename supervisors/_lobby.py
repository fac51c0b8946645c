"""The mailbox which makes senders wait for room: the policy `block`.

Who can wait stands in one line, in order of arrival: requests, whose callers are waiting anyway, and the messages of
`cast_wait`. Whenever the actor takes a message the first in line gets its room, so nobody who comes later is faster.
A sender's deadline, its cancellation and the death of the actor end the waiting. A `cast` cannot wait and is refused,
because a sender must never be stopped by surprise.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

from supervisors._backend import Backend, Waiter
from supervisors._call import ReplyTo
from supervisors._child_spec import Mailbox
from supervisors._mailbox import Cast, Envelope, Inbox, Info
from supervisors._timers import Deadline


class Place(Deadline):
    """A place in the line, held for one message."""

    __slots__ = ("_leave", "_waiter", "admitted", "envelope")

    def __init__(self, envelope: Cast | Info, waiter: Waiter, leave: Callable[["Place"], None]) -> None:
        super().__init__()
        self.envelope = envelope
        self.admitted = False
        self._waiter = waiter
        self._leave = leave

    def settle(self, *, admitted: bool) -> None:
        """Tell the sender whether its message is in the mailbox."""
        self.admitted = admitted
        self._waiter.wake()

    def leave(self) -> None:
        """Give the place up."""
        self._leave(self)

    def due(self) -> None:
        """Give the place up: the sender's time is over."""
        self.settled = True
        self.leave()
        self._waiter.wake()

    async def outcome(self) -> bool:
        """Wait for room; False when there was none in time or the actor has died.

        Cancellation: cancel point; on cancel the message is taken back, unless it is in the mailbox already.
        """
        try:
            await self._waiter
        finally:
            self.leave()
        return self.admitted


class BlockingInbox(Inbox):
    """A bounded queue with a line before it."""

    __slots__ = ("_line",)

    def __init__(self, backend: Backend, bound: Mailbox, path: str) -> None:
        super().__init__(backend, bound, path)
        self._line: OrderedDict[ReplyTo[Any] | Place, None] = OrderedDict()

    def offer_or_wait(self, envelope: Cast | Info) -> "bool | Place":
        """Queue a message; if there is no room, say where to wait for some."""
        if len(self.queue) < self._capacity or self.closed:
            return self.offer(envelope)
        place = Place(envelope, self._backend.new_waiter(), self._leave)
        self._line[place] = None
        return place

    def admit(self, request: ReplyTo[Any]) -> None:
        """Queue a request, or let it stand in line for as long as its caller waits."""
        if len(self.queue) < self._capacity:
            self._append(request)
        elif self.closed:
            self._drop(request)
        else:
            self._line[request] = None
            request.on_abandon(partial(self._leave, request))

    def close(self) -> None:
        """Take in nothing more; whoever stands in line is sent away."""
        super().close()
        for request in self._dissolve():
            self._drop(request)

    def clear(self) -> list[Envelope]:
        """Take out everything that was never looked at; who stood in line with a message keeps it."""
        return super().clear() + self._dissolve()

    def _dissolve(self) -> list[Envelope]:
        """Send those away who stand in line with a message; the requests are left."""
        requests: list[Envelope] = []
        line, self._line = self._line, OrderedDict()
        for first in line:
            if isinstance(first, Place):
                first.settle(admitted=False)
            else:
                requests.append(first)
        return requests

    def _leave(self, leaving: ReplyTo[Any] | Place) -> None:
        self._line.pop(leaving, None)

    def _usher(self) -> None:
        """Let in as many as there is room for."""
        while self._line and len(self.queue) < self._capacity:
            first, _ = self._line.popitem(last=False)
            if isinstance(first, Place):
                self._append(first.envelope)
                first.settle(admitted=True)
            else:
                first.on_abandon(None)
                self._append(first)

    def _new_queue(self) -> deque[Envelope]:
        return _WatchedQueue(self._usher)


class _WatchedQueue(deque[Envelope]):
    """A queue which says when room was made, so that the actor's loop need not ask."""

    __slots__ = ("_made_room",)

    def __init__(self, made_room: Callable[[], None]) -> None:
        super().__init__()
        self._made_room = made_room

    def popleft(self) -> Envelope:
        """Take the oldest message out."""
        first = super().popleft()
        self._made_room()
        return first
