"""A disk that takes nothing more while the daemon runs, as a full one does: what clients are told, and how it ends.

The stand-in for a full disk is the size that the daemon's files may have, which can be changed while it runs.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.daemon import Daemon
from tests.acceptance.load import streams
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits of a running process are changed as Linux has it"
)


@contextmanager
def full_disk(daemon: Daemon) -> Iterator[None]:
    """No file of the daemon can grow."""
    limit = resource.RLIMIT_FSIZE
    before = resource.prlimit(daemon.process.pid, limit)
    resource.prlimit(daemon.process.pid, limit, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(daemon.process.pid, limit, before)


def readiness(daemon: Daemon) -> tuple[int, dict[str, Any]]:
    with daemon.client() as client:
        answer = client.get("/readyz")
        return answer.status_code, answer.json()


@pytest.mark.parametrize(("backend", "kind"), [("asyncio", "sqlite"), ("trio", "file")], indirect=["backend"])
def test_while_nothing_can_be_stored_nothing_is_answered_and_then_all_is_as_before(
    upstream: Upstream, start_daemon: StartDaemon, backend: str, kind: str
) -> None:
    config = gateway_config(upstream, "ok-n30-p50", backend=backend, extra=f'[storage]\nkind = "{kind}"\n')
    daemon = start_daemon(config)
    before = daemon.chat()
    assert (before.status_code, readiness(daemon)[0]) == (200, 200)

    with streams(daemon, 3) as cut_off, full_disk(daemon):
        assert readiness(daemon) == (503, {"status": "not ready", "problems": ["storage"]})
        (problem,) = daemon.get("/admin/readiness")["problems"]
        assert "File too large" in problem["detail"]
        daemon.wait_logged("not ready")
        calls = len(upstream.calls)
        refused = daemon.chat()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
        assert "File too large" not in refused.text, "whoever asks a model need not know of our disks"
        daemon.wait_logged("receipts cannot be stored, so no request is answered")
        with streams(daemon, 1) as [seen]:
            pass
        assert (seen.status, seen.error and seen.error["code"]) == (503, "storage_unavailable")
        assert len(upstream.calls) == calls, "nobody is asked for what could not be recorded"
        assert daemon.get("/livez")
        assert daemon.receipt(before.headers["x-wardwright-receipt-id"])["final"]["status"] == "completed"
        for one in cut_off:
            assert one.ended.wait(60), "a stream under way is told, too, when its end cannot be recorded"

    assert [(one.done, one.error and one.error["code"]) for one in cut_off] == [(False, "storage_unavailable")] * 3
    wait_until(lambda: readiness(daemon)[0] == 200, "the daemon is not ready again")
    assert daemon.chat().status_code == 200
    daemon.wait_logged("receipts can be stored again")
    assert daemon.stop() == 0

    again = start_daemon(config)
    assert {again.receipt(one.receipt_id)["final"]["status"] for one in cut_off} == {"interrupted"}
    assert [receipt["status"] for receipt in again.receipts()].count("completed") == 2
    assert again.get("/admin/storage")["open_count"] == 0
