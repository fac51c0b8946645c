"""The segments of a log: their names, their headers, and reading the log's payloads in order.

A log is a folder of segments, `receipts-00000001.log` and so on without a gap. The first frame of a segment is its header. It
says the format, the segment's number, and how far the segment before it counts: `end` is where that one's acknowledged content
ends (whatever follows was refused to its writer and is no part of the log), and up to `synced` it was on disk, so that every
frame there must be whole. The last segment has no such witness: it counts up to its first frame that is not whole.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import disk_faults
from wardwright.storage.frame import Frame, encode_frame, has_frame, read_frame, scan, was_synced

FORMAT = 1

_OFFSET_BITS = 40


class LogFolder(NamedTuple):
    """Where the segments of a log are, and the name that they share."""

    path: Path
    name: str = "receipts"

    def segment(self, number: int) -> Path:
        """Where a segment is."""
        return self.path / f"{self.name}-{number:08d}.log"

    def numbers(self) -> list[int]:
        """The numbers of all segment files there are, in order."""
        pattern = re.compile(rf"{re.escape(self.name)}-(\d{{8}})\.log")
        return sorted(int(match[1]) for name in os.listdir(self.path) if (match := pattern.fullmatch(name)))


class Extent(msgspec.Struct, frozen=True):
    """How far a segment counts: acknowledged up to `end`, on disk up to `synced`."""

    synced: int = 0
    end: int = 0


class Header(msgspec.Struct, frozen=True):
    """The first frame of a segment. `previous` is the extent of the segment before it."""

    format: int
    segment: int
    previous: Extent = Extent()


class Place(NamedTuple):
    """Where a frame begins."""

    segment: int
    offset: int

    def packed(self) -> int:
        """As one number, ordered as the log is; adding to it moves on within the segment."""
        return self.segment << _OFFSET_BITS | self.offset

    @classmethod
    def unpacked(cls, number: int) -> "Place":
        """The place that `packed` made a number of."""
        return cls(number >> _OFFSET_BITS, number & (1 << _OFFSET_BITS) - 1)


def encode_header(number: int, previous: Extent) -> bytes:
    """Render the frame that a segment begins with."""
    return encode_frame(msgspec.json.encode(Header(FORMAT, number, previous)), synced=0)


def damaged(log: LogFolder, place: Place) -> StorageUnavailable:
    """Say where a log is not what was written."""
    return StorageUnavailable(
        f"{log.segment(place.segment)} is damaged at offset {place.offset}: this part was on disk and has changed since. "
        "Nothing was repaired; restore the file from a copy, or move the folder away to begin a new log"
    )


def read_payloads(log: LogFolder, places: Sequence[Place]) -> list[bytes]:
    """Read payloads back, from places in the log's order.

    Raises: StorageUnavailable when one is not there or not whole.
    """
    payloads = []
    for number, group in groupby(places, key=lambda place: place.segment):
        path = log.segment(number)
        with disk_faults("read from", path), _opened(path) as fd:
            for place in group:
                frame = read_frame(fd, place.offset)
                if frame is None:
                    raise damaged(log, place)
                payloads.append(frame.payload)
    return payloads


class LogReader:
    """Reads a log from its beginning, and what has been added since. Changes nothing, and needs no lock.

    `tail` is the end of what has been read so far: where a writer continues. A payload counts as read when the next one is
    asked for, so that one which its taker refuses is met again. `start` is the place of a frame to begin at.
    """

    def __init__(self, log: LogFolder, start: Place | None = None) -> None:
        self.log = log
        self._last: tuple[Place, bytes] | None = None
        self.tail = start

    def catch_up(self) -> Iterator[tuple[Place, bytes]]:
        """Yield every payload that was not yielded before, with its place.

        Raises: StorageUnavailable for damage and for what cannot be read.
        """
        headers = self._headers(since=self.tail.segment if self.tail else 0)
        for number in sorted(headers):
            successor = headers.get(number + 1)
            yield from self._read(number, successor.previous if successor else None)

    def is_astray(self) -> bool:
        """Whether the last frame read has changed: a writer took back what it could not write whole, so begin anew."""
        if self._last is None:
            return False
        place, payload = self._last
        try:
            return read_payloads(self.log, [place]) != [payload]
        except StorageUnavailable:
            return True

    def _headers(self, since: int) -> dict[int, Header]:
        """The headers of the segments from one on. A last segment whose creation was cut off is left out."""
        with disk_faults("read from", self.log.path):
            numbers = [number for number in self.log.numbers() if number >= since]
        headers = {}
        for expected, number in enumerate(numbers, start=numbers[0] if numbers else 1):
            if number != expected:
                raise StorageUnavailable(f"{self.log.segment(expected)} is missing: the log has a gap there")
            header = self._header(number, is_last=number == numbers[-1])
            if header is not None:
                headers[number] = header
        return headers

    def _header(self, number: int, *, is_last: bool) -> Header | None:
        path = self.log.segment(number)
        with disk_faults("read from", path), _opened(path) as fd:
            frame = read_frame(fd, 0)
            if frame is None and is_last and not has_frame(fd, os.fstat(fd).st_size):
                return None
        if frame is None:
            raise damaged(self.log, Place(number, 0))
        try:
            header = msgspec.json.decode(frame.payload, type=Header)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise damaged(self.log, Place(number, 0)) from None
        if header.format != FORMAT:
            raise StorageUnavailable(f"{path} has format {header.format}; this version reads format {FORMAT}")
        if header.segment != number:
            raise damaged(self.log, Place(number, 0))
        return header

    def _read(self, number: int, extent: Extent | None) -> Iterator[tuple[Place, bytes]]:
        path = self.log.segment(number)
        start = self.tail.offset if self.tail and self.tail.segment == number else 0
        with disk_faults("read from", path), _opened(path) as fd:
            end = os.fstat(fd).st_size if extent is None else extent.end
            reached = start
            for frame in scan(fd, start, end):
                if frame.offset > 0:
                    yield self._seen(number, frame)
                reached = frame.end
                self.tail = Place(number, reached)
            if reached < end and (extent is None or reached < extent.synced):
                self._judge(fd, Place(number, reached), end, extent)

    def _seen(self, number: int, frame: Frame) -> tuple[Place, bytes]:
        self._last = Place(number, frame.offset), frame.payload
        return self._last

    def _judge(self, fd: int, place: Place, end: int, extent: Extent | None) -> None:
        """Tell a torn tail, which is normal after a crash, from damage to what had been on disk."""
        if extent is not None or was_synced(fd, place.offset, end):
            raise damaged(self.log, place)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file for reading. Each reader has its own descriptor, so none disturbs another or the writer."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
