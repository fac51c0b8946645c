"""Webhooks keep the sink contract, at a receiver that checks every signature."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support.receiver import Asked, Receiver, Reply
from wardwright.domain.sink import Unit
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.webhook import WebhookSink, parse_secrets, sign
from wardwright.testing.sink_suite import *


class WebhookBench:
    """A receiver that takes what is signed, and no batch with a record in which there is a mark."""

    secrets = ("hush-hush", "path-token", "Bearer door")

    def __init__(self, unit: Unit) -> None:
        self._unit: Unit = unit
        self._arrived: list[Arrived] = []
        self.receiver = Receiver(self._take)

    def make(self) -> WebhookSink:
        url, environ = f"{self.receiver.url}/hooks/{self.secrets[1]}", {"DOOR": self.secrets[2]}
        far_side = FarSide(url, headers_env={"authorization": "DOOR"}, environ=environ, timeout_s=5, hides_path=True)
        secrets = [*parse_secrets(self.secrets[0], "there")]
        return WebhookSink(far_side, unit=self._unit, secrets=lambda: secrets, now=lambda: 1_800_000_000.7)

    def arrived(self) -> list[Arrived]:
        return self._arrived

    def break_down(self) -> None:
        self.receiver.stop()

    def mend(self) -> None:
        self.receiver.start()

    def refused(self, record: Record) -> Record | None:
        body: dict[str, Any] = msgspec.json.decode(record.body)
        return record._replace(body=msgspec.json.encode({**body, "mark": "unwanted"}))

    def _take(self, asked: Asked) -> Reply:
        assert asked.path == f"/hooks/{self.secrets[1]}"
        if asked.headers["authorization"] != self.secrets[2]:
            return Reply(401)
        expected = sign(self.secrets[0].encode(), asked.headers["webhook-id"], 1_800_000_000, asked.body)
        if asked.headers["webhook-timestamp"] != "1800000000" or asked.headers["webhook-signature"] != expected:
            return Reply(401)
        said = msgspec.json.decode(asked.body, type=dict[str, msgspec.Raw])
        assert msgspec.json.decode(said["type"]) == f"wardwright.{self._unit}"
        items = msgspec.json.decode(said["data"], type=list[dict[str, msgspec.Raw]])
        if any(b'"mark":"unwanted"' in bytes(item["record"]) for item in items):
            return Reply(422)
        self._arrived = [
            *self._arrived,
            *(Arrived(msgspec.json.decode(item["key"]), bytes(item["record"])) for item in items),
        ]
        return Reply(204, b"")


@pytest.fixture(params=["receipts", "events"])
def sink(request: pytest.FixtureRequest) -> Iterator[WebhookBench]:
    bench = WebhookBench(request.param)
    yield bench
    bench.receiver.stop()
