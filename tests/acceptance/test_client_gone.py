"""A client that leaves takes its upstream call along and leaves a receipt that says so."""

import socket
import struct

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.daemon import Daemon
from tests.acceptance.load import send_chat
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until


def final_status(daemon: Daemon) -> str:
    """The final status of the one receipt, once it is closed."""

    def status() -> str | None:
        [summary] = daemon.receipts()
        found: str | None = summary["status"]
        return found

    return wait_until(status, "the receipt is not closed") or ""


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [("ok-n100-p50", True), ("ok-d9000", True), ("ok-d9000", False)],
    ids=["mid-stream", "before-first-byte", "unary"],
)
@pytest.mark.parametrize("rude", [False, True], ids=["close", "reset"])
def test_leaving_cancels_the_upstream_call(
    upstream: Upstream, start_daemon: StartDaemon, backend: str, behaviour: str, stream: bool, rude: bool
) -> None:
    config = gateway_config(upstream, behaviour, backend=backend)
    daemon = start_daemon(config)
    connection = send_chat(daemon, stream=stream)
    assert upstream.wait_for_calls(1)
    if "p50" in behaviour:
        connection.recv(65536)
    if rude:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    assert upstream.wait_for_hang_ups(1), "the upstream connection was not closed"
    assert final_status(daemon) == "client_cancelled"
    assert not [path for path in daemon.actors() if path.startswith("wardwright/runs/")]
