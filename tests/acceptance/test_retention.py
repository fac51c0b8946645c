"""Receipts are kept for as long as they are to be kept, and no longer."""

import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until
from tests.wardwright.receipts.receipt_samples import fallback_story, sealed
from wardwright.app.storage import storage_at
from wardwright.receipts.audit import Audit
from wardwright.runtime.identity import first_receipt_id

DAY_S = 86_400


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_receipts_older_than_they_are_kept_for_are_gone_and_younger_ones_stay(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path, kind: str
) -> None:
    old, young = (f"{first_receipt_id(time.time() - days * DAY_S)}0123456789abc" for days in (3, 1))
    store = storage_at(kind, tmp_path / "daemon" / "data").open()
    store.append([*sealed(fallback_story(), receipt_id=old), *sealed(fallback_story(), receipt_id=young)])
    store.close()

    daemon = start_daemon(
        gateway_config(upstream, "ok", extra=f'[storage]\nkind = "{kind}"\nretention = {{ receipts_days = 2 }}\n')
    )

    wait_until(lambda: [summary["receipt_id"] for summary in daemon.receipts()] == [young], "the old receipt stays")
    with daemon.client() as client:
        assert client.get(f"/v1/receipts/{old}").status_code == 404
        assert client.get(f"/v1/receipts/{young}").status_code == 200


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_events_fade_after_their_days_and_why_and_how_it_ended_stays(
    upstream: Upstream, start_daemon: StartDaemon, tmp_path: Path, kind: str
) -> None:
    """With the retention that the contract has as its example."""
    storage = f'[storage]\nkind = "{kind}"\n'
    daemon = start_daemon(gateway_config(upstream, "ok", extra=storage))
    assert daemon.chat().status_code == 200
    (asked,) = (summary["receipt_id"] for summary in daemon.receipts())
    recent = daemon.receipt(asked)
    daemon.stop()
    old = f"{first_receipt_id(time.time() - 31 * DAY_S)}0123456789abc"
    store = storage_at(kind, tmp_path / "daemon" / "data").open()
    opened, *_, closed = (entry.event for entry in store.entries(asked))
    store.append(sealed([opened, *fallback_story()[1:-1], closed], receipt_id=old))
    store.close()

    retention = "retention = { receipts_days = 90, events_days = 30, content_days = 7 }\n"
    daemon = start_daemon(gateway_config(upstream, "ok", extra=storage + retention))

    wait_until(lambda: daemon.receipt(old).get("faded_events"), "no events fade")
    receipt = daemon.receipt(old)
    assert daemon.receipt(asked) == recent
    assert (receipt["decision"], receipt["attempts"], receipt["faded_events"]) == (recent["decision"], [], 4)
    assert receipt["final"]["status"] == recent["final"]["status"] == "completed"
    assert [event.get("was") for event in receipt["events"]][1:-1] == ["attempt.started", "attempt.finished"] * 2
    with daemon.client() as client:
        assert client.post(f"/v1/receipts/{old}/replay").json()["identical"]
    reader, audit = storage_at(kind, tmp_path / "daemon" / "data").read(), Audit()
    assert [audit.take(stored.payload) for stored in reader.replay()] == [None] * audit.entries
    assert (audit.receipts, audit.faded) == (2, 4)
    reader.close()
