"""The cluster of brokers that librdkafka brings for its own tests, by its C interface: real sockets, brokers that go down and come back."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

_WHEEL = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
_PRODUCER = 0


class MockCluster:
    """One broker. What is in its topics stays while it is down."""

    def __init__(self) -> None:
        self._library = _load()
        text = ctypes.create_string_buffer(512)
        self._handle = self._library.rd_kafka_new(_PRODUCER, None, text, len(text))
        assert self._handle, text.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, 1)
        assert self._cluster

    @property
    def address(self) -> str:
        found: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def set_down(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def set_up(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def set_slow(self, milliseconds: int) -> None:
        """Let every answer take so long."""
        assert self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, milliseconds) == 0

    def answer_with(self, api_key: int, errors: Sequence[int]) -> None:
        """What the next requests of a kind are answered with."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(errors), array)

    def messages(self, topic: str) -> list[Message]:
        """Everything that a topic holds, partition by partition."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "tests", "enable.auto.commit": False})
        try:
            known = consumer.list_topics(timeout=60).topics.get(topic)
            parts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in (known.partitions if known else ())]
            count = sum(consumer.get_watermark_offsets(part, timeout=60)[1] for part in parts)
            found: list[Message] = []
            consumer.assign(parts)
            while len(found) < count:
                got = consumer.consume(count - len(found), timeout=60)
                assert got, "the broker has more messages than it gives"
                found += got
        finally:
            consumer.close()
        assert all(message.error() is None for message in found)
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    def end(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


def _load() -> ctypes.CDLL:
    (path,) = _WHEEL.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    library.rd_kafka_new.argtypes = [number, pointer, text, ctypes.c_size_t]
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_destroy.argtypes = [pointer]
    library.rd_kafka_destroy.restype = None
    library.rd_kafka_mock_cluster_new.argtypes = [pointer, number]
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_destroy.restype = None
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    library.rd_kafka_mock_cluster_bootstraps.restype = text
    for name in ("rd_kafka_mock_broker_set_down", "rd_kafka_mock_broker_set_up"):
        getattr(library, name).argtypes = [pointer, ctypes.c_int32]
        getattr(library, name).restype = number
    library.rd_kafka_mock_broker_set_rtt.argtypes = [pointer, ctypes.c_int32, number]
    library.rd_kafka_mock_broker_set_rtt.restype = number
    errors = library.rd_kafka_mock_push_request_errors_array
    errors.argtypes = [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)]
    errors.restype = None
    return library


def key_of(message: Message) -> str:
    """The key of the record that a message is."""
    key = dict(message.headers() or ())["wardwright-key"]
    assert isinstance(key, bytes)
    return key.decode()
