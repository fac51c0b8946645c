"""What forgetting does to the files of a log: which go, which stay, and what a disk that fails in the middle of it leaves."""

import shutil
from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import IO_ERROR, NO_SPACE, FaultyFiles
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.files import FileOps
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.segments import LogReader
from wardwright.testing.sample_receipts import plain, receipt_id

BOUND = "forgotten.json"


def filled(path: Path, count: int = 30, files: FaultyFiles | None = None) -> FileReceiptStore:
    store = FileReceiptStore(path, segment_bytes=4000, files=files)
    for number in range(count):
        store.append(plain(number).payloads)
    return store


def segments(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob("*.log"))


def kept(store: FileReceiptStore) -> list[str]:
    return sorted(record[0].receipt_id for record in store.newest())


def test_segments_go_that_hold_nothing_any_more_and_the_log_goes_on(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = segments(tmp_path)
    store.forget(receipt_id(20))
    left = segments(tmp_path)
    assert 1 < len(left) < len(before)
    assert left == before[-len(left) :]
    store.append(plain(30).payloads)
    store.close()

    again = FileReceiptStore(tmp_path, segment_bytes=4000)
    assert kept(again) == [receipt_id(number) for number in range(20, 31)]
    assert again.health().recovered_bytes == 0
    again.close()


def test_a_segment_stays_for_one_receipt_that_is_open(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, segment_bytes=4000)
    store.append(plain(0, closed=False).payloads)
    for number in range(1, 30):
        store.append(plain(number).payloads)
    before = segments(tmp_path)
    store.forget(receipt_id(30))
    assert segments(tmp_path)[: len(before)] == before
    store.append(plain(0).payloads)
    store.forget(receipt_id(30))
    assert len(segments(tmp_path)) == 1
    assert kept(store) == []
    store.close()


def test_forgotten_lines_leave_the_segment_that_is_written_to_once_they_are_all_that_is_in_it(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path)
    for number in range(4):
        store.append(plain(number).payloads)
    store.forget(receipt_id(2))
    assert segments(tmp_path) == ["receipts-00000001.log", "receipts-00000002.log"]
    store.append(plain(4).payloads)
    store.forget(receipt_id(4))
    assert segments(tmp_path) == ["receipts-00000002.log"]
    assert kept(store) == [receipt_id(4)]
    store.close()
    assert kept(FileReceiptStore.read_only(tmp_path)) == [receipt_id(4)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("create", NO_SPACE),
        ("write", NO_SPACE),
        ("fdatasync", IO_ERROR),
        ("replace", IO_ERROR),
        ("sync_directory", IO_ERROR),
    ],
)
def test_a_disk_that_fails_lets_nothing_be_forgotten_yet(tmp_path: Path, operation: str, error: int) -> None:
    files = FaultyFiles()
    store = filled(tmp_path, files=files)
    before = segments(tmp_path)
    files.fail(operation, error)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match=r"cannot write to .*forgotten\.json"):
            store.forget(receipt_id(20))
    assert (len(kept(store)), segments(tmp_path)) == (30, before)
    files.heal()
    assert store.forget(receipt_id(20)) == 20
    assert len(kept(store)) == 10
    store.close()


class _NoRoomForSegments(FileOps):
    def create(self, path: Path) -> int:
        if path.suffix == ".log":
            raise OSError(NO_SPACE, "no space left")
        return super().create(path)


def test_readers_and_the_next_start_forget_nothing_that_could_not_be_forgotten(tmp_path: Path) -> None:
    filled(tmp_path).close()
    store = FileReceiptStore(tmp_path, segment_bytes=100_000, files=_NoRoomForSegments())
    with pytest.raises(StorageUnavailable):
        store.forget(receipt_id(30))
    reader = FileReceiptStore.read_only(tmp_path)
    assert list(reader.newest()) == list(store.newest())
    assert len(kept(store)) == 30
    store.close()


