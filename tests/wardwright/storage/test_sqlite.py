"""The SQLite store where the contract does not look: disks that fail, syncs, damage, databases that are not its own, permissions."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import apsw
import pytest

from tests.wardwright.storage.faulty_files import batches, flat
from wardwright.domain.control import ControlEntry, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.log import Durability
from wardwright.storage.sqlite import SqliteControlLog, SqliteStorage
from wardwright.storage.sqlite_database import prepare
from wardwright.storage.sqlite_receipts import SqliteReceiptReader, SqliteReceiptStore
from wardwright.testing.sample_receipts import plain, receipt_id


class FaultyDisk(apsw.VFS):
    """SQLite's own file operations, which can be told to fail. Registered under its name while it lives."""

    name = "faulty"

    def __init__(self) -> None:
        super().__init__(self.name, "")
        self.refuses: dict[str, Exception] = {}
        self.syncs = 0

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return FaultyFile(self, name, flags)

    def attempt(self, operation: str) -> None:
        if operation in self.refuses:
            raise self.refuses[operation]


class FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.attempt("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.syncs += 1
        self.disk.attempt("sync")
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    made = FaultyDisk()
    yield made
    made.unregister()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sqlite" / "wardwright.db"


def count(store: SqliteReceiptReader) -> int:
    return len(list(store.replay()))


class TestFaults:
    @pytest.mark.parametrize(
        ("operation", "error", "said"),
        [
            ("write", apsw.FullError("no space"), "cannot write to .*wardwright.db: .*no space"),
            ("write", apsw.IOError("bad block"), "cannot write to .*wardwright.db: .*bad block"),
            ("sync", apsw.IOError("lost"), "cannot write to .*wardwright.db: .*lost"),
        ],
    )
    def test_an_append_that_fails_stores_nothing_and_the_next_one_succeeds(
        self, path: Path, disk: FaultyDisk, operation: str, error: Exception, said: str
    ) -> None:
        store = SqliteReceiptStore(path, vfs=disk.name)
        first, second, third = batches(3)
        store.append(first)
        disk.refuses[operation] = error
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match=said):
                store.append(second)
            assert count(store) == len(first)
        disk.refuses.clear()
        store.append([*second, *third])
        assert [stored.payload for stored in store.replay()] == flat([first, second, third])
        assert store.health().receipt_count == len(list(store.newest()))
        store.close()
        again = SqliteReceiptStore(path)
        assert count(again) == len(flat([first, second, third]))
        again.close()

    def test_a_store_whose_folder_is_gone_cannot_be_written(self, path: Path) -> None:
        store = SqliteReceiptStore(path)
        path.unlink()
        with pytest.raises(StorageUnavailable, match=r"cannot write to .*sqlite: No such file"):
            store.check_writable()
        store.close()

    @pytest.mark.parametrize(("durability", "notices"), [("strict", True), ("none", False)])
    def test_a_disk_that_syncs_nothing_is_noticed_where_that_matters(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability, notices: bool
    ) -> None:
        def failing(fd: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        store = SqliteReceiptStore(path, durability)
        with monkeypatch.context() as disk:
            disk.setattr(os, "fdatasync", failing)
            with pytest.raises(StorageUnavailable, match="Input/output error") if notices else nullcontext():
                store.check_writable()
        store.check_writable()
        store.close()

    def test_a_place_that_is_no_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "sqlite").write_text("no folder")
        with pytest.raises(StorageUnavailable, match="cannot use the receipt folder"):
            SqliteStorage(tmp_path).open()

    def test_where_there_is_no_database_there_is_nothing_to_read(self, path: Path) -> None:
        with pytest.raises(StorageUnavailable, match=r"cannot read from .*wardwright\.db"):
            SqliteReceiptReader(path)


class TestDurability:
    @pytest.mark.parametrize(("durability", "syncs"), [("strict", [1, 1, 1, 1]), ("none", [0, 0, 0, 0])])
    def test_strict_syncs_once_for_each_append_and_none_never(
        self, path: Path, disk: FaultyDisk, durability: Durability, syncs: list[int]
    ) -> None:
        assert self.syncs_of(path, disk, durability, [0.0] * 4) == syncs

    def test_batched_syncs_once_in_a_while(self, path: Path, disk: FaultyDisk) -> None:
        assert self.syncs_of(path, disk, "batched", [0.05, 0.1, 0.15, 0.25]) == [0, 1, 0, 1]

    def syncs_of(self, path: Path, disk: FaultyDisk, durability: Durability, times: list[float]) -> list[int]:
        now = 0.0
        store = SqliteReceiptStore(path, durability, clock=lambda: now, vfs=disk.name)
        assert store.health().durable == (durability == "strict")
        first, *others = batches(len(times) + 1)
        store.append(first)  # begins SQLite's log, which is synced once for that alone
        made = []
        for time, batch in zip(times, others, strict=True):
            now, before = time, disk.syncs
            store.append(batch)
            made.append(disk.syncs - before)
        store.close()
        return made


