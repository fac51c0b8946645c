"""What a file of JSON lines promises beyond the contract: no line twice, none torn, and files that may be moved away."""

import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest

from wardwright.ports.sink import BATCH_BYTES, Record, SinkUnavailable
from wardwright.sinks.jsonl import JsonlSink
from wardwright.testing.sink_bench import enlarged, sample_records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "out.jsonl"


def deliver(path: Path, records: Sequence[Record], rotate_bytes: int | None = None) -> None:
    sink = JsonlSink(path, unit="events", rotate_bytes=rotate_bytes)
    sink.open()
    sink.deliver(records)
    sink.close()


def lines(*paths: Path) -> list[bytes]:
    return [line for path in paths for line in path.read_bytes().splitlines()]


def bodies(records: Sequence[Record]) -> list[bytes]:
    return [record.body for record in records]


def test_a_line_is_the_body_and_the_file_its_owners_alone(path: Path) -> None:
    records = sample_records("events", 3)
    deliver(path, records)
    assert path.read_bytes() == b"".join(record.body + b"\n" for record in records)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_torn_line_is_cut_off_and_written_whole(path: Path, kept: int) -> None:
    records = sample_records("events", 3)
    deliver(path, records)
    torn = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(torn[:4]) + torn[4][:kept])
    deliver(path, records[2:])
    assert lines(path) == bodies(records)


def test_a_file_that_is_one_torn_line_begins_anew(path: Path) -> None:
    records = sample_records("events", 1)
    path.parent.mkdir()
    path.write_bytes(b"{" + b" " * 200_000)
    deliver(path, records)
    assert lines(path) == bodies(records)


def test_nothing_is_written_twice_however_large_the_batch_was_that_was_cut_short(path: Path) -> None:
    records = [enlarged(record, 9000) for record in sample_records("events", 60)]
    sums = list(accumulate(map(len, bodies(records))))
    largest = next(count for count, total in enumerate(sums, start=1) if total >= BATCH_BYTES)
    before = [enlarged(record, 40) for record in sample_records("events", 3000, first=1001)]
    deliver(path, before)
    deliver(path, records[:largest])
    deliver(path, records)
    assert lines(path) == bodies([*before, *records])


def test_what_follows_a_last_line_of_any_size_is_not_written_twice(path: Path) -> None:
    records = sample_records("events", 4)
    records[3] = enlarged(records[3], 3 * BATCH_BYTES)
    deliver(path, records[:4])
    deliver(path, records)
    assert lines(path) == bodies(records)


def test_lines_of_others_do_no_harm(path: Path) -> None:
    records = sample_records("events", 2)
    path.parent.mkdir()
    path.write_bytes(b'hello\n[1]\n\xff\n{"receipt_id": 7}\n')
    deliver(path, records)
    assert lines(path)[4:] == bodies(records)


def test_a_file_that_is_moved_away_is_followed_by_another(path: Path) -> None:
    first, second = sample_records("events", 2), sample_records("events", 2, first=11)
    sink = JsonlSink(path, unit="events")
    sink.open()
    sink.deliver(first)
    moved = path.rename(path.with_suffix(".old"))
    sink.deliver(second)
    sink.close()
    assert (lines(moved), lines(path)) == (bodies(first), bodies(second))


def test_a_large_file_is_put_aside_between_batches_and_nothing_is_lost_or_doubled(path: Path) -> None:
    records = sample_records("events", 60)
    for at in range(0, len(records), 9):
        deliver(path, records[max(0, at - 4) : at + 9], rotate_bytes=20_000)
    aside = sorted(path.parent.glob("out.jsonl.*"))
    assert [file.name for file in aside] == [f"out.jsonl.{number:06d}" for number in range(1, len(aside) + 1)]
    assert len(aside) > 2
    assert all(file.stat().st_size >= 20_000 for file in aside)
    assert lines(*aside, path) == bodies(records)


