"""Folders of Parquet files beyond the contract: every row once, few files, and what a crash leaves behind."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardwright.ports.sink import Record
from wardwright.sinks.parquet import ParquetSink
from wardwright.testing.sink_bench import sample_records

RECORDS = sample_records("receipts", 26)


def sink_to(folder: Path, rows_per_file: int = 1000) -> ParquetSink:
    made = ParquetSink(folder, rows_per_file=rows_per_file)
    made.open()
    return made


def rows(folder: Path) -> list[str]:
    """The receipts, file by file and row by row."""
    with duckdb.connect(":memory:") as database:
        found = database.execute(f"SELECT receipt_id FROM '{folder}/*.parquet' ORDER BY filename, file_row_number")
        return [receipt_id for (receipt_id,) in found.fetchall()]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keys(records: Sequence[Record]) -> list[str]:
    return [record.key for record in records]


def name_of(records: Sequence[Record]) -> str:
    return f"receipts-{records[0].position:020d}-{records[-1].position:020d}.parquet"


def test_a_file_is_named_by_the_positions_in_it(tmp_path: Path) -> None:
    sink_to(tmp_path).deliver(RECORDS[:5])
    assert files(tmp_path) == [name_of(RECORDS[:5])]
    assert rows(tmp_path) == keys(RECORDS[:5])


def test_single_receipts_come_to_few_files_in_their_order(tmp_path: Path) -> None:
    sink = sink_to(tmp_path)
    for record in RECORDS[:13]:
        sink.deliver([record])
    assert rows(tmp_path) == keys(RECORDS[:13])
    assert files(tmp_path) == [name_of(RECORDS[:8]), name_of(RECORDS[8:12]), name_of(RECORDS[12:13])]


def test_a_file_that_is_large_enough_stays_as_it_is(tmp_path: Path) -> None:
    sink = sink_to(tmp_path, rows_per_file=4)
    for at in range(0, 12, 2):
        sink.deliver(RECORDS[at : at + 2])
    assert files(tmp_path) == [name_of(RECORDS[at : at + 4]) for at in range(0, 12, 4)]


def test_what_was_passed_over_and_comes_later_is_no_repetition(tmp_path: Path) -> None:
    sink = sink_to(tmp_path)
    sink.deliver([*RECORDS[:2], *RECORDS[5:9]])
    sink.deliver(RECORDS[2:5])
    sink.deliver(RECORDS[:9])
    sink_to(tmp_path)
    assert sorted(rows(tmp_path)) == keys(RECORDS[:9])


@pytest.mark.parametrize("sizes", [(3, 3), (8, 4, 2, 1, 1)])
def test_what_a_crash_left_beside_the_file_that_it_went_into_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]
) -> None:
    sink, at = sink_to(tmp_path), 0
    for size in sizes[:-1]:
        sink.deliver(RECORDS[at : at + size])
        at += size
    with monkeypatch.context() as crashing:
        crashing.setattr(Path, "unlink", _crash)
        with pytest.raises(KeyboardInterrupt):
            sink.deliver(RECORDS[at : at + sizes[-1]])
    (tmp_path / ".receipts-1-2.parquet.rows").write_text("half a row")
    sink_to(tmp_path)
    assert files(tmp_path) == [name_of(RECORDS[: sum(sizes)])]
    assert rows(tmp_path) == keys(RECORDS[: sum(sizes)])


def _crash(path: Path, *, missing_ok: bool = False) -> None:
    raise KeyboardInterrupt


def test_a_file_may_be_taken_away_and_its_rows_come_again_when_they_are_sent_again(tmp_path: Path) -> None:
    sink = sink_to(tmp_path)
    sink.deliver(RECORDS[:6])
    sink.deliver(RECORDS[6:8])
    (tmp_path / name_of(RECORDS[:6])).unlink()
    sink.deliver(RECORDS[8:9])
    assert rows(tmp_path) == keys(RECORDS[6:9])
    sink.deliver(RECORDS[:9])
    assert sorted(rows(tmp_path)) == keys(RECORDS[:9])


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other.parquet").write_text("none")
    sink_to(tmp_path).deliver(RECORDS[:1])
    assert files(tmp_path) == ["other.parquet", name_of(RECORDS[:1])]


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32), restarts=st.booleans())
def test_whatever_is_sent_again_and_in_whatever_batches_every_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, restarts: bool
) -> None:
    folder, draw = tmp_path_factory.mktemp("table"), Random(seed)
    sink, reached = sink_to(folder, rows_per_file=16), 0
    while reached < len(RECORDS):
        begin = max(0, reached - draw.randrange(6))
        reached = min(len(RECORDS), reached + draw.randrange(1, 12))
        sink.deliver(RECORDS[begin:reached])
        if restarts:
            sink = sink_to(folder, rows_per_file=16)
    assert rows(folder) == keys(RECORDS)
