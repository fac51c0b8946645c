"""Packed segments: what a segment holds, compressed in blocks that can be read one by one.

    <table><block><block>…

The table is one frame (`storage.frame`) of JSON. Each block is a zlib stream of `block` bytes of the segment, the last of what is
left; `ends` says where each of them ends, counted from the end of the table. Offsets in the segment stay what they were. zlib checks
each block, and the frames in it have their own checksums.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.frame import encode_frame, read_frame
from wardwright.storage.log_folder import damaged

FORMAT = 2
BLOCK = 64 * 1024


class Table(msgspec.Struct, frozen=True):
    """What stands at the front of a packed segment of `size` bytes. The format is that of the log, which is the first to pack."""

    format: int
    segment: int
    size: int
    block: int
    ends: tuple[int, ...]


def pack(number: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """Render a packed segment of a number, from its content in pieces of any size. Holds all of it, packed, in memory."""
    blocks, size = [], 0
    for block in _blocks(content):
        blocks.append(zlib.compress(block))
        size += len(block)
    ends = tuple(accumulate(map(len, blocks)))
    yield encode_frame(msgspec.json.encode(Table(FORMAT, number, size, BLOCK, ends)), synced=0)
    yield from blocks


class PackedSegment:
    """Reads a packed segment, and keeps the block that was read last.

    Raises: StorageUnavailable for damage and for a later format, OSError.
    """

    def __init__(self, fd: int, path: Path, number: int) -> None:
        self._fd = fd
        self._path = path
        frame = read_frame(lambda count, offset: os.pread(fd, count, offset), 0)
        if frame is None:
            raise damaged(path, 0)
        self._table = _read_table(path, frame.payload)
        if self._table.segment != number:
            raise damaged(path, 0)
        self._begin = frame.end
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
        first = offset // block
        whole = b"".join(self._block(number) for number in range(first, (end - 1) // block + 1))
        return whole[offset - first * block : end - first * block]

    def _block(self, number: int) -> bytes:
        if self._kept[0] != number:
            self._kept = number, self._unpacked(number)
        return self._kept[1]

    def _unpacked(self, number: int) -> bytes:
        ends = self._table.ends
        begin = self._begin + (ends[number - 1] if number else 0)
        packed = os.pread(self._fd, self._begin + ends[number] - begin, begin)
        try:
            block = zlib.decompress(packed)
        except zlib.error:
            raise damaged(self._path, begin) from None
        if len(block) != min(self._table.block, self.size - number * self._table.block):
            raise damaged(self._path, begin)
        return block


def _read_table(path: Path, payload: bytes) -> Table:
    try:
        table = msgspec.json.decode(payload, type=Table)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise damaged(path, 0) from None
    if table.format > FORMAT:
        raise StorageUnavailable(f"{path} has format {table.format}; this version reads formats up to {FORMAT}")
    return table


def _blocks(content: Iterable[bytes]) -> Iterator[bytes]:
    rest = bytearray()
    for piece in content:
        rest += piece
        whole = len(rest) // BLOCK * BLOCK
        yield from (bytes(rest[at : at + BLOCK]) for at in range(0, whole, BLOCK))
        del rest[:whole]
    if rest:
        yield bytes(rest)
