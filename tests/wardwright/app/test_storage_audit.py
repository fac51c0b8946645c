"""A store checked in pieces by several processes: it comes to what one process says, to the letter."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wardwright.cli.test_verify import edit
from wardwright.app import storage_audit
from wardwright.app.storage_audit import audit_storage
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.audit import Audit
from wardwright.storage.folder import FileStorage
from wardwright.storage.sqlite import SqliteStorage
from wardwright.testing.sample_receipts import plain, receipt_id

RECEIPTS = 40

Kind = Callable[[Path], StorageProvider]


@pytest.fixture(autouse=True)
def nothing_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_audit, "SMALL_STORE", 0)
    monkeypatch.setattr(storage_audit, "PIECE", 20)


def files(path: Path) -> FileStorage:
    return FileStorage(path, segment_bytes=16_384, tail_entries=4)


def filled(storage: StorageProvider) -> StorageProvider:
    """Receipts by two writers that take turns, so that cuts go through the middle of some."""
    store = storage.open()
    for number in range(0, RECEIPTS, 2):
        first, second = plain(number).payloads, plain(number + 1, closed=number % 10 > 0).payloads
        store.append([first[0]])
        store.append([second[0], first[1]])
        store.append([*second[1:], first[2]])
    while store.tend():
        pass
    store.close()
    return storage


def everything_of(audit: Audit) -> tuple[object, ...]:
    return audit.entries, audit.receipts, audit.open_receipts, list(audit.findings.items())


@pytest.mark.parametrize("kind", [files, SqliteStorage])
def test_two_processes_find_what_one_finds(tmp_path: Path, kind: Kind) -> None:
    storage = filled(kind(tmp_path))
    told: list[int] = []
    alone, together = audit_storage(storage, 1, told.append), audit_storage(storage, 2, told.append)
    assert everything_of(together) == everything_of(alone)
    assert (alone.receipts, alone.open_receipts, told[-1]) == (RECEIPTS, RECEIPTS // 10, RECEIPTS)
    assert len(told) > 2, "it is told piece by piece"


def test_a_broken_chain_is_told_alike_wherever_it_is_cut(tmp_path: Path) -> None:
    storage = files(tmp_path)
    filled(storage)
    unpacked = sorted(storage.receipts.glob("receipts-*.log"))
    edit(unpacked[-1], b"local/small", b"local/SMALL")
    alone, together = audit_storage(storage, 1, print), audit_storage(storage, 2, print)
    assert everything_of(together) == everything_of(alone)
    assert receipt_id(RECEIPTS - 1) in together.findings


def test_damage_is_told_as_one_process_tells_it(tmp_path: Path) -> None:
    storage = files(tmp_path)
    filled(storage)
    packed = min(storage.receipts.glob("receipts-*.log.gz"))
    content = bytearray(packed.read_bytes())
    content[-20] ^= 1
    packed.write_bytes(content)
    messages = set()
    for processes in (1, 2):
        with pytest.raises(StorageUnavailable) as told:
            audit_storage(storage, processes, print)
        messages.add(told.value.message)
    assert len(messages) == 1
    assert str(packed) in messages.pop()
