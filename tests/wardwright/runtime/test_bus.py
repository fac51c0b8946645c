"""The visibility bus: who hears what, what is kept for those who come back, and what is told of the rest."""

from collections.abc import Sequence

import anyio
import msgspec
import pytest

from supervisors.testing import settle
from wardwright.domain.errors import ActorRestarting
from wardwright.runtime.bus import KEPT, LINGER_S, QUEUED, Bus, Lost, Told, Watch
from wardwright.runtime.visible import OF_REQUESTS, TOPICS, AttemptStarted, CanaryEnded, Fact, KeyRevoked, Topic

pytestmark = pytest.mark.anyio

BOOT = "boot_0123"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bus(clock: Clock | None = None, boot: str = BOOT) -> Bus:
    return Bus(boot, now=lambda: 1_800_000_000.5, clock=clock or Clock())


def key(number: int) -> Fact:
    return KeyRevoked(key_id=f"key_{number}")


def model(number: int) -> Fact:
    return CanaryEnded(model_id=f"m{number}")


def request(number: int) -> Fact:
    return AttemptStarted(
        receipt_id=f"rcpt_{number}", model_id="m", session_id=None, attempt=1, target="t", provider="p"
    )


def name_of(event: Told | Lost) -> str:
    """In short: what it is about, or how many are lost."""
    if isinstance(event, Lost):
        return f"lost {event.count}"
    fact = msgspec.structs.asdict(event.fact)
    return str(fact.get("key_id") or fact.get("receipt_id") or fact["model_id"])


async def heard(watch: Watch) -> list[str]:
    """Everything that waits for a watcher, up to its end."""
    watch.close()
    names: list[str] = []
    try:
        while True:
            names.extend(map(name_of, await watch.next_batch()))
    except anyio.EndOfStream:
        return names


async def ids_of(watch: Watch, count: int) -> list[str]:
    """The ids of the next so many events."""
    ids: list[str] = []
    while len(ids) < count:
        for event in await watch.next_batch():
            assert event.id is not None
            ids.append(event.id)
    return ids


def since(on: Bus, id: str, *topics: Topic) -> Watch:
    return on.watch(topics or TOPICS, id)


class TestWatching:
    async def test_a_watcher_hears_its_topics_in_the_order_of_what_happened(self) -> None:
        on = bus()
        keys, both = on.watch(["keys"]), on.watch(["models", "keys"])
        for fact in (key(1), model(1), key(2)):
            on.tell(fact)
        assert await heard(keys) == ["key_1", "key_2"]
        assert await heard(both) == ["key_1", "m1", "key_2"]

    async def test_what_happened_before_is_not_told_to_who_does_not_ask_for_it(self) -> None:
        on = bus()
        on.tell(key(1))
        watch = on.watch(TOPICS)
        assert await heard(watch) == []

    async def test_an_event_says_what_where_and_when_in_one_object(self) -> None:
        on = bus()
        watch = on.watch(TOPICS)
        on.tell(key(1))
        [event] = await watch.next_batch()
        assert isinstance(event, Told)
        assert msgspec.json.decode(event.json) == {
            "id": event.id,
            "topic": "keys",
            "at": 1_800_000_000.5,
            "type": "key.revoked",
            "key_id": "key_1",
        }

    async def test_a_watcher_waits_for_what_comes_and_takes_all_there_is(self) -> None:
        on = bus()
        watch, batches = on.watch(TOPICS), list[Sequence[Told | Lost]]()

        async def read() -> None:
            batches.append(await watch.next_batch())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await settle()
            assert batches == []
            on.tell(key(1))
            on.tell(key(2))
        assert [name_of(event) for event in batches[0]] == ["key_1", "key_2"]

    async def test_waiting_for_a_time_only_loses_nothing(self) -> None:
        on = bus()
        watch = on.watch(TOPICS)
        with anyio.move_on_after(5):
            await watch.next_batch()
        on.tell(key(1))
        assert await heard(watch) == ["key_1"]

    async def test_who_has_left_is_gone(self) -> None:
        on = bus()
        watch = on.watch(TOPICS)
        assert on.watchers == 1
        on.unwatch(watch)
        on.unwatch(watch)
        on.tell(key(1))
        assert on.watchers == 0
        assert await heard(watch) == []

    async def test_the_end_of_the_bus_ends_every_watch_and_admits_no_other(self) -> None:
        on = bus()
        watch = on.watch(TOPICS)
        on.tell(key(1))
        on.close()
        on.tell(key(2))
        assert await heard(watch) == ["key_1"]
        with pytest.raises(ActorRestarting):
            on.watch(TOPICS)


