"""Parquet files: what DuckDB reads from one is what the receipts say, and a file is there whole or not at all."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.docs.pages import blocks_in
from tests.wardwright.receipts.receipt_samples import entries, fallback_story
from wardwright.domain.caller import Attributed, Caller
from wardwright.receipts.columns import COLUMNS
from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.stats import tally
from wardwright.sinks.parquet_file import ParquetFailed, receipt_ids, row_count, write_parquet
from wardwright.testing.sample_receipts import opened, plain, receipt_id, sealed

STATUSES = """
    SELECT coalesce(status, 'open'), count(*), coalesce(sum(prompt_tokens + completion_tokens), 0)
    FROM read_parquet($path) GROUP BY ALL ORDER BY ALL
"""


def receipt(number: int, **of: Any) -> Receipt:
    return fold([decode_entry(payload) for payload in plain(number, **of).payloads])


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(":memory:") as database:
        database.execute("SET TimeZone = 'UTC'")
        return database.execute(question, {"path": str(path)} if "$path" in question else None).fetchall()


def test_rows_are_the_receipts_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "receipts.parquet"
    assert write_parquet((receipt(number, session_id="s") for number in (3, 1, 2)), path) == 3
    rows = ask(path, "SELECT receipt_id, session_id, attempts, epoch(created_at) FROM read_parquet($path)")
    assert rows == [(receipt_id(number), "s", 1, 1_800_000_000 + 10 * number) for number in (3, 1, 2)]
    assert [one.name for one in tmp_path.iterdir()] == ["receipts.parquet"]
    assert (row_count(path), receipt_ids(path)) == (3, frozenset(map(receipt_id, (1, 2, 3))))


def test_columns_have_their_types_though_nothing_is_in_them(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    assert write_parquet([], path) == 0
    found = {name: kind for name, kind, *_ in ask(path, "DESCRIBE SELECT * FROM read_parquet($path)")}
    assert list(found) == [column.name for column in COLUMNS]
    assert {found[name] for name in ("cost_usd", "latency_ms", "first_token_ms")} == {"DOUBLE"}
    assert (found["closed_at"], found["caller_tags"], found["attempt_details"], found["released"]) == (
        "TIMESTAMP WITH TIME ZONE",
        "VARCHAR[]",
        "JSON",
        "BOOLEAN",
    )


def test_the_table_sums_up_to_what_stats_say(tmp_path: Path) -> None:
    receipts = [receipt(number, closed=number % 3 > 0, attempts=number % 2) for number in range(30)]
    write_parquet(receipts, tmp_path / "a.parquet")
    rows = ask(tmp_path / "a.parquet", STATUSES)
    assert rows == sorted((group.group or "open", group.requests, 0) for group in tally(receipts, "status").groups)
    asked = "SELECT sum(json_array_length(attempt_details)), count(*) FILTER (fallback) FROM read_parquet($path)"
    assert ask(tmp_path / "a.parquet", asked) == [(15, tally(receipts, "status").all.fallbacks)]


@pytest.mark.parametrize("name", ["ä'\"\\%", "a\nb", "\x00", "😀", "{}", "null"])
def test_whatever_a_caller_is_called_stays_one_cell(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"it's {len(name)} $spool.parquet"
    written = sealed(1, [opened(Caller(tenant_id=Attributed(name, "header"), tags=(name, "b")))])
    write_parquet([fold([decode_entry(payload) for payload in written.payloads])], path)
    assert ask(path, "SELECT tenant_id, caller_tags FROM read_parquet($path)") == [(name, [name, "b"])]


def test_the_questions_of_the_guide_have_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_parquet([fold(entries(fallback_story()))], tmp_path / "receipts.parquet")
    (block,) = (block for block in blocks_in("sql") if block.page.name == "read-receipts.md")
    costs, failures = (question for question in block.text.split(";") if question.strip())
    assert ask(tmp_path, costs) == [(None, datetime(2027, 1, 15, tzinfo=UTC), 1, None)]
    assert ask(tmp_path, failures) == [("cloud/large", None, 1), ("local/small", "connect", 1)]


def test_rows_can_be_added_behind_those_of_other_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    write_parquet([receipt(1)], first)
    write_parquet([receipt(2)], second)
    assert write_parquet([receipt(3)], second, onto=[first, second]) == 1
    assert ask(second, "SELECT receipt_id FROM read_parquet($path)") == [(receipt_id(number),) for number in (1, 2, 3)]


def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "receipts.parquet"
    write_parquet([receipt(1)], path)

    def broken() -> Iterator[Receipt]:
        yield receipt(2)
        raise OSError(28, "No space left on device")

    with pytest.raises(ParquetFailed, match="No space left on device"):
        write_parquet(broken(), path)
    assert receipt_ids(path) == {receipt_id(1)}
    assert [one.name for one in tmp_path.iterdir()] == ["receipts.parquet"]


def test_what_is_no_parquet_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR")
    with pytest.raises(ParquetFailed, match=r"cannot read .*a\.parquet"):
        receipt_ids(tmp_path / "a.parquet")


def test_without_the_library_one_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ParquetFailed, match=r"pip install 'wardwright\[parquet\]'"):
        write_parquet([receipt(1)], tmp_path / "receipts.parquet")
