"""Receipts rendered by several processes: the very bytes that one makes, in the same order."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.wardwright.app.test_storage_audit import RECEIPTS, files, filled
from wardwright.app import receipt_export
from wardwright.app.receipt_export import Block, csv_rows, ndjson_lines, rendered
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.sqlite import SqliteStorage

Kind = Callable[[Path], StorageProvider]


@pytest.mark.parametrize("kind", [files, SqliteStorage])
def test_two_processes_render_what_one_renders(tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt_export, "SMALL_STORE", 0)
    monkeypatch.setattr(receipt_export, "PIECE", 7)
    storage = filled(kind(tmp_path))
    for filters, lines in (({}, ndjson_lines), ({}, csv_rows), ({"status": "completed"}, csv_rows)):
        wanted = ReceiptFilter.parse(filters)
        alone, together = (list(rendered(storage, wanted, lines, processes)) for processes in (1, 2))
        (text, of_two), receipts = map(_joined, (alone, together)), RECEIPTS - RECEIPTS // 10 if filters else RECEIPTS
        assert of_two == text
        assert (len(together) > 2) is (not filters), "it comes piece by piece, where everything is asked for"
        assert text.count(b"\n") == receipts
        for blocks in (alone, together):
            assert sum(block.receipts for block in blocks) == receipts


def _joined(blocks: Iterable[Block]) -> bytes:
    return b"".join(block.lines for block in blocks)
