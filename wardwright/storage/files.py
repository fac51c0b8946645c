"""The file operations that a log writes with, as one object, so that tests can make each of them fail the way disks do.

Every method raises OSError. Folders are made for their owner alone (0700), and so are files (0600).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wardwright.domain.errors import StorageUnavailable

_WRITING = os.O_WRONLY | os.O_CLOEXEC
_PROBE = ".probe"
_PROBE_BYTES = bytes(4096)


class FileOps:
    """The operations of the real operating system."""

    def create(self, path: Path) -> int:
        """Open a file for writing that did not exist before."""
        return os.open(path, _WRITING | os.O_CREAT | os.O_EXCL, 0o600)

    def open(self, path: Path) -> int:
        """Open an existing file for writing."""
        return os.open(path, _WRITING)

    def write(self, fd: int, data: memoryview, at: int) -> int:
        """Write some or all of `data` at an offset; tell how much."""
        return os.pwrite(fd, data, at)

    def fdatasync(self, fd: int) -> None:
        """Return when what was written is on disk. After an error nobody knows what is: never ask the same file again."""
        os.fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut a file back."""
        os.ftruncate(fd, length)

    def replace(self, draft: Path, path: Path) -> None:
        """Give a draft its name, in the place of what had it."""
        draft.replace(path)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a folder are on disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def probe(self, folder: Path, *, is_durable: bool) -> None:
        """Write a small file as entries are written, synced if they are to be durable, and remove it again.

        Fails for a full, read-only or vanished disk, and for one that takes what is written and cannot keep it.
        """
        path = folder / _PROBE
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self.write(fd, memoryview(_PROBE_BYTES), 0)
            if is_durable:
                self.fdatasync(fd)
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)


def make_folder(path: Path, files: FileOps) -> None:
    """Make a folder for its owner alone, where there is none, with those above it, each on disk with its name. Raises: OSError."""
    if path.is_dir():
        return
    missing = [path, *(above for above in path.parents if not above.exists())]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        files.sync_directory(made.parent)


def write_all(files: FileOps, fd: int, data: bytes, at: int) -> int:
    """Write all of `data` at an offset, in as many pieces as the disk takes it; tell where it ends. Raises: OSError."""
    rest = memoryview(data)
    while rest:
        written = files.write(fd, rest, at)
        rest, at = rest[written:], at + written
    return at


@contextmanager
def disk_faults(doing: str, path: Path) -> Iterator[None]:
    """Turn the OSErrors of the block into StorageUnavailable, with a sentence that says what could not be done where."""
    try:
        yield
    except OSError as error:
        raise unavailable(doing, path, error) from error


def unavailable(doing: str, path: Path, error: OSError) -> StorageUnavailable:
    """Say what could not be done where, and why."""
    return StorageUnavailable(f"cannot {doing} {path}: {error.strerror or error}")


class FolderLock:
    """The right to write into a folder: held by one process at a time, and free again as soon as that process is gone."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting.

        Raises: StorageUnavailable naming the process that has it. OSError when there can be no lock file.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._claim(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def keep_writers_away(self) -> None:
        """Have nobody else take the lock until it is given back, and change nothing; for reading. Where there is no lock file, do nothing.

        Raises: StorageUnavailable naming the process that has it. OSError.
        """
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            self._lock(fd, fcntl.LOCK_SH)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _lock(self, fd: int, kind: int) -> None:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StorageUnavailable(
                f"{self._path.parent} is in use by process {holder}: only one process may write to a receipt log"
            ) from None

    def _claim(self, fd: int) -> None:
        self._lock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_missing(path: Path) -> bool:
    """Whether something was never made. What cannot be looked at is there: reading it tells why it cannot be read."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
