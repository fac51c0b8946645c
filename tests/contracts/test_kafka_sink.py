"""Topics of Kafka keep the sink contract, at the broker that librdkafka brings for tests."""

from collections.abc import Iterator

import pytest

from tests.support.kafka_mock import MockCluster, key_of
from wardwright.ports.sink import BATCH_BYTES
from wardwright.sinks.kafka import Access, KafkaSink
from wardwright.testing.sink_bench import enlarged
from wardwright.testing.sink_suite import *

TOPIC = "wardwright.events"


class TopicBench:
    """A topic for events, whose order of a receipt is the harder one to keep."""

    secrets: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.cluster = MockCluster()

    def make(self) -> KafkaSink:
        return KafkaSink(
            [self.cluster.address],
            TOPIC,
            unit="events",
            access=Access(),
            environ={},
            max_message_bytes=1_000_000,
            timeout_s=20,
        )

    def arrived(self) -> list[Arrived]:
        return [Arrived(key_of(message), message.value()) for message in self.cluster.messages(TOPIC)]

    def break_down(self) -> None:
        self.cluster.set_down()

    def mend(self) -> None:
        self.cluster.set_up()

    def refused(self, record: Record) -> Record | None:
        return enlarged(record, BATCH_BYTES)


@pytest.fixture
def sink() -> Iterator[TopicBench]:
    bench = TopicBench()
    yield bench
    bench.cluster.end()
