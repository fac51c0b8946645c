"""The sink for Kafka beyond the contract: partitions, what a broker answers, and brokers that say nothing."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.support.kafka_mock import MockCluster, key_of
from wardwright.ports.sink import SinkRefused, SinkUnavailable
from wardwright.sinks.kafka import Access, KafkaSink
from wardwright.testing.sink_bench import sample_records

PRODUCE, METADATA = 0, 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    made = MockCluster()
    yield made
    made.end()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """One of the test's own."""
    return str(request.node.name)


def sink_to(
    cluster: MockCluster, topic: str, *, access: Access | None = None, timeout_s: float = 20, opened: bool = True
) -> KafkaSink:
    made = KafkaSink(
        [cluster.address],
        topic,
        unit="events",
        access=access or Access(),
        environ={"USER_NAME": "me", "PASSWORD": "hush"},
        max_message_bytes=1_000_000,
        timeout_s=timeout_s,
    )
    if opened:
        made.open()
    return made


def keys_in(cluster: MockCluster, topic: str) -> list[str]:
    return [key_of(message) for message in cluster.messages(topic)]


def test_a_receipt_is_in_one_partition_in_its_order_under_its_id(cluster: MockCluster, topic: str) -> None:
    records = sample_records("events", 12, attempts=3)
    sink = sink_to(cluster, topic)
    sink.deliver(records)
    sink.close()
    partitions, keys = defaultdict(set), defaultdict(list)
    for message in cluster.messages(topic):
        partitions[message.key()].add(message.partition())
        keys[message.key()].append(key_of(message))
    assert all(len(found) == 1 for found in partitions.values())
    assert len({partition for found in partitions.values() for partition in found}) > 1
    for receipt_id, found in keys.items():
        assert found == [record.key for record in records if record.receipt_id.encode() == receipt_id]
    assert len(keys) == 12


def test_what_a_broker_finds_too_large_is_refused_when_it_is_so_alone(cluster: MockCluster, topic: str) -> None:
    first, second = sample_records("events", 2)[:2]
    sink = sink_to(cluster, topic)
    sink.deliver([first])
    large = KafkaError.MSG_SIZE_TOO_LARGE
    cluster.answer_with(PRODUCE, [large])
    sink.deliver([first, second])
    cluster.answer_with(PRODUCE, [large])
    with pytest.raises(SinkRefused) as refusal:
        sink.deliver([second])
    sink.close()
    assert set(refusal.value.reasons) == {second.key}
    assert "too large" in refusal.value.reasons[second.key]
    assert sorted(set(keys_in(cluster, topic))) == sorted([first.key, second.key])


def test_what_passes_by_itself_is_not_even_told(cluster: MockCluster, topic: str) -> None:
    records = sample_records("events", 1)
    sink = sink_to(cluster, topic)
    cluster.answer_with(PRODUCE, [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_LEADER_FOR_PARTITION])
    sink.deliver(records)
    sink.close()
    assert keys_in(cluster, topic) == [record.key for record in records]


def test_what_nobody_may_write_is_tried_again_later(cluster: MockCluster, topic: str) -> None:
    records = sample_records("events", 1)
    sink = sink_to(cluster, topic)
    cluster.answer_with(PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
    with pytest.raises(SinkUnavailable, match="authorization failed"):
        sink.deliver(records)
    sink.close()
    sink.open()
    sink.deliver(records)
    sink.close()
    assert keys_in(cluster, topic) == [record.key for record in records]


def test_a_broker_that_was_away_between_two_batches_is_not_even_missed(cluster: MockCluster, topic: str) -> None:
    records = sample_records("events", 2)
    sink = sink_to(cluster, topic)
    sink.deliver(records[:3])
    assert sink._producer is not None
    cluster.set_down()
    with pytest.raises(KafkaException):
        sink._producer.list_topics(timeout=0.5)
    cluster.set_up()
    sink.deliver(records[3:])
    sink.close()
    assert sorted(keys_in(cluster, topic)) == sorted(record.key for record in records)


def test_brokers_that_say_nothing_are_given_up(cluster: MockCluster, topic: str) -> None:
    sink = sink_to(cluster, topic)
    sink.close()
    slow = sink_to(cluster, topic, timeout_s=0.3, opened=False)
    cluster.set_slow(3000)
    try:
        with pytest.raises(SinkUnavailable):
            slow.open()
        slow.close()
    finally:
        cluster.set_slow(0)


def test_a_variable_that_is_not_set_is_named(cluster: MockCluster, topic: str) -> None:
    access = Access(mechanism="PLAIN", user_env="USER_NAME", password_env="UNSET")
    with pytest.raises(SinkUnavailable, match="the variable UNSET is not set"):
        sink_to(cluster, topic, access=access)


def test_a_broker_that_does_not_know_our_way_to_show_who_we_are(cluster: MockCluster, topic: str) -> None:
    access = Access(mechanism="PLAIN", user_env="USER_NAME", password_env="PASSWORD")
    with pytest.raises(SinkUnavailable) as failure:
        sink_to(cluster, topic, access=access, timeout_s=5)
    assert "hush" not in str(failure.value)


def test_what_was_not_opened_says_so(cluster: MockCluster, topic: str) -> None:
    with pytest.raises(SinkUnavailable, match="is not open"):
        sink_to(cluster, topic, opened=False).deliver(sample_records("events", 1))
