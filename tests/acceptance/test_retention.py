"""Receipts are kept for as long as they are to be kept, and no longer."""

import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.support.upstream import Upstream
from tests.wardwright.receipts.receipt_samples import fallback_story, sealed
from wardwright.app.storage import storage_at
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

    until = time.monotonic() + 20
    while [summary["receipt_id"] for summary in daemon.receipts()] != [young]:
        assert time.monotonic() < until
        time.sleep(0.02)
    with daemon.client() as client:
        assert client.get(f"/v1/receipts/{old}").status_code == 404
        assert client.get(f"/v1/receipts/{young}").status_code == 200