class TestDamage:
    def test_an_entry_that_has_changed_is_never_given_out(self, path: Path) -> None:
        store = SqliteReceiptStore(path)
        store.append(flat(batches(3)))
        other = apsw.Connection(str(path))
        other.execute("UPDATE entries SET payload = CAST(payload || ' ' AS BLOB) WHERE position = 2")
        with pytest.raises(StorageUnavailable, match="is damaged: the entry at position 2 has changed"):
            list(store.replay())
        with pytest.raises(StorageUnavailable, match="is damaged"):
            list(store.newest())
        other.close()
        store.close()

    def test_a_file_that_is_no_database_is_refused_and_left_alone(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"no database" * 100)
        for opening in (SqliteReceiptStore, SqliteReceiptReader):
            with pytest.raises(StorageUnavailable, match="file is not a database"):
                opening(path)
        assert path.read_bytes() == b"no database" * 100

    def test_pages_that_were_overwritten_are_refused(self, path: Path) -> None:
        store = SqliteReceiptStore(path)
        store.append(flat(batches(30)))
        store.close()
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        with pytest.raises(StorageUnavailable, match="malformed"):
            SqliteReceiptStore(path)
        path.write_bytes(content)
        again = SqliteReceiptStore(path)
        assert count(again) == len(flat(batches(30)))
        again.close()


class TestFormats:
    @pytest.mark.parametrize(
        ("pragma", "said"),
        [
            ("user_version = 99", "has format 99; this version reads formats up to"),
            ("application_id = 7", "some other"),
        ],
    )
    def test_a_database_of_a_later_format_or_of_somebody_else_is_refused(
        self, path: Path, pragma: str, said: str
    ) -> None:
        SqliteReceiptStore(path).close()
        other = apsw.Connection(str(path))
        other.execute(f"PRAGMA {pragma}")
        other.close()
        for opening in (SqliteReceiptStore, SqliteReceiptReader, SqliteControlLog):
            with pytest.raises(StorageUnavailable, match=said):
                opening(path)

    def test_a_database_is_made_once(self, path: Path) -> None:
        store = SqliteReceiptStore(path)
        store.append(flat(batches(1)))
        prepare(path)
        assert count(store) == len(flat(batches(1)))
        store.close()

    def test_what_is_made_is_its_owners_alone(self, path: Path) -> None:
        store = SqliteReceiptStore(path)
        store.append(flat(batches(1)))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        store.close()


class TestQueries:
    @pytest.mark.parametrize(
        "filters",
        [
            {"session_id": "\udcff"},
            {"created_at_min": "9" * 40},
            {"created_at_max": "-" + "9" * 40},
            {"simulation": "1"},
            {"created_at_min": "soon"},
        ],
    )
    def test_a_value_that_no_receipt_can_have_finds_nothing(self, path: Path, filters: dict[str, str]) -> None:
        store = SqliteReceiptStore(path)
        assert store.page(ReceiptFilter.parse(filters)).data == ()
        store.close()


class TestControlLog:
    def test_a_number_that_is_taken_is_refused_with_its_whole_batch(self, path: Path) -> None:
        SqliteReceiptStore(path).close()
        log = SqliteControlLog(path)
        first, second = (ControlEntry(number, 1.0, KeyRevoked("key_1")) for number in (1, 2))
        log.append([first])
        with pytest.raises(StorageUnavailable, match="cannot write to"):
            log.append([second, first])
        assert list(log.entries()) == [first]
        log.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            log.append([second])


class HandedOver:
    """A lock that another thread takes once, at the very moment when it is free."""

    def __init__(self, lock: threading.Lock, then: Callable[[], object]) -> None:
        self._lock = lock
        self._then: Callable[[], object] | None = then

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        then, self._then = self._then, None
        if then is not None:
            then()


def test_counts_hold_when_receipts_are_forgotten_right_behind_an_append(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteReceiptStore(path)
    for number in range(3):
        store.append(plain(number).payloads)
    monkeypatch.setattr(store, "_writing", HandedOver(store._writing, lambda: store.forget(receipt_id(2))))
    store.append(plain(3).payloads)
    assert (store.health().receipt_count, len(list(store.newest()))) == (2, 2)
    store.close()
