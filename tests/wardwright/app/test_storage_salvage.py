"""What is saved of damaged storage: everything that is whole and nothing else, whatever byte has changed, and all that is lost is told."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wardwright.storage.faulty_files import IO_ERROR, FaultyFiles
from wardwright.app.salvage_survey import LostReceipt
from wardwright.app.storage_audit import audit_storage
from wardwright.app.storage_salvage import CannotSalvage, LostBytes, LostDecision, Salvaged, salvage
from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.events import decode_entry
from wardwright.runtime.sink_mark import LOST
from wardwright.storage import packed
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.files import FileOps
from wardwright.storage.folder import FileStorage
from wardwright.storage.frame import encode_frame
from wardwright.storage.harmed import End, Gap, what_is_left
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.memory import MemoryStorage
from wardwright.storage.packed import Block, blocks_left
from wardwright.storage.rewrite import pack_segment, rewrite_segment
from wardwright.storage.segments import Extent, LogReader, encode_header
from wardwright.testing.sample_receipts import plain, receipt_id

RECEIPTS = 24
DECISIONS = (
    ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash")),
    ControlEntry(2, 2.0, KeyCreated("key_2", "m", "second", "wwk_2", "hash")),
    ControlEntry(3, 3.0, KeyRevoked("key_1")),
)


class Harmed:
    """A small store, packed in part, that is copied for each harm. The last receipt is open, and others overlap it."""

    def __init__(self, folder: Path, *, tail_entries: int = 4) -> None:
        self.folder = folder
        storage = FileStorage(folder / "whole", segment_bytes=6000, tail_entries=tail_entries)
        store, control = storage.open(), storage.open_control()
        self.open_one = plain(RECEIPTS, closed=False, attempts=2).payloads
        long = plain(0, attempts=3).payloads
        store.append(long[:2])
        for number in range(1, RECEIPTS):
            store.append(plain(number).payloads)
            if number == 5:
                store.append(long[2:])
        store.append(self.open_one)
        control.append(DECISIONS)
        control.close()
        store.close()
        log = LogFolder(storage.receipts)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(packed, "BLOCK", 1000)
            for number in log.numbers()[:3]:
                pack_segment(log, number, FileOps())
        assert len(log.numbers()) > 4
        self.whole = {number: plain(number).payloads for number in range(1, RECEIPTS)} | {
            0: long,
            RECEIPTS: self.open_one,
        }
        self.numbers = log.numbers()
        self.segments_of: dict[str, set[int]] = {}
        for place, payload in LogReader(log).catch_up():
            name = decode_entry(payload).receipt_id
            self.segments_of.setdefault(name, set()).add(Place.unpacked(place).segment)
        self.files = sorted(path.relative_to(folder / "whole") for path in storage.receipts.glob("receipts-*"))
        self._tries = 0

    def of(self, name: str) -> tuple[bytes, ...]:
        """What was written of a receipt."""
        return next(payloads for number, payloads in self.whole.items() if receipt_id(number) == name)

    def within(self, *numbers: int) -> set[str]:
        """The receipts of which anything stands in these segments."""
        return {name for name, segments in self.segments_of.items() if not segments.isdisjoint(numbers)}

    def behind(self, files: Collection[Path]) -> set[str]:
        """The receipts that go on in the last segments, as far as these are among some files."""
        numbers = set[int]()
        for number, file in zip(reversed(self.numbers), reversed(self.files), strict=True):
            if file not in files:
                break
            numbers.add(number)
        return self.within(*numbers)

    def copy(self) -> Path:
        """The store anew. The index is taken for that of the copy."""
        self._tries += 1
        made = self.folder / f"{self._tries}" / "data"
        shutil.copytree(self.folder / "whole", made)
        return made

    def salvaged(self, data: Path) -> tuple[Salvaged, dict[str, tuple[bytes, ...]]]:
        """What salvaging it comes to, and the receipts in the copy, each of which verifies."""
        before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
        target = data.parent / "saved"
        done = salvage(FileStorage(data), target, lambda part: None)
        after = {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path in before}
        assert after == before, "the damaged one was touched"
        assert msgspec.json.decode((target / "salvage.json").read_bytes(), type=Salvaged) == done
        assert not audit_storage(FileStorage(target), 1, lambda receipts: None).findings
        with closing(FileStorage(target).read()) as store:
            found = {entries[0].receipt_id: store.payloads(entries[0].receipt_id) for entries in store.newest()}
        assert done.receipts == len(found)
        return done, found


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Harmed:
    return Harmed(tmp_path_factory.mktemp("salvage"))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def keep_the_index(data: Path) -> None:
    """Have the copied index taken for the original: its inode is written in it."""
    path = data / "receipts" / "index" / "receipts.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE state SET home = ?", (path.stat().st_ino,))
        database.commit()


def names(numbers: Iterable[int]) -> set[str]:
    return {receipt_id(number) for number in numbers}


def assert_honest(
    harmed: Harmed, done: Salvaged, found: dict[str, tuple[bytes, ...]], ends: Collection[str] = ()
) -> None:
    """What is in the copy is whole, and what is not in it is told; but for the `ends`, of which there may be a beginning or nothing.

    What stood at the very end of the log is judged as after a crash: nothing tells a damaged end from one that was never written.
    """
    lost = {receipt.receipt_id for receipt in done.lost_receipts}
    for number, payloads in harmed.whole.items():
        name = receipt_id(number)
        if name in ends:
            assert found.get(name, ()) == payloads[: len(found.get(name, ()))]
        elif name in found:
            assert found[name] == payloads
            assert name not in lost
        else:
            assert name in lost or not done.is_all_named
            assert not done.is_whole
            assert done.lost_bytes
    assert found.keys() <= names(harmed.whole)


def test_sound_storage_is_copied_and_nothing_is_lost(harmed: Harmed) -> None:
    done, found = harmed.salvaged(harmed.copy())
    assert done == Salvaged(RECEIPTS + 1, sum(map(len, harmed.whole.values())), 3)
    assert found == {receipt_id(number): payloads for number, payloads in harmed.whole.items()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_has_changed_what_is_whole_is_saved_and_what_is_not_is_told(
    harmed: Harmed, data: st.DataObject
) -> None:
    place, has_index = harmed.copy(), data.draw(st.booleans(), label="with its index")
    if has_index:
        keep_the_index(place)
    chosen = data.draw(st.lists(st.sampled_from(harmed.files), min_size=1, max_size=3, unique=True))
    for relative in chosen:
        path = place / relative
        size = path.stat().st_size
        match data.draw(st.sampled_from(["flip", "flip", "cut", "overwrite", "remove"])):
            case "flip":
                flip(path, data.draw(st.integers(0, size - 1)))
            case "cut":
                path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, size - 1))])
            case "overwrite":
                begin = data.draw(st.integers(0, size - 1))
                content = path.read_bytes()
                path.write_bytes(content[:begin] + bytes(300) + content[begin + 300 :])
            case _:
                path.unlink()
    try:
        assert_honest(harmed, *harmed.salvaged(place), ends=harmed.behind(chosen))
    finally:
        shutil.rmtree(place.parent)


def test_one_flipped_byte_costs_the_receipt_that_it_is_in(harmed: Harmed) -> None:
    data = harmed.copy()
    keep_the_index(data)
    path = LogFolder(data / "receipts").segment(4)
    content = path.read_bytes()
    begin = content.index(b"\nww1 ", len(content) // 2) + 1
    end = content.index(b"\n", begin) + 1
    name = decode_entry(content[begin:end].split(b" ", 4)[4]).receipt_id
    flip(path, begin + 60)
    with closing(FileStorage(data).read()) as store, pytest.raises(StorageUnavailable, match="storage salvage FOLDER"):
        list(store.replay())
    done, found = harmed.salvaged(data)
    assert done.lost_bytes == (LostBytes(str(path), begin, end),)
    (lost,) = done.lost_receipts
    entries = len(harmed.of(name))
    assert (lost.receipt_id, lost.readable, lost.entries) == (name, entries - 1, entries)
    assert done.is_all_named
    assert found.keys() == names(harmed.whole) - {name}
    assert_honest(harmed, done, found)


def blocks_of(path: Path, number: int) -> list[Block]:
    return list(blocks_left(path.read_bytes(), path, number))


@pytest.mark.parametrize("is_table_there", [True, False])
def test_a_packed_segment_loses_what_stood_in_its_damaged_blocks(harmed: Harmed, is_table_there: bool) -> None:
    data = harmed.copy()
    keep_the_index(data)
    path = LogFolder(data / "receipts").packed(1)
    block = blocks_of(path, 1)[2]
    flip(path, (block.begin + block.end) // 2)
    if not is_table_there:
        flip(path, 40)
    done, found = harmed.salvaged(data)
    assert LostBytes(str(path), block.begin, block.end) in done.lost_bytes
    assert found.keys() > names(harmed.whole) - harmed.within(1)
    assert 0 < len(done.lost_receipts) < len(harmed.within(1))
    assert_honest(harmed, done, found)


def test_what_stood_in_a_block_before_the_damage_is_saved(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data", segment_bytes=60_000)
    with closing(storage.open()) as store:
        for number in range(60):
            store.append(plain(number).payloads)
    log = LogFolder(storage.receipts)
    pack_segment(log, 1, FileOps())
    within = {decode_entry(payload).receipt_id for _, payload in LogReader(log).catch_up(1)}
    (block,) = blocks_of(log.packed(1), 1)
    flip(log.packed(1), (block.begin + 3 * block.end) // 4)
    done = salvage(storage, tmp_path / "saved", lambda part: None)
    assert done.lost_bytes == (LostBytes(str(log.packed(1)), block.begin, block.end),)
    with closing(FileStorage(tmp_path / "saved").read()) as saved:
        found = {entries[0].receipt_id for entries in saved.newest()}
    assert len(within) / 2 < len(found & within) < len(within)
    assert found >= names(range(60)) - within


def test_a_table_of_blocks_is_nothing_that_a_receipt_stands_in(harmed: Harmed) -> None:
    data = harmed.copy()
    path = LogFolder(data / "receipts").packed(2)
    begin = blocks_of(path, 2)[0].begin
    flip(path, 40)
    done, found = harmed.salvaged(data)
    assert (done.lost_bytes, done.lost_receipts, done.is_whole) == ((LostBytes(str(path), 0, begin),), (), False)
    assert len(found) == len(harmed.whole)


def test_a_segment_that_is_missing_is_named_with_all_that_stood_in_it(harmed: Harmed) -> None:
    data = harmed.copy()
    keep_the_index(data)
    path = LogFolder(data / "receipts").segment(4)
    path.unlink()
    done, found = harmed.salvaged(data)
    assert done.lost_bytes == (LostBytes(str(path), 0, None),)
    assert {receipt.receipt_id for receipt in done.lost_receipts} == harmed.within(4)
    gone = [receipt for receipt in done.lost_receipts if not receipt.readable]
    assert [(receipt.reason, receipt.entries) for receipt in gone] == [
        ("nothing of it is left", len(harmed.of(receipt.receipt_id))) for receipt in gone
    ]
    assert gone
    assert found.keys() == names(harmed.whole) - harmed.within(4)
    assert done.is_all_named


def test_segments_that_are_missing_at_the_end_are_named_by_the_index(harmed: Harmed) -> None:
    data = harmed.copy()
    keep_the_index(data)
    log = LogFolder(data / "receipts")
    for number in harmed.numbers[-2:]:
        log.segment(number).unlink()
    done, found = harmed.salvaged(data)
    assert LostBytes(str(log.segment(harmed.numbers[-2])), 0, None) in done.lost_bytes
    assert {lost.receipt_id for lost in done.lost_receipts} >= harmed.within(harmed.numbers[-2]) - harmed.behind(
        harmed.files[-1:]
    )
    assert_honest(harmed, done, found, ends=harmed.behind(harmed.files[-1:]))


def test_an_end_that_nothing_tells_of_any_more_is_missed_by_the_index(harmed: Harmed) -> None:
    data = harmed.copy()
    keep_the_index(data)
    log = LogFolder(data / "receipts")
    content = log.segment(4).read_bytes()
    log.segment(4).write_bytes(content[: content.index(b"\nww1 ", len(content) // 2) + 1])
    flip(log.segment(5), 40)
    done, found = harmed.salvaged(data)
    assert done.is_all_named
    assert harmed.within(4) - found.keys()
    assert_honest(harmed, done, found)


def test_without_an_index_it_is_told_that_not_all_can_be_named(harmed: Harmed) -> None:
    data = harmed.copy()
    LogFolder(data / "receipts").segment(4).unlink()
    done, found = harmed.salvaged(data)
    assert not done.is_all_named
    assert names([RECEIPTS]) <= found.keys(), "its entries came after what is missing"
    assert all(receipt.readable for receipt in done.lost_receipts)
    assert_honest(harmed, done, found)


def _open_before_a_gap(folder: Path) -> tuple[FileStorage, tuple[bytes, ...]]:
    storage = FileStorage(folder, segment_bytes=3000, tail_entries=2)
    store = storage.open()
    opened = plain(0, closed=False).payloads
    store.append(opened)
    for number in range(1, 12):
        store.append(plain(number).payloads)
    store.close()
    flip(LogFolder(storage.receipts).segment(2), 1000)
    return storage, opened


def test_an_open_receipt_may_have_ended_where_something_is_lost_unless_the_index_knows(tmp_path: Path) -> None:
    storage, opened = _open_before_a_gap(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    salvage(storage, tmp_path / "known", lambda part: None)
    with closing(FileStorage(tmp_path / "known").read()) as store:
        assert store.payloads(receipt_id(0)) == opened
    done = salvage(FileStorage(tmp_path / "copy"), tmp_path / "unknown", lambda part: None)
    assert done.lost_receipts[0] == LostReceipt(
        receipt_id(0), len(opened), None, "it has no end, which may have stood where something is lost"
    )


@pytest.mark.parametrize("moment", ["none", "bound", "bound and index"])
def test_what_was_forgotten_does_not_come_back(tmp_path: Path, moment: str) -> None:
    storage = FileStorage(tmp_path / "data", segment_bytes=6000, tail_entries=2)
    store = storage.open()
    for number in range(12):
        store.append(plain(number).payloads)
    store.append(plain(2, closed=False).payloads)
    old = plain(3, closed=False, attempts=2).payloads
    store.close()
    with closing(storage.open()) as again:
        again.append(old)
        again.forget(receipt_id(6))
    kept = names(range(6, 12))
    flip(LogFolder(storage.receipts).segment(LogFolder(storage.receipts).numbers()[-1]), -40)
    if moment != "none":
        flip(storage.receipts / "forgotten.json", 12)
    if moment == "bound and index":
        shutil.rmtree(storage.receipts / "index")
        with pytest.raises(CannotSalvage, match="Without it receipts would come back that were forgotten"):
            salvage(storage, tmp_path / "saved", lambda part: None)
        return
    salvage(storage, tmp_path / "saved", lambda part: None)
    with closing(FileStorage(tmp_path / "saved").read()) as saved:
        assert {entries[0].receipt_id for entries in saved.newest()} == kept


def test_what_is_no_damage_is_not_told_as_such(tmp_path: Path) -> None:
    files = FaultyFiles()
    storage = FileStorage(tmp_path / "data")
    store = FileReceiptStore(storage.receipts, files=files, segment_bytes=4000)
    for number in range(6):
        store.append(plain(number).payloads)
        files.fail("fdatasync", IO_ERROR)
        with pytest.raises(StorageUnavailable):
            store.append(plain(number + 100).payloads)  # which is on disk and was refused
        files.heal()
    store.append(plain(6).payloads)
    store.close()
    last = LogFolder(storage.receipts).segment(LogFolder(storage.receipts).numbers()[-1])
    last.write_bytes(last.read_bytes() + b"ww1 00000100 00000000 00000000 {" + bytes(500))
    done = salvage(storage, tmp_path / "saved", lambda part: None)
    assert (done.receipts, done.is_whole, done.torn_bytes) == (7, True, 32)


def test_an_entry_that_was_edited_costs_its_receipt(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data")
    store = storage.open()
    for number in range(3):
        store.append(plain(number).payloads)
    store.close()
    log = LogFolder(storage.receipts)
    end = log.segment(1).read_bytes()
    log.segment(2).write_bytes(encode_header(2, Extent(len(end), len(end))))

    def edited(place: Place, payload: bytes) -> bytes | None:
        return payload.replace(b'"local/small"', b'"local/smell"') if receipt_id(1).encode() in payload else None

    assert rewrite_segment(log, 1, edited, FileOps()) > 0
    done = salvage(storage, tmp_path / "saved", lambda part: None)
    assert [(lost.receipt_id, "does not match its own hash" in lost.reason) for lost in done.lost_receipts] == [
        (receipt_id(1), True)
    ]
    assert done.receipts == 2


def test_decisions_are_kept_up_to_the_first_that_is_lost(harmed: Harmed) -> None:
    data = harmed.copy()
    path = LogFolder(data / "control", "control").segment(1)
    flip(path, path.read_bytes().index(b"key_2"))
    done, _ = harmed.salvaged(data)
    assert done.control_entries == 1
    assert done.lost_decisions == (LostDecision(3, 3.0, "key.revoked", "key_1"),)
    assert [Path(lost.file) for lost in done.lost_bytes] == [path]
    assert FileStorage(data.parent / "saved").read_control() == [DECISIONS[0]]


def test_sinks_wait_to_be_told_where_they_go_on(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "data")
    with closing(storage.open()) as store:
        store.append(plain(1).payloads)
        store.set_mark("sink.archive", b"{}")
    done = salvage(storage, tmp_path / "saved", lambda part: None, ["archive", "new"])
    assert done.sinks == ("archive",)
    with closing(FileStorage(tmp_path / "saved").read()) as saved:
        assert (saved.mark("sink.archive"), saved.mark("sink.new")) == (LOST, None)


def test_what_the_disk_does_not_give_is_a_gap(harmed: Harmed) -> None:
    log = LogFolder(harmed.folder / "whole" / "receipts")

    def pread(fd: int, size: int, at: int) -> bytes:
        if at == 4096 and os.fstat(fd).st_size > 5000:
            raise OSError(errno.EIO, "the disk does not read")
        return os.pread(fd, size, at)

    found = list(what_is_left(log, first=1, on_segment=lambda part: None, pread=pread))
    gaps = [each for each in found if isinstance(each, Gap)]
    assert {gap.path for gap in gaps} == {
        path for path in map(log.segment, log.numbers()) if path.exists() and path.stat().st_size > 5000
    }
    assert all(gap.begin < 8192 and (gap.end or 0) > 4096 for gap in gaps)
    payloads = {each for each in found if isinstance(each, bytes)}
    assert payloads < {payload for each in harmed.whole.values() for payload in each}
    assert isinstance(found[-1], End)


def test_it_is_refused_where_it_makes_no_sense(harmed: Harmed, tmp_path: Path) -> None:
    data = harmed.copy()
    refused: list[tuple[StorageProvider, Path, str]] = [
        (MemoryStorage(), tmp_path / "a", "no log of files"),
        (FileStorage(tmp_path / "nowhere"), tmp_path / "a", "there is nothing in"),
        (FileStorage(data), data, "there is something in"),
    ]
    for source, target, why in refused:
        with pytest.raises(CannotSalvage, match=why):
            salvage(source, target, lambda part: None)
    with closing(FileStorage(data).open()), pytest.raises(StorageUnavailable, match=r"is in use by process \d+"):
        salvage(FileStorage(data), tmp_path / "a", lambda part: None)
    LogFolder(data / "receipts").segment(7).write_bytes(
        encode_frame(json.dumps({"format": 99, "segment": 7}).encode(), synced=0)
    )
    with pytest.raises(StorageUnavailable, match="has format 99"):
        salvage(FileStorage(data), tmp_path / "a", lambda part: None)
