"""The room that a log's writer makes ahead of itself: zeros that keep a synced file from growing, and that nobody takes for anything."""

import shutil
from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import IO_ERROR, FaultyFiles, batches, flat, stored
from wardwright.storage import segments
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.files import FileOps
from wardwright.storage.frame import Read, was_synced
from wardwright.storage.log import ROOM_BYTES, Durability

SEGMENT = "receipts-00000001.log"


def content(folder: Path) -> bytes:
    return (folder / SEGMENT).read_bytes()


def test_a_file_that_is_synced_grows_by_rooms_and_not_by_batches(tmp_path: Path) -> None:
    store, sizes = FileReceiptStore(tmp_path), set()
    for batch in batches(1000):
        store.append(batch)
        sizes.add((tmp_path / SEGMENT).stat().st_size)
    written = content(tmp_path).rstrip(b"\0")
    assert len(sizes) == -(-len(written) // ROOM_BYTES)
    store.close()


def test_what_is_left_in_good_order_has_no_room(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, segment_bytes=2000)
    for batch in batches(20):
        store.append(batch)
    last = max(tmp_path.glob("receipts-*.log"))
    sealed = [path for path in tmp_path.glob("receipts-*.log") if path != last]
    assert len(sealed) > 2
    assert all(path.read_bytes().endswith(b"}\n") for path in sealed)
    store.close()
    assert last.read_bytes().endswith(b"}\n")


def test_there_is_no_room_behind_the_end_of_a_segment(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, segment_bytes=3000)
    store.append(batches(1)[0])
    assert len(content(tmp_path)) == 3000
    store.close()


@pytest.mark.parametrize("durability", ["batched", "none"])
def test_who_does_not_sync_each_batch_makes_no_room(tmp_path: Path, durability: Durability) -> None:
    store = FileReceiptStore(tmp_path, durability)
    store.append(batches(1)[0])
    assert content(tmp_path).endswith(b"}\n")
    store.close()


def test_a_log_left_with_room_by_a_death_has_lost_nothing_and_nothing_was_torn(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path / "log")
    for batch in batches(3):
        store.append(batch)
    shutil.copytree(tmp_path / "log", tmp_path / "left")
    store.close()
    heir = FileReceiptStore(tmp_path / "left")
    assert heir.health().recovered_bytes == 0
    heir.append(batches(4)[3])
    heir.close()
    assert stored(tmp_path / "left") == flat(batches(4))


class NoZeros(FileOps):
    """A disk that takes batches and has no place for zeros, of which it writes a few."""

    def __init__(self) -> None:
        self.refused = 0

    def write(self, fd: int, data: memoryview, at: int) -> int:
        if any(data):
            return super().write(fd, data, at)
        if len(data) == ROOM_BYTES:
            return super().write(fd, data[:100], at)
        self.refused += 1
        raise OSError(IO_ERROR, "no room")


def test_where_no_room_can_be_made_batches_are_written_all_the_same(tmp_path: Path) -> None:
    files = NoZeros()
    store = FileReceiptStore(tmp_path, files=files)
    for batch in batches(100):
        store.append(batch)
    assert files.refused == 1, "not tried again at every batch"
    assert stored(tmp_path) == flat(batches(100))
    store.close()
    assert content(tmp_path).endswith(b"}\n")


def test_room_that_cannot_be_cut_off_stays_and_is_no_part_of_the_log(tmp_path: Path) -> None:
    files = FaultyFiles()
    store = FileReceiptStore(tmp_path, files=files)
    store.append(batches(1)[0])
    files.fail("truncate", IO_ERROR)
    store.close()
    assert content(tmp_path).endswith(b"\0")
    assert stored(tmp_path) == flat(batches(1))


def test_a_reader_that_came_before_a_batch_and_finds_a_later_one_behind_it_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileReceiptStore(tmp_path)
    first, second, third = batches(3)
    store.append(first)
    reader = FileReceiptStore.read_only(tmp_path)

    def was_synced_meanwhile(read: Read, offset: int, end: int) -> bool:
        for batch in (second, third):
            store.append(batch)
        found = was_synced(read, offset, end)
        assert found
        return found

    monkeypatch.setattr(segments, "was_synced", was_synced_meanwhile)
    assert reader.health().receipt_count == 1
    monkeypatch.undo()
    assert reader.health().receipt_count == 3
    store.close()
