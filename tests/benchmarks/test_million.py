"""The benchmark of the file store, over few receipts: that it measures what it says, not how fast anything is."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks import appending, million
from tests.benchmarks.many_receipts import made
from tests.benchmarks.report import storage_table
from wardwright.receipts.chain import verify


def test_the_receipts_are_whole_and_come_by_ascending_id() -> None:
    records = list(made(20))
    assert all(verify(record) is None for record in records)
    assert sorted(record[0] for record in records) == [record[0] for record in records]


def test_every_promise_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "_APPENDED", 4)
    found = million.figures(tmp_path, 300)
    assert {*million.PROMISES, *million.RATES} <= found.keys()
    assert all(figure > 0 for name, figure in found.items() if not name.startswith("growth"))
    console = Console(width=160, record=True)
    console.print(storage_table(found))
    assert "start s" in console.export_text()
