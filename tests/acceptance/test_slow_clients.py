"""Clients that do not keep up: what they hold back, and when they are let go."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.load import send_chat
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

STALL_S = 1.0
CLIENTS = 8
MOST_PER_CLIENT = 1_500_000
"""What `docs/explanation/slow-clients.md` states."""


@pytest.fixture(scope="module")
def daemon(backend: str, shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that soon has enough of a client that stalls."""
    models = {"test-model": ["flood"], "silent": ["ok-d1500"]}
    config = gateway_config_of(shared_upstream, models, backend=backend, extra=f"[server]\nstall_seconds = {STALL_S}\n")
    with run_daemon(tmp_path_factory.mktemp("slow"), config) as running:
        yield running


def newest_receipt(daemon: Daemon, upstream: Upstream, calls: int) -> str:
    """The id of the receipt of the call that makes so many."""
    assert upstream.wait_for_calls(calls, timeout=60)
    return str(daemon.receipts(limit=1)[0]["receipt_id"])


def final_status(daemon: Daemon, receipt_id: str) -> str:
    """How the request ended, once it has."""
    final = wait_until(lambda: daemon.receipt(receipt_id)["final"], "the receipt is not closed")
    return str(final["status"])


def is_quiet(daemon: Daemon) -> bool:
    """Whether nothing is left of any request: no run, no permit."""
    runs = [path for path in daemon.actors() if path.startswith("wardwright/runs/")]
    [provider] = daemon.get("/admin/providers")["data"]
    return not runs and provider["permits"]["in_use"] == 0


def rest_of(connection: socket.socket) -> bytes:
    """Whatever still comes, until the other side ends it."""
    connection.settimeout(60)
    rest = b""
    try:
        while piece := connection.recv(1_000_000):
            rest += piece
    except ConnectionResetError:
        pass
    return rest


def test_one_that_takes_no_more_of_its_answer_is_cut(daemon: Daemon, shared_upstream: Upstream) -> None:
    left, calls = shared_upstream.hang_ups, len(shared_upstream.calls)
    with send_chat(daemon, stream=True) as connection:
        receipt_id = newest_receipt(daemon, shared_upstream, calls + 1)
        assert shared_upstream.wait_for_hang_ups(left + 1, timeout=60), "the upstream connection was not closed"
        assert final_status(daemon, receipt_id) == "client_cancelled"
        assert b"[DONE]" not in rest_of(connection)
    wait_until(lambda: is_quiet(daemon), "something is left of the request")


def test_one_that_leaves_while_it_stalls_is_missed_at_once(daemon: Daemon, shared_upstream: Upstream) -> None:
    left, calls = shared_upstream.hang_ups, len(shared_upstream.calls)
    with send_chat(daemon, stream=True):
        receipt_id = newest_receipt(daemon, shared_upstream, calls + 1)
    assert shared_upstream.wait_for_hang_ups(left + 1, timeout=60)
    assert final_status(daemon, receipt_id) == "client_cancelled"


@pytest.mark.parametrize("begun", ["", '{"model": "test-model", "messages"'], ids=["head", "half-a-body"])
def test_one_that_never_finishes_its_request_is_cut(daemon: Daemon, begun: str) -> None:
    before = len(daemon.receipts())
    host, port = daemon.url.removeprefix("http://").split(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall((head + begun).encode())
        assert rest_of(connection) == b"", "there is nobody to answer"
    assert len(daemon.receipts()) == before, "nothing was asked"


def test_one_that_waits_for_its_answer_is_not(daemon: Daemon) -> None:
    assert daemon.chat(model="silent").status_code == 200


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory where Linux shows it")
def test_what_they_do_not_take_is_not_kept_for_them(
    backend: str, shared_upstream: Upstream, start_daemon: StartDaemon
) -> None:
    """Each would be sent 200 MB; half of them take one before they stop."""
    config = gateway_config_of(shared_upstream, {"test-model": ["flood"]}, backend=backend, silence_s=300)
    daemon = start_daemon(config)
    with stalled_clients(daemon, shared_upstream, 1):
        pass  # whatever the first request takes for good
    before = resident_bytes(daemon)
    with stalled_clients(daemon, shared_upstream, CLIENTS) as taken:
        assert taken < CLIENTS * 20_000_000, "the provider is read on though nobody takes it"
        assert resident_bytes(daemon) - before < CLIENTS * MOST_PER_CLIENT


@contextmanager
def stalled_clients(daemon: Daemon, upstream: Upstream, count: int) -> Iterator[int]:
    """Clients that take no more; how much has been taken of the provider for them. They have left in the end."""
    calls, left = len(upstream.calls), upstream.hang_ups
    with ExitStack() as stack:
        clients = [stack.enter_context(send_chat(daemon, stream=True)) for _ in range(count)]
        assert upstream.wait_for_calls(calls + count, timeout=60)
        for client in clients[::2]:
            for _ in range(10):
                client.recv(100_000, socket.MSG_WAITALL)
        yield settled(partial(sent_by, upstream, calls))
    assert upstream.wait_for_hang_ups(left + count, timeout=60)


def settled(count: Callable[[], int]) -> int:
    """A count that grows no more: it has been the same for many looks, each of which had to be given its turn on the machine."""
    last, looks = count(), 0
    while looks < 50:
        time.sleep(0.02)
        last, before = count(), last
        looks = looks + 1 if last == before else 0
    return last


def sent_by(upstream: Upstream, calls: int) -> int:
    """What was sent in answer to all but the first so many calls."""
    return sum(exchange.sent_bytes for exchange in upstream.exchanges[calls:])


def resident_bytes(daemon: Daemon) -> int:
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
