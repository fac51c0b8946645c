"""Small files that are replaced as a whole: a reader finds the content before or the one after, and so does a crash."""

import os
from pathlib import Path

from wardwright.storage.files import FileOps, disk_faults, write_all


def read_whole(path: Path) -> bytes | None:
    """What the file holds; None when there is none. Raises: StorageUnavailable."""
    with disk_faults("read from", path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def write_whole(path: Path, content: bytes, files: FileOps, *, is_durable: bool = True) -> None:
    """Replace the file's content; it is on disk afterwards, if it is to be durable. Raises: StorageUnavailable; then the old one holds.

    The draft is always synced before it gets the name: else a power failure could leave the name with neither the one nor the other.
    """
    draft = path.with_name(f"{path.name}.new")
    with disk_faults("write to", path):
        draft.unlink(missing_ok=True)
        fd = files.create(draft)
        try:
            write_all(files, fd, content, 0)
            files.fdatasync(fd)
        finally:
            os.close(fd)
        files.replace(draft, path)
        if is_durable:
            files.sync_directory(path.parent)
