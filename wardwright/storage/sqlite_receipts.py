"""The SQLite receipt store: entries in a table, and beside it what queries name of each receipt, kept by the same transactions."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw
import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, Stored, StoreHealth, checked_mark
from wardwright.receipts.events import Entry, decode_entry
from wardwright.receipts.fold import fold, summary_of
from wardwright.receipts.query import Page, ReceiptFilter, cursor
from wardwright.receipts.receipt import Receipt, Summary
from wardwright.storage.files import FileOps, FolderLock, disk_faults, make_folder
from wardwright.storage.index import CLOSED, Head, changes_summary, check_replacement, head_of, just_above, unknown
from wardwright.storage.log import SYNC_INTERVAL_S, Durability
from wardwright.storage.sqlite_database import (
    FACETS,
    MARKS_SINCE,
    Readers,
    connect,
    database_faults,
    empty_log,
    facets_in,
    format_of,
    prepare,
    sync_log,
    transaction,
)
from wardwright.storage.sqlite_query import facets_of, ids_apart, matching_ids
from wardwright.storage.turns import in_turns

CAPABILITIES = frozenset(
    {
        Capability.DURABLE,
        Capability.TRANSACTIONAL,
        Capability.EVENT_REPLAY,
        Capability.ADVISORY_LOCKS,
        Capability.RETENTION_JOBS,
        Capability.CONSUMER_OFFSETS,
        Capability.TIME_RANGE_INDEXES,
    }
)

_REPLAY_CHUNK = 500
_SELECT_CHUNK = 100
_PAYLOADS = "SELECT crc, payload, position FROM entries WHERE receipt_id = ? ORDER BY seq"
_PUT_ENTRY = "INSERT INTO entries (position, receipt_id, seq, crc, payload) VALUES (?, ?, ?, ?, ?)"
_COLUMNS = ("receipt_id", "is_open", "created_at", "simulation", *FACETS)
_PUT_RECEIPT = f"INSERT OR REPLACE INTO receipts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own words


class SqliteReceiptReader:
    """Reads receipts, beside a writer or without one. Implements `ports.storage.ReceiptReader`."""

    capabilities = CAPABILITIES

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers = Readers(path)
        with self._readers.reading() as found:
            format_of(found.connection, path)

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        """See `ReceiptReader.entries`."""
        with self._readers.reading() as found:
            return self._entries(found, receipt_id)

    def payloads(self, receipt_id: str) -> tuple[bytes, ...]:
        """See `ReceiptReader.payloads`."""
        with self._readers.reading() as found:
            return tuple(self._payloads(found, receipt_id))

    def newest(self, before: str | None = None) -> Iterator[tuple[Entry, ...]]:
        """See `ReceiptReader.newest`. Each receipt is a snapshot of its own."""
        while True:
            with self._readers.reading() as found:
                below = "" if before is None else "WHERE receipt_id < ?"
                sql = f"SELECT max(receipt_id) FROM receipts {below}"  # noqa: S608 - our own words
                newest = found.execute(sql, () if before is None else (before,)).get
                if newest is None:
                    return
                before = str(newest)
                entries = self._entries(found, before)
            yield entries

    def page(self, wanted: ReceiptFilter) -> Page:
        """See `ReceiptReader.page`. Found by indexes, all of it in one snapshot."""
        with self._readers.reading() as found:
            ids = self._matching_ids(found, wanted)
            shown = [summary_of(self._entries(found, receipt_id)) for receipt_id in ids[: wanted.limit]]
        return Page(tuple(shown), cursor(shown[-1].receipt_id) if len(ids) > wanted.limit else None)

    def select(self, wanted: ReceiptFilter) -> Iterator[Receipt]:
        """See `ReceiptReader.select`. So many at a time are of one snapshot."""
        some: ReceiptFilter | None = msgspec.structs.replace(wanted, limit=_SELECT_CHUNK)
        while some is not None:
            with self._readers.reading() as found:
                ids = self._matching_ids(found, some)
                receipts = [fold(self._entries(found, receipt_id)) for receipt_id in ids[:_SELECT_CHUNK]]
            yield from receipts
            some = None if len(ids) <= _SELECT_CHUNK else msgspec.structs.replace(some, before=ids[_SELECT_CHUNK - 1])

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """See `ReceiptReader.newest_of_session`."""
        sql = "SELECT max(receipt_id) FROM receipts WHERE model_id = ? AND session_id = ?"
        with self._readers.reading() as found:
            newest: str | None = found.execute(sql, (model_id, session_id)).get
        return newest

    def open_receipts(self) -> tuple[tuple[Entry, ...], ...]:
        """See `ReceiptReader.open_receipts`."""
        with self._readers.reading() as found:
            ids = [row[0] for row in found.execute("SELECT receipt_id FROM receipts WHERE is_open ORDER BY receipt_id")]
            return tuple(self._entries(found, receipt_id) for receipt_id in ids)

    def replay(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
        """See `ReceiptReader.replay`. Positions count from 1."""
        with self._readers.reading() as found:
            last = _last_position(found)
        if not 0 <= after <= last:
            raise ValueError(f"nothing was stored at position {after}")
        return self._replay(after, last if until is None else min(until, last))

    def cuts(self, apart: int) -> Sequence[int]:
        """See `ReceiptReader.cuts`. Any position will do."""
        with self._readers.reading() as found:
            return range(apart, _last_position(found), apart)

    def id_cuts(self, apart: int) -> Sequence[str]:
        """See `ReceiptReader.id_cuts`."""
        with self._readers.reading() as found:
            return ids_apart(found, apart)

    def mark(self, name: str) -> bytes | None:
        """See `ReceiptReader.mark`. A database of an earlier format has none."""
        with self._readers.reading() as found:
            if format_of(found.connection, self._path) < MARKS_SINCE:
                return None
            value: bytes | None = found.execute("SELECT value FROM marks WHERE name = ?", (checked_mark(name),)).get
        return value

    def health(self) -> StoreHealth:
        """Counts and facts. Not durable: nothing can be stored here."""
        with self._readers.reading() as found:
            return self._health(*_counts(found), durable=False)

    def close(self) -> None:
        """Let go of every connection. Idempotent; reading stays possible."""
        self._readers.close()

    def _health(self, receipt_count: int, open_count: int, *, durable: bool) -> StoreHealth:
        return StoreHealth(
            kind="sqlite",
            durable=durable,
            receipt_count=receipt_count,
            open_count=open_count,
            path=str(self._path),
            capabilities=tuple(sorted(CAPABILITIES)),
        )

    def _replay(self, after: int, last: int) -> Iterator[Stored]:
        sql = (
            "SELECT crc, payload, position FROM entries WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
        )
        while True:
            with self._readers.reading() as found:
                rows: list[Any] = found.execute(sql, (after, last, _REPLAY_CHUNK)).fetchall()
            if not rows:
                return
            for crc, payload, position in rows:
                yield Stored(position, self._sound(crc, payload, position))
                after = position

    def _matching_ids(self, found: apsw.Cursor, wanted: ReceiptFilter) -> list[str]:
        """The ids of a page, and one more where another page follows."""
        columns = facets_in(format_of(found.connection, self._path))
        rows: list[Any] = found.execute(*matching_ids(wanted, columns)).fetchall()
        return [receipt_id for (receipt_id,) in rows]

    def _entries(self, found: apsw.Cursor, receipt_id: str) -> tuple[Entry, ...]:
        try:
            return tuple(decode_entry(payload) for payload in self._payloads(found, receipt_id))
        except msgspec.DecodeError as error:
            raise StorageUnavailable(f"{receipt_id} holds an entry that this version cannot read: {error}") from error

    def _payloads(self, found: apsw.Cursor, receipt_id: str) -> list[bytes]:
        rows: list[Any] = found.execute(_PAYLOADS, (receipt_id,)).fetchall()
        return [self._sound(*row) for row in rows]

    def _sound(self, crc: int, payload: bytes, position: int) -> bytes:
        """A payload that is what was written. SQLite itself keeps no checksums."""
        if crc32(payload) != crc:
            raise StorageUnavailable(
                f"{self._path} is damaged: the entry at position {position} has changed since it was written"
            )
        return payload


class SqliteReceiptStore(SqliteReceiptReader):
    """Receipt entries in a database. Implements `ports.storage.ReceiptStore`.

    `strict`: an entry is on disk when `append` returns. `batched`: entries are synced by the first append that comes 100 ms or
    more after the last sync, and by `close`. `none`: when SQLite writes back its log. A crash of the process alone loses nothing.

    Raises: StorageUnavailable when the folder or the database cannot be used, or another process writes to it.
    """

    def __init__(
        self,
        path: Path,
        durability: Durability = "strict",
        *,
        clock: Callable[[], float] = time.monotonic,
        vfs: str | None = None,
    ) -> None:
        self._vfs = vfs
        self._durability = durability
        self._clock = clock
        self._synced_at = clock()
        self._writing = threading.Lock()
        self._is_open = True
        # Whether SQLite's log may hold what was replaced: also when a process died before it was emptied.
        self._is_log_to_be_emptied = True
        self._connection: apsw.Connection | None = None
        self._lock = FolderLock(path.parent)
        with disk_faults("use the receipt folder", path.parent):
            make_folder(path.parent, FileOps())
            self._lock.acquire()
        try:
            prepare(path)
            super().__init__(path)
            with self._readers.reading() as found:
                self._counts = _counts(found)
        except BaseException:
            self._lock.release()
            raise

    def enlist(self, boot: str) -> frozenset[str]:
        """See `ReceiptStore.enlist`. Nobody else writes here."""
        return frozenset()

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the entries that are not stored yet, all of them or none, and return once they are as durable as configured.

        Raises: StorageUnavailable. ValueError when a payload is no entry or comes before its receipt's earlier entries.
        """
        with self._writing:
            is_due = self._is_sync_due()
            with self._changing(is_synced=is_due) as changed:
                counts = self._append(changed, payloads)
            self._counts = counts
            if is_due:
                self._synced_at = self._clock()

    def forget(self, before: str, at_most: int = 1000) -> int:
        """See `ReceiptStore.forget`. What becomes free in the database is used again for what comes."""
        with self._writing:
            with self._changing(is_synced=True) as changed:
                sql = "SELECT receipt_id FROM receipts WHERE receipt_id < ? AND NOT is_open ORDER BY receipt_id LIMIT ?"
                chosen = [str(row[0]) for row in changed.execute(sql, (before, at_most)).fetchall()]
                bound = before if len(chosen) < at_most else just_above(chosen[-1])
                changed.execute(
                    "UPDATE retention SET below = max(below, ?), last_position = ?", (bound, _last_position(changed))
                )
                forgotten = _forget(changed, bound)
            self._counts = (self._counts[0] - forgotten, self._counts[1])
        return forgotten

    def set_mark(self, name: str, value: bytes) -> None:
        """See `ReceiptStore.set_mark`."""
        checked_mark(name)
        with self._writing, self._changing(is_synced=self._durability != "none") as changed:
            changed.execute("INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)", (name, value))

    def replace(self, payloads: Sequence[bytes]) -> None:
        """See `ReceiptStore.replace`. What was there is overwritten in the database, and SQLite's log is emptied of it.

        Some at a time are of one transaction, and appends get their turn in between.
        """
        with self._readers.reading() as found:
            for payload in payloads:
                self._place_of(found, head_of(payload), payload)
        for some in in_turns(payloads):
            with self._writing, self._changing(is_synced=True) as changed:
                self._is_log_to_be_emptied = True
                self._replace(changed, some)
        if self._is_log_to_be_emptied:
            with self._writing, self._connected() as connection:
                empty_log(connection)
                self._is_log_to_be_emptied = False

    def health(self) -> StoreHealth:
        """Counts and facts; touches no disk."""
        return self._health(*self._counts, durable=self._durability == "strict")

    def tend(self) -> bool:
        """See `ReceiptStore.tend`. Nothing is put off."""
        return False

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the store is closed, or the disk is full, read-only or gone, or keeps nothing."""
        if not self._is_open:
            raise self._is_closed()
        with disk_faults("write to", self._path.parent):
            FileOps().probe(self._path.parent, is_durable=self._durability != "none")
            self._path.stat()

    def close(self) -> None:
        """Sync what is not synced yet (unless durability is none) and release the lock. Idempotent; reading stays possible.

        Raises: StorageUnavailable when the last entries may not be on disk; the lock is released all the same.
        """
        with self._writing:
            self._is_open = False
            connection, self._connection = self._connection, None
            try:
                super().close()
                if connection is not None:
                    self._part_with(connection)
            finally:
                self._lock.release()

    def _part_with(self, connection: apsw.Connection) -> None:
        """Close the last connection that writes, by which SQLite moves its log into the database if nobody else has it open."""
        with database_faults("make durable what was written to", self._path):
            try:
                if self._durability == "batched":
                    sync_log(self._path)
            finally:
                connection.close()

    @contextmanager
    def _changing(self, *, is_synced: bool) -> Iterator[apsw.Cursor]:
        """One transaction, on disk afterwards if it is to be. Whoever asks for it holds `_writing`."""
        with self._connected() as connection:
            connection.pragma("synchronous", "FULL" if is_synced else "NORMAL")
            with transaction(connection) as changed:
                yield changed

    @contextmanager
    def _connected(self) -> Iterator[apsw.Connection]:
        """The connection that writes. One that failed is given up: nobody knows what it believes."""
        with database_faults("write to", self._path):
            if not self._is_open:
                raise self._is_closed()
            connection = self._writer()
            try:
                yield connection
            except apsw.Error:
                self._connection = None
                connection.close()
                raise

    def _append(self, changed: apsw.Cursor, payloads: Sequence[bytes]) -> tuple[int, int]:
        """Write the entries that are not stored yet; tell how many receipts there are then, and how many of them open."""
        bound = str(changed.execute("SELECT below FROM retention").get)
        chosen = unknown(payloads, lambda receipt_id: _last_seq(changed, receipt_id), bound)
        first = _last_position(changed) + 1
        rows = [
            (at, head.receipt_id, head.seq, crc32(payload), payload) for at, (head, payload) in enumerate(chosen, first)
        ]
        changed.executemany(_PUT_ENTRY, rows)
        counts = self._note(changed, [head for head, _ in chosen])
        if any(head.receipt_id < bound and head.event.type == CLOSED for head, _ in chosen):
            counts = (counts[0] - _forget(changed, bound), counts[1])
        return counts

    def _note(self, changed: apsw.Cursor, heads: Iterable[Head]) -> tuple[int, int]:
        """Keep up the receipts' rows; tell how many receipts there are then, and how many of them open."""
        receipt_count, open_count = self._counts
        begun = {head.receipt_id for head in heads if head.seq == 1}
        ended = {head.receipt_id for head in heads if head.event.type == CLOSED}
        for receipt_id in {head.receipt_id: None for head in heads}:
            was_open = receipt_id in begun or _is_open(changed, receipt_id)
            if receipt_id in begun or receipt_id in ended or not was_open:
                is_open = was_open and receipt_id not in ended
                changed.execute(
                    _PUT_RECEIPT, (receipt_id, int(is_open), *facets_of(self._summary(changed, receipt_id)))
                )
                open_count += int(is_open) - int(was_open and receipt_id not in begun)
        return receipt_count + len(begun), open_count

    def _summary(self, changed: apsw.Cursor, receipt_id: str) -> Summary | None:
        """What a receipt comes to; None when it cannot be told, which whoever reads it will be told."""
        try:
            return summary_of([decode_entry(payload) for payload in self._payloads(changed, receipt_id)])
        except (msgspec.DecodeError, ValueError):
            return None

    def _replace(self, changed: apsw.Cursor, payloads: Sequence[bytes]) -> None:
        """Put entries in their places, and keep up the rows of receipts that come to something else than before."""
        sql, come_to_else = "UPDATE entries SET crc = ?, payload = ? WHERE position = ?", set[str]()
        for payload in payloads:
            head = head_of(payload)
            position = self._place_of(changed, head, payload)
            if position is not None:
                changed.execute(sql, (crc32(payload), payload, position))
                come_to_else |= {head.receipt_id} if changes_summary(head) else set()
        for receipt_id in come_to_else:
            summary, is_open = self._summary(changed, receipt_id), int(_is_open(changed, receipt_id))
            changed.execute(_PUT_RECEIPT, (receipt_id, is_open, *facets_of(summary)))

    def _place_of(self, found: apsw.Cursor, head: Head, payload: bytes) -> int | None:
        """The position of the entry whose place another may take; None when none is stored. Raises: ValueError when it may not."""
        sql = "SELECT crc, payload, position FROM entries WHERE receipt_id = ? AND seq = ?"
        row: Any = found.execute(sql, (head.receipt_id, head.seq)).fetchone()
        if row is None:
            return None
        stored = self._sound(*row)
        check_replacement(payload, head, stored, head_of(stored))
        return int(row[2])

    def _is_sync_due(self) -> bool:
        if self._durability == "batched":
            return self._clock() - self._synced_at >= SYNC_INTERVAL_S
        return self._durability == "strict"

    def _writer(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = connect(self._path, apsw.SQLITE_OPEN_READWRITE, self._vfs)
        return self._connection

    def _is_closed(self) -> StorageUnavailable:
        return StorageUnavailable(f"the receipt store in {self._path} is closed")


def _forget(changed: apsw.Cursor, bound: str) -> int:
    """Remove the closed receipts below a bound; tell how many."""
    gone = "SELECT receipt_id FROM receipts WHERE receipt_id < ? AND NOT is_open"
    changed.execute(f"DELETE FROM entries WHERE receipt_id IN ({gone})", (bound,))  # noqa: S608 - our own words
    changed.execute("DELETE FROM receipts WHERE receipt_id < ? AND NOT is_open", (bound,))
    return changed.connection.changes()


def _last_position(found: apsw.Cursor) -> int:
    """The last position that was ever given out."""
    last = found.execute(
        "SELECT max(last_position, coalesce((SELECT max(position) FROM entries), 0)) FROM retention"
    ).get
    return int(str(last))


def _last_seq(found: apsw.Cursor, receipt_id: str) -> int:
    return found.execute("SELECT max(seq) FROM entries WHERE receipt_id = ?", (receipt_id,)).get or 0


def _is_open(found: apsw.Cursor, receipt_id: str) -> bool:
    return bool(found.execute("SELECT is_open FROM receipts WHERE receipt_id = ?", (receipt_id,)).get)


def _counts(found: apsw.Cursor) -> tuple[int, int]:
    counted: tuple[int, int] = found.execute(
        "SELECT (SELECT count(*) FROM receipts), (SELECT count(*) FROM receipts WHERE is_open)"
    ).get
    return counted
