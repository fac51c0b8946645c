"""The file receipt store: a folder of log segments (`storage.log`) and an index over them in memory (`storage.index`).

`FileReceiptStore` writes and holds the folder's lock; `FileReceiptStore.read_only` reads beside it, from another process.
"""

import threading
import time
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from itertools import chain
from pathlib import Path

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, Stored, StoreHealth
from wardwright.storage.files import FileOps, FolderLock, disk_faults
from wardwright.storage.index import ReceiptIndex
from wardwright.storage.indexed import IndexedReceipts
from wardwright.storage.log import SEGMENT_BYTES, Durability, LogWriter
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.marks import Marks, read_mark
from wardwright.storage.retention import read_bound, write_bound
from wardwright.storage.rewrite import sweep
from wardwright.storage.segments import LogReader, read_payloads

CAPABILITIES = frozenset(
    {
        Capability.DURABLE,
        Capability.RUNTIME_HOT_STORE,
        Capability.EVENT_REPLAY,
        Capability.ADVISORY_LOCKS,
        Capability.RETENTION_JOBS,
        Capability.CONSUMER_OFFSETS,
    }
)


class _FileReceipts(IndexedReceipts[int]):
    """Reads a log through an index of packed places, which are the positions of its entries too."""

    capabilities = CAPABILITIES

    def __init__(self, path: Path) -> None:
        super().__init__(ReceiptIndex(_new_places, read_bound(path) if path.is_dir() else ""))
        self._path = path
        self._segments = LogFolder(path)

    @abstractmethod
    def _end(self) -> Place:
        """Where the log ends, as far as the index knows it."""

    def replay(self, after: int = 0) -> Iterator[Stored]:
        """See `ReceiptReader.replay`. A position is the segment's number and the offset within it."""
        self._refresh()
        start = None if after == 0 else self._start(Place.unpacked(after))
        return self._replay(start, self._end().packed())

    def mark(self, name: str) -> bytes | None:
        """See `ReceiptReader.mark`."""
        return read_mark(self._path, name)

    def _start(self, place: Place) -> Place | None:
        """Where to read on from; the beginning, when the segment was given back with everything that was forgotten.

        Raises: ValueError when nothing was ever stored there.
        """
        first = self._segments.numbers()[0]
        if 0 < place.segment < first:
            return None
        try:
            found = place.offset > 0 and bool(read_payloads(self._segments, [place]))
        except StorageUnavailable as error:
            raise ValueError(f"nothing was stored at position {place.packed()}: {error}") from error
        if not found:
            raise ValueError(f"nothing was stored at position {place.packed()}")
        return place

    def _replay(self, start: Place | None, end: int) -> Iterator[Stored]:
        for place, payload in LogReader(self._segments, start).catch_up():
            position = place.packed()
            if position >= end:
                return
            if place != start and self._index.holds(payload, position):
                yield Stored(position, payload)

    def _fetch_each(self, places: Sequence[Sequence[int]]) -> list[list[bytes]]:
        """In the log's order, which opens each segment once and reads on in it."""
        in_order = sorted(chain.from_iterable(places))
        payloads = dict(zip(in_order, self._fetch(in_order), strict=True))
        return [[payloads[place] for place in each] for each in places]

    def _fetch(self, places: Sequence[int]) -> list[bytes]:
        return read_payloads(self._segments, [Place.unpacked(place) for place in places])


