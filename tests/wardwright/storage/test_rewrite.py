"""Sealed segments made anew: other payloads at the same offsets, and packed; whole at any moment, and damage still told."""

import gzip
import os
from pathlib import Path

import pytest

from tests.wardwright.storage.faulty_files import NO_SPACE, FaultyFiles, batches, flat
from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.files import FileOps
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.packed import BLOCK
from wardwright.storage.rewrite import pack_segment, rewrite_segment, sweep
from wardwright.storage.segments import LogReader, read_payloads

RECEIPTS = 40
ENTRIES = flat(batches(RECEIPTS))


@pytest.fixture
def log(tmp_path: Path) -> LogFolder:
    """A log of several segments."""
    store = FileReceiptStore(tmp_path / "log", "none", segment_bytes=4000)
    for batch in batches(RECEIPTS):
        store.append(batch)
    store.close()
    return LogFolder(tmp_path / "log")


def content(log: LogFolder) -> list[tuple[Place, bytes]]:
    return [(Place.unpacked(place), payload) for place, payload in LogReader(log).catch_up()]


def shorter(place: Place, payload: bytes) -> bytes | None:
    """Another payload for every third."""
    return b'{"gone":true}' if place.offset % 3 == 0 else None


@pytest.mark.parametrize("packed", [False, True])
def test_payloads_are_replaced_where_they_are_and_nothing_moves(log: LogFolder, packed: bool) -> None:
    before = content(log)
    if packed:
        pack_segment(log, 2, FileOps())
    changed = rewrite_segment(log, 2, shorter, FileOps())
    expected = [(at, (at.segment == 2 and shorter(at, payload)) or payload) for at, payload in before]
    assert changed == sum(old != new for old, new in zip(before, expected, strict=True)) > 0
    assert content(log) == expected
    assert read_payloads(log, [place.packed() for place, _ in before]) == [payload for _, payload in expected]
    assert (log.packed(2) if packed else log.segment(2)).exists()


@pytest.mark.parametrize("packed", [False, True])
def test_an_empty_payload_is_there_for_nobody(log: LogFolder, packed: bool) -> None:
    if packed:
        pack_segment(log, 1, FileOps())
    rewrite_segment(log, 1, lambda _, payload: b"" if b"rcpt_000000" in payload else None, FileOps())
    store = FileReceiptStore(log.path)
    assert [stored.payload for stored in store.replay()] == ENTRIES[2:]
    assert store.health().receipt_count == RECEIPTS - 1
    store.close()
    assert b"rcpt_000000" not in b"".join(file.read_bytes() for file in log.path.glob("*.log"))


def test_nothing_is_written_when_nothing_changes(log: LogFolder) -> None:
    files = FaultyFiles()
    assert rewrite_segment(log, 1, lambda *_: None, files) == 0
    assert not files.calls


def test_a_payload_that_does_not_fit_is_refused(log: LogFolder) -> None:
    before = content(log)
    with pytest.raises(ValueError, match="do not fit"):
        rewrite_segment(log, 1, lambda _, payload: payload + b" {}", FileOps())
    assert content(log) == before


def test_the_segment_that_is_written_to_is_left_alone(log: LogFolder) -> None:
    last = log.numbers()[-1]
    with pytest.raises(ValueError, match="is still written to"):
        rewrite_segment(log, last, shorter, FileOps())
    with pytest.raises(ValueError, match="is still written to"):
        pack_segment(log, last, FileOps())


def test_what_was_refused_to_the_writer_does_not_outlive_rewriting(log: LogFolder) -> None:
    with log.segment(1).open("ab") as segment:
        segment.write(b"refused and never cut off")
    before = content(log)
    rewrite_segment(log, 1, shorter, FileOps())
    assert b"refused" not in log.segment(1).read_bytes()
    assert [place for place, _ in content(log)] == [place for place, _ in before]


@pytest.mark.parametrize("operation", ["create", "write", "fdatasync", "replace", "sync_directory", "remove"])
def test_a_disk_that_fails_leaves_the_one_form_or_the_other(log: LogFolder, operation: str) -> None:
    before, files = content(log), FaultyFiles()
    files.fail(operation, NO_SPACE)
    with pytest.raises(StorageUnavailable):
        pack_segment(log, 1, files)
    assert content(log) == before
    files.heal()
    rewrite_segment(log, 1, shorter, files)
    changed = content(log)
    assert changed != before
    sweep(log, files)
    assert not log.leftovers()
    assert content(log) == changed, "what was left beside it does not come back"


