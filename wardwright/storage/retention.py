"""How far a folder's receipts were forgotten: the receipt id below which closed ones are gone, kept in a file beside the log.

Without it a restart would find them again in segments that others still need.
"""

import os
from pathlib import Path

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import FileOps, disk_faults

_NAME = "forgotten.json"


class _Forgotten(msgspec.Struct, frozen=True):
    below: str


def read_bound(folder: Path) -> str:
    """The id below which closed receipts are gone; empty when none ever went. Raises: StorageUnavailable."""
    path = folder / _NAME
    with disk_faults("read from", path):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return ""
    try:
        return msgspec.json.decode(content, type=_Forgotten).below
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageUnavailable(f"{path} is damaged: {error}") from error


def write_bound(folder: Path, bound: str, files: FileOps) -> None:
    """Replace the bound; it is on disk afterwards. Raises: StorageUnavailable; then the one before it holds."""
    path = folder / _NAME
    draft = path.with_suffix(".new")
    with disk_faults("write to", path):
        draft.unlink(missing_ok=True)
        fd = files.create(draft)
        try:
            rest = memoryview(msgspec.json.encode(_Forgotten(bound)))
            while rest:
                rest = rest[files.write(fd, rest) :]
            files.fdatasync(fd)
        finally:
            os.close(fd)
        files.replace(draft, path)
        files.sync_directory(folder)
