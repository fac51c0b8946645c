"""Keeps the books of a log: reads it on in the order of storing, entry by entry, each once."""

from collections.abc import Iterator

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptReader, Stored
from wardwright.receipts.events import Entry, decode_entry
from wardwright.runtime.books import Books
from wardwright.runtime.snapshot import MARK, Covered, Place, Snapshot, Unusable, decode_snapshot

_MOST_BYTES = 1 << 20


class BookKeeper:
    """The books of a store's log, up to `place`; None before the first entry. It blocks on the store, and is for one thread at a time."""

    def __init__(self, store: ReceiptReader) -> None:
        self.books = Books()
        self.place: Place | None = None
        self._store = store
        self._rest: Iterator[Stored] | None = None

    def go_on_from(self, covered: Covered) -> None:
        """Take up books that were kept before, if it was of this log.

        Raises: Unusable when the log does not hold the entry up to which they were kept. StorageUnavailable.
        """
        place = covered.place
        try:
            last = next(self._store.replay(place.before), None)
        except ValueError as error:
            raise Unusable(f"it is not of this log: {error}") from error
        entry = None if last is None else _decoded(last)
        if last is None or entry is None or (last.position, entry.receipt_id, entry.seq) != place[1:]:
            raise Unusable(f"it is not of this log: entry {place.seq} of {place.receipt_id} is not where it was")
        self.books, self.place = covered.books, place

    def read_on(self, at_most: int) -> bool:
        """Enter the next entries, so many at most, or fewer large ones; tell whether there may be more.

        Raises: StorageUnavailable; asked again it goes on behind the last one that could be read.
        """
        begun, read = self._rest, 0
        rest, self._rest = begun or self._replayed(), None  # gone, if it fails in the middle
        for taken, stored in enumerate(rest, 1):
            self._take(stored)
            read += len(stored.payload)
            if taken == at_most or read >= _MOST_BYTES:
                self._rest = rest
                return True
        return begun is not None  # what was begun earlier ends where the log ended then

    def covered(self, now: float) -> Covered | None:
        """The books, without what can count no more, and how far they go; None when there is no entry yet."""
        self.books.let_go(now)
        return None if self.place is None else Covered(self.books, self.place)

    def _replayed(self) -> Iterator[Stored]:
        position = 0 if self.place is None else self.place.position
        try:
            return self._store.replay(position)
        except ValueError as error:
            raise StorageUnavailable(f"the log has lost what was at position {position}: {error}") from error

    def _take(self, stored: Stored) -> None:
        entry = _decoded(stored)
        self.books.take(entry)
        before = 0 if self.place is None else self.place.position
        self.place = Place(before, stored.position, entry.receipt_id, entry.seq)


def kept_snapshot(store: ReceiptReader) -> bytes | None:
    """The snapshot that a store holds, as it was put down; None when there is none.

    Raises: Unusable when it cannot be read, for nothing depends on it: where the store itself is at fault, the log will tell.
    """
    try:
        return store.mark(MARK)
    except StorageUnavailable as error:
        raise Unusable(error.message) from error


def checked_snapshot(store: ReceiptReader) -> Snapshot | None:
    """The snapshot that a store holds; None when there is none.

    Raises: Unusable when it is none that this version could go on from here. StorageUnavailable.
    """
    found = kept_snapshot(store) if Capability.CONSUMER_OFFSETS in store.capabilities else None
    if found is None:
        return None
    snapshot = decode_snapshot(found)
    if snapshot.covered is not None:
        BookKeeper(store).go_on_from(snapshot.covered)
    return snapshot


def _decoded(stored: Stored) -> Entry:
    try:
        return decode_entry(stored.payload)
    except msgspec.DecodeError as error:
        raise StorageUnavailable(
            f"this version cannot read the entry at position {stored.position}: {error}"
        ) from error
