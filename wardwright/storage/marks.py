"""Marks of a folder of receipts: one file for each, in a folder beside the log.

A file has the CRC-32 of the value in eight hex digits, a line feed, and the value.
"""

import threading
from pathlib import Path
from zlib import crc32

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import MarkDamaged, checked_mark
from wardwright.storage.files import FileOps, disk_faults
from wardwright.storage.whole_file import read_whole, write_whole

_HEAD_BYTES = 9


def read_mark(receipts: Path, name: str) -> bytes | None:
    """What was last set under a name; None when nothing was.

    Raises: StorageUnavailable, as MarkDamaged when it has changed on disk. ValueError for what can be no name.
    """
    path = _folder(receipts) / checked_mark(name)
    content = read_whole(path)
    if content is None:
        return None
    value = content[_HEAD_BYTES:]
    if content[:_HEAD_BYTES] != _head(value):
        raise MarkDamaged(f"{path} is damaged: its checksum is another")
    return value


class Marks:
    """Writes the marks beside a log, one at a time. Refuses once it is closed."""

    def __init__(self, receipts: Path, files: FileOps, *, is_durable: bool) -> None:
        self._receipts = receipts
        self._files = files
        self._is_durable = is_durable
        self._writing = threading.Lock()
        self._is_closed = False

    def set(self, name: str, value: bytes) -> None:
        """Keep a value under a name. Raises: StorageUnavailable. ValueError for what can be no name."""
        checked_mark(name)
        with self._writing:
            if self._is_closed:
                raise StorageUnavailable(f"the receipt store in {self._receipts} is closed")
            folder = self._made()
            write_whole(folder / name, _head(value) + value, self._files, is_durable=self._is_durable)

    def close(self) -> None:
        """Take no more: the folder's lock is about to go to somebody else. Idempotent."""
        with self._writing:
            self._is_closed = True

    def _made(self) -> Path:
        folder = _folder(self._receipts)
        if not folder.is_dir():
            with disk_faults("use the receipt folder", folder):
                folder.mkdir(mode=0o700, exist_ok=True)
                if self._is_durable:
                    self._files.sync_directory(self._receipts)
        return folder


def _head(value: bytes) -> bytes:
    return b"%08x\n" % crc32(value)


def _folder(receipts: Path) -> Path:
    return receipts / "marks"
