"""File operations that fail on request, and sealed entries to store with them."""

import errno
import os
from collections import Counter
from pathlib import Path

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import AttemptStarted, Closed
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.files import FileOps


class FaultyFiles(FileOps):
    """Real file operations, of which the next calls of a kind may be told to fail.

    `fail("write", errno.ENOSPC, after=10)`: the next write writes 10 bytes, and the one after it fails.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.synced: list[int] = []
        self._errors: dict[str, int] = {}
        self._short: int | None = None

    def fail(self, operation: str, error: int, *, after: int | None = None) -> None:
        """Let an operation fail until `heal`."""
        self._errors[operation] = error
        self._short = after

    def heal(self) -> None:
        """Let everything succeed again."""
        self._errors.clear()
        self._short = None

    def create(self, path: Path) -> int:
        self._pass("create")
        return super().create(path)

    def open(self, path: Path) -> int:
        self._pass("open")
        return super().open(path)

    def write(self, fd: int, data: memoryview, at: int) -> int:
        if self._short is not None:
            length, self._short = self._short, None
            return super().write(fd, data[:length], at)
        self._pass("write")
        return super().write(fd, data, at)

    def fdatasync(self, fd: int) -> None:
        self.synced.append(os.fstat(fd).st_ino)
        self._pass("fdatasync")
        super().fdatasync(fd)

    def truncate(self, fd: int, length: int) -> None:
        self._pass("truncate")
        super().truncate(fd, length)

    def replace(self, draft: Path, path: Path) -> None:
        self._pass("replace")
        super().replace(draft, path)

    def remove(self, path: Path) -> None:
        self._pass("remove")
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self._pass("sync_directory")
        super().sync_directory(path)

    def _pass(self, operation: str) -> None:
        self.calls[operation] += 1
        if operation in self._errors:
            error = self._errors[operation]
            raise OSError(error, os.strerror(error))


class Bytewise(FileOps):
    """A disk that takes no more than a few bytes at a time."""

    def write(self, fd: int, data: memoryview, at: int) -> int:
        return super().write(fd, data[:7], at)


def batches(count: int, *, first: int = 0) -> list[list[bytes]]:
    """One batch for each of some receipts: an attempt that starts, and its end. What they say does not matter to a store."""
    made = []
    for number in range(first, first + count):
        chain = Chain(f"rcpt_{number:06d}")
        started = AttemptStarted(1, "local/small", "local", "small:7b")
        made.append([chain.seal(started, number), chain.seal(Closed("completed", 1), number + 0.5)])
    return made


def stored(path: Path) -> list[bytes]:
    """Every payload in a log folder, oldest receipt first, as another process reads it."""
    reader = FileReceiptStore.read_only(path)
    ids = [record[0].receipt_id for record in reader.newest()]
    return [payload for receipt_id in reversed(ids) for payload in reader.payloads(receipt_id)]


def flat(groups: list[list[bytes]]) -> list[bytes]:
    return [payload for group in groups for payload in group]


def is_refused(path: Path) -> bool:
    """Whether a log folder is refused as damaged."""
    try:
        FileReceiptStore(path).close()
    except StorageUnavailable as refused:
        return "is damaged at offset" in refused.message
    return False


NO_SPACE = errno.ENOSPC
IO_ERROR = errno.EIO
