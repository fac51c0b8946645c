"""Every kind of sink that speaks to a server or a library of its own, at a real daemon that is killed in the midst of it, and goes on under the other event loop."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.test_sinks import ask, facts
from tests.contracts.test_nats_sink import STREAM, messages_of
from tests.support.kafka_mock import MockCluster, key_of
from tests.support.nats_server import NatsServer
from tests.support.otlp import attributes_of, spans_in
from tests.support.receiver import Asked, Receiver, Reply
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

TOKEN = "hush-hush"
KINDS = ("traces", "fleet", "lake", "table")
SINKS = """
[[sinks]]
id = "traces"
kind = "opentelemetry"
url = "{collector}"
start_at = "start"

[[sinks]]
id = "fleet"
kind = "nats"
servers = ["{nats}"]
stream = "{stream}"
token_env = "NATS_TOKEN"
start_at = "start"

[[sinks]]
id = "lake"
kind = "kafka"
brokers = ["{kafka}"]
topic = "receipts"
start_at = "start"

[[sinks]]
id = "table"
kind = "parquet"
path = "table"
start_at = "start"
"""


class Collector:
    """Keeps the requests that it has spans of, by the spans' ids."""

    def __init__(self) -> None:
        self.requests: dict[bytes, str] = {}
        self.receiver = Receiver(self._take)

    def _take(self, asked: Asked) -> Reply:
        for span in spans_in(asked):
            if not span.parent_span_id:
                self.requests[span.span_id] = attributes_of(span)["wardwright.receipt_id"]
        return Reply()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.receiver.stop()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    (tmp_path / "nats").mkdir()
    made = NatsServer(tmp_path / "nats", TOKEN)
    yield made
    made.kill()


@pytest.fixture
def kafka() -> Iterator[MockCluster]:
    made = MockCluster()
    yield made
    made.end()


def test_what_is_asked_before_and_after_a_kill_arrives_everywhere(
    upstream: Upstream,
    start_daemon: StartDaemon,
    collector: Collector,
    nats: NatsServer,
    kafka: MockCluster,
    tmp_path: Path,
) -> None:
    extra = SINKS.format(collector=collector.receiver.url, nats=nats.url, stream=STREAM, kafka=kafka.address)
    environment = {"NATS_TOKEN": TOKEN}
    first = start_daemon(gateway_config(upstream, "ok", backend="asyncio", extra=extra), environment=environment)
    ask(first, 5)
    wait_until(lambda: facts(first, "fleet")["delivered"] > 0, "nothing is delivered")
    first.process.kill()
    first.process.wait()

    second = start_daemon(gateway_config(upstream, "ok", backend="trio", extra=extra), environment=environment)
    ask(second, 5)
    ids = {summary["receipt_id"] for summary in second.receipts(limit=500)}
    assert len(ids) == 10
    wait_until(
        lambda: {facts(second, kind)["state"] for kind in KINDS} == {"idle"}, "sinks do not come to rest", within_s=300
    )

    assert {facts(second, kind)["lag_entries"] for kind in KINDS} == {0}
    assert set(collector.requests.values()) == ids
    assert sorted(message.key for message in nats.ask(messages_of)) == sorted(ids), "stored once"
    assert {key_of(message) for message in kafka.messages("receipts")} == ids
    with duckdb.connect(":memory:") as database:
        rows = database.execute(f"SELECT receipt_id, status FROM '{tmp_path}/daemon/table/*.parquet'").fetchall()
    assert sorted(rows) == sorted((receipt_id, "completed") for receipt_id in ids), "one row each"
