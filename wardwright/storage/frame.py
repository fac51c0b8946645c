"""Frames: how one payload stands in a segment, and how whole frames are told from everything else.

A frame is one line of text, so that a segment can be read with `grep` and `cut`:

    ww1 <length> <synced> <crc> <payload>\\n

`length` counts the payload's bytes, `synced` is how much of the segment was certainly on disk when the frame was written,
`crc` is the CRC-32 of all of the line before it and of the payload; each is eight hex digits. A frame is whole only when its
bytes are exactly what `encode_frame` makes: the magic is not zero and an empty payload is no frame, so zeros never pass.

`synced` is what tells a torn tail from damage. A power failure may leave any mixture of whole and broken frames, but only in
what was not yet synced. A whole frame that says the broken place had been synced before proves damage.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

MAX_PAYLOAD = 16 * 1024 * 1024

_MAGIC = b"ww1 "
_COVERED = b"ww1 %08x %08x "
_BEGINNING = b"ww1 %08x %08x %08x "
_HEADER = len("ww1 00000000 00000000 00000000 ")
_NEWLINE = ord("\n")
_LENGTH = slice(4, 12)
_SYNCED = slice(13, 21)
_CHECKED = slice(0, 22)
_LARGEST_FRAME = _HEADER + MAX_PAYLOAD + 1
_CHUNK = 1024 * 1024
_FIRST_READ = 4096
# So little that its memory comes out of the heap: what is mapped anew for each read costs as much as unpacking.
_SPAN = 32 * 1024


Read = Callable[[int, int], bytes]
"""So many bytes of a segment from an offset on; fewer, or none, where it ends."""

PayloadAt = Callable[[bytes, int], bytes | None]
"""The payload of the frame that begins at a place of a buffer; None when it is not whole there."""


class Frame(NamedTuple):
    """A whole frame found in a segment, from `offset` up to `end`."""

    offset: int
    end: int
    synced: int
    payload: bytes


_new = tuple.__new__
"""Makes a named tuple in half the time that its class takes: a store has millions of frames."""


def encode_frame(payload: bytes, synced: int) -> bytes:
    """Frame a payload, of a segment whose first `synced` bytes are on disk.

    Raises: ValueError for a payload that is empty or longer than `MAX_PAYLOAD`.
    """
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a payload has 1 to {MAX_PAYLOAD} bytes, not {len(payload)}")
    covered = _COVERED % (len(payload), synced)
    return b"%b%08x %b\n" % (covered, crc32(payload, crc32(covered)), payload)


def decode_frame(buffer: bytes, at: int = 0, base: int = 0) -> Frame | None:
    """Read the frame that begins at `at`; None when it is not whole. Its place is counted from where the buffer begins, `base`."""
    header = buffer[at : at + _HEADER]
    try:
        size, synced = int(header[_LENGTH], 16), int(header[_SYNCED], 16)
    except ValueError:
        return None
    end = at + _HEADER + size + 1
    if not 0 < size <= MAX_PAYLOAD or synced < 0 or end > len(buffer) or buffer[end - 1] != _NEWLINE:
        return None
    payload = buffer[at + _HEADER : end - 1]
    # Compared as bytes with what would be written: nothing but that very form is accepted.
    if header != _BEGINNING % (size, synced, crc32(payload, crc32(header[_CHECKED]))):
        return None
    return _new(Frame, (base + at, base + end, synced, payload))


def read_frame(read: Read, offset: int) -> Frame | None:
    """Read the frame at `offset` of a segment; None when there is no whole one."""
    begin = read(_FIRST_READ, offset)
    length = _frame_length(begin[:_HEADER])
    if length is not None and length > len(begin):
        begin = read(length, offset)
    return decode_frame(begin, base=offset)


def payloads_at(read: Read, offsets: Sequence[int], payload_at: PayloadAt) -> Iterator[bytes | None]:
    """Read the payloads of frames at ascending offsets of a segment, neighbours at once; None in the place of each that is not whole.

    `payload_at` is `whole_payload`, or `delimited_payload` where `read` has checked the bytes already.
    """
    begin, piece = 0, b""
    for offset in offsets:
        payload = payload_at(piece, offset - begin)
        if payload is None:
            last = offsets[bisect_right(offsets, offset + _SPAN) - 1]
            begin, piece = offset, read(last - offset + _FIRST_READ, offset)
            payload = payload_at(piece, 0)
            if payload is None and (length := _frame_length(piece[:_HEADER])) is not None:
                payload = payload_at(read(length, offset), 0)
        yield payload


def whole_payload(buffer: bytes, at: int) -> bytes | None:
    """The payload of the frame that begins at `at`; None when it is not whole."""
    frame = decode_frame(buffer, at)
    return None if frame is None else frame.payload


def delimited_payload(buffer: bytes, at: int) -> bytes | None:
    """As `whole_payload`, of bytes that were whole frames when they were given a checksum, which has been checked: it takes a quarter of the time."""
    begin = at + _HEADER
    try:
        end = begin + int(buffer[at + 4 : at + 12], 16)
    except ValueError:
        return None
    return buffer[begin:end] if buffer.startswith(_MAGIC, at) and buffer.startswith(b"\n", end) else None


def scan(read: Read, start: int, end: int) -> Iterator[Frame]:
    """Yield the frames of a segment between two offsets, up to the first place where there is no whole one."""
    size = _CHUNK
    while start < end:
        chunk = read(min(size, end - start), start)
        done = 0
        while (frame := decode_frame(chunk, done, start)) is not None:
            yield frame
            done = frame.end - start
        if done:
            start, size = start + done, _CHUNK
        elif start + len(chunk) >= end or size > _LARGEST_FRAME:
            return
        else:
            size *= 4  # perhaps the frame is only longer than the chunk


def next_frame(buffer: bytes, at: int) -> Frame | None:
    """The first whole frame that begins at `at` or behind it; None when there is none. No payload has a line feed, so none holds one."""
    at = buffer.find(_MAGIC, at)
    while at >= 0:
        frame = decode_frame(buffer, at)
        if frame is not None:
            return frame
        at = buffer.find(_MAGIC, at + 1)
    return None


def was_synced(read: Read, offset: int, end: int) -> bool:
    """Whether a whole frame after `offset` proves that the segment had been on disk beyond it."""
    return any(frame.synced > offset for frame in _whole_frames(read, offset, end))


def has_frame(read: Read, end: int) -> bool:
    """Whether there is a whole frame anywhere before `end`."""
    return any(True for _ in _whole_frames(read, 0, end))


def _whole_frames(read: Read, offset: int, end: int) -> Iterator[Frame]:
    """Search for frames byte by byte. Reads the rest of the segment at once: done only for a tail that is already known bad."""
    rest = read(end - offset, offset)
    at = 0
    while (frame := next_frame(rest, at)) is not None:
        yield frame._replace(offset=frame.offset + offset, end=frame.end + offset)
        at = frame.end


def _frame_length(header: bytes) -> int | None:
    """How long the frame says it is; None when it cannot be one."""
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return None
    length = _number(header[_LENGTH])
    return _HEADER + length + 1 if 0 < length <= MAX_PAYLOAD else None


def _number(digits: bytes) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        return -1
