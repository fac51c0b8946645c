"""The segments of a log: their names, their headers, and reading the log's payloads in order.

A log is a folder of segments, `receipts-00000001.log` and so on without a gap. The first frame of a segment is its header. It
says the format, the segment's number, and how far the segment before it counts: `end` is where that one's acknowledged content
ends (whatever follows was refused to its writer and is no part of the log), and up to `synced` it was on disk, so that every
frame there must be whole. The last segment has no such witness: it counts up to its first frame that is not whole.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import disk_faults
from wardwright.storage.frame import (
    delimited_payload,
    encode_frame,
    has_frame,
    payloads_at,
    read_frame,
    scan,
    was_synced,
    whole_payload,
)
from wardwright.storage.log_folder import LogFolder, Place, damaged
from wardwright.storage.segment_file import OpenSegment, opened

FORMAT = 2
"""Since format 2 sealed segments may be packed. Written segments are the same in 1 and 2; the number keeps earlier versions away."""


class Extent(msgspec.Struct, frozen=True):
    """How far a segment counts: acknowledged up to `end`, on disk up to `synced`."""

    synced: int = 0
    end: int = 0


class Header(msgspec.Struct, frozen=True):
    """The first frame of a segment. `previous` is the extent of the segment before it."""

    format: int
    segment: int
    previous: Extent = Extent()


def encode_header(number: int, previous: Extent) -> bytes:
    """Render the frame that a segment begins with."""
    return encode_frame(msgspec.json.encode(Header(FORMAT, number, previous)), synced=0)


def extent_of(log: LogFolder, number: int) -> Extent:
    """How far a sealed segment counts. Raises: ValueError when no segment follows it yet. StorageUnavailable."""
    later = LogReader(log).header(number + 1)
    if later is None:
        raise ValueError(f"{log.segment(number)} is still written to")
    return later.previous


def unpadded(payload: bytes) -> bytes:
    """A payload without the spaces that fill its frame where it was replaced by a shorter one, or by nothing."""
    return payload.rstrip(b" ") if payload.endswith(b" ") else payload


def read_payloads(log: LogFolder, places: Sequence[int]) -> list[bytes]:
    """Read payloads back, from packed places in the log's order.

    Raises: StorageUnavailable when one is not there or not whole.
    """
    payloads: list[bytes] = []
    while len(payloads) < len(places):
        number = Place.unpacked(places[len(payloads)]).segment
        begin, behind = Place(number, 0).packed(), Place(number + 1, 0).packed()
        offsets = [place - begin for place in places[len(payloads) : bisect_left(places, behind)]]
        with opened(log, number) as segment:
            payload_at = delimited_payload if segment.is_checked else whole_payload
            for payload in payloads_at(segment.read, offsets, payload_at):
                if payload is None:
                    raise damaged(segment.path, places[len(payloads)] - begin)
                payloads.append(payload.rstrip(b" ") if payload.endswith(b" ") else payload)
    return payloads


class LogReader:
    """Reads a log from its beginning, and what has been added since. Changes nothing, and needs no lock.

    A payload counts as read when the next one is asked for, so that one which its taker refuses is met again. `start` is the place of a
    frame to begin at.
    """

    def __init__(self, log: LogFolder, start: Place | None = None) -> None:
        self.log = log
        self._last: tuple[int, bytes] | None = None
        self._tail = 0 if start is None else start.packed()

    @property
    def tail(self) -> Place | None:
        """The end of what has been read so far: where a writer continues. None when there was nothing yet."""
        return Place.unpacked(self._tail) if self._tail else None

    def catch_up(self, until: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield every payload that was not yielded before, with its packed place; those up to the end of a segment.

        Raises: StorageUnavailable for damage and for what cannot be read.
        """
        headers = self._headers(since=self.tail.segment if self.tail else 0, until=until)
        for number in sorted(headers):
            if until is not None and number > until:
                return
            successor = headers.get(number + 1)
            try:
                yield from self._read(number, successor.previous if successor else None)
            except StorageUnavailable:
                if not self.log.is_given_back(number):
                    raise

    def is_astray(self) -> bool:
        """Whether the last frame read has changed: a writer took back what it could not write whole, so begin anew."""
        if self._last is None:
            return False
        place, payload = self._last
        try:
            return read_payloads(self.log, [place]) != [payload]
        except StorageUnavailable:
            return True

    def header(self, number: int) -> Header | None:
        """The header of a segment; None when there is none, or one whose creation was cut off. Raises: StorageUnavailable."""
        with disk_faults("read from", self.log.path):
            last = self.log.numbers()[-1]
        return self._header(number, is_last=number == last) if number <= last else None

    def _headers(self, since: int, until: int | None) -> dict[int, Header]:
        """The headers of the segments from one on, up to the one behind another. A last segment whose creation was cut off is left out."""
        with disk_faults("read from", self.log.path):
            numbers = self.log.numbers()
        headers = {}
        for expected, number in enumerate(numbers, start=numbers[0] if numbers else 1):
            if number != expected:
                raise StorageUnavailable(
                    f"{self.log.segment(expected)} is missing: the log has a gap there. Restore the file from a copy, or have "
                    "`wardwright storage salvage FOLDER` copy what can still be read"
                )
            if number < since or (until is not None and number > until + 1):
                continue
            try:
                header = self._header(number, is_last=number == numbers[-1])
            except StorageUnavailable:
                if self.log.is_given_back(number):
                    continue
                raise
            if header is not None:
                headers[number] = header
        return headers

    def _header(self, number: int, *, is_last: bool) -> Header | None:
        with opened(self.log, number) as segment:
            frame = read_frame(segment.read, 0)
            if frame is None and is_last and not has_frame(segment.read, segment.size):
                return None
            if frame is None:
                raise damaged(segment.path, 0)
            return _decode_header(segment, number, frame.payload)

    def _read(self, number: int, extent: Extent | None) -> Iterator[tuple[int, bytes]]:
        begin = Place(number, 0).packed()
        start = self.tail.offset if self.tail and self.tail.segment == number else 0
        with opened(self.log, number) as segment:
            end = segment.size if extent is None else extent.end
            reached = start
            for offset, reached, _, padded in scan(segment.read, start, end):
                if offset > 0 and (payload := unpadded(padded)):
                    self._last = begin + offset, payload
                    yield self._last
                self._tail = begin + reached
            if reached < end and (extent is None or reached < extent.synced):
                _judge(segment, reached, end, extent)


def _decode_header(segment: OpenSegment, number: int, payload: bytes) -> Header:
    try:
        header = msgspec.json.decode(payload, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise damaged(segment.path, 0) from None
    if not 1 <= header.format <= FORMAT:
        raise later_format(segment.path, header.format)
    if header.segment != number:
        raise damaged(segment.path, 0)
    return header


def later_format(path: Path, number: int) -> StorageUnavailable:
    """Say that a file was written by a later version."""
    return StorageUnavailable(f"{path} has format {number}; this version reads formats up to {FORMAT}")


def _judge(segment: OpenSegment, offset: int, end: int, extent: Extent | None) -> None:
    """Tell a torn tail, which is normal after a crash, from damage to what had been on disk.

    A reader beside the writer may have come to this place before a batch, and find a later one behind it now: then it looks again.
    """
    if extent is not None or (was_synced(segment.read, offset, end) and read_frame(segment.read, offset) is None):
        raise damaged(segment.path, offset)
