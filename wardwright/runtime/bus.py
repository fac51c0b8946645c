"""The visibility bus: what happens in the daemon, for whoever watches. Bounded, lossy, counted; never state.

A plain object beside the tree, like the boards, so no crash loses it; those who watch are members of the tree (`runtime.event_desk`).
Telling never waits and never fails. Facts of requests are told only while somebody watches them, and for `LINGER_S` after, so that a
watcher that comes back finds what it missed: a request nobody watches pays for a glance at `hears_requests`.

An event's id is the boot, and how many events there had been by then, topic by topic. So an id of before a restart is known for one, and
whatever topics a watcher asks for when it comes back, what it has missed of each can be counted:

- each topic keeps its last `KEPT` events, and those that are behind an id are told again;
- what is not kept any more comes first, as a number of lost events; it is not known (None) for an id of another boot, and where a topic
  was not told for a while because nobody watched;
- a watcher that does not keep up loses the oldest of what waits for it, and is told how many.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from supervisors import PubSub, Subscription
from wardwright.domain.errors import ActorRestarting
from wardwright.runtime.visible import OF_REQUESTS, TOPICS, Fact, Topic
from wardwright.wire.sse import render_named_event

KEPT = 1_000
"""How many past events of each topic are there for those who come back."""
QUEUED = 1_000
"""How many events wait for a watcher that does not keep up."""
LINGER_S = 60.0
"""How long facts of requests are told after the last watcher has left."""

_LARGEST_BATCH = 250
_NUMBER = re.compile(r"[0-9]{1,18}")

LOST = "lost"
"""The type of the event that tells of lost ones."""

_encode = msgspec.json.Encoder().encode


class Told:
    """A fact with its place: how many events there had been by then, by topic. `at` is in Unix seconds.

    What is sent of it is made once, for all who watch.
    """

    __slots__ = ("_boot", "_frame", "at", "fact", "positions")

    def __init__(self, boot: str, positions: Sequence[int], at: float, fact: Fact) -> None:
        self._boot = boot
        self.positions = positions
        self.at = at
        self.fact = fact
        self._frame: bytes | None = None

    @property
    def id(self) -> str:
        """What a watcher that comes back goes on behind."""
        return _id_of(self._boot, self.positions)

    @property
    def type(self) -> str:
        """What kind of fact it is."""
        return str(self.fact.__struct_config__.tag)

    @property
    def json(self) -> bytes:
        """The event as watchers read it: id, topic, time, type and the facts, in one object."""
        head = _encode({"id": self.id, "topic": self.fact.topic, "at": self.at})
        return head[:-1] + b"," + _encode(self.fact)[1:]

    @property
    def frame(self) -> bytes:
        """The event as it is sent."""
        if self._frame is None:
            self._frame = render_named_event(self.json, name=self.type, id=self.id)
        return self._frame


@dataclass(frozen=True, slots=True)
class Lost:
    """So many events of the watcher's topics are not told; they stood before the next one. None when nobody knows how many.

    A watcher that comes back with the `id`, where there is one, is not told of them again.
    """

    count: int | None
    id: str | None = None

    @property
    def json(self) -> bytes:
        """The event as watchers read it."""
        return _encode({"type": LOST, "count": self.count})

    @property
    def frame(self) -> bytes:
        """The event as it is sent."""
        return render_named_event(self.json, name=LOST, id=self.id)


class _Shelf:
    """What is kept of one topic, which has its `place` among the `counts` of all.

    Of the events up to `gap` nobody knows how many there might have been more.
    """

    __slots__ = ("_counts", "_place", "gap", "kept")

    def __init__(self, counts: list[int], place: int) -> None:
        self._counts = counts
        self._place = place
        self.gap = 0
        self.kept: deque[Told] = deque(maxlen=KEPT)

    def count_one(self) -> None:
        """Another event comes."""
        self._counts[self._place] += 1

    def skip(self) -> None:
        """An unknown number of events was not told."""
        self.kept.clear()
        self.count_one()
        self.gap = self._counts[self._place]

    def missed_since(self, positions: Sequence[int]) -> int | None:
        """How many events behind these positions are not kept; None when that is not known."""
        position, count = positions[self._place], self._counts[self._place]
        return max(0, count - len(self.kept) - position) if self.gap <= position <= count else None

    def kept_since(self, positions: Sequence[int]) -> Iterable[Told]:
        """What is kept behind these positions."""
        place, position = self._place, positions[self._place]
        return (told for told in self.kept if told.positions[place] > position)

    def advance(self, positions: list[int]) -> None:
        """Move positions on to where what is kept begins, if they are before."""
        positions[self._place] = max(positions[self._place], self._counts[self._place] - len(self.kept))


class Watch:
    """One watcher's events. `start_id` is the id that stands for the place where it began, when that was now."""

    def __init__(
        self, topics: Sequence[Topic], subscription: Subscription, backlog: Iterable[Told | Lost], start_id: str | None
    ) -> None:
        self.topics = topics
        self.start_id = start_id
        self.told = 0
        self.lost = 0
        self._subscription = subscription
        self._backlog = deque(backlog)

    async def next_batch(self) -> Sequence[Told | Lost]:
        """What has come since the last time, as soon as there is anything.

        Raises: anyio.EndOfStream: the watch was closed, and nothing is left.
        Cancellation: cancel point; nothing is lost.
        """
        batch: list[Told | Lost] = []
        while self._backlog and len(batch) < _LARGEST_BATCH:
            batch.append(self._backlog.popleft())
        if not batch:
            batch = await self._live()
        self.told += sum(isinstance(event, Told) for event in batch)
        return batch

    @property
    def is_behind(self) -> bool:
        """Whether more waits than goes into a batch."""
        return len(self._backlog) + len(self._subscription) > _LARGEST_BATCH

    def close(self) -> None:
        """Hear nothing more. Idempotent."""
        self._subscription.close()

    def status(self) -> dict[str, object]:
        """The watcher as the tree shows it."""
        return {
            "topics": list(self.topics),
            "told": self.told,
            "lost": self._subscription.dropped,
            "waiting": len(self._backlog) + len(self._subscription),
        }

    async def _live(self) -> list[Told | Lost]:
        first = await self._subscription.receive()
        batch: list[Told | Lost] = []
        dropped = self._subscription.dropped - self.lost
        if dropped:  # always the oldest, so they stood before the first one there is
            self.lost += dropped
            batch.append(Lost(dropped))
        batch.append(first)
        while len(self._subscription) and len(batch) < _LARGEST_BATCH:
            batch.append(await self._subscription.receive())
        return batch