class FileReceiptStore(_FileReceipts):
    """Receipt entries in an append-only log on disk. Implements `ports.storage.ReceiptStore`.

    `strict`: an entry is on disk when `append` returns. `batched`: entries are synced by the first append that comes 100 ms or
    more after the last sync, and by `close`; a power failure takes what was not. `none`: the operating system decides. A crash
    of the process alone loses nothing in any of them. `health().durable` is true for strict.

    Raises: StorageUnavailable when the folder cannot be used, another process writes to it, or the log is damaged.
    """

    def __init__(
        self,
        path: Path,
        durability: Durability = "strict",
        *,
        files: FileOps | None = None,
        clock: Callable[[], float] = time.monotonic,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        super().__init__(path)
        self._durability = durability
        self._files = files or FileOps()
        self._writing = threading.Lock()
        self._log: LogWriter | None = None
        self._marks = Marks(path, self._files, is_durable=durability != "none")
        self._lock = FolderLock(path)
        with disk_faults("use the receipt folder", path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            sweep(self._segments, self._files)
            reader = LogReader(self._segments)
            _recover(reader, self._index)
            self._log = LogWriter(
                self._segments,
                durability=durability,
                files=self._files,
                clock=clock,
                segment_bytes=segment_bytes,
            )
            self._recovered_bytes = self._log.start(reader.tail)
            self._last_end = self._log.end()
        except BaseException:
            self._lock.release()
            raise

    @staticmethod
    def read_only(path: Path) -> "FileReceiptReader":
        """Read a log that another process may be writing to: takes no lock and changes nothing.

        Raises: StorageUnavailable when there is no log, or it is damaged.
        """
        return FileReceiptReader(path)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the entries that are not stored yet, and return once they are as durable as configured.

        All or none of them count when it fails. One writer at a time: a second one waits.

        Raises: StorageUnavailable. ValueError, before anything is written, when a payload is no entry or comes before its
            receipt's earlier entries.
        """
        with self._writing:
            log = self._writer()
            chosen = self._index.unknown(payloads)
            if chosen:
                places = log.append([payload for _, payload in chosen])
                self._index.add([head for head, _ in chosen], places)
                self._last_end = log.end()

    def forget(self, before: str, at_most: int = 1000) -> int:
        """See `ReceiptStore.forget`. A segment is removed when nothing in it is known any more, and the last one never."""
        with self._writing:
            log = self._writer()
            chosen, bound = self._index.forgettable(before, at_most)
            if bound != self._index.forgotten_below:
                write_bound(self._path, bound, self._files)
            active = Place(log.end().segment, 0).packed()
            if chosen and self._index.places(chosen[-1])[-1] > active:
                log.roll()  # else what is forgotten would stay on disk for as long as this segment is written to
                self._last_end = log.end()
            self._index.forget(chosen, bound)
            if len(chosen) < at_most:
                self._index.let_sessions_go()
                self._give_back(log.end().segment)
        return len(chosen)

    def set_mark(self, name: str, value: bytes) -> None:
        """See `ReceiptStore.set_mark`."""
        self._marks.set(name, value)

    def _give_back(self, active: int) -> None:
        oldest = self._index.oldest_place()
        first_needed = active if oldest is None else min(active, Place.unpacked(oldest).segment)
        with disk_faults("remove segments from", self._path):
            for number in self._segments.numbers():
                if number < first_needed:
                    for path in self._segments.files(number):
                        self._files.remove(path)
                    self._files.sync_directory(self._path)  # one after the other: a gap would be taken for damage

    def health(self) -> StoreHealth:
        """Counts and facts; touches no disk."""
        receipt_count, open_count = self._index.counts()
        return StoreHealth(
            kind="file",
            durable=self._durability == "strict",
            receipt_count=receipt_count,
            open_count=open_count,
            path=str(self._path),
            recovered_bytes=self._recovered_bytes,
            capabilities=tuple(sorted(CAPABILITIES)),
        )

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the store is closed, or the disk is full, read-only or gone."""
        self._writer().check_writable()

    def close(self) -> None:
        """Sync what is not synced yet (unless durability is none) and release the lock. Idempotent; reading stays possible.

        Raises: StorageUnavailable when the last entries may not be on disk; the lock is released all the same.
        """
        self._marks.close()
        with self._writing:
            log, self._log = self._log, None
            try:
                if log is not None:
                    log.close()
            finally:
                self._lock.release()

    def _writer(self) -> LogWriter:
        if self._log is None:
            raise StorageUnavailable(f"the receipt store in {self._path} is closed")
        return self._log

    def _end(self) -> Place:
        return self._last_end


class FileReceiptReader(_FileReceipts):
    """A file store opened for reading: shows what the writer has written whenever it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._reader = LogReader(self._segments)
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
        """Do nothing: a reader holds nothing open."""

    def _refresh(self) -> None:
        with self._refreshing:
            reader, index, bound = self._reader, self._index, read_bound(self._path)
            if bound != index.forgotten_below or reader.is_astray():
                reader, index = LogReader(self._segments), ReceiptIndex(_new_places, bound)
            _recover(reader, index)
            self._reader, self._index = reader, index

    def _end(self) -> Place:
        return self._reader.tail or Place(0, 0)


def _new_places() -> MutableSequence[int]:
    return array("Q")


def _recover(reader: LogReader, index: ReceiptIndex[int]) -> None:
    """Take note of everything in a log that was not noted before."""
    for place, payload in reader.catch_up():
        try:
            index.recover(payload, place.packed())
        except ValueError as error:
            raise StorageUnavailable(f"{reader.log.segment(place.segment)}: {error}") from error
