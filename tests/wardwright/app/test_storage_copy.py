"""Copies of storage, between providers of every kind."""

from pathlib import Path

import pytest

from wardwright.app.storage import storage_at
from wardwright.app.storage_copy import CannotCopy, copy_storage
from wardwright.domain.control import ControlEntry, KeyCreated
from wardwright.ports.storage import StorageProvider
from wardwright.storage.folder import FileStorage
from wardwright.testing.sample_receipts import plain

CONTROL = ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash"))


def filled(storage: StorageProvider) -> list[bytes]:
    """Keep something in storage; returns the entries in their order."""
    store, log = storage.open(), storage.open_control()
    first, second = plain(1).payloads, plain(2, closed=False, session_id="a").payloads
    store.append([second[0], first[0], *second[1:], *first[1:]])
    store.append([payload for number in range(3, 400) for payload in plain(number).payloads])
    log.append([CONTROL])
    log.close()
    store.close()
    return [stored.payload for stored in store.replay()]


@pytest.mark.parametrize("source_kind", ["file", "sqlite"])
@pytest.mark.parametrize("target_kind", ["file", "sqlite"])
def test_a_copy_answers_every_question_alike(tmp_path: Path, source_kind: str, target_kind: str) -> None:
    source, target = storage_at(source_kind, tmp_path / "source"), storage_at(target_kind, tmp_path / "target")
    entries = filled(source)
    done: list[int] = []

    copied = copy_storage(source, target, done.append)

    assert (copied.receipts, copied.entries, copied.control_entries, copied.findings) == (399, len(entries), 1, ())
    assert done == sorted(done)
    assert done[-1] == 399
    reader, original = target.read(), source.read()
    assert [stored.payload for stored in reader.replay()] == entries
    assert list(reader.newest()) == list(original.newest())
    assert reader.open_receipts() == original.open_receipts()
    assert list(target.read_control()) == [CONTROL]
    reader.close()
    original.close()


def test_a_copy_is_made_beside_the_writer(tmp_path: Path) -> None:
    source, target = storage_at("file", tmp_path / "source"), storage_at("file", tmp_path / "target")
    writer = source.open()
    writer.append(plain(1).payloads)
    copied = copy_storage(source, target, lambda done: writer.append(plain(2).payloads))
    assert copied.receipts == 1
    assert writer.health().receipt_count == 2
    writer.close()


def test_nothing_is_copied_from_nothing_or_onto_something(tmp_path: Path) -> None:
    source, target = storage_at("file", tmp_path / "source"), storage_at("sqlite", tmp_path / "target")
    with pytest.raises(CannotCopy, match="there is nothing in"):
        copy_storage(source, target, print)
    assert target.is_new()
    filled(source)
    filled(target)
    with pytest.raises(CannotCopy, match=r"there is something in .* already"):
        copy_storage(source, target, print)


def test_what_a_power_failure_took_is_missed_in_the_copy_and_told(tmp_path: Path) -> None:
    source, target = FileStorage(tmp_path / "source"), storage_at("sqlite", tmp_path / "target")
    filled(source)
    (log,) = source.receipts.glob("*.log")
    lines = log.read_bytes().splitlines(keepends=True)
    lost = plain(1).payloads[1]
    log.write_bytes(b"".join(line for line in lines if lost not in line))

    copied = copy_storage(source, target, lambda done: None)

    assert (copied.left_out, [finding.receipt_id for finding in copied.findings]) == (1, ["rcpt_0001"])
    assert target.read().payloads("rcpt_0001") == plain(1).payloads[:1]
    assert target.read().payloads("rcpt_0399") == plain(399).payloads
