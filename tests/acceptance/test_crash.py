"""`kill -9` of the daemon with streams under way, and an orderly stop: what is on disk afterwards. `tests/chaos` kills it more often."""

import signal
import time

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.load import send_chat, streams
from tests.support.upstream import Upstream


def test_a_receipt_left_open_by_kill_9_is_closed_as_interrupted(upstream: Upstream, start_daemon: StartDaemon) -> None:
    config = gateway_config(upstream, "ok-n100-p50")
    first = start_daemon(config)
    with streams(first, 3) as seen:
        first.process.kill()
        first.process.wait()
    assert all(one.broken for one in seen)

    second = start_daemon(config)

    for one in seen:
        receipt = second.receipt(one.receipt_id)
        assert receipt["final"]["status"] == "interrupted"
        assert receipt["decision"]["selected_model"] == "up/0-ok-n100-p50"
    assert second.get("/admin/storage")["open_count"] == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_live_streams_finish_and_refuses_new_connections(
    upstream: Upstream, start_daemon: StartDaemon, backend: str, sign: signal.Signals
) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok-n10-p50", backend=backend))

    with streams(daemon, 10) as seen:
        daemon.process.send_signal(sign)

    assert all(one.done for one in seen), [one for one in seen if not one.done]
    assert daemon.process.wait(60) == 0


def test_a_second_signal_cuts_what_is_still_running(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok-n400-p50", backend=backend))

    with streams(daemon, 3) as seen:
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_logged("stopping: live requests may finish, a second signal cuts them")
        daemon.process.send_signal(signal.SIGTERM)

    assert all(one.is_well_formed and one.error is not None for one in seen), seen
    assert daemon.process.wait(60) == 0


def test_a_client_that_reads_nothing_does_not_keep_the_daemon_from_stopping(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    config = gateway_config(upstream, "ok-n200000", backend=backend, extra="\n[server]\ndrain_seconds = 0.2\n")
    first = start_daemon(config)
    with send_chat(first, stream=True) as stalled:
        assert stalled.recv(1)
        time.sleep(0.5)  # for the buffers between the two to fill: nobody can see them
        assert first.stop() == 0

    assert not [line for line in first.log if line.get("level") == "error"]
    [receipt] = start_daemon(config).receipts()
    assert receipt["status"] == "interrupted"


def test_streams_longer_than_the_drain_are_told_and_recorded(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    config = gateway_config(upstream, "ok-n4000-p50", backend=backend, extra="\n[server]\ndrain_seconds = 0.5\n")
    first = start_daemon(config)

    with streams(first, 5) as seen:
        began = time.monotonic()
        assert first.stop() == 0

    assert time.monotonic() - began < 100  # of the two hundred seconds that the streams would last
    assert all(one.is_well_formed and one.error is not None for one in seen), seen
    changed = gateway_config(upstream, "ok", backend=backend).replace('version = "v1"', 'version = "v2"')
    second = start_daemon(changed)
    for one in seen:
        assert second.receipt(one.receipt_id)["final"]["status"] == "interrupted"
