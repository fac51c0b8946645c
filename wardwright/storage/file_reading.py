"""Reading a log of receipts through its index: what the store that writes and a reader beside it have in common, and the reader."""

import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, Stored, StoreHealth
from wardwright.storage.files import disk_faults
from wardwright.storage.index import Places
from wardwright.storage.indexed import IndexedReceipts
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.log_index import LogIndex
from wardwright.storage.marks import read_mark
from wardwright.storage.retention import read_bound
from wardwright.storage.segments import LogReader, read_payloads

CAPABILITIES = frozenset(
    {
        Capability.DURABLE,
        Capability.RUNTIME_HOT_STORE,
        Capability.EVENT_REPLAY,
        Capability.ADVISORY_LOCKS,
        Capability.RETENTION_JOBS,
        Capability.CONSUMER_OFFSETS,
        Capability.TIME_RANGE_INDEXES,
    }
)


class LogPlaces(Places[int], Protocol):
    """What reading asks of the index of a log."""

    def holder(self) -> Callable[[bytes, int], bool]:
        """How to tell whether an entry of the log counts, and counts as the one at its place."""
        ...

    def cuts(self, apart: int) -> Sequence[int]:
        """Where to cut the log for `replay`."""
        ...

    def id_cuts(self, apart: int) -> Sequence[str]:
        """Where to cut it for `select`."""
        ...


class FileReceipts(IndexedReceipts[int]):
    """Reads a log through an index of packed places, which are the positions of its entries too."""

    capabilities = CAPABILITIES
    _places: LogPlaces

    def __init__(self, path: Path, index: LogPlaces) -> None:
        super().__init__(index)
        self._path = path
        self._segments = LogFolder(path)

    @abstractmethod
    def _end(self) -> Place:
        """Where the log ends, as far as the index knows it."""

    def replay(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
        """See `ReceiptReader.replay`. A position is the segment's number and the offset within it."""
        self._refresh()
        start = None if after == 0 else self._start(Place.unpacked(after))
        last = self._end().packed() - 1
        return self._replay(start, last if until is None else min(until, last))

    def cuts(self, apart: int) -> Sequence[int]:
        """See `ReceiptReader.cuts`. They are where segments begin."""
        self._refresh()
        return self._places.cuts(apart)

    def id_cuts(self, apart: int) -> Sequence[str]:
        """See `ReceiptReader.id_cuts`."""
        self._refresh()
        return self._places.id_cuts(apart)

    def mark(self, name: str) -> bytes | None:
        """See `ReceiptReader.mark`."""
        return read_mark(self._path, name)

    def _start(self, place: Place) -> Place | None:
        """Where to read on from; the beginning, when the segment was given back with everything that was forgotten.

        Raises: ValueError when nothing was ever stored there.
        """
        numbers = self._segments.numbers()
        if 0 < place.segment < numbers[0]:
            return None
        try:
            is_cut = place.offset == 0 and place.segment in numbers
            found = is_cut or (place.offset > 0 and bool(read_payloads(self._segments, [place.packed()])))
        except StorageUnavailable as error:
            raise ValueError(f"nothing was stored at position {place.packed()}: {error}") from error
        if not found:
            raise ValueError(f"nothing was stored at position {place.packed()}")
        return place

    def _replay(self, start: Place | None, until: int) -> Iterator[Stored]:
        holds = self._places.holder()
        begin = 0 if start is None else start.packed()
        for position, payload in LogReader(self._segments, start).catch_up(Place.unpacked(until - 1).segment):
            if position > until:
                return
            if position != begin and holds(payload, position):
                yield Stored(position, payload)

    def _fetch_each(self, places: Sequence[Sequence[int]]) -> list[list[bytes]]:
        """In the log's order, which opens each segment once and reads on in it."""
        in_order = sorted(chain.from_iterable(places))
        try:
            payloads = dict(zip(in_order, self._read(in_order), strict=True))
        except StorageUnavailable:
            return [self._fetch(each) for each in places]  # one of them may have been forgotten this very moment
        return [[payloads[place] for place in each] for each in places]

    def _fetch(self, places: Sequence[int]) -> list[bytes]:
        """The entries of one receipt; nothing, when its beginning was given back since its places were looked up."""
        try:
            return self._read(places)
        except StorageUnavailable as error:
            is_misled = any(map(self._is_nowhere, places))
            if self._segments.is_given_back(Place.unpacked(places[0]).segment):
                return []
            if is_misled:
                raise self._misled("it leads to where nothing ever began") from error
            raise

    def _is_nowhere(self, place: int) -> bool:
        """Whether no payload begins at a place, though the log is whole there or ends before. Raises: StorageUnavailable where it is not."""
        try:
            self._read([place])
        except StorageUnavailable:
            segment = Place.unpacked(place).segment
            reader = LogReader(self._segments, Place(segment, 0))
            for found, _ in reader.catch_up(segment):
                if found >= place:
                    return found != place
            read_to = reader.tail or Place(segment, 0)
            return read_to.packed() > place or self._end().packed() <= place
        return False

    def _read(self, places: Sequence[int]) -> list[bytes]:
        return read_payloads(self._segments, places)


class FileReceiptReader(FileReceipts):
    """A file store opened for reading: shows what the writer has written whenever it is asked."""

    def __init__(self, path: Path) -> None:
        self._index = self._look(path)
        super().__init__(path, self._index)
        self._reader = LogReader(self._segments, self._index.covered)
        self._refreshing = threading.Lock()
        self._refresh()

    def health(self) -> StoreHealth:
        """Counts and facts. Not durable: nothing can be stored here."""
        self._refresh()
        receipt_count, open_count = self._index.counts()
        return StoreHealth(
            kind="file",
            durable=False,
            receipt_count=receipt_count,
            open_count=open_count,
            path=str(self._path),
            capabilities=tuple(sorted(CAPABILITIES)),
        )

    def close(self) -> None:
        """Let go of the connections to the index. Idempotent; reading stays possible."""
        self._index.close()

    @staticmethod
    def _look(path: Path) -> LogIndex:
        with disk_faults("read from", path):
            os.listdir(path)
        return LogIndex(LogFolder(path), read_bound(path), is_writer=False)

    def _refresh(self) -> None:
        with self._refreshing:
            reader, index = self._reader, self._index
            if read_bound(self._path) != index.forgotten_below or reader.is_astray():
                index = self._look(self._path)
                reader = LogReader(self._segments, index.covered)
            else:
                index.follow()
            for place, payload in reader.catch_up():
                note(index, reader, place, payload)
            index.settle()
            if index is not self._index:
                self._index.close()
            self._reader, self._index, self._places = reader, index, index

    def _end(self) -> Place:
        return self._reader.tail or Place(0, 0)


def note(index: LogIndex, reader: LogReader, place: int, payload: bytes) -> None:
    """Have the index take note of an entry that was read. Raises: StorageUnavailable for what is none."""
    try:
        index.recover(payload, place)
    except ValueError as error:
        raise StorageUnavailable(f"{reader.log.segment(Place.unpacked(place).segment)}: {error}") from error