def test_segments_that_cannot_be_removed_are_removed_later(tmp_path: Path) -> None:
    files = FaultyFiles()
    store = filled(tmp_path, files=files)
    before = segments(tmp_path)
    files.fail("remove", IO_ERROR)
    with pytest.raises(StorageUnavailable, match="cannot remove segments from"):
        store.forget(receipt_id(20))
    assert (len(kept(store)), segments(tmp_path)) == (10, before)
    files.heal()
    assert store.forget(receipt_id(20)) == 0
    assert len(segments(tmp_path)) < len(before)
    store.append(plain(30).payloads)
    assert len(kept(store)) == 11
    store.close()


def test_a_death_before_the_segments_went_changes_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "log")
    shutil.copytree(tmp_path / "log", tmp_path / "left")
    store.forget(receipt_id(20))
    shutil.copy(tmp_path / "log" / BOUND, tmp_path / "left" / BOUND)
    store.close()

    again = FileReceiptStore(tmp_path / "left", segment_bytes=4000)
    assert kept(again) == [receipt_id(number) for number in range(20, 30)]
    before = segments(tmp_path / "left")
    assert again.forget(receipt_id(20)) == 0
    assert len(segments(tmp_path / "left")) < len(before)
    again.close()


def test_a_bound_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    (tmp_path / BOUND).write_text("{")
    for opening in (FileReceiptStore, FileReceiptStore.read_only):
        with pytest.raises(StorageUnavailable, match=r"forgotten\.json is damaged"):
            opening(tmp_path)


def test_a_reader_beside_the_writer_follows_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    reader = FileReceiptStore.read_only(tmp_path)
    position = next(iter(reader.replay())).position
    store.forget(receipt_id(29))
    assert [record[0].receipt_id for record in reader.newest()] == [receipt_id(29)]
    assert len(list(reader.replay(position))) == 3
    store.close()


class TestForgettingFromUnderAReader:
    """What is given back while somebody reads on was forgotten, and is no damage."""

    def test_a_log_that_is_being_read_goes_on_behind_what_is_gone(self, tmp_path: Path) -> None:
        store = filled(tmp_path)
        reading = LogReader(LogFolder(tmp_path)).catch_up()
        next(reading)
        store.forget(receipt_id(29))
        assert [payload for _, payload in reading][-3:] == list(plain(29).payloads)
        store.close()

    def test_a_segment_that_goes_before_its_header_is_read_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, numbers = filled(tmp_path), LogFolder.numbers
        seen = len(segments(tmp_path))

        def forget_once_listed(log: LogFolder) -> list[int]:
            found = numbers(log)
            monkeypatch.setattr(LogFolder, "numbers", numbers)
            store.forget(receipt_id(29))
            return found

        monkeypatch.setattr(LogFolder, "numbers", forget_once_listed)
        found = {Place.unpacked(place).segment for place, _ in LogReader(LogFolder(tmp_path)).catch_up()}
        assert found <= {seen, seen + 1}
        store.close()

    def test_receipts_that_were_found_before_are_passed_over(self, tmp_path: Path) -> None:
        store = filled(tmp_path)
        for each in (store, FileReceiptStore.read_only(tmp_path)):
            newest, replayed = each.newest(), each.replay()
            next(newest), next(replayed)
            store.forget(receipt_id(15 if each is store else 28))
            left = [entries[0].receipt_id for entries in newest]
            assert receipt_id(14) not in left
            assert receipt_id(28) in left
            assert plain(29).payloads[-1] in [stored.payload for stored in replayed]
        store.close()

    def test_a_segment_that_is_gone_from_among_others_is_damage_all_the_same(self, tmp_path: Path) -> None:
        store = filled(tmp_path)
        reader = FileReceiptStore.read_only(tmp_path)
        (tmp_path / segments(tmp_path)[2]).unlink()
        with pytest.raises(StorageUnavailable, match=r"receipts-00000003\.log"):
            list(reader.newest())
        store.close()
