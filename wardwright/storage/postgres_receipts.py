"""Reading receipts from PostgreSQL: entries from a table, and beside it what queries name of each receipt.

Every question is one statement, so that its answer is of one moment and costs one round trip.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from zlib import crc32

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, Stored, StoreHealth, checked_mark
from wardwright.receipts.events import Entry, decode_entry
from wardwright.receipts.fold import fold, summarise
from wardwright.receipts.query import Page, ReceiptFilter, cursor
from wardwright.receipts.receipt import Receipt
from wardwright.storage.postgres_database import FORMAT, Connection, Database, Readers, facets_in
from wardwright.storage.postgres_query import can_be_kept, key_of_value, matching_ids

CAPABILITIES = frozenset(
    {
        Capability.DURABLE,
        Capability.TRANSACTIONAL,
        Capability.EVENT_REPLAY,
        Capability.CONCURRENT_WRITERS,
        Capability.RETENTION_JOBS,
        Capability.CONSUMER_OFFSETS,
        Capability.TIME_RANGE_INDEXES,
    }
)

_REPLAY_CHUNK = 500
_SELECT_CHUNK = 100
# What is read of an entry: enough to tell whether it is still what was written.
_ENTRY = "position, crc, payload"
_OF_RECEIPT = f"SELECT {_ENTRY} FROM entries WHERE receipt_id = %s ORDER BY seq"  # noqa: S608 - our own words, as below
_OF_NEWEST = (
    f"SELECT {_ENTRY} FROM entries WHERE receipt_id = (SELECT max(receipt_id) FROM receipts{{below}}) ORDER BY seq"  # noqa: S608
)
# Receipt by receipt, which is right for as many as are asked for; the server would read the whole table where it knows nothing of it yet.
_OF_THOSE = (
    f"SELECT chosen.receipt_id, {_ENTRY} FROM ({{chosen}}) AS chosen CROSS JOIN LATERAL "  # noqa: S608
    "(SELECT * FROM entries WHERE entries.receipt_id = chosen.receipt_id OFFSET 0) AS of_it "
    "ORDER BY chosen.receipt_id{order}, seq"
)
_OF_OPEN = _OF_THOSE.format(chosen="SELECT receipt_id FROM receipts WHERE is_open", order="")
_REPLAYED = f"SELECT {_ENTRY} FROM entries WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"  # noqa: S608
_IDS_APART = (
    "SELECT receipt_id FROM (SELECT receipt_id, row_number() OVER (ORDER BY receipt_id DESC) AS place FROM receipts) AS placed "
    "WHERE place %% %s = 0 ORDER BY receipt_id DESC"
)


class PostgresReceiptReader:
    """Reads receipts, beside any number of writers or without one. Implements `ports.storage.ReceiptReader`."""

    capabilities = CAPABILITIES

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = Readers(self._connect, database)
        self._format = 0

    def check_readable(self) -> None:
        """Raise StorageUnavailable when there is nothing to read, or it is of a later format."""
        self._format = self._readers.ask(self._database.format_of)
        if not self._format:
            raise StorageUnavailable(f"there is nothing in {self._database.where} yet")

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        """See `ReceiptReader.entries`."""
        return self._decoded(receipt_id, self.payloads(receipt_id))

    def payloads(self, receipt_id: str) -> tuple[bytes, ...]:
        """See `ReceiptReader.payloads`."""
        if not can_be_kept(receipt_id):
            return ()
        return self._sound(self._readers.rows(_OF_RECEIPT, receipt_id))

    def newest(self, before: str | None = None) -> Iterator[tuple[Entry, ...]]:
        """See `ReceiptReader.newest`. Each receipt is of a moment of its own."""
        while True:
            below = "" if before is None else " WHERE receipt_id < %s"
            rows = self._readers.rows(_OF_NEWEST.format(below=below), *(() if before is None else (before,)))
            if not rows:
                return
            entries = self._decoded("a receipt", self._sound(rows))
            before = entries[0].receipt_id
            yield entries

    def page(self, wanted: ReceiptFilter) -> Page:
        """See `ReceiptReader.page`. Found by indexes, all of it in one moment."""
        receipts = list(self._matching(wanted))
        shown = [summarise(receipt) for receipt in receipts[: wanted.limit]]
        return Page(tuple(shown), cursor(shown[-1].receipt_id) if len(receipts) > wanted.limit else None)

    def select(self, wanted: ReceiptFilter) -> Iterator[Receipt]:
        """See `ReceiptReader.select`. So many at a time are of one moment."""
        some = msgspec.structs.replace(wanted, limit=_SELECT_CHUNK)
        while True:
            receipts = list(self._matching(some))
            yield from receipts[:_SELECT_CHUNK]
            if len(receipts) <= _SELECT_CHUNK:
                return
            some = msgspec.structs.replace(some, before=receipts[_SELECT_CHUNK - 1].receipt_id)

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """See `ReceiptReader.newest_of_session`."""
        session = (key_of_value(model_id), key_of_value(session_id))
        if not all(map(can_be_kept, session)):
            return None
        sql = "SELECT max(receipt_id) FROM receipts WHERE model_id = %s AND session_id = %s"
        newest: str | None = self._readers.rows(sql, *session)[0][0]
        return newest

    def open_receipts(self) -> tuple[tuple[Entry, ...], ...]:
        """See `ReceiptReader.open_receipts`."""
        return tuple(self._receipts(self._readers.rows(_OF_OPEN)))

    def replay(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
        """See `ReceiptReader.replay`. Positions count from 1, in the order in which entries came to be seen."""
        last = self._last_position()
        if not 0 <= after <= last:
            raise ValueError(f"nothing was stored at position {after}")
        return self._replay(after, last if until is None else min(until, last))

    def cuts(self, apart: int) -> Sequence[int]:
        """See `ReceiptReader.cuts`. Any position will do."""
        return range(apart, self._last_position(), apart)

    def id_cuts(self, apart: int) -> Sequence[str]:
        """See `ReceiptReader.id_cuts`."""
        return [str(row[0]) for row in self._readers.rows(_IDS_APART, apart)]

    def mark(self, name: str) -> bytes | None:
        """See `ReceiptReader.mark`."""
        rows = self._readers.rows("SELECT value FROM marks WHERE name = %s", checked_mark(name))
        return bytes(rows[0][0]) if rows else None

    def health(self) -> StoreHealth:
        """Counts and facts, from one row. Not durable: nothing can be stored here."""
        return self._health(is_strict=False)

    def close(self) -> None:
        """Let go of every connection. Idempotent; reading stays possible."""
        self._readers.close()

    def _connect(self) -> Connection:
        return self._database.connect(read_only=True)

    def _health(self, *, is_strict: bool) -> StoreHealth:
        sql = "SELECT receipt_count, open_count, current_setting('fsync') = 'on' FROM state"
        receipt_count, open_count, is_synced = self._readers.rows(sql)[0]
        return StoreHealth(
            kind="postgres",
            durable=is_strict and is_synced,
            receipt_count=receipt_count,
            open_count=open_count,
            path=self._database.where,
            capabilities=tuple(sorted(CAPABILITIES)),
        )

    def _matching(self, wanted: ReceiptFilter) -> Iterator[Receipt]:
        """The receipts that a page shows, and one more where another page follows."""
        chosen = matching_ids(wanted, self._columns())
        rows = self._readers.rows(_OF_THOSE.format(chosen=chosen.sql, order=" DESC"), *chosen.values)
        return (fold(entries) for entries in self._receipts(rows))

    def _columns(self) -> tuple[str, ...]:
        """The columns that can be asked for: whoever writes may have brought the schema forward since."""
        if self._format < FORMAT:
            self._format = int(self._readers.rows("SELECT number FROM wardwright_format")[0][0])
        return facets_in(self._format)

    def _replay(self, after: int, last: int) -> Iterator[Stored]:
        while rows := self._readers.rows(_REPLAYED, after, last, _REPLAY_CHUNK):
            yield from map(Stored, [row[0] for row in rows], self._sound(rows))
            after = rows[-1][0]

    def _last_position(self) -> int:
        return int(self._readers.rows("SELECT last_position FROM state")[0][0])

    def _receipts(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Entry, ...]]:
        for receipt_id, entries in groupby(rows, itemgetter(0)):
            yield self._decoded(receipt_id, self._sound(entry[1:] for entry in entries))

    def _decoded(self, receipt_id: str, payloads: Iterable[bytes]) -> tuple[Entry, ...]:
        try:
            return tuple(decode_entry(payload) for payload in payloads)
        except msgspec.DecodeError as error:
            raise StorageUnavailable(f"{receipt_id} holds an entry that this version cannot read: {error}") from error

    def _sound(self, rows: Iterable[tuple[Any, ...]]) -> tuple[bytes, ...]:
        """Payloads that are what was written. PostgreSQL has checksums of its own, which whoever made the database may have left out."""
        payloads = []
        for position, crc, payload in rows:
            if crc32(payload) != crc:
                raise StorageUnavailable(
                    f"{self._database.where} is damaged: the entry at position {position} has changed since it was written"
                )
            payloads.append(payload)
        return tuple(payloads)
