"""An index of an earlier format is brought forward where that is sound, and made anew where it is not."""

import sqlite3
from pathlib import Path

import pytest

from wardwright.domain.errors import StorageUnavailable
from wardwright.domain.tools import ToolContext, ToolIdentity
from wardwright.receipts.events import Closed
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.index_format import latest_format, note_format
from wardwright.storage.index_schema import FORMAT
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.sqlite_database import TOOL_FACETS
from wardwright.testing.sample_receipts import Written, opened, plain, receipt_id, sealed

RECEIPTS = 40
SEARCH = ReceiptFilter.parse({"tool_name": "search"})


def kept(path: Path) -> FileReceiptStore:
    return FileReceiptStore(path, segment_bytes=10_000, tail_entries=8)


def with_tools(number: int) -> Written:
    tools = ToolContext("planning", "exact", ToolIdentity("openai.function", "search", "tool_choice"))
    return sealed(number, [opened(tools=tools), Closed("completed", 0)])


def as_the_first_format_made_it(path: Path) -> None:
    with sqlite3.connect(path / "index" / "receipts.db") as database:
        for name in TOOL_FACETS:
            database.execute(f"DROP INDEX receipts_by_{name}")
            database.execute(f"ALTER TABLE receipts DROP COLUMN {name}")
        database.execute("PRAGMA user_version = 1")
    database.close()


def found(store: FileReceiptStore) -> list[str]:
    return [summary.receipt_id for summary in store.page(SEARCH).data]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store whose index is of the first format, by a version that knew of no other."""
    store = kept(tmp_path)
    for number in range(RECEIPTS):
        store.append(plain(number).payloads)
    store.close()
    as_the_first_format_made_it(tmp_path)
    (tmp_path / "index-format").unlink()
    return tmp_path


def test_an_index_is_brought_forward_without_reading_the_log(path: Path) -> None:
    first = LogFolder(path).segment(1)
    first.write_bytes(first.read_bytes()[:200] + bytes(len(first.read_bytes()) - 200))
    store = kept(path)
    assert (store.health().receipt_count, found(store)) == (RECEIPTS, [])
    for number in range(RECEIPTS, 2 * RECEIPTS):
        store.append(with_tools(number).payloads)
    assert found(store) == [receipt_id(number) for number in reversed(range(RECEIPTS, 2 * RECEIPTS))]
    store.close()
    again = kept(path)
    assert len(found(again)) == RECEIPTS
    again.close()


def test_an_index_that_an_earlier_version_made_of_what_a_later_one_wrote_is_made_anew(path: Path) -> None:
    store = kept(path)
    for number in range(RECEIPTS, 2 * RECEIPTS):
        store.append(with_tools(number).payloads)
    store.close()
    as_the_first_format_made_it(path)
    again = kept(path)
    assert len(found(again)) == RECEIPTS
    again.close()


def test_a_reader_takes_an_earlier_index_and_notices_when_it_is_brought_forward(path: Path) -> None:
    reader = FileReceiptStore.read_only(path)
    assert reader._index.tail_length() < 2 * RECEIPTS
    assert reader.page(SEARCH).data == ()
    assert len(reader.page(ReceiptFilter.parse({"model": "coding"})).data) == RECEIPTS
    store = kept(path)
    for number in range(RECEIPTS, 2 * RECEIPTS):
        store.append(with_tools(number).payloads)
    assert [summary.receipt_id for summary in reader.page(SEARCH).data] == found(store)
    assert len(found(store)) == RECEIPTS
    store.close()
    reader.close()


def test_a_format_is_noted_before_there_is_an_index(tmp_path: Path) -> None:
    FileReceiptStore(tmp_path).close()
    assert not (tmp_path / "index").exists()
    assert latest_format(tmp_path) == FORMAT


def test_a_note_of_a_later_format_stays(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path)
    note_format(tmp_path, FORMAT + 7, store._files, is_durable=True)
    store.close()
    FileReceiptStore(tmp_path).close()
    assert latest_format(tmp_path) == FORMAT + 7


def test_a_note_that_is_no_number_is_damage(path: Path) -> None:
    (path / "index-format").write_text("x")
    with pytest.raises(StorageUnavailable, match="index-format is damaged: it holds no number"):
        kept(path)
    (path / "index-format").write_text("1")
    assert kept(path)._index.tail_length() < RECEIPTS  # the index is still there
