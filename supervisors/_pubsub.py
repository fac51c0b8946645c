"""Topics: one publishes, many hear it, and nobody can hurt anybody else.

Publishing never waits and never fails. A subscriber that is slow loses messages (its own oldest) and the loss is
counted; one that is dead is gone. This is for what may be lost; state does not travel here.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Self

import anyio

from supervisors._backend import Backend, Waiter, detect_backend
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, cell_of
from supervisors.exceptions import ActorDown

DEFAULT_CAPACITY = 256


class Subscription:
    """A bounded queue of what was published to its topics, in that order, for a reader that is not an actor."""

    __slots__ = ("_backend", "_capacity", "_leave", "_queue", "_sleeper", "closed", "dropped", "topics")

    def __init__(self, topics: tuple[str, ...], capacity: int, leave: Callable[["Subscription"], None]) -> None:
        self.topics = topics
        self.dropped = 0
        self.closed = False
        self._capacity = capacity
        self._leave = leave
        self._queue: deque[Any] = deque()
        self._sleeper: Waiter | None = None
        self._backend: Backend | None = None

    def __len__(self) -> int:
        return len(self._queue)

    async def receive(self) -> Any:
        """Take the next message, waiting for it if need be; one reader at a time.

        Raises:
            anyio.EndOfStream: the subscription is closed and read out.
        Cancellation: cancel point; nothing is lost.
        """
        while not self._queue:
            if self.closed:
                raise anyio.EndOfStream
            if self._backend is None:
                self._backend = detect_backend()
            self._sleeper = self._backend.new_waiter()
            await self._sleeper
        return self._queue.popleft()

    def close(self) -> None:
        """Hear nothing more; what is queued can still be read."""
        if not self.closed:
            self.closed = True
            self._leave(self)
            self._wake()

    def deliver(self, message: object) -> bool:
        """Queue a message; False when an older one had to give way."""
        whole = len(self._queue) < self._capacity
        if not whole:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(message)
        self._wake()
        return whole

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _wake(self) -> None:
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.wake()


class PubSub:
    """Topics and their subscribers. Make one wherever it is needed; it belongs to no System.

    Attributes:
        dropped: how many messages subscribers had no room for, all together.
    """

    def __init__(self) -> None:
        self._topics: dict[str, list[ActorRef | Subscription]] = {}
        self._heard_by: dict[ActorRef, set[str]] = {}
        self.dropped = 0

    def subscribe(self, topic: str, subscriber: ActorRef) -> None:
        """Have everything published to `topic` sent to an actor's `handle_info`, until it dies.

        Subscribing twice brings every message twice.

        Raises:
            ActorDown: the actor is dead.
        """
        cell = cell_of(subscriber)
        if cell is None or cell.exit_reason is not None:
            raise ActorDown(subscriber.path, ExitReason.NOPROC)
        self._topics.setdefault(topic, []).append(subscriber)
        if subscriber not in self._heard_by:
            self._heard_by[subscriber] = set()
            cell.at_exit(partial(self._forget, subscriber))
        self._heard_by[subscriber].add(topic)

    def open(self, *topics: str, capacity: int = DEFAULT_CAPACITY) -> Subscription:
        """Subscribe with one bounded queue for all these topics; close it, or use it as a context manager.

        When it is full, its oldest message gives way, and `Subscription.dropped` counts that.
        """
        subscription = Subscription(tuple(dict.fromkeys(topics)), capacity, self._leave)
        for topic in subscription.topics:
            self._topics.setdefault(topic, []).append(subscription)
        return subscription

    def unsubscribe(self, topic: str, subscriber: ActorRef) -> None:
        """End every subscription of an actor to a topic; nothing happens if it has none."""
        self._remove(topic, subscriber)

    def publish(self, topic: str, message: object, *, skip: ActorRef | None = None) -> int:
        """Hand a message to every subscriber of a topic but `skip`. Never waits, never raises.

        Returns:
            How many took it without a loss.
        """
        taken = 0
        for subscriber in list(self._topics.get(topic, ())):
            if isinstance(subscriber, Subscription):
                whole = subscriber.deliver(message)
            elif subscriber == skip:
                continue
            else:
                whole = subscriber.send(message)
            taken += whole
            self.dropped += not whole
        return taken

    def subscribers(self, topic: str) -> int:
        """How many subscriptions a topic has."""
        return len(self._topics.get(topic, ()))

    def _leave(self, subscription: Subscription) -> None:
        for topic in subscription.topics:
            self._remove(topic, subscription)

    def _forget(self, subscriber: ActorRef) -> None:
        for topic in self._heard_by.pop(subscriber, ()):
            self._remove(topic, subscriber)

    def _remove(self, topic: str, leaving: ActorRef | Subscription) -> None:
        left = [subscriber for subscriber in self._topics.get(topic, ()) if subscriber != leaving]
        if left:
            self._topics[topic] = left
        else:
            self._topics.pop(topic, None)
