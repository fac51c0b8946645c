"""The sink for NATS beyond the contract: what the stream leaves out, what it has no room for, and servers that say nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy

from tests.support.nats_server import NatsServer
from wardwright.ports.sink import SinkRefused, SinkUnavailable
from wardwright.sinks import nats
from wardwright.sinks.nats import NatsSink, Stream
from wardwright.sinks.nats_access import Access
from wardwright.testing.sink_bench import enlarged, sample_records

TOKEN = "hush-hush"
STREAM = Stream("RECEIPTS", "wardwright.events", create=True, duplicates_s=600)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path, TOKEN)
    yield made
    made.kill()


class Made:
    """Makes sinks, and closes them when the test is over."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._sinks: list[NatsSink] = []

    def sink(self, stream: Stream = STREAM, *, token: str = TOKEN, timeout_s: float = 20) -> NatsSink:
        made = NatsSink(
            [self._server.url],
            stream,
            unit="events",
            access=Access(token_env="TOKEN"),
            environ={"TOKEN": token},
            timeout_s=timeout_s,
        )
        self._sinks.append(made)
        return made

    def end(self) -> None:
        for made in self._sinks:
            made.close()


@pytest.fixture
def made(server: NatsServer) -> Iterator[Made]:
    sinks = Made(server)
    yield sinks
    sinks.end()


def stored(server: NatsServer) -> list[str]:
    """The keys in the stream, in its order."""

    async def keys(client: Client) -> list[str]:
        jetstream = client.jetstream()
        state = (await jetstream.stream_info(STREAM.name)).state
        messages = [await jetstream.get_msg(STREAM.name, place) for place in range(1, state.last_seq + 1)]
        return [(message.headers or {})["Nats-Msg-Id"] for message in messages]

    return server.ask(keys)


def test_what_is_sent_again_is_stored_once_also_by_another_sink(server: NatsServer, made: Made) -> None:
    records = sample_records("events", 4)
    for sink in (made.sink(), made.sink()):
        sink.open()
        sink.deliver(records[:7])
        sink.deliver(records)
    assert sorted(stored(server)) == sorted(record.key for record in records)


def test_a_later_entry_never_gets_past_one_that_there_was_no_room_for(server: NatsServer, made: Made) -> None:
    async def narrow(client: Client) -> None:
        await client.jetstream().add_stream(
            name=STREAM.name, subjects=[STREAM.subject], max_msgs=3, discard=DiscardPolicy.NEW
        )

    async def widen(client: Client) -> None:
        config = (await client.jetstream().stream_info(STREAM.name)).config
        config.max_msgs = 100
        await client.jetstream().update_stream(config)

    server.ask(narrow)
    records = sample_records("events", 2)
    sink = made.sink()
    sink.open()
    with pytest.raises(SinkUnavailable, match="maximum messages exceeded"):
        sink.deliver(records)
    sink.close()
    server.ask(widen)
    sink.open()
    sink.deliver(records)
    for receipt_id in {record.receipt_id for record in records}:
        expected = [record.key for record in records if record.receipt_id == receipt_id]
        assert [key for key in stored(server) if key in expected] == expected


def test_what_only_its_headers_make_too_large_is_refused_and_not_the_connection(server: NatsServer, made: Made) -> None:
    async def max_payload(client: Client) -> int:
        return client.max_payload

    large, small = sample_records("events", 2)[:2]
    large = enlarged(large, server.ask(max_payload) - len(large.body) - 100)
    sink = made.sink()
    sink.open()
    with pytest.raises(SinkRefused, match="1 records were refused"):
        sink.deliver([large, small])
    assert stored(server) == [small.key]


def test_what_the_stream_finds_too_large_is_refused_and_the_others_go(server: NatsServer, made: Made) -> None:
    async def narrow(client: Client) -> None:
        await client.jetstream().add_stream(name=STREAM.name, subjects=[STREAM.subject], max_msg_size=5000)

    server.ask(narrow)
    large, small = sample_records("events", 2)[:2]
    sink = made.sink()
    sink.open()
    with pytest.raises(SinkRefused) as refusal:
        sink.deliver([enlarged(large, 6000), small])
    assert refusal.value.reasons == {large.key: "is larger than the stream takes"}
    assert stored(server) == [small.key]


def test_a_stream_that_is_to_be_there_and_is_not_is_named(made: Made) -> None:
    with pytest.raises(SinkUnavailable, match="there is no stream RECEIPTS, and create_stream is false"):
        made.sink(STREAM._replace(create=False)).open()


def test_a_server_that_does_not_know_us_is_told_nothing_in_the_message(made: Made) -> None:
    with pytest.raises(SinkUnavailable, match="Authorization Violation") as failure:
        made.sink(token="wrong-hush").open()
    assert "hush" not in str(failure.value)


def test_a_variable_that_is_not_set_is_named(made: Made) -> None:
    with pytest.raises(SinkUnavailable, match="the variable TOKEN is not set"):
        made.sink(token="").open()


def test_a_server_that_says_nothing_any_more_is_given_up(
    server: NatsServer, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = made.sink()
    sink.open()
    monkeypatch.setattr(sink._link, "_timeout_s", 0.3)
    with server.standing_still():
        with pytest.raises(SinkUnavailable, match=r"no answer within 0\.3 s"):
            sink.deliver(sample_records("events", 1))
        sink.close()


def test_a_connection_that_was_idle_for_long_is_made_anew(
    server: NatsServer, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = sample_records("events", 2)
    sink = made.sink()
    sink.open()
    sink.deliver(records[:3])
    server.kill()
    server.start()
    monkeypatch.setattr(nats, "_IDLE_S", -1.0)
    sink.deliver(records)
    assert sorted(stored(server)) == sorted(record.key for record in records)
