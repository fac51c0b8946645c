"""Reading what is left of a log that is damaged: every entry that is whole, and where something is not.

All other reading stops at the first damage, so that nobody takes what is left for all that there was. This goes on behind it, at the next frame
that is whole. What a power failure took that was never synced is no damage, and neither is a torn tail, which no whole frame follows.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from wardwright.storage.files import disk_faults
from wardwright.storage.frame import Frame, decode_frame, next_frame
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.packed import blocks_left
from wardwright.storage.segments import FORMAT, Extent, Header, later_format, unpadded

_UNREADABLE = 4096
NOWHERE = (1 << 40) - 1

Pread = Callable[[int, int, int], bytes]


class Gap(NamedTuple):
    """Bytes of a file that are not what was written: from `begin` up to `end`, which is None where the whole file is missing.

    `loses` is false where no entry can have been there. `reaches` is the place in the log at which it ends at the latest. A block may have
    several gaps in it, which are all told as the block.
    """

    path: Path
    begin: int
    end: int | None
    reaches: Place
    loses: bool = True


class End(NamedTuple):
    """Where a log ends, and how many bytes follow that were never written whole."""

    place: Place
    torn: int = 0


class _Broken(NamedTuple):
    """Where in an unpacked segment a block stands that is not whole, and where that is in the file."""

    begin: int
    end: int
    gap: Gap


class _Content(NamedTuple):
    """A segment, unpacked, with zeros where nothing is left; of a packed one also which blocks are not whole.

    `is_sized` says that it is known how long it was, whether all of that is there or not.
    """

    path: Path
    data: bytes
    broken: list[_Broken]
    is_packed: bool
    is_sized: bool


def what_is_left(
    log: LogFolder, *, first: int | None, on_segment: Callable[[float], None], pread: Pread = os.pread
) -> Iterator[bytes | Gap | End]:
    """Yield every whole payload in the log's order, the gaps between them where they are, and the end.

    `first` is the number of the first segment that there must be, None where only the log itself tells. `on_segment` is told which part is
    done. Whatever may be missing behind the end leaves no trace in the log itself.

    Raises: StorageUnavailable for a later format, and for a folder that cannot be read.
    """
    with disk_faults("read from", log.path):
        numbers = log.numbers()
    if not numbers:
        return
    begin, last = min(first or numbers[0], numbers[0]), _last_begun(log, numbers, pread)
    for number in range(begin, last + 1):
        if number in numbers:
            yield from _of_segment(log, number, is_last=number == last, pread=pread)
        else:
            yield Gap(log.segment(number), 0, None, Place(number, NOWHERE))
        on_segment((number - begin + 1) / (last - begin + 1))


def _of_segment(log: LogFolder, number: int, *, is_last: bool, pread: Pread) -> Iterator[bytes | Gap | End]:
    content = _content(log, number, pread)
    extent = None if content.is_sized or is_last else _extent(log, number + 1, pread)
    data, synced, broken = content.data, None, deque(content.broken)
    if content.is_packed and not content.is_sized:
        broken += _cut_off(content, extent, number)
    elif extent is not None:
        data, synced = data[: extent.end], extent.synced
    for found in _frames(data, synced, is_last=is_last):
        match found:
            case End(place=(_, offset), torn=torn):
                yield End(Place(number, offset), torn)
            case range(start=begin, stop=end):
                within = [block.gap for block in broken if block.begin < end and block.end > begin]
                yield from within or [Gap(log.segment(number), begin, end, Place(number, end))]
            case Frame(offset=offset):
                while broken and broken[0].end <= offset:
                    yield broken.popleft().gap
                yield from _said(found, content.path, number)
    yield from (block.gap for block in broken)


def _cut_off(content: _Content, extent: Extent | None, number: int) -> Iterator[_Broken]:
    """What may be missing at the end of a packed segment that nothing in its own file tells the size of."""
    size = len(content.data)
    if extent is None or size < extent.synced or any(block.gap.loses for block in content.broken):
        with disk_faults("read from", content.path):
            yield _Broken(size, size, Gap(content.path, content.path.stat().st_size, None, Place(number, NOWHERE)))


def _frames(data: bytes, synced: int | None, *, is_last: bool) -> Iterator[Frame | range | End]:
    """The whole frames, the parts between them where there are none, and the end of the last segment."""
    at = 0
    while at < len(data):
        frame = decode_frame(data, at)
        if frame is None:
            if synced is not None and at >= synced:
                return
            frame = next_frame(data, at + 1)
            if frame is None:
                break
            yield range(at, frame.offset)
        yield frame
        at = frame.end
    if is_last:
        yield End(Place(0, at), len(data[at:].rstrip(b"\0")))
    elif at < (synced or 0) or data[at:].strip(b"\0"):
        yield range(at, max(len(data), synced or 0))


def _said(frame: Frame, path: Path, number: int) -> Iterator[bytes | Gap]:
    """What a frame says: the first is the header."""
    payload = unpadded(frame.payload)
    if frame.offset:
        if payload:
            yield payload
    elif not _is_header(payload, path, number):
        yield Gap(path, 0, frame.end, Place(number, frame.end))


def _last_begun(log: LogFolder, numbers: Sequence[int], pread: Pread) -> int:
    """The last segment, or the one before it, when that one's creation was cut off."""
    is_begun = len(numbers) == 1 or next_frame(_content(log, numbers[-1], pread).data, 0) is not None
    return numbers[-1 if is_begun else -2]


