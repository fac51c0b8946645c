"""The log's writer when the disk misbehaves: what was acknowledged stays, what was refused can be sent again."""

from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import IO_ERROR, NO_SPACE, Bytewise, FaultyFiles, batches, flat, stored
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.file import FileReceiptStore


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles()


@pytest.fixture
def store(tmp_path: Path, files: FaultyFiles) -> FileReceiptStore:
    return FileReceiptStore(tmp_path, files=files)


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("receipts-*.log"))


def assert_holds(store: FileReceiptStore, folder: Path, payloads: list[bytes]) -> None:
    """The store, a reader beside it, and the store after a restart all hold exactly these."""
    assert stored(folder) == payloads
    store.close()
    reopened = FileReceiptStore(folder)
    assert stored(folder) == payloads
    reopened.close()


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_everything(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, files=Bytewise())
    store.append(flat(batches(3)))
    assert_holds(store, tmp_path, flat(batches(3)))


@pytest.mark.parametrize("after", [None, 0, 1, 40, 300])
def test_after_a_full_disk_the_segment_is_as_before_and_the_batch_can_be_sent_again(
    tmp_path: Path, store: FileReceiptStore, files: FaultyFiles, after: int | None
) -> None:
    first, second = batches(2)
    store.append(first)
    files.fail("write", NO_SPACE, after=after)
    with pytest.raises(StorageUnavailable, match=r"cannot write to .*00000001\.log: No space left on device"):
        store.append(second)
    assert stored(tmp_path) == first
    assert store.entries("rcpt_000001") == ()
    files.heal()
    store.append(second)
    assert segments(tmp_path) == ["receipts-00000001.log"]
    assert_holds(store, tmp_path, first + second)


def test_a_segment_that_cannot_be_cut_back_is_left_behind_with_its_torn_end(
    tmp_path: Path, store: FileReceiptStore, files: FaultyFiles
) -> None:
    first, second = batches(2)
    store.append(first)
    files.fail("write", IO_ERROR, after=300)
    files.fail("truncate", IO_ERROR, after=300)
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        store.append(second)
    files.heal()
    store.append(second)
    assert segments(tmp_path) == ["receipts-00000001.log", "receipts-00000002.log"]
    assert_holds(store, tmp_path, first + second)


def test_after_a_failed_sync_the_segment_is_never_written_or_synced_again(
    tmp_path: Path, store: FileReceiptStore, files: FaultyFiles
) -> None:
    first, second, third = batches(3)
    store.append(first)
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(
        StorageUnavailable, match=r"cannot make durable what was written to .*00000001\.log: Input/output error"
    ):
        store.append(second)
    poisoned = tmp_path / "receipts-00000001.log"
    size, inode = poisoned.stat().st_size, poisoned.stat().st_ino
    syncs = files.synced.count(inode)
    files.heal()
    store.append(second)
    store.append(third)
    assert (poisoned.stat().st_size, files.synced.count(inode)) == (size, syncs)
    assert_holds(store, tmp_path, first + second + third)


def test_what_a_failed_sync_left_in_a_poisoned_segment_does_not_count(
    tmp_path: Path, store: FileReceiptStore, files: FaultyFiles
) -> None:
    first, second, third = batches(3)
    store.append(first)
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable):
        store.append(second)
    files.heal()
    store.append(third)
    assert_holds(store, tmp_path, first + third)


@pytest.mark.parametrize("damage", [b"", bytes(200), b"ww1 torn"])
def test_a_poisoned_segment_may_lose_what_was_not_acknowledged_in_any_way(
    tmp_path: Path, store: FileReceiptStore, files: FaultyFiles, damage: bytes
) -> None:
    first, second = batches(2)
    store.append(first)
    poisoned = tmp_path / "receipts-00000001.log"
    acknowledged = poisoned.stat().st_size
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable):
        store.append(second)
    files.heal()
    store.append(second)
    poisoned.write_bytes(poisoned.read_bytes()[:acknowledged] + damage)
    assert_holds(store, tmp_path, first + second)


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "sync_directory"])
def test_a_segment_that_cannot_be_begun_fails_the_append_until_it_can(
    tmp_path: Path, files: FaultyFiles, operation: str
) -> None:
    store = FileReceiptStore(tmp_path, files=files, segment_bytes=500)
    first, second = batches(2)
    store.append(first)
    files.fail(operation, NO_SPACE)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="No space left on device"):
            store.append(second)
    assert stored(tmp_path) == first
    files.heal()
    store.append(second)
    assert segments(tmp_path) == ["receipts-00000001.log", "receipts-00000002.log"]
    assert_holds(store, tmp_path, first + second)


