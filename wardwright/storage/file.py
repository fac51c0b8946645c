"""The file receipt store: a folder of log segments (`storage.log`) and an index of their entries (`storage.log_index`).

`FileReceiptStore` writes and holds the folder's lock; `FileReceiptStore.read_only` reads beside it, from another process.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import structlog

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import StoreHealth
from wardwright.storage.compaction import Compacted, compact_segments, size_of, unpacked_segments
from wardwright.storage.file_reading import CAPABILITIES, FileReceiptReader, FileReceipts, note
from wardwright.storage.files import FileOps, FolderLock, disk_faults, make_folder
from wardwright.storage.index import Head, check_replacement, head_of
from wardwright.storage.index_file import IndexDamaged
from wardwright.storage.index_format import note_format
from wardwright.storage.index_making import IndexMaking
from wardwright.storage.index_schema import FORMAT as INDEX_FORMAT
from wardwright.storage.interim import Interim
from wardwright.storage.log import ROOM_BYTES, SEGMENT_BYTES, Durability, LogWriter
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.log_index import LogIndex
from wardwright.storage.marks import Marks
from wardwright.storage.retention import read_bound, write_bound
from wardwright.storage.rewrite import pack_segment, rewrite_segment, sweep
from wardwright.storage.segments import LogReader

TAIL_ENTRIES = 16_384
_STEP = 256
_MADE_ANEW = "the index of the receipts is made anew from the log"

_log = structlog.get_logger("wardwright.storage")


class FileReceiptStore(FileReceipts):
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
        tail_entries: int = TAIL_ENTRIES,
    ) -> None:
        self._tail_entries = self._most_in_tail = tail_entries
        self._durability = durability
        self._files = files or FileOps()
        self._writing = threading.Lock()
        self._indexing = threading.Lock()
        self._unpackable: set[int] = set()
        self._interim: Interim | None = None  # in place of an index that was given up, until another is made
        self._making: IndexMaking | None = None
        self._log: LogWriter | None = None
        self._marks = Marks(path, self._files, is_durable=durability != "none")
        self._lock = FolderLock(path)
        with disk_faults("use the receipt folder", path):
            make_folder(path, self._files)
            self._lock.acquire()
        try:
            log = LogFolder(path)
            sweep(log, self._files)
            self._index = LogIndex(log, read_bound(path), is_writer=True)
            super().__init__(path, self._index)
            reader = self._read_up()
            note_format(path, INDEX_FORMAT, self._files, is_durable=durability != "none")
            self._log = LogWriter(
                self._segments,
                durability=durability,
                files=self._files,
                clock=clock,
                segment_bytes=segment_bytes,
                room_bytes=ROOM_BYTES if durability == "strict" else 0,
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

    def enlist(self, boot: str) -> frozenset[str]:
        """See `ReceiptStore.enlist`. Nobody else writes here."""
        return frozenset()

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the entries that are not stored yet, and return once they are as durable as configured.

        All or none of them count when it fails. One writer at a time: a second one waits.

        Raises: StorageUnavailable. ValueError, before anything is written, when a payload is no entry or comes before its
            receipt's earlier entries.
        """
        with self._writing:
            log = self._writer()
            chosen = self._unknown(payloads)
            if chosen:
                places = log.append([payload for _, payload in chosen])
                (self._interim or self._index).add([head for head, _ in chosen], places)
                self._last_end = log.end()
        if self._behind() > self._most_in_tail:
            self._catch_up()

    def tend(self) -> bool:
        """See `ReceiptStore.tend`. Moves the oldest entries that are known in memory alone into the index beside the log, and packs segments.

        Packing one takes about half a second, in which appends go on. An index that was given up is made anew before anything else.
        """
        with self._indexing:
            if self._log is None:
                return False
            if self._interim is None and self._index.is_damaged:
                with self._writing:
                    self._set_aside()
            if self._interim is not None:
                self._make_index_on()
                return True
            step = min(_STEP, self._tail_entries)
            if self._index.tail_length() >= step:
                with suppress(IndexDamaged):  # which the next step does something about
                    self._index.move(step, self._make_durable)
                return True
            return self._pack_one(self._log.end().segment)

    def compact(self, on_progress: Callable[[float], None]) -> Compacted:
        """Pack every segment but the one that is written to, take out what was forgotten, and make the index anew.

        Nothing else can be done meanwhile. `on_progress` is told which part of it is done. Raises: StorageUnavailable; then what is done
        is done, and the rest is as it was.
        """
        with self._indexing, self._writing:
            log, before = self._writer(), size_of(self._segments)
            active, holds, forgotten = log.end().segment, self._whole_index().holder(), 0
            for number, count in compact_segments(
                self._segments, active, self._index.forgotten_below, holds, self._files
            ):
                forgotten += count
                on_progress(number / active / 2)
            self._index.close()
            self._index = self._places = LogIndex.anew(self._segments, self._index.forgotten_below)
            for place in self._recover(LogReader(self._segments)):
                on_progress(0.5 + Place.unpacked(place).segment / active / 2)
            while self._index.tail_length():
                self._index.move(self._tail_entries, self._make_durable)
            self._index.recovered()
            segments = len(self._segments.numbers()) - 1
            return Compacted(segments, forgotten, before, size_of(self._segments))

    def _pack_one(self, active: int) -> bool:
        """Pack the oldest segment that is not packed yet; tell whether there was one. One that is damaged is left as it is."""
        for number in unpacked_segments(self._segments, active):
            if number not in self._unpackable:
                self._unpackable.add(number)
                pack_segment(self._segments, number, self._files)
                self._unpackable.remove(number)
                return True
        return False

    def forget(self, before: str, at_most: int = 1000) -> int:
        """See `ReceiptStore.forget`. A segment is removed when nothing in it is known any more, and the last one never."""
        with self._indexing, self._writing:
            log = self._writer()
            chosen, bound = self._whole_index().forgettable(before, at_most)
            active = Place(log.end().segment, 0).packed()
            if chosen and self._index.last_place(chosen[-1]) > active:
                log.roll()  # else what is forgotten would stay on disk for as long as this segment is written to
                self._last_end = log.end()
            if bound != self._index.forgotten_below:
                # What can fail is done before: readers, and the next start, take their word from this.
                write_bound(self._path, bound, self._files)
            self._index.forget(chosen, bound)
            if len(chosen) < at_most:
                self._give_back(log.end().segment)
        return len(chosen)

    def replace(self, payloads: Sequence[bytes]) -> None:
        """See `ReceiptStore.replace`. Segments are made anew; the one that is written to is ended first.

        The index is no index of this log while they are: it counts again when it says of these receipts what the log says.
        """
        wanted = _by_receipt(payloads)
        with self._indexing:
            self._writer()  # which there is none of any more when the store is closed
            index = self._whole_index()
            if index.is_unsure:
                self._sync_names()
            elif not wanted:
                return
            changes = {place: payload for receipt_id in wanted for place, payload in self._changes(receipt_id, wanted)}
            while index.tail_length() >= _STEP:
                index.move(_STEP, self._make_durable)
            with self._writing:
                self._settle(self._whole_index(), changes)
            segments = sorted({Place.unpacked(place).segment for place in changes})
            with index.remaking(wanted):
                for number in segments:
                    rewrite_segment(self._segments, number, partial(_changed, changes), self._files)

    def _sync_names(self) -> None:
        """Have on disk what a segment is named that was made anew: perhaps that could not be done."""
        with disk_faults("make durable what was made anew in", self._path):
            self._files.sync_directory(self._path)

    def _settle(self, index: LogIndex, changes: Iterable[int]) -> None:
        """Have these places in sealed segments, and everything that is stored in the index beside the log."""
        log = self._writer()
        while index.tail_length():
            index.move(_STEP, self._make_durable)
        if any(Place.unpacked(place).segment == log.end().segment for place in changes):
            log.roll()
            self._last_end = log.end()

    def _changes(self, receipt_id: str, wanted: Mapping[str, Mapping[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """What is to stand at which place. Raises: ValueError."""
        places = self._places.places(receipt_id)
        for place, stored in zip(places, self._fetch(places), strict=True):
            before = head_of(stored)
            payload = wanted[receipt_id].get(before.seq, stored)
            if payload != stored:
                check_replacement(payload, head_of(payload), stored, before)
                yield place, payload

    def set_mark(self, name: str, value: bytes) -> None:
        """See `ReceiptStore.set_mark`."""
        self._marks.set(name, value)

    def _give_back(self, active: int) -> None:
        oldest = self._index.oldest_segment()
        first_needed = active if oldest is None else min(active, oldest)
        with disk_faults("remove segments from", self._path):
            for number in self._segments.numbers():
                if number < first_needed:
                    for path in self._segments.files(number):
                        self._files.remove(path)
                    self._index.pass_over(number)
                    self._files.sync_directory(self._path)  # one after the other: a gap would be taken for damage
        self._index.drop_segments(first_needed)

    def _read_up(self) -> LogReader:
        """Have the index know of everything that the log holds. One that turns out to be damaged is made anew."""
        reader = LogReader(self._segments, self._index.covered)
        try:
            deque(self._recover(reader), maxlen=0)
            self._index.recovered()
        except IndexDamaged as damaged:
            _log.warning(_MADE_ANEW, index=str(self._path / "index"), reason=damaged.message)
            self._index.close()
            self._index = self._places = LogIndex.anew(self._segments, self._index.forgotten_below)
            reader = LogReader(self._segments)
            deque(self._recover(reader), maxlen=0)
            self._index.recovered()
        return reader

    def _recover(self, reader: LogReader) -> Iterator[int]:
        """Take note of what the log holds behind the index, moving it on as it goes: a start needs no more memory than running does.

        Yields the place that it has come to whenever it has moved on.
        """
        for place, payload in reader.catch_up():
            note(self._index, reader, place, payload)
            if self._index.tail_length() > self._tail_entries:
                self._index.move(self._tail_entries, self._make_durable)
                yield place

    def _unknown(self, payloads: Sequence[bytes]) -> list[tuple[Head, bytes]]:
        """Choose those of a batch that are not stored yet. Where the index turns out to be damaged, that is done without it."""
        if self._interim is None and not self._index.is_damaged:
            try:
                return self._index.unknown(payloads)
            except IndexDamaged:
                pass
        return self._set_aside().unknown(payloads)

    def _set_aside(self) -> Interim:
        """Do without the index that was given up, until another is made. Idempotent. Only for whoever may write."""
        if self._interim is None:
            self._interim = self._places = self._index.interim()
            _log.warning(f"{_MADE_ANEW}, beside serving", index=str(self._path / "index"), reason="it is damaged")
        return self._interim

    def _whole_index(self) -> LogIndex:
        """The index, if it is whole. Raises: StorageUnavailable."""
        if self._interim is not None:
            raise self._interim.refusal()
        return self._index

    def _make_index_on(self) -> None:
        """Go on with making an index in the place of the one that was given up; with the last step it takes its place."""
        interim = self._interim
        if interim is None:
            return
        try:
            self._make_a_little(interim)
        except StorageUnavailable as error:
            interim.problem = error.message
            if isinstance(error, IndexDamaged):
                self._making = None
            raise
        interim.problem = None

    def _make_a_little(self, interim: Interim) -> None:
        making = self._making
        if making is None:
            if self._index.is_unsure:
                self._sync_names()  # for the new one will not be
            self._index.close()
            making = self._making = IndexMaking(self._segments, interim.forgotten_below, self._make_durable)
        is_at_end = making.step(self._last_end)
        interim.progress = making.progress(self._last_end)
        if not is_at_end or making.index.complete_a_little():
            return
        with self._writing:
            while not making.step(self._last_end):
                pass  # what was appended since
            making.index.recovered()
            self._index = self._places = making.index
            self._interim = self._making = None
        _log.info("the index of the receipts is made anew", receipts=self._index.counts()[0])

    def _behind(self) -> int:
        """By how much appending is ahead of the index: entries that are in memory alone.

        While an index is made, how many entries it should have read beside those that it has: two for each that is appended, so that it
        comes to an end where nobody tends the store, or not fast enough.
        """
        interim, making = (
            self._interim,
            self._making,
        )  # looked at once: whoever tends the store may be about to end this
        if interim is None:
            return self._index.tail_length()
        return 2 * interim.appended - (0 if making is None else making.entries_read)

    def _catch_up(self) -> None:
        """Move the index on where nobody tends the store, or not fast enough. What was appended is stored whatever comes of this."""
        with self._indexing:
            try:
                while self._interim is not None and self._behind() > self._tail_entries:
                    self._make_index_on()
                if self._interim is None:
                    self._index.move(self._tail_entries, self._make_durable)
                self._most_in_tail = self._tail_entries
            except StorageUnavailable as error:
                _log.warning("the index of the receipts could not be moved on", problem=error.message)
                self._most_in_tail = self._behind() + self._tail_entries  # not at every append

    def _make_durable(self, segments: Iterable[int]) -> None:
        """The index must not know of more than is on disk: what it covers is not read again."""
        if self._durability == "strict":
            return
        for number in segments:
            for path in self._segments.files(number):
                with disk_faults("make durable what was written to", path):
                    fd = self._files.open(path)
                    try:
                        self._files.fdatasync(fd)
                    finally:
                        os.close(fd)

    def health(self) -> StoreHealth:
        """Counts and facts; touches no disk."""
        interim = self._interim
        receipt_count, open_count = (interim or self._index).counts()
        return StoreHealth(
            kind="file",
            durable=self._durability == "strict",
            receipt_count=receipt_count,
            open_count=open_count,
            path=str(self._path),
            recovered_bytes=self._recovered_bytes,
            capabilities=tuple(sorted(CAPABILITIES)),
            index_progress=None if interim is None else interim.progress,
        )

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the store is closed, or the disk is full, read-only or gone, or keeps nothing."""
        self._writer().check_writable()

    def close(self) -> None:
        """Sync what is not synced yet (unless durability is none) and release the lock. Idempotent; reading stays possible.

        Raises: StorageUnavailable when the last entries may not be on disk; the lock is released all the same.
        """
        self._marks.close()
        with self._indexing, self._writing:
            log, self._log = self._log, None
            with ExitStack() as closing:
                closing.callback(self._lock.release)
                if log is not None:
                    closing.callback(log.close)
                self._index.close()
                if self._making is not None:
                    self._making.index.close()

    def _writer(self) -> LogWriter:
        if self._log is None:
            raise StorageUnavailable(f"the receipt store in {self._path} is closed")
        return self._log

    def _end(self) -> Place:
        return self._last_end

    def _misled(self, how: str) -> StorageUnavailable:
        self._index.give_up()
        return IndexDamaged(f"the index is damaged: {how}. It is made anew from the log")


def _by_receipt(payloads: Sequence[bytes]) -> dict[str, dict[int, bytes]]:
    """Entries by receipt and number. Raises: ValueError for what is none."""
    found: dict[str, dict[int, bytes]] = {}
    for payload in payloads:
        head = head_of(payload)
        found.setdefault(head.receipt_id, {})[head.seq] = payload
    return found


def _changed(changes: Mapping[int, bytes], place: Place, stored: bytes) -> bytes | None:
    return changes.get(place.packed())
