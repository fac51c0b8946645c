"""What the index beside a damaged log still says: which receipts there were, and how many entries each had.

So receipts can be named of which nothing is left, and an open one is told from one that has lost its end. An entry is never taken from here.
"""

from collections.abc import Iterator

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.index import head_of
from wardwright.storage.index_file import IndexFile, Known, State, Unfit
from wardwright.storage.index_format import latest_format
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.log_index import index_path
from wardwright.storage.segments import read_payloads


class Witness:
    """The index of a log. Raises: StorageUnavailable, everywhere, when it turns out to be damaged itself."""

    def __init__(self, file: IndexFile, state: State, first_segment: int | None) -> None:
        self._file = file
        self.first_segment = first_segment
        """The first segment that holds anything of a receipt; None when none does."""
        self.covered = Place.unpacked(state.covered)
        """The place of the last entry that it knows of. It was on disk."""
        self.below = state.below
        """The id below which closed receipts were forgotten."""

    def last_seq(self, receipt_id: str) -> int | None:
        """How many entries a receipt had up to there; None when it knows of none."""
        known = self._file.known(receipt_id)
        return None if known is None else known.last_seq

    def everything(self) -> Iterator[Known]:
        """What it says of each receipt."""
        return self._file.everything()

    def close(self) -> None:
        """Let go of the database."""
        self._file.close()


def witness_of(log: LogFolder) -> Witness | None:
    """The index beside a log, if it is one of it; None otherwise, whatever is wrong with it."""
    path = index_path(log)
    if not path.exists():
        return None
    file = IndexFile(path, is_writer=False)
    try:
        state = file.stated(latest_format(log.path))
        if state.covered and not _is_contradicted(log, state):
            return Witness(file, state, file.oldest_segment())
    except (Unfit, StorageUnavailable):
        pass
    file.close()
    return None


def _is_contradicted(log: LogFolder, state: State) -> bool:
    """Whether something else stands in the log than the last entry that the index knows. It may be what is damaged."""
    try:
        (payload,) = read_payloads(log, [state.covered])
        head = head_of(payload) if payload else None
    except (StorageUnavailable, ValueError):
        return False
    return head is not None and (head.receipt_id, head.seq) != (state.covered_id, state.covered_seq)
