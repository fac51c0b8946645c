"""Folders of Parquet files keep the sink contract, as DuckDB reads them."""

from pathlib import Path

import duckdb
import pytest

from wardwright.sinks.parquet import ParquetSink
from wardwright.testing.sink_suite import *


class FolderBench:
    """A folder that can be taken away."""

    secrets: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "table"

    def make(self) -> ParquetSink:
        return ParquetSink(self._folder, rows_per_file=100_000)

    def arrived(self) -> list[Arrived]:
        if not any(self._folder.glob("*.parquet")):
            return []
        with duckdb.connect(":memory:") as database:
            rows = database.execute(f"SELECT receipt_id FROM '{self._folder}/*.parquet' ORDER BY filename").fetchall()
        return [Arrived(receipt_id) for (receipt_id,) in rows]

    def break_down(self) -> None:
        if self._folder.exists():
            self._folder.rename(self._folder.with_name("away"))
        self._folder.write_text("a file where a folder should be")

    def mend(self) -> None:
        self._folder.unlink()
        away = self._folder.with_name("away")
        if away.exists():
            away.rename(self._folder)

    def refused(self, record: Record) -> Record | None:
        return record._replace(body=b'{"receipt_id": 7}')


@pytest.fixture
def sink(tmp_path: Path) -> SinkBench:
    return FolderBench(tmp_path)
