"""Writing receipts to PostgreSQL, beside any number of other writers.

Writers take turns: each transaction holds one advisory lock of the schema to its end. So positions have no gaps and ascend in the order
in which entries come to be seen: whoever has read up to a position never finds an earlier one afterwards, as with a sequence it would.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import StoreHealth, checked_mark
from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import fold, summarise
from wardwright.receipts.receipt import Summary
from wardwright.storage.index import CLOSED, Head, changes_summary, check_replacement, head_of, just_above, unknown
from wardwright.storage.log import Durability
from wardwright.storage.postgres_database import FORMAT, Connection, Database
from wardwright.storage.postgres_query import can_be_kept, facets_of
from wardwright.storage.postgres_receipts import PostgresReceiptReader
from wardwright.storage.postgres_writers import Presence
from wardwright.storage.sqlite_database import FACETS
from wardwright.storage.turns import in_turns

T = TypeVar("T")

_LONGEST_ID = 200  # characters: an index entry has its limits
_WHOLE = 2**62  # beyond every number of an entry

_DURABLY = "SET LOCAL synchronous_commit = on"
_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_KNOWN = (
    "SELECT receipt_id, is_open, (SELECT max(seq) FROM entries WHERE entries.receipt_id = receipts.receipt_id) "
    "FROM unnest(%s::text[]) AS sent (receipt_id) JOIN receipts USING (receipt_id)"
)
_EARLIER = (
    "SELECT sent.receipt_id, payload FROM unnest(%s::text[]) AS sent (receipt_id) CROSS JOIN LATERAL "
    "(SELECT * FROM entries WHERE entries.receipt_id = sent.receipt_id OFFSET 0) AS of_it ORDER BY sent.receipt_id, seq"
)
_PUT_ENTRIES = (
    "INSERT INTO entries (position, receipt_id, seq, crc, payload) "
    "SELECT * FROM unnest(%b::bigint[], %b::text[], %b::integer[], %b::bigint[], %b::bytea[])"
)
_STORED = (
    "SELECT receipt_id, seq, position, crc, payload "
    "FROM unnest(%s::text[], %s::integer[]) AS sent (receipt_id, seq) JOIN entries USING (receipt_id, seq)"
)
_REPLACE_ENTRIES = (
    "UPDATE entries SET crc = made.crc, payload = made.payload "
    "FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[]) AS made (position, crc, payload) "
    "WHERE entries.position = made.position"
)
_COLUMNS = {
    "receipt_id": "text",
    "is_open": "boolean",
    "created_at": "bigint",
    "simulation": "boolean",
    **dict.fromkeys(FACETS, "text"),
}
_PUT_RECEIPTS = (
    f"INSERT INTO receipts ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own words
    f"SELECT * FROM unnest({', '.join(f'%b::{of}[]' for of in _COLUMNS.values())}) "
    f"ON CONFLICT (receipt_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)
_COUNT = (
    "UPDATE state SET last_position = last_position + %s, receipt_count = receipt_count + %s, "
    "open_count = open_count + %s"
)
_FORGET = (
    "WITH gone AS (DELETE FROM receipts WHERE receipt_id < %s AND NOT is_open RETURNING receipt_id), "
    "entries_gone AS (DELETE FROM entries USING gone WHERE entries.receipt_id = gone.receipt_id) "
    "UPDATE state SET receipt_count = receipt_count - (SELECT count(*) FROM gone), "
    "forgotten_below = greatest(forgotten_below, %s)"
)


class _Known(NamedTuple):
    """What is stored when a batch comes: the last position, the bound of forgetting, and of the batch's receipts how far they are."""

    last_position: int
    forgotten_below: str
    last_seqs: dict[str, int]
    open_ids: set[str]
    earlier: dict[str, list[bytes]]

    def last_seq(self, receipt_id: str) -> int:
        """How far a receipt is stored. A closed one is stored whole, whatever else is sent: somebody else has closed it."""
        last = self.last_seqs.get(receipt_id, 0)
        return _WHOLE if last and receipt_id not in self.open_ids else last