def test_a_full_segment_is_followed_by_the_next_one(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, segment_bytes=2000)
    for batch in batches(20):
        store.append(batch)
    assert len(segments(tmp_path)) > 3
    assert all((tmp_path / name).stat().st_size < 3000 for name in segments(tmp_path))
    assert_holds(store, tmp_path, flat(batches(20)))


def test_strict_syncs_each_batch_once(store: FileReceiptStore, files: FaultyFiles) -> None:
    before = len(files.synced)
    for batch in batches(5):
        store.append(batch)
    assert len(files.synced) == before + 5


def test_batched_syncs_when_a_tenth_of_a_second_has_passed_and_when_closed(tmp_path: Path, files: FaultyFiles) -> None:
    clock = Clock()
    store = FileReceiptStore(tmp_path, "batched", files=files, clock=clock)
    before = len(files.synced)
    times = [0.05, 0.11, 0.15, 0.22, 0.25]
    for clock.now, batch in zip(times, batches(5), strict=True):
        store.append(batch)
    assert len(files.synced) == before + 2
    store.close()
    assert len(files.synced) == before + 3
    assert stored(tmp_path) == flat(batches(5))


def test_none_never_syncs_what_is_appended(tmp_path: Path, files: FaultyFiles) -> None:
    FileReceiptStore(tmp_path, "none", files=files, segment_bytes=1000).close()
    begun = files.calls["fdatasync"], files.calls["sync_directory"]
    for batch in batches(4):
        store = FileReceiptStore(tmp_path, "none", files=files, segment_bytes=1000)
        store.append(batch)
        store.close()
    assert (files.calls["fdatasync"], files.calls["sync_directory"]) == begun
    assert stored(tmp_path) == flat(batches(4))


def test_batched_keeps_what_it_acknowledged_before_a_failed_sync_as_far_as_the_disk_has_it(
    tmp_path: Path, files: FaultyFiles
) -> None:
    clock = Clock()
    store = FileReceiptStore(tmp_path, "batched", files=files, clock=clock)
    first, second, third, fourth = batches(4)
    store.append(first)
    store.append(second)
    clock.now = 1.0
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable):
        store.append(third)
    files.heal()
    store.append(fourth)
    assert_holds(store, tmp_path, first + second + fourth)
    poisoned = tmp_path / "receipts-00000001.log"
    poisoned.write_bytes(poisoned.read_bytes()[:700])
    assert stored(tmp_path) == first + fourth


def test_a_failed_sync_on_closing_is_told_and_the_folder_is_free_all_the_same(
    tmp_path: Path, files: FaultyFiles
) -> None:
    store = FileReceiptStore(tmp_path, "batched", files=files, clock=Clock())
    store.append(batches(1)[0])
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable, match="cannot make durable"):
        store.close()
    store.close()
    FileReceiptStore(tmp_path).close()


@pytest.mark.parametrize("operation", ["open", "truncate", "fdatasync"])
def test_a_log_that_cannot_be_continued_is_refused_and_the_folder_is_free(
    tmp_path: Path, files: FaultyFiles, operation: str
) -> None:
    FileReceiptStore(tmp_path).close()
    segment = tmp_path / "receipts-00000001.log"
    segment.write_bytes(segment.read_bytes() + b"torn")
    files.fail(operation, IO_ERROR)
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        FileReceiptStore(tmp_path, files=files)
    FileReceiptStore(tmp_path).close()


def test_a_disk_that_is_full_is_not_writable_and_one_with_room_is(store: FileReceiptStore, files: FaultyFiles) -> None:
    store.check_writable()
    files.fail("write", NO_SPACE)
    with pytest.raises(StorageUnavailable, match="No space left on device"):
        store.check_writable()
    files.heal()
    store.check_writable()


def test_a_disk_that_takes_everything_and_syncs_nothing_is_not_writable(
    store: FileReceiptStore, files: FaultyFiles
) -> None:
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable, match=r"cannot write to .*Input/output error"):
        store.check_writable()
    files.heal()
    store.check_writable()


def test_a_segment_that_was_taken_away_is_not_writable(tmp_path: Path, store: FileReceiptStore) -> None:
    (tmp_path / "receipts-00000001.log").unlink()
    with pytest.raises(StorageUnavailable, match=r"cannot write to .*00000001\.log: No such file"):
        store.check_writable()