def test_a_disk_that_fails_is_a_sink_that_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = sample_records("events", 2)
    sink = JsonlSink(path, unit="events")
    sink.open()

    def write_half(fd: int, data: memoryview) -> int:
        if os.fstat(fd).st_size:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) // 2])

    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_half)
        with pytest.raises(SinkUnavailable, match=r"cannot write to .*: No space left on device"):
            sink.deliver(records)
    sink.close()
    sink.open()
    sink.deliver(records)
    sink.close()
    assert lines(path) == bodies(records)


class LossyDisk:
    """A disk that fails to be written to: a sync says so once, and the next finds nothing to do, as Linux has it.

    `content` is what is on it of one file; `syncs` and `cuts` are how many more of them fail. When `room` is used up, a write says
    once that the disk is full.
    """

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.content = b""
        self.syncs = self.cuts = 0
        self.room: int | None = None
        self._clean = 0
        self._cut, self._write_on = os.ftruncate, os.write
        patched.setattr(os, "write", self._write)
        patched.setattr(os, "fdatasync", self._fdatasync)
        patched.setattr(os, "ftruncate", self._ftruncate)

    def _write(self, fd: int, data: memoryview) -> int:
        if self.room is None:
            return self._write_on(fd, data)
        if not self.room:
            self.room = None
            raise OSError(28, "No space left on device")
        written = self._write_on(fd, data[: self.room])
        self.room -= written
        return written

    def _fdatasync(self, fd: int) -> None:
        size, begin = os.fstat(fd).st_size, self._clean
        self._clean = size
        if self.syncs:
            self.syncs -= 1
            raise OSError(5, "Input/output error")
        self.content = self.content[:begin].ljust(begin, b"\0") + os.pread(fd, size - begin, begin)

    def _ftruncate(self, fd: int, length: int) -> None:
        if self.cuts:
            self.cuts -= 1
            raise OSError(5, "Input/output error")
        self._cut(fd, length)
        self._clean = min(self._clean, length)
        self.content = self.content[:length]


def insist(sink: JsonlSink, records: Sequence[Record]) -> int:
    """Deliver as the runtime does, until it has succeeded; tell how often it had not."""
    for failures in range(10):
        try:
            sink.open()
            sink.deliver(records)
        except SinkUnavailable:
            sink.close()
        else:
            sink.close()
            return failures
    raise AssertionError("nothing was delivered")


@pytest.mark.parametrize(("syncs", "cuts", "failures"), [(1, 0, 1), (3, 0, 3), (1, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize("first", [0, 2])
def test_what_a_sync_has_not_brought_to_the_disk_is_written_again_and_nothing_twice(
    path: Path, first: int, syncs: int, cuts: int, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, records = sample_records("events", first), sample_records("events", 2, first=11)
    disk, sink = LossyDisk(monkeypatch), JsonlSink(path, unit="events")
    if before:
        insist(sink, before)
    disk.syncs, disk.cuts = syncs, cuts
    assert insist(sink, [*before, *records]) == failures
    assert lines(path) == bodies([*before, *records])
    assert disk.content == path.read_bytes()


@pytest.mark.parametrize("first", [0, 2])
def test_lines_that_a_full_disk_took_are_not_taken_to_be_on_it(
    path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, records = sample_records("events", first), sample_records("events", 3, first=11)
    disk, sink = LossyDisk(monkeypatch), JsonlSink(path, unit="events")
    if before:
        insist(sink, before)
    disk.room, disk.syncs = len(records[0].body) + len(records[1].body) + 10, 1
    assert insist(sink, records) == 2
    assert lines(path) == bodies([*before, *records])
    assert disk.content == path.read_bytes()


def test_what_a_killed_process_left_is_written_again_when_it_has_not_come_to_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = sample_records("events", 2)
    deliver(path, records)
    disk = LossyDisk(monkeypatch)  # on which nothing is of that yet
    disk.syncs = 1
    assert insist(JsonlSink(path, unit="events"), records) == 1
    assert disk.content.endswith(b"".join(body + b"\n" for body in bodies(records)))
