"""The sink for Kafka beyond the contract: partitions, what a broker answers, and brokers that say nothing."""

import ssl
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.support.certificates import Authority
from tests.support.kafka_mock import MockCluster, key_of
from tests.support.tls_front import TlsFront
from wardwright.ports.sink import SinkRefused, SinkUnavailable
from wardwright.sinks.kafka import Access, KafkaSink
from wardwright.sinks.tls import TlsFiles
from wardwright.testing.sink_bench import sample_records

PRODUCE, METADATA = 0, 3
Front = Callable[[ssl.SSLContext], str]


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
    cluster: MockCluster | str,
    topic: str,
    *,
    access: Access | None = None,
    timeout_s: float = 20,
    opened: bool = True,
) -> KafkaSink:
    made = KafkaSink(
        [cluster if isinstance(cluster, str) else cluster.address],
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def by_tls(cluster: MockCluster) -> Iterator[Front]:
    """Where the broker is to be had by TLS."""
    fronts: list[TlsFront] = []

    def front(context: ssl.SSLContext) -> str:
        fronts.append(TlsFront(context, int(cluster.address.rpartition(":")[2]), is_kafka=True))
        return f"127.0.0.1:{fronts[-1].port}"

    yield front
    for made in fronts:
        made.end()


def refusal(address: str, topic: str, tls: TlsFiles | None) -> str:
    sink = sink_to(address, topic, access=Access(tls=tls), opened=False)
    with pytest.raises(SinkUnavailable) as caught:
        sink.open()
    sink.close()
    return str(caught.value)


def test_brokers_are_known_by_an_authority_of_their_own_and_shown_our_certificate(
    cluster: MockCluster, topic: str, authority: Authority, by_tls: Front
) -> None:
    records = sample_records("events", 3)
    address = by_tls(authority.server_context(asks=True))
    ours = TlsFiles(str(authority.file), *(str(file) for file in authority.issue("us")))
    sink = sink_to(address, topic, access=Access(tls=ours))
    sink.deliver(records)
    sink.close()
    assert sorted(keys_in(cluster, topic)) == sorted(record.key for record in records)
    told = refusal(address, topic, TlsFiles(str(authority.file)))
    assert "asks for a certificate that it knows, which is for certificate_file to give" in told


def test_the_system_is_asked_where_no_authority_is_named(
    topic: str, authority: Authority, by_tls: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = by_tls(authority.server_context())
    told = refusal(address, topic, TlsFiles())
    assert "which is for ca_file to say" in told
    assert "ssl.ca.location" not in told
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    sink_to(address, topic, access=Access(tls=TlsFiles())).close()


def test_certificates_that_are_not_a_brokers_are_refused(topic: str, authority: Authority, by_tls: Front) -> None:
    ours = TlsFiles(str(authority.file))
    assert "expired" in refusal(by_tls(authority.server_context(expired=True)), topic, ours)
    assert "for another name" in refusal(by_tls(authority.server_context("elsewhere.test")), topic, ours)


def test_brokers_that_speak_tls_to_one_who_does_not_are_told(topic: str, authority: Authority, by_tls: Front) -> None:
    assert "it speaks TLS, which is for tls to say" in refusal(by_tls(authority.server_context()), topic, None)


def test_a_file_that_is_of_no_use_is_named_by_its_key(topic: str) -> None:
    assert refusal("127.0.0.1:9", topic, TlsFiles("/nowhere")).startswith("ca_file: /nowhere cannot be read")
