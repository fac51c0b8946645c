"""Streams of NATS keep the sink contract, at a real server that is killed when it breaks down."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from tests.support.nats_server import NatsServer
from wardwright.domain.sink import Unit
from wardwright.ports.sink import BATCH_BYTES
from wardwright.sinks.nats import NatsSink, Stream
from wardwright.sinks.nats_access import Access
from wardwright.testing.sink_bench import enlarged
from wardwright.testing.sink_suite import *

STREAM, SUBJECT = "RECEIPTS", "wardwright.receipts"


class StreamBench:
    """A stream that takes no message larger than those of a server as it is installed."""

    secrets = ("hush-hush",)

    def __init__(self, folder: Path, unit: Unit) -> None:
        self._unit: Unit = unit
        self.server = NatsServer(folder, self.secrets[0])

    def make(self) -> NatsSink:
        return NatsSink(
            [self.server.url],
            Stream(STREAM, SUBJECT, create=True, duplicates_s=600),
            unit=self._unit,
            access=Access(token_env="TOKEN"),
            environ={"TOKEN": self.secrets[0]},
            timeout_s=20,
        )

    def arrived(self) -> list[Arrived]:
        return self.server.ask(messages_of)

    def break_down(self) -> None:
        self.server.kill()

    def mend(self) -> None:
        self.server.start()

    def refused(self, record: Record) -> Record | None:
        return enlarged(record, BATCH_BYTES)


async def messages_of(client: Client) -> list[Arrived]:
    jetstream = client.jetstream()
    try:
        count = (await jetstream.stream_info(STREAM)).state.messages
    except NotFoundError:
        return []
    subscription = await jetstream.pull_subscribe(SUBJECT, stream=STREAM)
    messages = await subscription.fetch(count, timeout=60) if count else []
    return [Arrived((message.headers or {})["Nats-Msg-Id"], message.data) for message in messages]


@pytest.fixture(params=["receipts", "events"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StreamBench]:
    bench = StreamBench(tmp_path, request.param)
    yield bench
    bench.server.kill()