class TestSlowWatchers:
    async def test_one_loses_its_oldest_and_is_told_how_many_before_the_rest(self) -> None:
        on = bus()
        slow, other = on.watch(["keys"]), on.watch(["models"])
        for number in range(QUEUED + 7):
            on.tell(key(number))
        on.tell(model(1))
        assert slow.status() == {"topics": ["keys"], "told": 0, "lost": 7, "waiting": QUEUED}
        names = await heard(slow)
        assert names[:2] == ["lost 7", "key_7"]
        assert len(names) == 1 + QUEUED
        assert names[-1] == f"key_{QUEUED + 6}"
        assert await heard(other) == ["m1"]

    async def test_each_loss_is_told_once_and_by_itself(self) -> None:
        on = bus()
        slow = on.watch(["keys"])
        for number in range(QUEUED + 2):
            on.tell(key(number))
        first = await slow.next_batch()
        for number in range(len(first) + 5):
            on.tell(key(2000 + number))
        names = [name_of(event) for event in first] + await heard(slow)
        losses = [name for name in names if name.startswith("lost")]
        assert losses[0] == "lost 2"
        assert len(losses) == 2
        assert sum(int(loss.split()[1]) for loss in losses) + len(names) - 2 == QUEUED + 2 + len(first) + 5

    async def test_what_was_lost_so_may_still_be_had_by_coming_back(self) -> None:
        """So that event has no id: the last one a watcher knows stays that of the last event it was given."""
        on = bus()
        slow = on.watch(["keys"])
        on.tell(key(0))
        [before] = await ids_of(slow, 1)
        for number in range(1, QUEUED + 4):
            on.tell(key(number))
        [lost, *_] = await slow.next_batch()
        assert (name_of(lost), lost.id) == ("lost 3", None)
        assert (await heard(since(on, before, "keys")))[:2] == [f"lost {QUEUED + 3 - KEPT}", f"key_{QUEUED + 4 - KEPT}"]


class TestComingBack:
    async def test_one_goes_on_behind_the_last_event_it_has_got(self) -> None:
        on = bus()
        watch = on.watch(TOPICS)
        for fact in (key(1), model(1), key(2), model(2)):
            on.tell(fact)
        ids = await ids_of(watch, 4)
        assert await heard(since(on, ids[1])) == ["key_2", "m2"]
        assert await heard(since(on, ids[3])) == []
        assert len(set(ids)) == 4

    async def test_nothing_is_between_the_past_and_the_present(self) -> None:
        on = bus()
        [first] = [on.watch(TOPICS).start_id]
        assert first is not None
        on.tell(key(1))
        watch = since(on, first)
        on.tell(key(2))
        assert await heard(watch) == ["key_1", "key_2"]

    async def test_who_has_got_no_event_yet_has_the_place_where_it_began(self) -> None:
        on = bus()
        on.tell(key(1))
        start = on.watch(TOPICS).start_id
        on.tell(key(2))
        assert start is not None
        again = since(on, start)
        assert again.start_id is None
        assert await heard(again) == ["key_2"]

    async def test_it_may_ask_for_other_topics_than_before(self) -> None:
        on = bus()
        watch = on.watch(["keys"])
        on.tell(model(1))
        on.tell(key(1))
        on.tell(model(2))
        [id] = await ids_of(watch, 1)
        assert await heard(since(on, id, "models")) == ["m2"]

    async def test_what_is_not_kept_any_more_is_counted_topic_by_topic(self) -> None:
        on = bus()
        id = on.watch(TOPICS).start_id
        assert id is not None
        on.tell(model(1))
        for number in range(KEPT + 3):
            on.tell(key(number))
        keys = await heard(since(on, id, "keys"))
        assert keys[:2] == ["lost 3", "key_3"]
        assert len(keys) == 1 + KEPT
        assert await heard(since(on, id, "models")) == ["m1"], "a busy topic leaves the others alone"
        assert (await heard(since(on, id)))[:3] == ["lost 3", "m1", "key_3"]

    async def test_who_was_told_of_a_loss_is_not_told_again(self) -> None:
        on = bus()
        id = on.watch(TOPICS).start_id
        assert id is not None
        for number in range(KEPT + 3):
            on.tell(key(number))
        [lost, *_] = await since(on, id).next_batch()
        assert lost.id is not None
        assert (await heard(since(on, lost.id)))[0] == "key_3"

    @pytest.mark.parametrize(
        "id",
        [
            "4567-" + ".".join(["0"] * len(TOPICS)),
            "0123-" + ".".join(["0"] * (len(TOPICS) - 1)),
            "0123-" + ".".join(["x"] * len(TOPICS)),
            "0123-" + ".".join(["٣"] * len(TOPICS)),
            "0123-" + ".".join(["9" * 5000] * len(TOPICS)),
            "0123",
            "\x00",
            "7",
        ],
    )
    async def test_an_id_of_another_boot_or_of_none_loses_an_unknown_number_and_goes_on_from_now(self, id: str) -> None:
        on = bus()
        on.tell(key(1))
        watch = since(on, id)
        on.tell(key(2))
        assert await heard(watch) == ["lost None", "key_2"]
        [lost] = await since(on, id).next_batch()
        assert lost.id is not None
        assert await heard(since(on, lost.id)) == []

    async def test_an_id_of_what_has_not_happened_yet_says_nothing(self) -> None:
        on = bus()
        on.tell(key(1))
        assert await heard(since(on, "0123-" + ".".join(["7"] * len(TOPICS)))) == ["lost None"]