def test_packed_segments_answer_alike_and_are_small(log: LogFolder) -> None:
    before = content(log)
    sizes = [log.segment(number).stat().st_size for number in (1, 2)]
    saved = [pack_segment(log, number, FileOps()) for number in (1, 2)]
    assert [log.packed(number).stat().st_size for number in (1, 2)] == [
        size - less for size, less in zip(sizes, saved, strict=True)
    ]
    assert sum(saved) > sum(sizes) / 2
    assert content(log) == before
    assert read_payloads(log, [place.packed() for place, _ in before]) == [payload for _, payload in before]
    assert pack_segment(log, 1, FileOps()) == 0
    assert gzip.decompress(log.packed(1).read_bytes()).count(b"\n") == 1 + sum(
        place.segment == 1 for place, _ in before
    )
    again = FileReceiptStore(log.path)
    assert [stored.payload for stored in again.replay(before[5][0].packed())] == ENTRIES[6:]
    again.append(batches(1, first=RECEIPTS)[0])
    assert again.health().receipt_count == RECEIPTS + 1
    again.forget("rcpt_000038")
    assert not log.packed(1).exists()
    again.close()


def test_frames_may_lie_across_blocks(tmp_path: Path) -> None:
    log = LogFolder(tmp_path)
    store = FileReceiptStore(tmp_path, "none", segment_bytes=5 * BLOCK)
    large = [
        b'{"receipt_id":"r%d","seq":1,"event":{"type":"t"},"x":"%b"}' % (number, bytes([65 + number]) * size)
        for number, size in enumerate([10, BLOCK, 3 * BLOCK, 70, 2 * BLOCK, 5])
    ]
    for payload in large:
        store.append([payload])
    store.close()
    pack_segment(log, 1, FileOps())
    places = [place.packed() for place, _ in content(log)]
    assert read_payloads(log, places) == large


def test_damage_in_a_packed_segment_is_refused_with_its_place(log: LogFolder) -> None:
    pack_segment(log, 1, FileOps())
    whole = log.packed(1).read_bytes()
    block = whole.index(b"\x1f\x8b", 1)
    for offset, begin in ((0, 0), (40, 0), (block - 1, 0), (block + 13, block), (len(whole) - 1, block)):
        flipped = bytearray(whole)
        flipped[offset] ^= 0x10
        log.packed(1).write_bytes(flipped)
        with pytest.raises(StorageUnavailable, match=rf"receipts-00000001\.log\.gz is damaged at offset {begin}:"):
            content(log)
    os.truncate(log.packed(1), len(whole) - 1)
    with pytest.raises(StorageUnavailable, match="is damaged at offset"):
        content(log)


def test_damage_is_not_packed_away(log: LogFolder) -> None:
    store = FileReceiptStore(log.path, segment_bytes=4000)
    for batch in batches(20, first=RECEIPTS):
        store.append(batch)
    store.close()
    number = log.numbers()[-2]
    flipped = bytearray(log.segment(number).read_bytes())
    flipped[len(flipped) // 2] ^= 1
    log.segment(number).write_bytes(flipped)
    with pytest.raises(StorageUnavailable, match="is damaged at offset"):
        pack_segment(log, number, FileOps())
    assert log.segment(number).read_bytes() == flipped
    assert not log.leftovers()


def test_a_later_format_of_packing_is_refused_by_name(log: LogFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardwright.storage.packed.FORMAT", 3)
    pack_segment(log, 1, FileOps())
    monkeypatch.undo()
    with pytest.raises(StorageUnavailable, match=r"00000001\.log\.gz has format 3; this version reads formats up to 2"):
        content(log)


def test_a_packed_segment_under_another_number_is_refused(log: LogFolder) -> None:
    pack_segment(log, 1, FileOps())
    log.packed(1).replace(log.packed(2))
    log.segment(2).unlink()
    with pytest.raises(StorageUnavailable, match=r"00000002\.log\.gz is damaged at offset 0"):
        content(LogFolder(log.path))
