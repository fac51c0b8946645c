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
