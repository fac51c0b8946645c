"""The sink `jsonl`: a file of JSON lines, one a record, byte for byte what the record's body is.

Nothing is written twice in the normal run of things, also when the daemon dies between a write and keeping its place: when the file is
opened, a line without its end is cut off, and the keys of the lines before it, as far back as repetitions can reach, are remembered. What
comes again of them is left out. The file may be moved away at any time, by hand or by logrotate: the next batch begins another one.

A sync that fails is told once: what could not be written counts as clean from then on, and the next sync succeeds without it. So what a
failed delivery has written is cut off again, and the same batch is written anew when it comes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from wardwright.domain.sink import Unit
from wardwright.ports.sink import BATCH_BYTES, Record, SinkUnavailable

_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_CHUNK = 65_536
# Of the file, before its last line. What comes again after a crash is less than one batch's worth, whose place was not kept yet, and the batch
# under way, all but its last record; the rest is for line ends.
_REMEMBERED_BYTES = 3 * BATCH_BYTES


class _Line(msgspec.Struct):
    receipt_id: str
    seq: int = 0


_decode_line = msgspec.json.Decoder(_Line).decode


class JsonlSink:
    """A file that grows, and with `rotate_bytes` is put aside as `<name>.000001` and so on, before a batch, when it is that large."""

    kind = "jsonl"

    def __init__(self, path: Path, *, unit: Unit = "receipts", rotate_bytes: int | None = None) -> None:
        self.unit = unit
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._fd: int | None = None
        self._written: frozenset[str] = frozenset()
        self._has_synced = False
        self._unsynced: os.stat_result | None = None

    @property
    def where(self) -> str:
        """The file's path."""
        return str(self._path)

    def open(self) -> None:
        """Open the file, made with its folder where there is none, and mend its end. Raises: SinkUnavailable."""
        with self._faults():
            self._open()

    def deliver(self, records: Sequence[Record]) -> None:
        """Append the records and return when they are on disk. Raises: SinkUnavailable."""
        with self._faults():
            fd = self._current()
            lines = [record.body + b"\n" for record in records if record.key not in self._written]
            self._append(fd, b"".join(lines))

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = self._fd = os.open(self._path, _OPEN, 0o600)
        is_on_disk = self._cut_unsynced(fd)
        _cut_torn_line(fd)
        lines = _last_lines(fd) if is_on_disk else []
        if os.fstat(fd).st_size < _REMEMBERED_BYTES:
            lines = [*self._last_put_aside(), *lines]
        self._written = frozenset(key for line in lines if (key := self._key(line)) is not None)
        _sync_folder(self._path.parent)
        return fd

    def _append(self, fd: int, data: bytes) -> None:
        """Write and sync; what may not have come to the disk is taken back, now or at the next opening. Raises: OSError."""
        before = os.fstat(fd)
        try:
            _write(fd, data)
        except OSError:
            _cut_back(fd, before)  # whole lines too: they would be taken to be on disk when the file is opened again
            raise
        try:
            os.fdatasync(fd)
        except OSError:
            self._unsynced = before
            _cut_back(fd, before)
            raise
        self._has_synced, self._unsynced = True, None

    def _cut_unsynced(self, fd: int) -> bool:
        """Cut off what was written before a sync failed; tell whether what stands before it can be taken to be on disk.

        What another process has written cannot, if no sync has succeeded here: what comes again of it is written twice, rather than lost.
        """
        before = self._unsynced
        if before is None or not os.path.samestat(os.fstat(fd), before):
            return True
        if os.fstat(fd).st_size > before.st_size:
            os.ftruncate(fd, before.st_size)
        return self._has_synced

    def _current(self) -> int:
        """The file to write to: another one, when that which was open was moved away, or is large enough."""
        if self._fd is None:
            return self._open()
        if not self._is_in_place(self._fd):
            self.close()
            return self._open()
        if self._rotate_bytes is not None and os.fstat(self._fd).st_size >= self._rotate_bytes:
            self.close()
            self._path.rename(self._aside(self._newest_aside() + 1))
            return self._open()
        return self._fd

    def _is_in_place(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number:06d}")

    def _newest_aside(self) -> int:
        """The number of the file that was put aside last; 0 when none was."""
        prefix = f"{self._path.name}."
        endings = (entry.name.removeprefix(prefix) for entry in self._path.parent.iterdir())
        return max((int(ending) for ending in endings if ending.isascii() and ending.isdigit()), default=0)

    def _last_put_aside(self) -> list[bytes]:
        number = self._newest_aside()
        if not number:
            return []
        fd = os.open(self._aside(number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _last_lines(fd)
        finally:
            os.close(fd)

    def _key(self, line: bytes) -> str | None:
        """The key of the record that a line was written for; None for what somebody else wrote."""
        try:
            found = _decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return f"{found.receipt_id}:{found.seq}" if self.unit == "events" else found.receipt_id

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkUnavailable(f"cannot write to {self._path}: {error.strerror or error}") from error


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _cut_back(fd: int, before: os.stat_result) -> None:
    with suppress(OSError):
        os.ftruncate(fd, before.st_size)


def _cut_torn_line(fd: int) -> None:
    """Cut the file back to the end of its last whole line."""
    end = os.fstat(fd).st_size
    whole = 0
    for start, chunk in _backwards(fd, end):
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            whole = start + newline + 1
            break
    if whole < end:
        os.ftruncate(fd, whole)


def _last_lines(fd: int) -> list[bytes]:
    """The whole lines at the file's end: as many as may come again, of which the last alone may be of any size."""
    end = os.fstat(fd).st_size
    found, last_begins = b"", -1
    for start, chunk in _backwards(fd, end):
        found = chunk + found
        if last_begins < 0 and (newline := found.rfind(b"\n", 0, -1)) >= 0:
            last_begins = start + newline + 1
        if last_begins >= start + _REMEMBERED_BYTES:
            return found[found.index(b"\n") + 1 :].splitlines()
    return found.splitlines()


def _backwards(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The file from its end, chunk by chunk, each with where it begins."""
    while end > 0:
        start = max(0, end - _CHUNK)
        yield start, os.pread(fd, end - start, start)
        end = start


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
