"""The latest format that the index beside a log was ever of, kept in a file that outlives the index.

An index is made from the log by the version that runs, which leaves out what it knows nothing of: also of entries that a later version
wrote, before somebody went back to this one. So an index may be brought forward only if the log never had one of a later format. The file
is written before the first entry that such an index is for.
"""

from pathlib import Path

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import FileOps
from wardwright.storage.whole_file import read_whole, write_whole

_NAME = "index-format"
_FIRST = 1  # which wrote no such file


def latest_format(folder: Path) -> int:
    """The latest format that an index of this log was of. Raises: StorageUnavailable."""
    path = folder / _NAME
    content = read_whole(path)
    if content is None:
        return _FIRST
    if not content.rstrip(b"\n").isdigit():
        raise StorageUnavailable(f"{path} is damaged: it holds no number")
    return int(content)


def note_format(folder: Path, number: int, files: FileOps, *, is_durable: bool) -> None:
    """Keep that an index of this log is of such a format from now on; on disk afterwards, if it is to be durable.

    Raises: StorageUnavailable.
    """
    if latest_format(folder) < number:
        write_whole(folder / _NAME, b"%d\n" % number, files, is_durable=is_durable)