def _content(log: LogFolder, number: int, pread: Pread) -> _Content:
    written, packed = log.segment(number), log.packed(number)
    if written.exists():
        return _Content(written, _bytes_of(written, pread), [], is_packed=False, is_sized=False)
    data, broken, is_placed, is_sized = bytearray(), list[_Broken](), True, True
    for block in blocks_left(_bytes_of(packed, pread), packed, number):
        begin = len(data)
        if block.is_whole:
            data += block.content
            continue
        is_placed = is_placed and block.size is not None
        is_sized = is_sized and block.size != 0
        data += block.content + b"\0" if block.size is None else block.content[: block.size].ljust(block.size, b"\0")
        reaches = Place(number, len(data) if is_placed else NOWHERE)
        gap = Gap(packed, block.begin, block.end, reaches, loses=block.size != 0)
        broken.append(_Broken(begin, len(data), gap))
    return _Content(packed, bytes(data), broken, is_packed=True, is_sized=is_sized)


def _bytes_of(path: Path, pread: Pread) -> bytes:
    """What a file holds, with zeros where the disk does not give it back. Raises: StorageUnavailable."""
    with disk_faults("read from", path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            return b"".join(_piece(fd, at, min(_UNREADABLE, size - at), pread) for at in range(0, size, _UNREADABLE))
        finally:
            os.close(fd)


def _piece(fd: int, at: int, size: int, pread: Pread) -> bytes:
    try:
        return pread(fd, size, at).ljust(size, b"\0")
    except OSError:
        return bytes(size)


def _extent(log: LogFolder, number: int, pread: Pread) -> Extent | None:
    """How far the segment before this one counts, if that can still be read."""
    if not log.files(number):
        return None
    frame = decode_frame(_content(log, number, pread).data)
    header = None if frame is None else _decoded(frame.payload)
    return None if header is None or header.segment != number else header.previous


def _is_header(payload: bytes, path: Path, number: int) -> bool:
    """Whether a segment begins as it should. Raises: StorageUnavailable for a later format."""
    header = _decoded(payload)
    if header is not None and header.format > FORMAT:
        raise later_format(path, header.format)
    return header is not None and header.segment == number


def _decoded(payload: bytes) -> Header | None:
    try:
        return msgspec.json.decode(payload, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
