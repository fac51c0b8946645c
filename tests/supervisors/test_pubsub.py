"""One publishes, many hear it, none can hurt another."""

import anyio
import pytest

from supervisors import ActorDown, Mailbox, PubSub, Supervisor, System
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import hang, puppet, puppet_of, started

pytestmark = pytest.mark.anyio


def tree() -> System:
    children = [puppet("a", restart="temporary", mailbox=Mailbox(2)), puppet("b")]
    return System("app", Supervisor(children), on_event=EventLog())


async def test_every_subscriber_of_the_topic_hears_and_nobody_else() -> None:
    async with tree() as system:
        topics, a, b = PubSub(), started(system, "app/a"), started(system, "app/b")
        topics.subscribe("news", a)
        topics.subscribe("news", b)
        topics.subscribe("weather", b)
        assert topics.publish("news", "one") == 2
        assert topics.publish("weather", "rain") == 1
        assert topics.publish("sports", "goal") == 0
        await settle()
        assert puppet_of(a).infos == ["one"]
        assert puppet_of(b).infos == ["one", "rain"]


async def test_the_sender_may_be_skipped() -> None:
    async with tree() as system:
        topics, a, b = PubSub(), started(system, "app/a"), started(system, "app/b")
        topics.subscribe("news", a)
        topics.subscribe("news", b)
        assert topics.publish("news", "one", skip=a) == 1
        await settle()
        assert puppet_of(a).infos == []


async def test_subscribing_twice_brings_everything_twice_and_unsubscribing_ends_both() -> None:
    async with tree() as system:
        topics, a = PubSub(), started(system, "app/a")
        topics.subscribe("news", a)
        topics.subscribe("news", a)
        topics.publish("news", "one")
        topics.unsubscribe("news", a)
        topics.unsubscribe("news", a)
        topics.publish("news", "two")
        await settle()
        assert puppet_of(a).infos == ["one", "one"]


async def test_subscriptions_vanish_with_the_subscriber() -> None:
    async with tree() as system:
        topics, a, b = PubSub(), started(system, "app/a"), started(system, "app/b")
        for topic in ("news", "weather"):
            topics.subscribe(topic, a)
        topics.subscribe("news", b)
        a.kill()
        await settle()
        assert topics.subscribers("news") == 1
        assert topics.subscribers("weather") == 0
        assert topics.publish("news", "one") == 1


async def test_the_dead_cannot_subscribe() -> None:
    async with tree() as system:
        a = started(system, "app/a")
        await a.stop()
        with pytest.raises(ActorDown):
            PubSub().subscribe("news", a)


async def test_a_full_subscriber_loses_messages_and_the_others_get_all() -> None:
    async with tree() as system:
        topics, a, b = PubSub(), started(system, "app/a"), started(system, "app/b")
        topics.subscribe("news", a)
        topics.subscribe("news", b)
        a.cast(hang)
        await settle()
        for number in range(5):
            topics.publish("news", number)
        await settle()
        assert puppet_of(b).infos == [0, 1, 2, 3, 4]
        assert topics.dropped == 3
        a.kill()


async def test_a_queue_keeps_the_newest_and_counts_the_loss() -> None:
    topics = PubSub()
    with topics.open("news", capacity=2) as subscription:
        for number in range(5):
            topics.publish("news", number)
        assert [await subscription.receive(), await subscription.receive()] == [3, 4]
        assert (subscription.dropped, topics.dropped) == (3, 3)


async def test_one_queue_hears_several_topics_in_the_order_of_what_was_said() -> None:
    topics = PubSub()
    with topics.open("news", "weather", "news") as subscription:
        for topic, message in (("news", "one"), ("sports", "goal"), ("weather", "rain"), ("news", "two")):
            topics.publish(topic, message)
        assert [await subscription.receive() for _ in range(len(subscription))] == ["one", "rain", "two"]
    assert (topics.subscribers("news"), topics.subscribers("weather")) == (0, 0)


async def test_a_reader_waits_for_the_next_message() -> None:
    topics = PubSub()
    heard: list[object] = []
    with topics.open("news") as subscription:

        async def read() -> None:
            heard.extend([message async for message in subscription])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await settle()
            topics.publish("news", "one")
            await settle()
            assert heard == []
            topics.publish("news", "two")
            subscription.close()
    assert heard == ["one", "two"]
    assert topics.subscribers("news") == 0


async def test_a_closed_queue_hears_nothing_more() -> None:
    topics = PubSub()
    subscription = topics.open("news")
    subscription.close()
    subscription.close()
    assert topics.publish("news", "one") == 0
    with pytest.raises(anyio.EndOfStream):
        await subscription.receive()
