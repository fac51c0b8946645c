"""Giving back space in a log: sealed segments are packed, and what was forgotten is taken out of them."""

from collections.abc import Callable, Iterator

import msgspec

from wardwright.storage.files import FileOps, disk_faults
from wardwright.storage.index import head_of
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.rewrite import pack_segment, rewrite_segment

Holds = Callable[[bytes, int], bool]


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction came to: the sealed segments, the forgotten entries that were in them, and the log's bytes."""

    segments: int
    forgotten_entries: int
    bytes_before: int
    bytes_after: int


def unpacked_segments(log: LogFolder, active: int) -> list[int]:
    """The segments before the one that is written to which are not packed yet, in order. Raises: StorageUnavailable."""
    with disk_faults("read from", log.path):
        return [number for number in log.numbers() if number < active and log.segment(number).exists()]


def compact_segments(
    log: LogFolder, active: int, forgotten_below: str, holds: Holds, files: FileOps
) -> Iterator[tuple[int, int]]:
    """Compact one segment after the other; yields the number of each and how many forgotten entries were in it.

    `holds` tells whether an entry counts. Raises: StorageUnavailable; then the segment is as it was, and so are those behind it.
    """

    def emptied(place: Place, payload: bytes) -> bytes | None:
        is_forgotten = head_of(payload).receipt_id < forgotten_below and not holds(payload, place.packed())
        return b"" if is_forgotten else None

    for number in log.numbers():
        if number < active:
            forgotten = rewrite_segment(log, number, emptied, files) if forgotten_below else 0
            pack_segment(log, number, files)
            yield number, forgotten


def size_of(log: LogFolder) -> int:
    """How many bytes the segments take on disk. Raises: StorageUnavailable."""
    with disk_faults("read from", log.path):
        return sum(path.stat().st_size for number in log.numbers() for path in log.files(number))