class TestRequests:
    async def test_they_are_heard_only_while_somebody_watches_them(self) -> None:
        on = bus()
        heard_so_far = [on.hears_requests]
        on.watch(set(TOPICS) - OF_REQUESTS)
        heard_so_far.append(on.hears_requests)
        on.tell(request(1))
        watch = on.watch(["policy"])
        heard_so_far.append(on.hears_requests)
        assert heard_so_far == [False, False, True]
        receipts = on.watch(["receipts"])
        on.tell(request(2))
        assert await heard(receipts) == ["rcpt_2"]
        assert await heard(watch) == []

    async def test_and_a_while_longer_for_who_comes_back(self) -> None:
        clock = Clock()
        on = bus(clock)
        watch = on.watch(["receipts"])
        on.tell(request(1))
        [id] = await ids_of(watch, 1)
        on.unwatch(watch)
        clock.now += LINGER_S
        on.tell(request(2))
        assert on.hears_requests
        assert await heard(since(on, id)) == ["rcpt_2"]

    async def test_then_nobody_knows_what_has_happened(self) -> None:
        clock = Clock()
        on = bus(clock)
        watch = on.watch(["receipts"])
        on.tell(request(1))
        [id] = await ids_of(watch, 1)
        on.unwatch(watch)
        clock.now += LINGER_S + 1
        on.tell(request(2))
        assert not on.hears_requests
        again = since(on, id)
        on.tell(request(3))
        assert await heard(again) == ["lost None", "rcpt_3"]
        assert await heard(since(on, id, "receipts")) == ["lost None", "rcpt_3"]
        assert await heard(since(on, id, "keys", "models")) == [], "the other topics have been told all the time"

    async def test_nothing_is_lost_where_nothing_has_happened_meanwhile(self) -> None:
        clock = Clock()
        on = bus(clock)
        watch = on.watch(["receipts"])
        on.tell(request(1))
        [id] = await ids_of(watch, 1)
        on.unwatch(watch)
        clock.now += LINGER_S - 1
        assert await heard(since(on, id)) == []

    async def test_one_watcher_that_leaves_does_not_end_it_for_another(self) -> None:
        clock = Clock()
        on = bus(clock)
        first, second = on.watch(TOPICS), on.watch(TOPICS)
        on.unwatch(first)
        clock.now += 10 * LINGER_S
        on.tell(request(1))
        assert await heard(second) == ["rcpt_1"]
