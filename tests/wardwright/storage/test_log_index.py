"""The index beside the log: derived from it, never trusted further than it fits, and what it saves: reading what nobody asks for."""

import contextlib
import pkgutil
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import IO_ERROR, FaultyFiles
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.file_reading import FileReceiptReader
from wardwright.storage.files import FileOps
from wardwright.storage.index import Head
from wardwright.storage.index_file import IndexFile, Known
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.log_index import LogIndex
from wardwright.storage.retention import write_bound
from wardwright.storage.segments import read_payloads
from wardwright.testing.sample_receipts import AT, SPACING_S, plain, receipt_id
from wardwright.testing.storage_machine import whole_answer

RECEIPTS = 60
TAIL = 8  # entries, of at least two receipts
ENTRIES = [payload for number in range(RECEIPTS) for payload in plain(number).payloads]


def kept(path: Path, *, tail_entries: int = TAIL) -> FileReceiptStore:
    return FileReceiptStore(path, segment_bytes=10_000, tail_entries=tail_entries)


def index_of(path: Path) -> Path:
    return path / "index" / "receipts.db"


def ids(store: FileReceiptStore | FileReceiptReader) -> list[str]:
    return [record[0].receipt_id for record in store.newest()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store of many receipts in several segments, nearly all of them in the index."""
    store = kept(tmp_path / "log")
    for number in range(RECEIPTS):
        store.append(plain(number, session_id=f"s{number % 7}").payloads)
    store.close()
    assert len(LogFolder(tmp_path / "log").numbers()) > 3
    return tmp_path / "log"


class Fetched:
    """Counts the payloads that are read by their places."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places: list[int] = []

        def reading(log: LogFolder, places: Sequence[int]) -> list[bytes]:
            self.places.extend(places)
            return read_payloads(log, places)

        monkeypatch.setattr("wardwright.storage.file_reading.read_payloads", reading)


def test_a_start_reads_nothing_but_the_tail(path: Path) -> None:
    for number in (1, 2):
        segment = LogFolder(path).segment(number)
        segment.write_bytes(segment.read_bytes()[:200] + bytes(len(segment.read_bytes()) - 200))
    store = kept(path)
    assert store.health().receipt_count == RECEIPTS
    page = store.page(ReceiptFilter.parse({"limit": "3"}))
    assert [summary.receipt_id for summary in page.data] == [receipt_id(number) for number in (59, 58, 57)]
    with pytest.raises(StorageUnavailable, match=r"00000001\.log is damaged at offset"):
        store.entries(receipt_id(0))
    with pytest.raises(StorageUnavailable, match=r"00000001\.log is damaged at offset"):
        list(store.replay())
    store.close()


def test_a_page_reads_the_receipts_that_it_shows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = kept(path)
    tail = {place for number in range(RECEIPTS - 4, RECEIPTS) for place in store._index.places(receipt_id(number))}
    fetched = Fetched(monkeypatch)
    page = store.page(ReceiptFilter.parse({"session_id": "s3"}))
    assert [summary.receipt_id for summary in page.data] == [
        receipt_id(n) for n in range(RECEIPTS - 1, -1, -1) if n % 7 == 3
    ]
    shown = {place for summary in page.data for place in store._index.places(summary.receipt_id)}
    assert set(fetched.places) <= shown | tail
    store.close()


def test_times_are_found_by_index(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = kept(path)
    fetched = Fetched(monkeypatch)
    hour = {"created_at_min": str(AT + 10 * SPACING_S), "created_at_max": str(AT + 12 * SPACING_S)}
    page = store.page(ReceiptFilter.parse(hour))
    assert [summary.receipt_id for summary in page.data] == [receipt_id(number) for number in (12, 11, 10)]
    assert len(fetched.places) < len(ENTRIES) / 3
    store.close()


def test_a_search_that_finds_nothing_is_bounded_and_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardwright.storage.index_query.MOST_LOOKED_AT", 5)
    monkeypatch.setattr("wardwright.receipts.query.MAX_SCANNED", 20)
    store = kept(path)
    wanted = ReceiptFilter.parse({"model": "coding", "status": "completed", "simulation": "true"})
    first = store.page(wanted)
    assert (first.data, first.next_cursor is None) == ((), False)
    assert whole_answer(store, wanted) == []
    found = ReceiptFilter.parse({"model": "coding", "session_id": "s5", "created_at_max": str(AT + 6 * SPACING_S)})
    assert [summary.receipt_id for summary in whole_answer(store, found)] == [receipt_id(5)]
    assert len(list(store.select(ReceiptFilter()))) == RECEIPTS
    store.close()


def test_receipts_that_are_open_are_found_without_a_look_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kept(tmp_path)
    for number in range(RECEIPTS):
        store.append(plain(number, closed=number != 3).payloads)
    while store.tend():
        pass
    monkeypatch.setattr("wardwright.storage.index_query.MOST_LOOKED_AT", 2)
    tail = {place for number in range(RECEIPTS - 4, RECEIPTS) for place in store._index.places(receipt_id(number))}
    fetched = Fetched(monkeypatch)
    for more in ({}, {"model": "coding"}):
        page = store.page(ReceiptFilter.parse({"status": "open", **more}))
        assert ([summary.receipt_id for summary in page.data], page.next_cursor) == ([receipt_id(3)], None)
    assert set(fetched.places) <= {*store._index.places(receipt_id(3))} | tail
    store.close()


def _remove(path: Path) -> None:
    shutil.rmtree(path / "index")


def _overwrite(path: Path) -> None:
    index_of(path).write_bytes(b"no database" * 1000)


def _truncate(path: Path) -> None:
    index_of(path).write_bytes(b"")


def _other_format(path: Path) -> None:
    with sqlite3.connect(index_of(path)) as database:
        database.execute("PRAGMA user_version = 99")


def _copy(path: Path) -> None:
    copied = index_of(path).read_bytes()
    index_of(path).unlink()
    (path / "taken").touch()  # or the copy might get the inode of the original
    index_of(path).write_bytes(copied)


def _go_back(path: Path) -> None:
    """The log loses more than its index knows, as without syncs a power failure may have it."""
    log = LogFolder(path)
    log.segment(log.numbers()[-1]).unlink()
    last = log.segment(log.numbers()[-1])
    last.write_bytes(last.read_bytes()[:5000])


def _another_log(path: Path) -> None:
    shutil.move(path / "index", path.parent / "index")
    for segment in path.glob("*.log"):
        segment.unlink()
    other = FileReceiptStore(path)
    for number in range(RECEIPTS):
        other.append(plain(number + 1000, attempts=2).payloads)
    other.close()
    shutil.move(path.parent / "index", path / "index")


SPOILS: list[Callable[[Path], None]] = [_remove, _overwrite, _truncate, _other_format, _copy, _go_back, _another_log]


@pytest.mark.parametrize("spoil", SPOILS)
def test_an_index_that_does_not_fit_is_made_anew(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    reader = FileReceiptStore.read_only(path)
    store = kept(path)
    assert index_of(path).exists()
    entries = [stored.payload for stored in store.replay()]
    assert len(entries) > len(ENTRIES) / 3
    assert [stored.payload for stored in reader.replay()] == entries
    assert ids(store) == ids(reader)
    assert store.health().receipt_count == reader.health().receipt_count == len(ids(store))
    assert sorted(entries) == sorted(payload for one in ids(store) for payload in store.payloads(one))
    store.append(plain(9000).payloads)
    assert ids(reader)[0] == receipt_id(9000)
    store.close()
    again = kept(path)
    assert ids(again) == ids(reader)
    again.close()


def test_an_index_is_as_good_after_the_death_of_its_writer(path: Path) -> None:
    store = kept(path)
    for number in range(RECEIPTS, 2 * RECEIPTS):
        store.append(plain(number).payloads)
    store._lock.release()  # all that the others see of a death; the connections stay as they were
    again = kept(path)
    assert again._index.covered is not None
    assert ids(again) == [receipt_id(number) for number in reversed(range(2 * RECEIPTS))]
    again.close()


def test_a_reader_uses_the_index_and_follows_it(path: Path) -> None:
    store = kept(path)
    reader = FileReceiptStore.read_only(path)
    assert reader._index.tail_length() <= 2 * TAIL
    for number in range(RECEIPTS, RECEIPTS + 20):
        store.append(plain(number).payloads)
        assert reader.health().receipt_count == number + 1
        assert reader._index.tail_length() <= 2 * TAIL
        assert next(iter(reader.newest()))[0].receipt_id == receipt_id(number)
    store.close()
    assert ids(reader) == ids(store)
    reader.close()


def test_a_reader_keeps_to_the_index_that_it_has_when_another_is_made(path: Path) -> None:
    reader = FileReceiptStore.read_only(path)
    shutil.rmtree(path / "index")
    store = kept(path)
    store.append(plain(RECEIPTS).payloads)
    assert ids(reader) == ids(store)
    store.close()
    reader.close()


def test_nothing_is_missed_while_receipts_move_into_the_index(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, "none", tail_entries=64)
    reader = FileReceiptStore.read_only(tmp_path)
    done = threading.Event()

    def tend() -> None:
        while not done.is_set():
            store.tend()

    tending = threading.Thread(target=tend)
    tending.start()
    try:
        for number in range(150):
            record = plain(number, session_id="a").payloads
            store.append(record[:1])
            assert store.newest_of_session("coding", "a") == receipt_id(number)
            assert len(store.open_receipts()) == 1
            store.append(record[1:])
            assert store.payloads(receipt_id(number)) == record
            assert (store.health().receipt_count, store.health().open_count) == (number + 1, 0)
            if number % 10 == 0:
                everything = [receipt_id(each) for each in range(number, -1, -1)]
                assert ids(store) == everything
                assert [summary.receipt_id for summary in whole_answer(store, ReceiptFilter())] == everything
                assert ids(reader) == everything
    finally:
        done.set()
        tending.join()
    store.close()


def test_tending_moves_what_is_in_memory_and_ends(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path)
    assert not store.tend()
    for number in range(200):
        store.append(plain(number).payloads)
    assert not index_of(tmp_path).exists(), "few receipts need none"
    assert store.tend()
    assert index_of(tmp_path).exists()
    while store.tend():
        pass
    assert 0 < store._index.tail_length() < 256
    assert ids(store) == [receipt_id(number) for number in range(199, -1, -1)]
    store.close()
    assert not store.tend()


@pytest.mark.parametrize("durability", ["none", "batched"])
def test_the_index_knows_of_nothing_that_is_not_on_disk(tmp_path: Path, durability: str) -> None:
    files = FaultyFiles()
    store = FileReceiptStore(tmp_path, durability, files=files, clock=lambda: 0.0, tail_entries=20)  # type: ignore[arg-type]
    for number in range(5):
        store.append(plain(number).payloads)
    before = len(files.synced)
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable, match="make durable"):
        store._index.move(10, store._make_durable)
    assert store._index.tail_length() == 15, "nothing moved"
    files.heal()
    store._index.move(10, store._make_durable)
    assert store._index.tail_length() == 5
    assert files.synced[before:] == [LogFolder(tmp_path).segment(1).stat().st_ino] * 2
    store.close()


def test_a_store_goes_on_where_no_index_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("in its place")
    store = kept(tmp_path)
    for number in range(RECEIPTS):
        store.append(plain(number).payloads)
    assert ids(store) == [receipt_id(number) for number in reversed(range(RECEIPTS))]
    with pytest.raises(StorageUnavailable, match="cannot create"):
        store.tend()
    store.close()
    assert ids(FileReceiptStore.read_only(tmp_path)) == ids(store)


def test_a_death_between_the_bound_and_the_index_is_made_up_for(path: Path) -> None:
    store = kept(path)
    store.forget(receipt_id(20))
    store.close()
    write_bound(path, receipt_id(40), FileOps())
    reader = FileReceiptStore.read_only(path)
    left = [receipt_id(number) for number in reversed(range(40, RECEIPTS))]
    assert ids(reader) == left
    assert reader.health().receipt_count == 20
    again = kept(path)
    assert ids(again) == left
    assert again.health().receipt_count == reader.health().receipt_count == 20
    again.close()


def test_a_receipt_that_goes_on_after_it_moved_is_whole(tmp_path: Path) -> None:
    store = kept(tmp_path)
    long = plain(0, attempts=30, session_id="long").payloads
    for number, payload in enumerate(long, start=1):
        store.append([payload, *plain(number).payloads])
    assert store.payloads(receipt_id(0)) == long
    assert store.health().open_count == 0
    store.append(long)
    store.close()
    again = kept(tmp_path)
    assert again.payloads(receipt_id(0)) == long
    assert [stored.payload for stored in again.replay()].count(long[0]) == 1
    again.close()


def test_a_receipt_that_moves_into_the_index_while_it_goes_on_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kept(tmp_path)
    for number in range(20):
        store.append(plain(number).payloads)
    store.tend()
    long = plain(20, attempts=3).payloads
    store.append(long[:2])
    original = LogIndex.unknown

    def unknown(index: LogIndex, payloads: Iterable[bytes]) -> list[tuple[Head, bytes]]:
        chosen = original(index, payloads)
        index.move(1000, lambda segments: None)
        return chosen

    with monkeypatch.context() as patched:
        patched.setattr(LogIndex, "unknown", unknown)
        store.append(long[2:])
    for number in range(21, 40):
        store.append(plain(number).payloads)
    store.tend()
    assert store.payloads(receipt_id(20)) == long
    assert store.open_receipts() == ()
    store.close()


def test_an_index_that_fails_in_the_middle_of_an_append_has_nothing_stored_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kept(tmp_path)
    long = plain(0, attempts=3).payloads
    store.append(long[:2])
    for number in range(1, 20):
        store.append(plain(number).payloads)
    original = IndexFile.known
    answers = [original]

    def known(index: IndexFile, receipt_id: str) -> Known | None:
        if not answers:
            raise StorageUnavailable("no more files can be opened")
        return answers.pop()(index, receipt_id)

    with monkeypatch.context() as patched:
        patched.setattr(IndexFile, "known", known)
        with pytest.raises(StorageUnavailable, match="no more files"):
            store.append(long[2:])
    store.append(long[2:])
    assert store.payloads(receipt_id(0)) == long
    assert [stored.payload for stored in store.replay()].count(long[2]) == 1
    store.close()


def test_what_is_stored_is_acknowledged_though_the_index_that_its_receipt_moved_into_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kept(tmp_path, tail_entries=10_000)
    long = plain(0, attempts=3).payloads
    store.append(long[:2])

    def fail(index: IndexFile, receipt_id: str) -> Known | None:
        raise StorageUnavailable("no more files can be opened")

    def move_on() -> None:
        store._index.move(1000, store._make_durable)
        patched.setattr(IndexFile, "known", fail)

    with monkeypatch.context() as patched:
        _first_append(patched, "log.LogWriter.append", move_on)
        store.append(long[2:])
    assert store.payloads(receipt_id(0)) == long
    while store._index.tail_length():
        store._index.move(1000, store._make_durable)
    assert store.payloads(receipt_id(0)) == long
    assert (store.health().receipt_count, store.open_receipts()) == (1, ())
    store.close()


def test_what_cannot_be_told_of_is_kept_and_found_by_its_id(tmp_path: Path) -> None:
    store = kept(tmp_path)
    strange = b'{"receipt_id":"rcpt_0000","seq":1,"at":1,"prev":"","event":{"type":"later.kind"},"hash":""}'
    store.append([strange])
    for number in range(1, 20):
        store.append(plain(number).payloads)
    assert store.payloads(receipt_id(0)) == (strange,)
    found = store.page(ReceiptFilter.parse({"model": "coding"}))
    assert len(found.data) == 19
    store.close()


def test_what_was_given_back_before_it_was_tended_is_not_missed(tmp_path: Path) -> None:
    store = kept(tmp_path, tail_entries=10_000)
    for number in range(2 * RECEIPTS):
        store.append(plain(number).payloads)
    store.forget(receipt_id(2 * RECEIPTS))
    assert len(LogFolder(tmp_path).numbers()) == 1
    store.append(plain(2 * RECEIPTS).payloads)
    while store.tend():
        pass
    assert ids(store) == [receipt_id(2 * RECEIPTS)]
    store.close()


@pytest.mark.parametrize("moment", ["log_index.LogIndex._read", "index_file.IndexFile.add", "index_file._put_state"])
def test_a_forgotten_receipt_that_is_closed_while_it_moves_into_the_index_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store = kept(tmp_path, tail_entries=10_000)
    long = plain(0, attempts=4, session_id="a").payloads
    older = plain(1, session_id="a").payloads[0]
    store.append(long[:2])
    store.append([older])
    for number in range(2, 6):
        store.append(plain(number).payloads)
    store._index.move(100, store._make_durable)
    store.append(long[2:4])
    store.append(plain(6).payloads)
    store.forget(receipt_id(5))
    with monkeypatch.context() as patched:
        _first_append(patched, moment, lambda: store.append(long[4:]))
        store._index.move(3, store._make_durable)

    def is_gone(left: FileReceiptStore | FileReceiptReader) -> None:
        assert ids(left) == [receipt_id(number) for number in (6, 5, 1)]
        assert (left.health().receipt_count, left.health().open_count) == (3, 1)
        assert [entries[0].receipt_id for entries in left.open_receipts()] == [receipt_id(1)]
        assert left.newest_of_session("coding", "a") == receipt_id(1)
        stored = [stored.payload for stored in left.replay()]
        assert stored == [older, *plain(5).payloads, *plain(6).payloads]

    reader = FileReceiptStore.read_only(tmp_path)
    is_gone(store)
    is_gone(reader)
    size = LogFolder(tmp_path).segment(1).stat().st_size
    store.append(long)
    assert LogFolder(tmp_path).segment(1).stat().st_size == size, "it counts as stored"
    store._index.move(100, store._make_durable)
    is_gone(store)
    is_gone(reader)
    store.close()
    again = kept(tmp_path)
    is_gone(again)
    again.close()
    reader.close()


def _first_append(patched: pytest.MonkeyPatch, moment: str, append: Callable[[], None]) -> None:
    """Have something appended when a function of the storage is called for the first time, before it does anything."""
    waiting = [append]
    *owner, name = f"wardwright.storage.{moment}".rsplit(".", 1)
    original = getattr(pkgutil.resolve_name(".".join(owner)), name)

    def called(*arguments: object) -> object:
        if waiting:
            waiting.pop()()
        return original(*arguments)

    patched.setattr(f"wardwright.storage.{moment}", called)


def test_places_that_have_changed_never_show_another_receipt(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(index_of(path))) as database:
        database.execute(
            "UPDATE receipts SET places = (SELECT places FROM receipts WHERE receipt_id = ?) WHERE receipt_id = ?",
            (receipt_id(1), receipt_id(2)),
        )
        database.commit()
    store = kept(path)
    with pytest.raises(StorageUnavailable, match=f"where it has {receipt_id(2)} is another receipt"):
        store.entries(receipt_id(2))
    store.close()


def test_an_index_whose_making_was_cut_off_is_begun_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(path / "index")
    with monkeypatch.context() as patched:
        patched.setattr("wardwright.storage.log_index.LogIndex.recovered", lambda _: None)
        kept(path).close()
    assert index_of(path).exists()
    assert FileReceiptStore.read_only(path)._index.covered is None, "nobody takes it for an index yet"
    again = kept(path)
    assert ids(again) == [receipt_id(number) for number in reversed(range(RECEIPTS))]
    assert FileReceiptStore.read_only(path)._index.covered is not None
    again.close()
