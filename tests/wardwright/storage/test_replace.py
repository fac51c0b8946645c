"""What was replaced is in no file any more, while the store is open, with readers beside it, and when replacing failed and was done again."""

import errno
import os
import shutil
from pathlib import Path

import apsw
import msgspec
import pytest

from tests.wardwright.storage.faulty_files import FaultyFiles
from wardwright.app.storage import storage_at
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptStore
from wardwright.receipts.chain import verify
from wardwright.receipts.events import Closed, ContentCaptured
from wardwright.runtime.erasure import Erased, receipts_of
from wardwright.runtime.erasure import erase as erase_some
from wardwright.storage import sqlite_database, turns
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.index_file import IndexFile, Unfit
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import Written, after_fading, erasures, fadings, governed, opened, sealed

KINDS = ("file", "sqlite")
RECEIPTS = 120


def words(number: int) -> list[bytes]:
    """Words that stand in one receipt and nowhere else."""
    return [f"{what}-{number:04d}".encode() for what in ("user", "session", "answer")]


def written(number: int) -> Written:
    """A receipt of a user, with content of some size: within a page of a database, and over several."""
    user, session, answer = (word.decode() for word in words(number))
    caller = Caller(consuming_user_id=Attributed(user, "header"), session_id=Attributed(session, "header"))
    text = f"{answer} " * (1 + number * number % 700)
    content = ContentCaptured("answer", content=msgspec.Raw(msgspec.json.encode({"text": text})))
    return sealed(number, [opened(caller), content, Closed("completed", 0)])


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def found(folder: Path, numbers: range) -> list[bytes]:
    stored = bytes_of(folder)
    return [word for number in numbers for word in words(number) if word in stored]


def erase(store: ReceiptStore, numbers: range, at_a_time: int) -> None:
    for start in range(0, len(numbers), at_a_time):
        store.replace([left for number in numbers[start : start + at_a_time] for left in erasures(written(number))])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_replaced_is_in_no_file_and_everything_else_is(tmp_path: Path, kind: str) -> None:
    store = storage_at(kind, tmp_path).open()
    for number in range(RECEIPTS):
        store.append(written(number).payloads)
    reader = storage_at(kind, tmp_path).read()
    erased, kept = range(0, RECEIPTS, 2), range(1, RECEIPTS, 2)
    assert len(found(tmp_path, erased)) == 3 * len(erased)
    replay = reader.replay()
    next(replay)
    erase(store, erased, at_a_time=25)
    assert found(tmp_path, erased) == []
    assert len(found(tmp_path, kept)) == 3 * len(kept)
    for each in (store, reader):
        assert all(verify(each.payloads(written(number).receipt_id)) is None for number in range(RECEIPTS))
    assert len(list(replay)) == 3 * RECEIPTS - 1, "who was reading reads on"
    store.append(written(RECEIPTS).payloads)
    store.close()
    assert found(tmp_path, erased) == []


