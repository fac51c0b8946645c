"""Packed segments: what a segment holds, compressed in blocks that can be read one by one.

A packed segment is a gzip file, so that `zcat` and `zgrep` read it as they read what it was made of. Each block of the segment, `block`
bytes and the last what is left, is a member of its own. Before them stands an empty member, whose header carries the table: one
frame (`storage.frame`) of JSON. `ends` says where each block ends, counted from the first one's beginning. Offsets in the segment stay
what they were. gzip checks each block, and the frames in it have their own checksums.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.frame import decode_frame, encode_frame, read_frame
from wardwright.storage.log_folder import damaged

FORMAT = 2
BLOCK = 64 * 1024
MOST_BLOCKS = 4096
"""So many a table has room for. Of a segment that would have more, blocks are larger."""

_LEVEL = 6
_GZIP = 16 + zlib.MAX_WBITS
_HAS_EXTRA_FIELD = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_FIELD = b"WW"
_FIELD_AT = len(_HAS_EXTRA_FIELD) + 2
_TABLE_AT = _FIELD_AT + len(_FIELD) + 2
_BLOCK_BEGINS = b"\x1f\x8b\x08\x00"
_SIP = 64
"""So little is unpacked at once of what may be damaged, that next to nothing is missed of what stands before that."""
_NOTHING = b"\x03\x00" + bytes(8)  # deflated, with its checksum and length


class Table(msgspec.Struct, frozen=True):
    """What stands at the front of a packed segment of `size` bytes. The format is that of the log, which is the first to pack."""

    format: int
    segment: int
    size: int
    block: int
    ends: tuple[int, ...]


def pack(number: int, content: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Render a packed segment of a number, from its content in pieces of any size, together `size` bytes or fewer.

    Holds all of it, packed, in memory.
    """
    block = max(BLOCK, -(-size // MOST_BLOCKS))
    blocks, size = [], 0
    for piece in _cut(content, block):
        blocks.append(_compressed(piece))
        size += len(piece)
    table = Table(FORMAT, number, size, block, tuple(accumulate(map(len, blocks))))
    yield _member(encode_frame(msgspec.json.encode(table), synced=0))
    yield from blocks


class PackedSegment:
    """Reads a packed segment, and keeps the block that was read last.

    Raises: StorageUnavailable for damage and for a later format, OSError.
    """

    def __init__(self, fd: int, path: Path, number: int) -> None:
        self._fd = fd
        self._path = path
        frame = read_frame(lambda count, offset: os.pread(fd, count, offset), _TABLE_AT)
        if frame is None or os.pread(fd, frame.end + len(_NOTHING), 0) != _member(
            encode_frame(frame.payload, frame.synced)
        ):
            raise damaged(path, 0)
        self._table = _read_table(path, frame.payload)
        if self._table.segment != number:
            raise damaged(path, 0)
        self._begin = frame.end + len(_NOTHING)
        self._kept: tuple[int, bytes] = (-1, b"")

    @property
    def size(self) -> int:
        """How many bytes the segment has, unpacked."""
        return self._table.size

    def read(self, count: int, offset: int) -> bytes:
        """So many bytes from an offset on; fewer, or none, where the segment ends. Raises: StorageUnavailable for damage."""
        end, block = min(offset + count, self.size), self._table.block
        if offset >= end:
            return b""
        first, last = offset // block, (end - 1) // block
        if first == last:
            return self._block(first)[offset - first * block : end - first * block]
        pieces = [self._block(first)[offset - first * block :]]
        pieces += [self._block(number) for number in range(first + 1, last)]
        pieces.append(self._block(last)[: end - last * block])
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        if self._kept[0] != number:
            self._kept = number, self._unpacked(number)
        return self._kept[1]

    def _unpacked(self, number: int) -> bytes:
        ends = self._table.ends
        begin = self._begin + (ends[number - 1] if number else 0)
        packed = os.pread(self._fd, self._begin + ends[number] - begin, begin)
        try:
            block = zlib.decompress(packed, _GZIP, self._table.block)
        except zlib.error:
            raise damaged(self._path, begin) from None
        if len(block) != min(self._table.block, self.size - number * self._table.block):
            raise damaged(self._path, begin)
        return block


class Block(NamedTuple):
    """A block as it is found in a file that may be damaged: from one byte up to another, and what comes of unpacking it.

    That `is_whole`, or is not what was packed, though parts of it may be. `size` says how much it was, None where nobody knows.
    """

    begin: int
    end: int
    content: bytes
    is_whole: bool
    size: int | None


def blocks_left(file: bytes, path: Path, number: int) -> Iterator[Block]:
    """Read the blocks of a packed segment one by one, whatever has become of the others and of the table. Purity: pure.

    Where the table is damaged, the first block says so: it holds nothing, and nothing is missing there.

    Raises: StorageUnavailable for a later format.
    """
    frame = decode_frame(file, _TABLE_AT)
    begin = _FIELD_AT + int.from_bytes(file[_FIELD_AT - 2 : _FIELD_AT], "little") + len(_NOTHING)
    if frame is None or file[: frame.end + len(_NOTHING)] != _member(encode_frame(frame.payload, frame.synced)):
        yield Block(0, min(begin, len(file)), b"", is_whole=False, size=0)
        yield from _members(file, begin)
        return
    table = _read_table(path, frame.payload)
    begin = frame.end + len(_NOTHING)
    if table.segment != number:
        yield Block(0, begin, b"", is_whole=False, size=0)
    for index, end in enumerate(table.ends):
        at = begin + (table.ends[index - 1] if index else 0)
        size = min(table.block, table.size - index * table.block)
        content, stop = _member_at(file, at, begin + end)
        yield Block(at, begin + end, content, stop is not None and len(content) == size, size)


def _members(file: bytes, at: int) -> Iterator[Block]:
    """What a file holds from a place on, without a table to go by."""
    while at < len(file):
        content, stop = _member_at(file, at, len(file))
        end = stop
        if end is None:
            end = file.find(_BLOCK_BEGINS, at + 1)
            while end >= 0 and _member_at(file, end, len(file))[1] is None:
                end = file.find(_BLOCK_BEGINS, end + 1)
            end = len(file) if end < 0 else end
        yield Block(at, end, content, stop is not None, None if stop is None else len(content))
        at = end


def _member_at(file: bytes, at: int, end: int) -> tuple[bytes, int | None]:
    """What comes of unpacking the member that begins at a place, and where it ends; None for one that is not whole."""
    unpacking, content = zlib.decompressobj(_GZIP), bytearray()
    while at < end and not unpacking.eof:
        try:
            content += unpacking.decompress(file[at : min(at + _SIP, end)])
        except zlib.error:
            return bytes(content), None
        at = min(at + _SIP, end)
    return bytes(content), at - len(unpacking.unused_data) if unpacking.eof else None


def _member(frame: bytes) -> bytes:
    """The empty member that carries a frame."""
    field = _FIELD + len(frame).to_bytes(2, "little") + frame
    return _HAS_EXTRA_FIELD + len(field).to_bytes(2, "little") + field + _NOTHING


def _read_table(path: Path, payload: bytes) -> Table:
    try:
        table = msgspec.json.decode(payload, type=Table)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise damaged(path, 0) from None
    if table.format > FORMAT:
        raise StorageUnavailable(f"{path} has format {table.format}; this version reads formats up to {FORMAT}")
    return table


def _compressed(piece: bytes) -> bytes:
    packing = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packing.compress(piece) + packing.flush()


def _cut(content: Iterable[bytes], block: int) -> Iterator[bytes]:
    rest = bytearray()
    for piece in content:
        rest += piece
        whole = len(rest) // block * block
        yield from (bytes(rest[at : at + block]) for at in range(0, whole, block))
        del rest[:whole]
    if rest:
        yield bytes(rest)
