"""Watching a daemon live: what is told, to whom, what is lost, and how a watcher comes back."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.watching import watching
from tests.support.waiting import wait_until

OF_ONE_REQUEST = ["receipt.opened", "attempt.started", "attempt.finished", "receipt.closed"]
ENDS_WITHIN_S = 60.0
"""Half of what a stop waits for live requests."""
CONFIG = """
[server]
drain_seconds = 120

[storage]
durability = "none"

[[providers]]
id = "demo"
kind = "canned"
outputs = ["an answer like any other"]

[[targets]]
id = "demo/model"
provider = "demo"
context_window = 8192

[[models]]
id = "test-model"
"""


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def config(request: pytest.FixtureRequest) -> str:
    return f'[runtime]\nbackend = "{request.param}"\n{CONFIG}'


@pytest.fixture(scope="module")
def daemon(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("watched"), config) as running:
        yield running


def test_a_request_is_seen_as_it_goes_and_nothing_of_what_it_says(daemon: Daemon) -> None:
    with watching(daemon, "receipts") as watcher:
        answer = daemon.chat(messages=[{"role": "user", "content": "a word of nobody else"}])
        watcher.wait_for_type("receipt.closed")
    assert watcher.types == OF_ONE_REQUEST
    closed = watcher.events[-1]
    assert closed["receipt_id"] == answer.headers["x-wardwright-receipt-id"]
    assert (closed["model_id"], closed["status"], closed["target"]) == ("test-model", "completed", "demo/model")
    receipt = daemon.receipt(closed["receipt_id"])
    assert closed["latency_ms"] == receipt["final"]["latency_ms"]
    said = json.dumps(watcher.events)
    assert "nobody else" not in said
    assert "an answer like any other" in answer.text
    assert "like any other" not in said


def test_an_actor_that_is_killed_is_seen_and_so_is_its_restart(daemon: Daemon) -> None:
    with watching(daemon, "actors") as watcher:
        daemon.kill_actor("wardwright/catalog")
        watcher.wait_for_type("actor.ended", "actor.restarted")
        [member] = [path for path in daemon.actors() if path.startswith("wardwright/events/")]
    assert [event["path"] for event in watcher.events] == ["wardwright/catalog"] * 2
    assert daemon.get("/admin/runtime")["boot"].removeprefix("boot_") in watcher.last_id
    wait_until(lambda: member not in daemon.actors(), "a watcher that hung up is still counted")


def test_one_that_comes_back_is_told_what_it_missed(daemon: Daemon) -> None:
    with watching(daemon, "receipts") as watcher:
        daemon.chat()
        watcher.wait_for_type("receipt.closed")
    answer = daemon.chat()
    with watching(daemon, "receipts", after=watcher.last_id) as again:
        again.wait_for_type("receipt.closed")
        assert again.types == OF_ONE_REQUEST
        assert again.events[0]["receipt_id"] == answer.headers["x-wardwright-receipt-id"]
        daemon.kill_actor("wardwright/events")
        again.wait_for(lambda one: one.has_ended)
    with watching(daemon, "receipts", after=again.last_id) as third:
        daemon.chat()
        third.wait_for_type("receipt.closed")
    assert third.types == OF_ONE_REQUEST


def test_one_that_does_not_read_loses_the_oldest_and_is_told_how_many(daemon: Daemon) -> None:
    host, port = daemon.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        connection.sendall(f"GET /admin/events?topic=receipts HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        requests, lost = ask_until_some_are_lost(daemon)
        last = daemon.chat().headers["x-wardwright-receipt-id"]
        told = read_until(connection, f'"type":"receipt.closed","receipt_id":"{last}"')
    requests += 1
    losses = [int(count) for count in re.findall(r'"type":"lost","count":(\d+)', told)]
    assert sum(losses) >= lost > 0
    assert told.count('"topic":"receipts"') + sum(losses) == requests * len(OF_ONE_REQUEST)


def ask_until_some_are_lost(daemon: Daemon) -> tuple[int, int]:
    """Make requests until the daemon's newest watcher has lost events. Returns: how many of each."""
    numbers = [int(path.rpartition("/")[2]) for path in daemon.actors() if path.startswith("wardwright/events/")]
    watcher = f"wardwright/events/{max(numbers)}"  # an earlier one may not have been struck off yet
    body = {"model": "test-model", "messages": [{"role": "user", "content": "hello"}]}
    with daemon.client() as client:
        for burst in range(1, 100):
            for _ in range(100):
                assert client.post("/v1/chat/completions", json=body).status_code == 200
            lost = client.get(f"/admin/runtime/actors/{watcher}").json()["state"]["lost"]
            if lost:
                return 100 * burst, int(lost)
    raise AssertionError("a watcher that does not read has lost nothing")


def read_until(connection: socket.socket, words: str) -> str:
    text = b""
    while words.encode() not in text:
        piece = connection.recv(65536)
        assert piece, "the stream ended"
        text += piece
    return text.decode()


@pytest.mark.parametrize("topic", ["receipt", "receipts,everything"])
def test_an_unknown_topic_is_refused_with_those_there_are(daemon: Daemon, topic: str) -> None:
    with daemon.client() as client:
        answer = client.get("/admin/events", params={"topic": topic})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert "receipts, policy, models" in answer.json()["error"]["message"]


def test_a_stop_waits_for_no_watcher_and_another_daemon_says_that_its_ids_are_others(
    config: str, daemon: Daemon, tmp_path: Path
) -> None:
    with run_daemon(tmp_path, config) as stopping, watching(stopping) as watcher:
        began = time.monotonic()
        assert stopping.stop(signal.SIGTERM) == 0
        took_s = time.monotonic() - began
        watcher.wait_for(lambda one: one.has_ended)
    assert took_s < ENDS_WITHIN_S
    assert watcher.comments[-1] == "the gateway is stopping"
    with watching(daemon, "keys", after=watcher.last_id) as again:
        again.wait_for_type("lost")
        assert again.events == [{"type": "lost", "count": None}]
        assert again.last_id != watcher.last_id