@pytest.mark.parametrize("kind", ["memory", *KINDS])
def test_of_many_either_all_are_replaced_or_none_and_others_write_meanwhile(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryReceiptStore() if kind == "memory" else storage_at(kind, tmp_path).open()
    many = [governed(number) for number in range(turns.AT_ONCE)]
    store.append([payload for one in many for payload in one.payloads])
    payloads = [left for one in many for left in fadings(one)]
    with pytest.raises(ValueError, match="cannot be replaced by a longer one"):
        store.replace([*payloads, many[0].payloads[3] + b" "])
    assert all(store.payloads(one.receipt_id) == one.payloads for one in many)
    written_meanwhile = iter(range(9000, 9999))

    def write(rest_s: float) -> None:
        store.append(governed(next(written_meanwhile)).payloads)

    monkeypatch.setattr("wardwright.storage.turns.time.sleep", write)
    store.replace(payloads)
    assert all(store.payloads(one.receipt_id) == after_fading(one).payloads for one in many)
    assert next(written_meanwhile) == (9001 if kind == "sqlite" else 9000)
    store.close()


def test_segments_keep_their_number_and_their_length(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path, segment_bytes=20_000)
    for number in range(40):
        store.append(written(number).payloads)
    before = [path.name for path in sorted(tmp_path.glob("*.log"))]
    assert len(before) > 3
    sizes = [(tmp_path / name).stat().st_size for name in before[:-1]]
    erase(store, range(39), at_a_time=7)
    assert found(tmp_path, range(39)) == []
    assert [(tmp_path / name).stat().st_size for name in before[:-1]] == sizes
    positions = [stored.position for stored in store.replay()]
    store.close()
    reopened = FileReceiptStore(tmp_path)
    assert [stored.position for stored in reopened.replay()] == positions
    assert len(positions) == 3 * 40
    reopened.close()


@pytest.mark.parametrize("operation", ["write", "fdatasync", "replace", "create"])
def test_when_the_disk_fails_it_is_done_again(tmp_path: Path, operation: str) -> None:
    files = FaultyFiles()
    store = FileReceiptStore(tmp_path, files=files, segment_bytes=20_000)
    for number in range(40):
        store.append(written(number).payloads)
    files.fail(operation, errno.EIO)
    with pytest.raises(StorageUnavailable):
        erase(store, range(40), at_a_time=40)
    for number in range(40):
        assert verify(store.payloads(written(number).receipt_id)) is None
    files.heal()
    erase(store, range(40), at_a_time=40)
    assert found(tmp_path, range(40)) == []
    store.append(written(40).payloads)
    store.close()


@pytest.mark.parametrize("where", ["IndexFile.remake", "empty_log"])
def test_an_index_that_was_left_in_between_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    place, left = tmp_path / "place", tmp_path / "left"
    store = FileReceiptStore(place, segment_bytes=20_000)
    for number in range(20):
        store.append(written(number).payloads)
    store.replace(erasures(written(19)))
    assert any(word in (place / "index" / "receipts.db").read_bytes() for word in words(3))

    def die(*_: object) -> None:
        # the very files, under another name: a copy of an index is no index anyway
        shutil.copytree(place, left, copy_function=os.link, ignore=shutil.ignore_patterns("lock"))
        raise StorageUnavailable("the process is gone")

    monkeypatch.setattr(f"wardwright.storage.index_file.{where}", die)
    with pytest.raises(StorageUnavailable, match="is gone"):
        erase(store, range(19), at_a_time=19)
    monkeypatch.undo()
    assert found(left, range(20)) != [], "the index still says who it was"
    with pytest.raises(Unfit, match="while entries were being replaced"):
        IndexFile(left / "index" / "receipts.db", is_writer=False).checked(LogFolder(left))
    reopened = FileReceiptStore(left)
    assert found(left, range(20)) == []
    assert len(list(reopened.newest())) == 20
    reopened.close()

    store.replace(erasures(written(19)))
    assert found(place, range(20)) == [], "what came after it made up for it"
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_kept_from_being_overwritten_is_gone_when_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_MS", 1)
    store = storage_at(kind, tmp_path).open()
    for number in range(RECEIPTS):
        store.append(written(number).payloads)
    store.replace(erasures(written(0)))
    reading = apsw.Connection(str(next(tmp_path.rglob("*.db"))), flags=apsw.SQLITE_OPEN_READONLY)
    reading.execute("BEGIN; SELECT count(*) FROM receipts").fetchall()
    somebody = receipts_of("user-0007")
    with pytest.raises(StorageUnavailable, match="locked"):
        erase_some(store, somebody)
    assert found(tmp_path, range(7, 8)) != [], "who reads still sees it"
    with pytest.raises(StorageUnavailable, match="locked"):
        erase_some(store, somebody)
    reading.close()
    assert erase_some(store, somebody) == Erased(), "nothing of it is found any more"
    assert found(tmp_path, range(7, 8)) == []
    store.close()