class Bus:
    """See the module's page. Written by whoever has something to tell, on one event loop.

    Args:
        boot: names this run of the daemon.
        now: tells Unix seconds.
        clock: tells seconds of a clock that goes evenly.
    """

    def __init__(
        self, boot: str, *, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hears_requests = False
        self._boot = boot.removeprefix("boot_")
        self._now = now
        self._clock = clock
        self._pubsub = PubSub()
        self._counts = [0] * len(TOPICS)
        self._shelves = {topic: _Shelf(self._counts, place) for place, topic in enumerate(TOPICS)}
        self._watches: set[Watch] = set()
        self._of_requests: set[Watch] = set()
        self._quiet_since = 0.0
        self._is_closed = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watches)

    def tell(self, fact: Fact) -> None:
        """Make a fact visible. Never blocks, never raises."""
        topic = fact.topic
        if topic in OF_REQUESTS and not self._goes_on_hearing():
            return
        shelf = self._shelves[topic]
        shelf.count_one()
        told = Told(self._boot, tuple(self._counts), self._now(), fact)
        shelf.kept.append(told)
        self._pubsub.publish(topic, told)

    def watch(self, topics: Collection[Topic], after: str | None = None) -> Watch:
        """Watch these topics from now on, or from behind the event with the id `after`.

        Raises: ActorRestarting: the daemon is stopping.
        """
        if self._is_closed:
            raise ActorRestarting("the gateway is stopping; watch again when it is back")
        watched = [topic for topic in TOPICS if topic in topics]
        is_of_requests = not OF_REQUESTS.isdisjoint(watched)
        if is_of_requests:
            self._begin_hearing()
        positions = None if after is None else self._positions(after)
        here = _id_of(self._boot, self._counts)
        backlog: list[Told | Lost] = []
        if positions is not None:
            backlog = self._since(watched, positions)
        elif after is not None:
            backlog = [Lost(None, here)]
        subscription = self._pubsub.open(*watched, capacity=QUEUED)
        watch = Watch(watched, subscription, backlog, here if after is None else None)
        self._watches.add(watch)
        if is_of_requests:
            self._of_requests.add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Watch no more. Idempotent."""
        watch.close()
        self._watches.discard(watch)
        if watch in self._of_requests:
            self._of_requests.discard(watch)
            self._quiet_since = self._clock()

    def close(self) -> None:
        """End every watch, and admit no other."""
        self._is_closed = True
        for watch in self._watches:
            watch.close()

    def _since(self, topics: Iterable[Topic], positions: Sequence[int]) -> list[Told | Lost]:
        """What happened to topics behind these positions: how much of it is lost, and what is kept."""
        begin, missed, kept = list(positions), list[int | None](), list[Told]()
        for shelf in (self._shelves[topic] for topic in topics):
            missed.append(shelf.missed_since(positions))
            kept.extend(shelf.kept_since(positions))
            shelf.advance(begin)
        kept.sort(key=lambda told: sum(told.positions))
        known = [number for number in missed if number is not None]
        if len(known) == len(missed) and not sum(known):
            return list(kept)
        return [Lost(sum(known) if len(known) == len(missed) else None, _id_of(self._boot, begin)), *kept]

    def _positions(self, id: str) -> Sequence[int] | None:
        """Where an id stands; None for one of another boot, or none of ours at all."""
        boot, _, places = id.partition("-")
        numbers = places.split(".")
        is_ours = boot == self._boot and len(numbers) == len(TOPICS)
        if not is_ours or not all(_NUMBER.fullmatch(number) for number in numbers):
            return None
        return [int(number) for number in numbers]

    def _begin_hearing(self) -> None:
        if not self._goes_on_hearing():
            for topic in OF_REQUESTS:
                self._shelves[topic].skip()
        self.hears_requests = True

    def _goes_on_hearing(self) -> bool:
        """Whether requests are heard, as they are while somebody watches them, and for a while after."""
        if self.hears_requests and not self._of_requests:
            self.hears_requests = self._clock() - self._quiet_since <= LINGER_S
        return self.hears_requests


def _id_of(boot: str, positions: Iterable[int]) -> str:
    return f"{boot}-{'.'.join(map(str, positions))}"
