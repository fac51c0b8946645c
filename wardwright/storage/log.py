"""The writer of a log: appends batches to its last segment and makes them durable.

Rules, for whoever touches this:

- A batch counts once `append` has returned. Until then it may be on disk in whole, in part or not at all.
- After a failed write the segment is cut back to its last good end. Where even that fails, and after every failed sync, the
  segment is poisoned: nobody knows what of it is on disk, so it is never written or synced again. The next append begins a new
  segment, whose header says how far the poisoned one counts.
- A segment's header is durable before the first batch follows it, so a later segment always proves what the one before holds.
- Where every batch is synced, zeros are written ahead of the batches: room. A sync must then write what the batch says and nothing about
  the file, which on a journaling file system halves it. Zeros are no frame, so to readers room is a torn tail without anything in it.
  It is a comfort: where none can be made, batches extend the file. A segment that is left in good order is cut off at its end.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Literal

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import FileOps, disk_faults, unavailable, write_all
from wardwright.storage.frame import encode_frame
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.segments import Extent, encode_header

Durability = Literal["strict", "batched", "none"]

SEGMENT_BYTES = 64 * 1024 * 1024
ROOM_BYTES = 512 * 1024
SYNC_INTERVAL_S = 0.1


class LogWriter:
    """The one writer of a log. Not safe for concurrent use."""

    def __init__(
        self,
        log: LogFolder,
        *,
        durability: Durability,
        files: FileOps,
        clock: Callable[[], float],
        segment_bytes: int = SEGMENT_BYTES,
        room_bytes: int = 0,
    ) -> None:
        self._log = log
        self._durability = durability
        self._files = files
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._room_bytes = room_bytes
        self._fd: int | None = None
        self._number = 0
        self._end = 0
        self._room_end = 0
        self._synced = 0
        self._synced_at = clock()

    def start(self, tail: Place | None) -> int:
        """Continue the log at its tail, or begin it; tell how many bytes of torn writes were removed behind the tail.

        Raises: StorageUnavailable.
        """
        removed = self._remove_unbegun(after=tail.segment if tail else 0)
        if tail is None:
            self._begin()
            return removed
        try:
            return removed + self._continue(tail)
        except StorageUnavailable:
            self._release()
            raise

    def append(self, payloads: Sequence[bytes]) -> list[int]:
        """Write payloads as one batch and return their packed places once they are as durable as configured.

        Raises: StorageUnavailable; then none of the payloads counts.
        """
        if self._fd is None:
            self._begin()
        elif self._end >= self._segment_bytes:
            self._roll()
        frames = [encode_frame(payload, self._synced) for payload in payloads]
        batch = b"".join(frames)
        end = self._end + len(batch)
        self._write(batch)
        if end > self._room_end and self._room_bytes:
            self._make_room(end)
        if self._is_sync_due():
            self._sync(end)
        begin = Place(self._number, self._end).packed()
        self._end = end
        return list(accumulate(map(len, frames[:-1]), initial=begin))

    def roll(self) -> None:
        """Begin the next segment. Raises: StorageUnavailable; then the next append does it."""
        if self._fd is None:
            self._begin()
        else:
            self._roll()

    def end(self) -> Place:
        """Where the log ends: everything before counts, and whatever follows is no part of it yet."""
        return Place(self._number, self._end)

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the disk would take no more or keep none of it, or the segment was taken away."""
        with disk_faults("write to", self._log.path):
            self._files.probe(self._log.path, is_durable=self._durability != "none")
        if self._fd is not None:
            path = self._path()
            with disk_faults("write to", path):
                os.stat(path)

    def close(self) -> None:
        """Make everything durable, unless durability is none, and let go of the segment. Idempotent.

        Raises: StorageUnavailable when what was appended since the last sync may be lost.
        """
        if self._fd is None:
            return
        self._leave()

    def _path(self) -> Path:
        return self._log.segment(self._number)

    def _remove_unbegun(self, after: int) -> int:
        """Remove a segment whose creation a crash cut off: it holds nothing yet."""
        with disk_faults("remove an unfinished segment from", self._log.path):
            unbegun = [self._log.segment(number) for number in self._log.numbers() if number > after]
            size = sum(path.stat().st_size for path in unbegun)
            for path in unbegun:
                path.unlink()
        return size

    def _continue(self, tail: Place) -> int:
        """Open the last segment, cut off what is torn, and make what is left durable before anything relies on it."""
        self._number, self._end = tail.segment, tail.offset
        path = self._path()
        with disk_faults("write to", path):
            behind = _read_from(path, tail.offset)
            self._fd = self._files.open(path)
            if behind:
                self._files.truncate(self._fd, tail.offset)
        if self._durability != "none":
            self._sync(tail.offset)
        return len(behind.rstrip(b"\0"))

    def _begin(self) -> None:
        """Create the next segment, durable with its name before it is used."""
        number = self._number + 1
        path = self._log.segment(number)
        header = encode_header(number, Extent(self._synced, self._end))
        with disk_faults("begin the segment", path):
            # A file of this name is the remainder of an attempt that failed here.
            path.unlink(missing_ok=True)
            fd = self._files.create(path)
            try:
                write_all(self._files, fd, header, 0)
                if self._durability != "none":
                    self._files.fdatasync(fd)
                    self._files.sync_directory(self._log.path)
            except OSError:
                os.close(fd)
                raise
        self._fd, self._number, self._end = fd, number, len(header)
        self._synced = 0 if self._durability == "none" else self._end
        self._synced_at = self._clock()

    def _roll(self) -> None:
        self._leave()
        self._begin()

    def _leave(self) -> None:
        """Make the segment durable, unless durability is none, and let go of it in good order."""
        if self._durability != "none" and self._synced < self._end:
            self._sync(self._end)
        if self._room_end > self._end:
            with suppress(OSError):  # the room that stays is no part of the log
                self._files.truncate(self._descriptor(), self._end)
        self._release()

    def _write(self, data: bytes) -> None:
        """Write a batch whole, or leave the segment as it was, or poison it."""
        fd = self._descriptor()
        try:
            write_all(self._files, fd, data, self._end)
        except OSError as error:
            self._room_end = 0
            try:
                self._files.truncate(fd, self._end)
            except OSError:
                self._release()
            raise unavailable("write to", self._path(), error) from error

    def _make_room(self, end: int) -> None:
        """Write zeros where the next batches will be. Where that fails it is tried again after as many bytes."""
        size = min(self._room_bytes, max(0, self._segment_bytes - end))
        self._room_end = end + size
        with suppress(OSError):  # a disk that fails here tells of it when it fails a batch
            write_all(self._files, self._descriptor(), bytes(size), end)

    def _is_sync_due(self) -> bool:
        if self._durability == "batched":
            return self._clock() - self._synced_at >= SYNC_INTERVAL_S
        return self._durability == "strict"

    def _sync(self, end: int) -> None:
        """Make the segment durable up to its present end, or poison it."""
        try:
            self._files.fdatasync(self._descriptor())
        except OSError as error:
            self._release()
            raise unavailable("make durable what was written to", self._path(), error) from error
        self._synced, self._synced_at = end, self._clock()

    def _descriptor(self) -> int:
        if self._fd is None:
            raise StorageUnavailable(f"{self._log.path} is not open for writing")
        return self._fd

    def _release(self) -> None:
        """Let go of the segment; what is known of its extent stays for the header of the next one."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._room_end = 0


def _read_from(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()