class PostgresReceiptStore(PostgresReceiptReader):
    """Receipt entries in a schema. Implements `ports.storage.ReceiptStore`; any number of processes may have one open.

    `strict`: an entry is on the server's disk when `append` returns. `batched` and `none`: the server writes it there within about
    600 ms. A crash of this process alone loses nothing.

    Raises: StorageUnavailable when the database cannot be reached or used.
    """

    def __init__(self, database: Database, durability: Durability = "strict") -> None:
        self._durability = durability
        self._writing = threading.Lock()
        self._is_open = True
        self._is_to_be_vacuumed = False
        self._presence: Presence | None = None
        self._connection: Connection | None = database.connect(durability)
        try:
            database.prepare(self._connection)
            super().__init__(database)
            self._format = FORMAT
        except BaseException:
            self._connection.close()
            raise

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the entries that are not stored yet, all of them or none, and return once they are as durable as configured.

        Raises: StorageUnavailable. ValueError when a payload is no entry or comes before its receipt's earlier entries.
        """
        heads = [_checked(head_of(payload)) for payload in payloads]
        if heads:
            self._write(lambda connection: self._append(connection, heads, payloads))

    def forget(self, before: str, at_most: int = 1000) -> int:
        """See `ReceiptStore.forget`. What becomes free is used again after the server's own vacuum."""
        return self._write(lambda connection: self._forget(connection, before, at_most))

    def replace(self, payloads: Sequence[bytes]) -> None:
        """See `ReceiptStore.replace`. What was there is vacuumed out of the tables; the server's files are the server's.

        Some at a time are of one transaction, and appends get their turn in between.
        """
        given = [(_checked(head_of(payload)), payload) for payload in payloads]
        for some in in_turns(given):
            self._write(partial(self._places_of, given=some))  # for what it raises
        for some in in_turns(given):
            self._is_to_be_vacuumed = True
            self._write(partial(self._replace, given=some))
        if self._is_to_be_vacuumed:
            self._vacuum()
            self._is_to_be_vacuumed = False

    def set_mark(self, name: str, value: bytes) -> None:
        """See `ReceiptStore.set_mark`."""
        checked_mark(name)
        self._write(lambda connection: self._set_mark(connection, name, value))

    def enlist(self, boot: str) -> frozenset[str]:
        """See `ReceiptStore.enlist`."""
        if self._presence is None:
            presence = Presence(self._database.schema, boot)
            self._write(presence.show)
            self._presence = presence
        return self._write(self._presence.others)

    def tend(self) -> bool:
        """See `ReceiptStore.tend`. What is to be tended the server tends itself."""
        return False

    def health(self) -> StoreHealth:
        """Counts and facts, from one row."""
        return self._health(is_strict=self._durability == "strict")

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the store is closed, the server cannot be reached, or takes nothing new."""
        self._write(lambda connection: connection.execute("UPDATE state SET open_count = open_count WHERE false"))

    def close(self) -> None:
        """Let go of every connection, and be here no more. Idempotent; reading stays possible."""
        with self._writing:
            self._is_open = False
            self._give_up()
            super().close()

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Do a piece of work as one transaction. Where a connection was lost it is done once more, which is harmless: all of it is idempotent.

        Raises: StorageUnavailable, and whatever the work raises.
        """
        with self._writing, self._database.faults("write to"):
            if not self._is_open:
                raise StorageUnavailable(f"the receipt store in {self._database.where} is closed")
            kept = self._connection
            if kept is not None:
                try:
                    return self._transact(kept, work)
                except psycopg.OperationalError:
                    if self._connection is kept:
                        raise
            return self._transact(self._writer(), work)

    def _transact(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        """Statements travel together up to the first whose result is looked at; a whole append is two round trips."""
        try:
            with connection.pipeline(), connection.transaction():
                return work(connection)
        except BaseException:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                self._give_up()
            raise

    def _writer(self) -> Connection:
        if self._connection is None:
            connection = self._database.connect(self._durability)
            try:
                if self._presence is not None:
                    self._presence.show(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _append(self, connection: Connection, heads: Sequence[Head], payloads: Sequence[bytes]) -> None:
        known = self._known(connection, heads)
        chosen = unknown(payloads, known.last_seq, known.forgotten_below)
        if not chosen:
            return
        positions = range(known.last_position + 1, known.last_position + 1 + len(chosen))
        rows = [
            (at, head.receipt_id, head.seq, crc32(payload), payload)
            for at, (head, payload) in zip(positions, chosen, strict=True)
        ]
        connection.execute(_PUT_ENTRIES, _by_column(rows))
        begun = {head.receipt_id for head, _ in chosen if head.seq == 1}
        ended = {head.receipt_id for head, _ in chosen if head.event.type == CLOSED}
        if begun or ended:
            receipts = known.earlier
            for head, payload in chosen:
                receipts.setdefault(head.receipt_id, []).append(payload)
            noted = [
                (receipt_id, receipt_id not in ended, *facets_of(_summary(receipts[receipt_id])))
                for receipt_id in sorted(begun | ended)
            ]
            connection.execute(_PUT_RECEIPTS, _by_column(noted))
        connection.execute(_COUNT, (len(chosen), len(begun), len(begun - ended) - len(ended - begun)))
        if any(receipt_id < known.forgotten_below for receipt_id in ended):
            connection.execute(_FORGET, (known.forgotten_below, known.forgotten_below))

    def _known(self, connection: Connection, heads: Sequence[Head]) -> _Known:
        """Take the turn to write, and look at what is stored then."""
        ids = sorted({head.receipt_id for head in heads})
        ending = sorted({head.receipt_id for head in heads if head.event.type == CLOSED and head.seq > 1})
        connection.execute(_LOCK, (self._database.lock_key,))
        state = connection.execute("SELECT last_position, forgotten_below FROM state")
        stored = connection.execute(_KNOWN, (ids,))
        entries = connection.execute(_EARLIER, (ending,), binary=True)
        ((last_position, forgotten_below),) = state.fetchall()
        known = _Known(last_position, forgotten_below, {}, set(), {})
        for receipt_id, is_open, last_seq in stored.fetchall():
            known.last_seqs[receipt_id] = last_seq
            if is_open:
                known.open_ids.add(receipt_id)
        for receipt_id, found in groupby(entries.fetchall(), itemgetter(0)):
            known.earlier[receipt_id] = [payload for _, payload in found]
        return known

    def _forget(self, connection: Connection, before: str, at_most: int) -> int:
        connection.execute(_LOCK, (self._database.lock_key,))
        connection.execute(_DURABLY)
        sql = "SELECT receipt_id FROM receipts WHERE receipt_id < %s AND NOT is_open ORDER BY receipt_id LIMIT %s"
        chosen = [str(row[0]) for row in connection.execute(sql, (before, at_most)).fetchall()]
        bound = before if len(chosen) < at_most else just_above(chosen[-1])
        connection.execute(_FORGET, (bound, bound))
        return len(chosen)

    def _replace(self, connection: Connection, given: Sequence[tuple[Head, bytes]]) -> None:
        connection.execute(_LOCK, (self._database.lock_key,))
        connection.execute(_DURABLY)
        places = self._places_of(connection, given)
        rows, changed = list[tuple[int, int, bytes]](), set[str]()
        for head, payload in given:
            if (position := places.get((head.receipt_id, head.seq))) is not None:
                rows.append((position, crc32(payload), payload))
                changed |= {head.receipt_id} if changes_summary(head) else set()
        if rows:
            connection.execute(_REPLACE_ENTRIES, _by_column(rows))
            self._note_anew(connection, sorted(changed))

    def _places_of(self, connection: Connection, given: Sequence[tuple[Head, bytes]]) -> dict[tuple[str, int], int]:
        """The positions of entries whose places others may take, of those that are stored. Raises: ValueError when one may not."""
        sent = ([head.receipt_id for head, _ in given], [head.seq for head, _ in given])
        stored = {
            (receipt_id, seq): (position, *self._sound([(position, crc, payload)]))
            for receipt_id, seq, position, crc, payload in connection.execute(_STORED, sent, binary=True).fetchall()
        }
        for head, payload in given:
            if (head.receipt_id, head.seq) in stored:
                before = stored[head.receipt_id, head.seq][1]
                check_replacement(payload, head, before, head_of(before))
        return {entry: position for entry, (position, _) in stored.items()}

    def _note_anew(self, connection: Connection, receipt_ids: Sequence[str]) -> None:
        """Keep up the rows of receipts that come to something else than before."""
        entries = connection.execute(_EARLIER, (receipt_ids,), binary=True)
        still_open = connection.execute(
            "SELECT receipt_id FROM receipts WHERE receipt_id = ANY(%s) AND is_open", (receipt_ids,)
        )
        open_ids = {receipt_id for (receipt_id,) in still_open.fetchall()}
        noted = [
            (receipt_id, receipt_id in open_ids, *facets_of(_summary([payload for _, payload in found])))
            for receipt_id, found in groupby(entries.fetchall(), itemgetter(0))
        ]
        if noted:
            connection.execute(_PUT_RECEIPTS, _by_column(noted))

    def _vacuum(self) -> None:
        """Free what no row holds any more, beside the appends."""
        with closing(self._database.connect()) as connection, self._database.faults("vacuum"):
            connection.execute("SET statement_timeout = 0")
            connection.execute("VACUUM entries, receipts")

    def _set_mark(self, connection: Connection, name: str, value: bytes) -> None:
        if self._durability != "none":
            connection.execute(_DURABLY)
        connection.execute(
            "INSERT INTO marks (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )


def _checked(head: Head) -> Head:
    if len(head.receipt_id) > _LONGEST_ID or not can_be_kept(head.receipt_id):
        raise ValueError("not an encoded receipt entry: its receipt id is one that PostgreSQL cannot keep")
    return head


def _summary(payloads: Sequence[bytes]) -> Summary | None:
    """What a receipt comes to; None when it cannot be told, which whoever reads it will be told."""
    try:
        return summarise(fold([decode_entry(payload) for payload in payloads]))
    except (msgspec.DecodeError, ValueError):
        return None


def _by_column(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
