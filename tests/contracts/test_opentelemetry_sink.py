"""Traces over OTLP keep the sink contract, at a receiver that reads them by the protocol's own messages."""

from collections.abc import Iterator

import msgspec
import pytest

from tests.support.otlp import attributes_of, spans_in
from tests.support.receiver import Asked, Receiver, Reply
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.opentelemetry import OpenTelemetrySink
from wardwright.testing.sink_suite import *


class CollectorBench:
    """A collector that keeps each span once, by its id, and takes no request with a span of the session `refused`."""

    secrets = ("Bearer hush",)

    def __init__(self) -> None:
        self._spans: dict[bytes, str] = {}
        self.receiver = Receiver(self._take)

    def make(self) -> OpenTelemetrySink:
        environ = {"TOKEN": self.secrets[0]}
        far_side = FarSide(self.receiver.url, headers_env={"authorization": "TOKEN"}, environ=environ, timeout_s=5)
        return OpenTelemetrySink(far_side, resource={})

    def arrived(self) -> list[Arrived]:
        return [Arrived(key) for key in self._spans.values()]

    def break_down(self) -> None:
        self.receiver.stop()

    def mend(self) -> None:
        self.receiver.start()

    def refused(self, record: Record) -> Record | None:
        receipt = msgspec.json.decode(record.body)
        receipt["caller"]["session_id"] = {"value": "refused", "source": "header"}
        return record._replace(body=msgspec.json.encode(receipt))

    def _take(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != self.secrets[0]:
            return Reply(401)
        spans = [(span, attributes_of(span)) for span in spans_in(asked)]
        if any(said.get("gen_ai.conversation.id") == "refused" for _, said in spans):
            return Reply(400)
        requests = {span.span_id: said["wardwright.receipt_id"] for span, said in spans if not span.parent_span_id}
        self._spans = {**self._spans, **requests}
        return Reply()


@pytest.fixture
def sink() -> Iterator[CollectorBench]:
    bench = CollectorBench()
    yield bench
    bench.receiver.stop()
