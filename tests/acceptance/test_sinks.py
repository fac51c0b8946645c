"""Sinks of a real daemon: a receiver that is gone, then there, and a daemon and an actor that are killed in the midst of it."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.daemon import Daemon
from tests.support.receiver import Asked, Receiver, Reply
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until
from wardwright.sinks.webhook import parse_secrets, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SINKS = """
[storage]
kind = "{storage}"

[[sinks]]
id = "hook"
kind = "webhook"
url = "{url}/hooks/4711"
unit = "events"
secret_env = "HOOK_SECRET"
start_at = "start"
batch = 5
linger_ms = 20
retry = {{ base_ms = 10, max_ms = 100 }}
{more}
"""
FILE = """
[[sinks]]
id = "file"
kind = "jsonl"
path = "{path}"
start_at = "start"
linger_ms = 20
"""


class Hooks:
    """A receiver of webhooks that keeps what comes in, and can be told to stop in the midst of it."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, bytes]] = []
        self.batches = 0
        self.stalls_after: int | None = None
        self.has_stalled = threading.Event()
        self.may_go_on = threading.Event()
        self.server = Receiver(self._take)

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.arrived]

    def _take(self, asked: Asked) -> Reply:
        (secret,) = parse_secrets(SECRET, "here")
        at = int(asked.headers["webhook-timestamp"])
        assert asked.headers["webhook-signature"] == sign(secret, asked.headers["webhook-id"], at, asked.body)
        for item in msgspec.json.decode(asked.body, type=dict[str, Any])["data"]:
            self.arrived.append((item["key"], json.dumps(item["record"]).encode()))
        self.batches += 1
        if self.batches == self.stalls_after:
            self.has_stalled.set()
            self.may_go_on.wait(60)
        return Reply()


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    made = Hooks()
    yield made
    made.may_go_on.set()
    made.server.stop()


def facts(daemon: Daemon, sink_id: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.get(f"/admin/sinks/{sink_id}")
    return found


def all_events(daemon: Daemon) -> dict[str, list[str]]:
    """The keys of every event by receipt, as the API has them."""
    ids = [summary["receipt_id"] for summary in daemon.receipts(limit=500)]
    return {found: [event["event_id"] for event in daemon.receipt(found)["events"]] for found in ids}


def metric(daemon: Daemon, name: str, sink_id: str) -> float:
    with daemon.client() as client:
        lines = client.get("/metrics").text.splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f'{name}{{sink="{sink_id}"}}'))
    return float(value)


def ask(daemon: Daemon, times: int) -> None:
    for _ in range(times):
        assert daemon.chat().status_code == 200


@pytest.mark.parametrize(("backend", "storage"), [("asyncio", "file"), ("trio", "sqlite")])
def test_whatever_is_killed_everything_arrives_once_by_key_and_in_order(
    upstream: Upstream, start_daemon: StartDaemon, hooks: Hooks, tmp_path: Path, backend: str, storage: str
) -> None:
    path = tmp_path / "receipts.jsonl"
    extra = SINKS.format(url=hooks.server.url, storage=storage, more=FILE.format(path=path))
    config = gateway_config(upstream, "ok", backend=backend, extra=extra)
    environment = {"HOOK_SECRET": SECRET}
    hooks.server.stop()
    first = start_daemon(config, environment=environment)
    ask(first, 15)
    written = sum(map(len, all_events(first).values()))

    wait_until(lambda: facts(first, "hook")["lag_entries"] == written, "the backlog is not counted")
    hook = facts(first, "hook")
    assert (hook["state"], hook["delivered"], hook["lag_seconds"] > 0) == ("failing", 0, True)
    assert "did not answer" in hook["last_error"]
    assert "4711" not in json.dumps(first.get("/admin/sinks")), "the path may be a secret"
    assert metric(first, "wardwright_sink_lag_entries", "hook") == written
    assert metric(first, "wardwright_sink_up", "hook") == 0
    assert first.get("/readyz")["status"] == "ready", "a sink that is down is in nobody's way"
    wait_until(lambda: facts(first, "file")["delivered"] == 15, "the file waits for the hook")
    hooks.stalls_after = 4
    hooks.server.start()
    assert hooks.has_stalled.wait(60)
    first.process.kill()
    first.process.wait()
    hooks.may_go_on.set()

    second = start_daemon(config, environment=environment)
    ask(second, 5)
    second.kill_actor("wardwright/sinks/hook")
    ask(second, 5)
    second.kill_actor("wardwright/sinks/file")
    events = all_events(second)
    everything = [key for keys in events.values() for key in keys]
    wait_until(lambda: set(hooks.keys) >= set(everything), "something was not sent")
    wait_until(lambda: facts(second, "file")["delivered"] >= 25, "something is not in the file")

    assert set(hooks.keys) == set(everything)
    assert len(dict(hooks.arrived)) == len(set(hooks.arrived)), "what came twice was the same"
    firsts = list(dict.fromkeys(hooks.keys))
    for keys in events.values():
        assert [key for key in firsts if key in set(keys)] == keys
    lines = path.read_bytes().splitlines()
    ids = [json.loads(line)["receipt_id"] for line in lines]
    assert sorted(ids) == sorted(events), "and in a file nothing is there twice"
    assert [json.loads(line) for line in lines] == [second.receipt(receipt_id) for receipt_id in ids]

    path.unlink()
    with second.client() as client:
        assert client.post("/admin/sinks/file/export", json={"from": 0}).status_code == 202
    wait_until(lambda: path.exists() and len(path.read_bytes().splitlines()) == 25, "something is not in the file")
    assert path.read_bytes().splitlines() == lines, "what is rebuilt from the log is what was there"


def test_one_that_fails_closed_keeps_requests_out_until_it_has_caught_up(
    upstream: Upstream, start_daemon: StartDaemon, hooks: Hooks
) -> None:
    hooks.server.stop()
    more = 'on_full = "fail_closed"\nmax_lag = 10'
    extra = SINKS.format(url=hooks.server.url, storage="memory", more=more)
    daemon = start_daemon(gateway_config(upstream, "ok", extra=extra), environment={"HOOK_SECRET": SECRET})

    # nothing is taken on before it is known what waits
    wait_until(lambda: daemon.chat().status_code == 200, "nothing is taken on")
    wait_until(lambda: daemon.chat().status_code == 503, "nothing is refused")
    assert daemon.chat().json()["error"]["code"] == "storage_unavailable"
    with daemon.client() as client:
        ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["problems"]) == (503, ["sinks"])
    (problem,) = daemon.get("/admin/readiness")["problems"]
    assert problem == {"check": "sinks", "detail": "the sink 'hook' is too far behind"}
    hooks.server.start()
    wait_until(lambda: facts(daemon, "hook")["state"] == "idle", "the hook does not come to rest")
    assert daemon.get("/readyz")["status"] == "ready"
    assert daemon.chat().status_code == 200
