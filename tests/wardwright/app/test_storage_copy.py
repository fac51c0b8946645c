"""Copies of storage, between providers of every kind."""

from pathlib import Path

import pytest

from tests.support.sinks import ScriptedSink
from wardwright.app.storage import storage_at
from wardwright.app.storage_copy import CannotCopy, copy_storage
from wardwright.config.sinks import JsonlSinkSettings
from wardwright.domain.control import ControlEntry, KeyCreated
from wardwright.ports.sink import event_record
from wardwright.ports.storage import ReceiptStore, StorageProvider
from wardwright.runtime.sink_line import SinkLine
from wardwright.runtime.sink_mark import PlaceLost, kept_place
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


def line(store: ReceiptStore, sink: ScriptedSink) -> SinkLine:
    """A line to a sink that is at its place in the log, and knows what waits."""
    settings = JsonlSinkSettings(id="s", path="unused", batch=50)
    made = SinkLine(settings, sink, store=lambda: store, appended=lambda: 0, now=lambda: 1.0)
    made.begin()
    while made.pass_over_the_past() or made.look_ahead():
        pass
    return made


def beginning_of(store: ReceiptStore, sink: ScriptedSink, batches: int) -> None:
    """Give a sink the first batches of what there is, of which it refuses some."""
    store.set_mark("sink.s", b"{}")
    sink.refuses = lambda record: "too large" if record.position % 11 < 2 else None
    before = line(store, sink)
    for _ in range(batches):
        before.step()
    before.end()
    sink.mend()


@pytest.mark.parametrize(("source_kind", "target_kind"), [("file", "sqlite"), ("sqlite", "file")])
@pytest.mark.parametrize("batches", [0, 7, 1000])
def test_a_sink_goes_on_in_a_copy_where_it_is(tmp_path: Path, source_kind: str, target_kind: str, batches: int) -> None:
    source, target = storage_at(source_kind, tmp_path / "source"), storage_at(target_kind, tmp_path / "target")
    filled(source)
    sink, store = ScriptedSink(), source.open()
    store.forget("rcpt_0003")  # so that positions and counts are two things
    beginning_of(store, sink, batches)
    waits = line(store, sink).lag
    store.close()

    copied = copy_storage(source, target, lambda done: None, ["s", "has-begun-nowhere"])

    assert copied.sinks == 1
    copy = target.open()
    after = line(copy, sink)
    assert after.lag == waits
    after.raise_dead()
    while after.step():
        pass
    keys = [event_record(*stored).key for stored in copy.replay()]
    assert sorted(sink.keys) == sorted(keys), "each just once: what was sent, what was refused, and what waited"
    copy.close()


def test_a_place_that_is_lost_is_so_in_the_copy_and_no_sink_is_taken_for_a_new_one(tmp_path: Path) -> None:
    source, target = FileStorage(tmp_path / "source"), storage_at("sqlite", tmp_path / "target")
    filled(source)
    marks = source.receipts / "marks"
    marks.mkdir(exist_ok=True)
    (marks / "sink.s").write_bytes(b"00000000\n{}")
    copy_storage(source, target, lambda done: None, ["s"])
    with pytest.raises(PlaceLost):
        kept_place(target.read(), "s")


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
