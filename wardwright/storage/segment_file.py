"""The bytes of one segment, however it is kept: as it was written, or packed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wardwright.storage.files import disk_faults
from wardwright.storage.frame import Read
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.packed import PackedSegment


class OpenSegment(NamedTuple):
    """A segment open for reading. `path` is the file that it is in, `size` how many bytes it has, unpacked.

    `is_checked`: its frames were whole when it was packed, and what `read` gives is what was packed.
    """

    path: Path
    size: int
    read: Read
    is_checked: bool


@contextmanager
def opened(log: LogFolder, number: int) -> Iterator[OpenSegment]:
    """Open a segment for reading. Each reader has its own descriptor, so none disturbs another or the writer.

    Raises: StorageUnavailable, also for what goes wrong in the block while it reads.
    """
    with disk_faults("read from", log.segment(number)):
        path, fd = _found(log, number)
    with disk_faults("read from", path):
        try:
            if path == log.packed(number):
                segment = PackedSegment(fd, path, number)
                yield OpenSegment(path, segment.size, segment.read, is_checked=True)
            else:
                yield OpenSegment(path, os.fstat(fd).st_size, partial(_pread, fd), is_checked=False)
        finally:
            os.close(fd)


def _found(log: LogFolder, number: int) -> tuple[Path, int]:
    written, packed = log.segment(number), log.packed(number)
    try:
        return written, _open(written)
    except FileNotFoundError:
        if not packed.exists():
            raise
        return packed, _open(packed)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _pread(fd: int, count: int, offset: int) -> bytes:
    return os.pread(fd, count, offset)
