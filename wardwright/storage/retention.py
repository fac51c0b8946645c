"""How far a folder's receipts were forgotten: the receipt id below which closed ones are gone, kept in a file beside the log.

Without it a restart would find them again in segments that others still need.
"""

from pathlib import Path
from zlib import crc32

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import FileOps
from wardwright.storage.whole_file import read_whole, write_whole

_NAME = "forgotten.json"


class _Forgotten(msgspec.Struct, frozen=True):
    """`crc` is the CRC-32 of the id: one that had changed on disk would let receipts go, or come back. The first release wrote none."""

    below: str
    crc: int | None = None


def read_bound(folder: Path) -> str:
    """The id below which closed receipts are gone; empty when none ever went. Raises: StorageUnavailable."""
    path = folder / _NAME
    content = read_whole(path)
    if content is None:
        return ""
    try:
        forgotten = msgspec.json.decode(content, type=_Forgotten)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageUnavailable(f"{path} is damaged: {error}") from error
    if forgotten.crc not in (None, crc32(forgotten.below.encode())):
        raise StorageUnavailable(f"{path} is damaged: its checksum is another")
    return forgotten.below


def write_bound(folder: Path, bound: str, files: FileOps) -> None:
    """Replace the bound; it is on disk afterwards. Raises: StorageUnavailable; then the one before it holds."""
    write_whole(folder / _NAME, msgspec.json.encode(_Forgotten(bound, crc32(bound.encode()))), files)
