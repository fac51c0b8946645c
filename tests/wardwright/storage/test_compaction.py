"""Space that is given back: packed segments, and what was forgotten taken out of them. No answer changes."""

from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import NO_SPACE, FaultyFiles
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.folder import FileStorage
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.segments import LogReader
from wardwright.testing.sample_receipts import plain, receipt_id

RECEIPTS = 60


def filled(path: Path, files: FaultyFiles | None = None) -> FileReceiptStore:
    """A store of many segments whose first receipt is open, so that none of them goes when the others are forgotten."""
    store = FileReceiptStore(path, segment_bytes=8000, tail_entries=16, files=files)
    store.append(plain(0, closed=False).payloads)
    for number in range(1, RECEIPTS):
        store.append(plain(number).payloads)
    return store


def kept_on_disk(path: Path, number: int) -> bool:
    """Whether a segment says anything of a receipt."""
    log = LogFolder(path)
    name = receipt_id(number).encode()
    return any(name in payload for _, payload in LogReader(log).catch_up())


def test_compaction_packs_and_takes_out_what_was_forgotten_and_changes_no_answer(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.forget(receipt_id(30))
    assert kept_on_disk(tmp_path, 10)
    before = list(store.replay())
    shown: list[float] = []
    done = store.compact(shown.append)
    log = LogFolder(tmp_path)
    sealed, last = log.numbers()[:-1], log.numbers()[-1]
    assert [number for number in sealed if log.segment(number).exists()] == []
    assert log.segment(last).exists()
    assert (done.segments, done.forgotten_entries) == (len(sealed), 29 * 3)
    assert done.bytes_after == sum(file.stat().st_size for file in tmp_path.glob("receipts-*")) < done.bytes_before / 2
    assert shown == sorted(shown)
    assert 0 < shown[0] <= shown[-1] <= 1
    assert not kept_on_disk(tmp_path, 10)
    assert store._index.tail_length() == 0
    assert list(store.replay()) == before
    assert list(store.replay(before[4].position)) == before[5:]
    store.append(plain(0).payloads)
    store.close()
    again = FileReceiptStore(tmp_path)
    assert [record[0].receipt_id for record in again.newest()] == [
        receipt_id(number) for number in range(RECEIPTS - 1, 29, -1)
    ], "the one that was open is closed now, and forgotten"
    assert again.health().receipt_count == RECEIPTS - 30
    again.append(plain(10).payloads)
    assert again.payloads(receipt_id(10)) == ()
    again.close()


def test_compacting_again_changes_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.forget(receipt_id(30))
    first = store.compact(lambda _: None)
    second = store.compact(lambda _: None)
    assert (second.forgotten_entries, second.bytes_before, second.bytes_after) == (
        0,
        first.bytes_after,
        first.bytes_after,
    )
    store.close()


def test_a_store_whose_compaction_fails_is_as_good_as_before(tmp_path: Path) -> None:
    files = FaultyFiles()
    store = filled(tmp_path, files)
    store.forget(receipt_id(30))
    before = list(store.replay())
    files.fail("write", NO_SPACE)
    with pytest.raises(StorageUnavailable):
        store.compact(lambda _: None)
    assert list(store.replay()) == before
    files.heal()
    assert store.compact(lambda _: None).forgotten_entries == 29 * 3
    assert list(store.replay()) == before
    store.close()


def test_tending_packs_what_is_not_written_to_any_more(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = list(store.replay())
    while store.tend():
        pass
    log = LogFolder(tmp_path)
    assert [number for number in log.numbers() if not log.packed(number).exists()] == log.numbers()[-1:]
    assert list(store.replay()) == before
    assert not store.tend()
    store.close()


def test_tending_leaves_a_damaged_segment_and_tells_of_it_once(tmp_path: Path) -> None:
    store = filled(tmp_path)
    segment = LogFolder(tmp_path).segment(2)
    content = bytearray(segment.read_bytes())
    content[300] ^= 1
    segment.write_bytes(content)
    while not LogFolder(tmp_path).packed(1).exists():
        store.tend()
    with pytest.raises(StorageUnavailable, match=r"receipts-00000002\.log is damaged at offset"):
        store.tend()
    while store.tend():
        pass
    assert segment.read_bytes() == content
    assert LogFolder(tmp_path).packed(3).exists()
    store.close()


def test_a_daemon_keeps_compaction_out(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    running = storage.open()
    with pytest.raises(StorageUnavailable, match="is in use by process"):
        storage.compact(lambda _: None)
    running.close()
    assert storage.compact(lambda _: None).segments == 0
