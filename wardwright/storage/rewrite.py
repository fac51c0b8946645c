"""Making sealed segments anew: with other payloads at the same offsets, or packed.

A segment is sealed when a later one is there: nobody writes to it any more. What is made anew is written beside it, is on disk, and
only then takes its place in one step. A crash leaves the one or the other, and perhaps a file that `sweep` removes. Whoever
has the old file open reads on in it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wardwright.storage.files import FileOps, disk_faults, write_all
from wardwright.storage.frame import encode_frame, scan
from wardwright.storage.log_folder import LogFolder, Place, damaged
from wardwright.storage.packed import pack
from wardwright.storage.segment_file import OpenSegment, opened
from wardwright.storage.segments import extent_of, unpadded

_PIECE = 1024 * 1024

Change = Callable[[Place, bytes], bytes | None]


def rewrite_segment(log: LogFolder, number: int, change: Change, files: FileOps) -> int:
    """Put other payloads into a sealed segment, frame by frame, every offset kept; tell how many. Packed stays packed.

    `change` is asked about every payload at its place, and gives another one, not longer, or None to leave it. What a shorter one
    leaves of its frame is filled with spaces, which readers take away again; an empty one is there for no reader any more.
    When this returns, the earlier payloads are gone from the log's files. Nothing is written when nothing changes.

    Raises: StorageUnavailable; then the segment is as it was. ValueError for a payload that is longer than the one before it, and
        for a segment that is not sealed.
    """
    with opened(log, number) as segment:
        is_packed = segment.path == log.packed(number)
        changed = 0

        def counted(place: Place, payload: bytes) -> bytes | None:
            nonlocal changed
            given = change(place, payload)
            changed += given is not None
            return given

        pieces, size = list(_changed(log, number, segment, counted)), segment.size
    if changed:
        _put(log, number, pack(number, pieces, size) if is_packed else pieces, files, is_packed=is_packed)
    return changed


def pack_segment(log: LogFolder, number: int, files: FileOps) -> int:
    """Pack a sealed segment, if it is not packed yet; tell by how many bytes the log became smaller.

    Raises: StorageUnavailable; then the segment is as it was. ValueError for one that is not sealed.
    """
    written = log.segment(number)
    with opened(log, number) as segment:
        if segment.path != written:
            return 0
        before = segment.size
        end = _checked_end(log, number, segment)
        pieces = (segment.read(min(_PIECE, end - at), at) for at in range(0, end, _PIECE))
        _put(log, number, pack(number, pieces, end), files, is_packed=True)
    with disk_faults("remove", written):
        files.remove(written)
        files.sync_directory(log.path)
        return before - log.packed(number).stat().st_size


def sweep(log: LogFolder, files: FileOps) -> None:
    """Remove what a crash left beside the segments. Only for the writer. Raises: StorageUnavailable."""
    with disk_faults("remove what was left over from", log.path):
        for path in log.leftovers():
            files.remove(path)


def _checked_end(log: LogFolder, number: int, segment: OpenSegment) -> int:
    """Where what counts of a segment ends. Raises: StorageUnavailable for damage before that."""
    extent, reached = extent_of(log, number), 0
    for _, reached, _, _ in scan(segment.read, 0, extent.end):  # noqa: B007 - looked at behind the loop
        pass
    if reached < extent.synced:
        raise damaged(segment.path, reached)
    return reached


def _changed(log: LogFolder, number: int, segment: OpenSegment, change: Change) -> Iterator[bytes]:
    """What counts of a segment, in pieces, with changed payloads. What was refused to its writer is left out."""
    extent = extent_of(log, number)
    piece, reached = bytearray(), 0
    for frame in scan(segment.read, 0, extent.end):
        payload = frame.payload
        said = unpadded(payload)
        given = change(Place(number, frame.offset), said) if frame.offset and said else None
        if given is not None:
            if len(given) > len(payload):
                raise ValueError(f"{len(given)} bytes do not fit where {len(payload)} were")
            payload = given.ljust(len(payload))
        piece += encode_frame(payload, frame.synced)
        reached = frame.end
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if reached < extent.synced:
        raise damaged(segment.path, reached)
    yield bytes(piece)


def _put(log: LogFolder, number: int, pieces: Iterable[bytes], files: FileOps, *, is_packed: bool) -> None:
    """Give a segment another content, which is on disk before it counts."""
    draft, path = log.draft(number), log.packed(number) if is_packed else log.segment(number)
    with disk_faults("write to", path):
        draft.unlink(missing_ok=True)
        try:
            _write(draft, pieces, files)
            if not is_packed and log.packed(number).exists():
                # Packing could not end by removing the other: this would become the one that counts, also behind a power failure.
                files.remove(log.packed(number))
                files.sync_directory(log.path)
            files.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        files.sync_directory(log.path)


def _write(path: Path, pieces: Iterable[bytes], files: FileOps) -> None:
    fd = files.create(path)
    try:
        end = 0
        for piece in pieces:
            end = write_all(files, fd, piece, end)
        files.fdatasync(fd)
    finally:
        os.close(fd)
