"""The index beside a log: a database that says of each receipt where its entries are, and what filters name of it.

It is derived from the log up to a position, `covered`, and never trusted further than that: whoever opens it checks that it is this
log's (`IndexFile.covered_in`), reads the rest of the log, and makes the whole of it anew when anything does not fit. WAL mode, where a
power failure takes the last changes at most, never a part of one. The inode of the file is written in it, so that a copy, which may have
been made in the middle of a change, is not taken for the original.
"""

import os
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.files import disk_faults, is_missing
from wardwright.storage.frame import read_frame
from wardwright.storage.index import Head, Session, decode_head
from wardwright.storage.index_format import latest_format
from wardwright.storage.index_query import Scan, matching, narrowed
from wardwright.storage.index_schema import FORMAT, INDEXES, INSERT, KNOWN, TABLES, TOOLS_SINCE, UPDATE
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.segment_file import opened
from wardwright.storage.segments import unpadded
from wardwright.storage.sqlite_database import (
    ADD_TOOL_FACETS,
    APPLICATION_ID,
    FACETS,
    FIRST_FACETS,
    Readers,
    connect,
    database_faults,
    empty_log,
    transaction,
)
from wardwright.storage.sqlite_query import Value, ids_apart

_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.ConstraintError)

_MADE_ANEW = "whoever writes to the log makes the index anew from it"

_CACHE_KB = 16_000
_VISIBLE = "(receipt_id >= ? OR is_open)"


class Unfit(Exception):
    """The index is not one of this log, or none that this version can use. The message says why."""


class IndexDamaged(StorageUnavailable):
    """The index does not hold together, or is gone, and is to be made anew. It says nothing any more."""


class State(NamedTuple):
    """How far the index goes: the last entry that it knows of, the bound of forgetting, counts, and the greatest id it ever had."""

    covered: int = 0
    covered_id: str = ""
    covered_seq: int = 0
    below: str = ""
    receipt_count: int = 0
    open_count: int = 0
    newest: str = ""


class Known(NamedTuple):
    """What the index says of a receipt. `last_seq` is more than there are places when entries were lost."""

    receipt_id: str
    is_open: bool
    last_seq: int
    places: "array[int]"
    session: Session | None


class Row(NamedTuple):
    """A receipt as it is to be kept. `facets` are those of `sqlite_query.facets_of`."""

    receipt_id: str
    is_open: bool
    last_seq: int
    places: Sequence[int]
    facets: tuple[Value, ...]


class Addition(NamedTuple):
    """What the log goes on with: rows, of which some are known and have changed; what segments hold more; and up to which entry.

    `segments` has how many payloads were read of each, and how many of them are in the index.
    """

    rows: Sequence[Row]
    known: Mapping[str, bool]
    segments: Mapping[int, tuple[int, int]]
    covered: int
    covered_head: Head


class IndexFile:
    """The database. One thread changes it at a time; any number read meanwhile.

    Raises: StorageUnavailable, everywhere, when the database fails.
    """

    def __init__(self, path: Path, *, is_writer: bool) -> None:
        self.path = path
        self._is_writer = is_writer
        self._readers = Readers(path)
        self._writer: apsw.Connection | None = None
        self._completed = 0
        self.is_damaged = False
        """Whether it was given up: whatever it is asked it refuses, also what was being asked."""
        self._giving_up = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> "IndexFile":
        """Begin an index that covers nothing, in the place of any other. Nobody takes it for one until it is completed."""
        made = cls(path, is_writer=True)
        with disk_faults("create", path):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            discard(path)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            home = path.stat().st_ino
        with database_faults("create", path):
            connection = made._connection()
            connection.pragma("journal_mode", "wal")
            with transaction(connection) as cursor:
                cursor.execute(TABLES)
                cursor.execute("INSERT INTO state VALUES (?, 0, '', 0, '', 0, 0, '')", (home,))
        return made

    def checked(self, log: LogFolder) -> State:
        """What the index says of itself, if it is one of this log. Raises: Unfit."""
        state = self.stated(latest_format(log.path))
        try:
            needed = self.needed_segments()
        except StorageUnavailable as error:
            raise Unfit(error.message) from error
        if not needed <= set(log.numbers()):
            raise Unfit("segments are missing that it knows")
        if state.covered and not _is_there(log, state):
            raise Unfit("the log is not the one that it was made of")
        return state

    def stated(self, latest: int) -> State:
        """What the index says of itself, if it is whole where it is. `latest` is the format that an index of its log ever had. Raises: Unfit."""
        try:
            with self._reading() as found:
                application, version = (
                    found.connection.pragma("application_id"),
                    found.connection.pragma("user_version"),
                )
                if application != APPLICATION_ID or not 0 < version <= FORMAT:
                    raise Unfit("it has another format, or was not made to its end")
                if version < latest:
                    raise Unfit("an earlier version made it, of a log that a later one had written to")
                home = found.execute("SELECT home FROM state").get
                state = _state(found)
        except StorageUnavailable as error:
            raise Unfit(error.message) from error
        if not home:
            raise Unfit("a process ended while entries were being replaced")
        if home != self.path.stat().st_ino:
            raise Unfit("it was copied here")
        return state

    def needed_segments(self) -> set[int]:
        """The segments that hold anything of a receipt in the index."""
        with self._reading() as found:
            rows: list[Any] = found.execute("SELECT number FROM segments WHERE held > 0").fetchall()
        return {number for (number,) in rows}

    def everything(self) -> Iterator[Known]:
        """What is known of each receipt, by id."""
        with self._reading() as found:
            for row in found.execute(f"SELECT {KNOWN} FROM receipts ORDER BY receipt_id"):  # noqa: S608 - our own words
                yield _known(row)

    def complete_a_little(self) -> bool:
        """Make the next of the indexes that queries need, and after the last an index for everybody; tell whether more is to be done.

        One takes some seconds where there are millions of receipts.
        """
        with self._damage_noticed(), database_faults("write to", self.path):
            connection = self._connection()
            if connection.pragma("user_version") != 0:
                return False
            connection.execute(INDEXES[self._completed])
            self._completed += 1
            return self._completed < len(INDEXES)

    def bring_forward(self) -> None:
        """Give an index of an earlier format, one that was checked, what this one has besides: nothing it covers has a say there. Idempotent."""
        with self._changing() as changed:
            if int(str(changed.execute("PRAGMA user_version").get)) < TOOLS_SINCE:
                changed.execute(f"{ADD_TOOL_FACETS} PRAGMA user_version = {FORMAT}")

    def state(self) -> State:
        """How far the index goes now."""
        with self._reading() as found:
            return _state(found)

    def known(self, receipt_id: str) -> Known | None:
        """What is known of a receipt."""
        sql = f"SELECT {KNOWN} FROM receipts WHERE receipt_id = ?"  # noqa: S608 - our own words
        with self._reading() as found:
            row: Any = found.execute(sql, (receipt_id,)).fetchone()
        return None if row is None else _known(row)

    def open_ids(self) -> list[str]:
        """The receipts without a closing entry, by id."""
        with self._reading() as found:
            return _ids(found, "SELECT receipt_id FROM receipts WHERE is_open ORDER BY receipt_id")

    def open_seqs(self) -> dict[str, int]:
        """The receipts without a closing entry, each with the number of its last one."""
        with self._reading() as found:
            rows: list[Any] = found.execute("SELECT receipt_id, last_seq FROM receipts WHERE is_open").fetchall()
        return dict(rows)

    def closed_below(self, receipt_id: str, at_most: int) -> list[str]:
        """The first closed receipts below an id."""
        sql = "SELECT receipt_id FROM receipts WHERE receipt_id < ? AND NOT is_open ORDER BY receipt_id LIMIT ?"
        with self._reading() as found:
            return _ids(found, sql, (receipt_id, at_most))

    def count_closed_below(self, receipt_id: str) -> int:
        """How many closed receipts there are below an id."""
        with self._reading() as found:
            sql = "SELECT count(*) FROM receipts WHERE receipt_id < ? AND NOT is_open"
            return int(str(found.execute(sql, (receipt_id,)).get))

    def newest_of_session(self, session: Session, below: str, at_most: int) -> list[str]:
        """The greatest ids of a session's receipts, closed ones below the bound of forgetting left out."""
        model_id, session_id = session
        sql = (
            "SELECT receipt_id FROM receipts INDEXED BY receipts_by_session WHERE session_id = ? AND model_id = ? "  # noqa: S608 - our own words
            f"AND {_VISIBLE} ORDER BY receipt_id DESC LIMIT ?"
        )
        with self._reading() as found:
            return _ids(found, sql, (session_id, model_id, below, at_most))

    def select(self, wanted: ReceiptFilter, before: str | None, below: str, at_most: int) -> Scan:
        """The next receipts by descending id that a filter matches; see `Scan`."""
        with self._reading() as found:
            is_late = int(str(found.execute("PRAGMA user_version").get)) >= TOOLS_SINCE
            columns = FACETS if is_late else FIRST_FACETS
            return matching(found, narrowed(found, wanted, before, columns), below, at_most)

    def ids_apart(self, apart: int) -> list[str]:
        """Every so-manieth id, descending."""
        with self._reading() as found:
            return ids_apart(found, apart)

    def payloads(self) -> dict[int, int]:
        """How many payloads were read of each segment, in order."""
        with self._reading() as found:
            rows: list[Any] = found.execute("SELECT number, payloads FROM segments ORDER BY number").fetchall()
        return dict(rows)

    def impure_segments(self) -> frozenset[int]:
        """The segments with payloads that are of no receipt in the index: forgotten, repeated, or without a beginning."""
        with self._reading() as found:
            rows: list[Any] = found.execute("SELECT number FROM segments WHERE held < payloads").fetchall()
        return frozenset(number for (number,) in rows)

    def oldest_segment(self) -> int | None:
        """The first segment that holds anything of a receipt in the index."""
        with self._reading() as found:
            oldest: int | None = found.execute("SELECT min(number) FROM segments WHERE held > 0").get
        return oldest

    def add(self, addition: Addition) -> State:
        """Take in what the log goes on with; tell how far the index goes then."""
        with self._changing() as changed:
            state = _state(changed)
            known = addition.known
            changed.executemany(INSERT, (_values(row) for row in addition.rows if row.receipt_id not in known))
            changed.executemany(UPDATE, (_values(row) for row in addition.rows if row.receipt_id in known))
            sql = (
                "INSERT INTO segments VALUES (?, ?, ?) ON CONFLICT (number) "
                "DO UPDATE SET payloads = payloads + excluded.payloads, held = held + excluded.held"
            )
            changed.executemany(sql, [(number, *counts) for number, counts in addition.segments.items()])
            were_open = sum(known.get(row.receipt_id, False) for row in addition.rows)
            state = state._replace(
                covered=addition.covered,
                covered_id=addition.covered_head.receipt_id,
                covered_seq=addition.covered_head.seq,
                receipt_count=state.receipt_count + sum(row.receipt_id not in known for row in addition.rows),
                open_count=state.open_count + sum(row.is_open for row in addition.rows) - were_open,
                newest=max([state.newest, *(row.receipt_id for row in addition.rows)]),
            )
            _put_state(changed, state)
        return state

    def disown(self) -> None:
        """Be no log's index until `remake`: whoever opens it from now on makes another. On disk when this returns."""
        connection = self._connection()
        with database_faults("write to", self.path):
            connection.pragma("synchronous", "FULL")
        try:
            with self._changing() as changed:
                changed.execute("UPDATE state SET home = 0")
        finally:
            connection.pragma("synchronous", "NORMAL")

    def remake(self, rows: Iterable[Row]) -> None:
        """Say other things of receipts that are known, and be the log's index again. What was said before is gone from disk then."""
        with self._changing() as changed:
            changed.executemany(UPDATE, map(_values, rows))
        with self._damage_noticed(), database_faults("write to", self.path):
            empty_log(self._connection())  # before it counts again: until then the database itself has what was there
        with self._changing() as changed:
            changed.execute("UPDATE state SET home = ?", (self.path.stat().st_ino,))

    def remove(self, receipt_ids: Iterable[str], below: str) -> State:
        """Let go of receipts, those that are known; from now on the bound of forgetting is another. Tell how far the index goes then."""
        with self._changing() as changed:
            state = _state(changed)
            for receipt_id in receipt_ids:
                sql = "DELETE FROM receipts WHERE receipt_id = ? RETURNING is_open, places"
                gone: Any = changed.execute(sql, (receipt_id,)).fetchone()
                if gone is not None:
                    is_open, places = gone
                    _release(changed, unpack(places))
                    state = state._replace(receipt_count=state.receipt_count - 1, open_count=state.open_count - is_open)
            state = state._replace(below=below)
            _put_state(changed, state)
        return state

    def drop_segments(self, before: int) -> None:
        """Know nothing any more of segments that were given back."""
        with self._changing() as changed:
            changed.execute("DELETE FROM segments WHERE number < ?", (before,))

    def give_up(self) -> None:
        """Be no index any more, and be removed. Idempotent. Only for the writer.

        The file that has its name later is another's: who asks this one must not be answered from that.
        """
        with self._giving_up:
            if not self.is_damaged:
                self.is_damaged = True
                with disk_faults("remove", self.path):
                    discard(self.path)

    def close(self) -> None:
        """Let go of every connection. Idempotent; reading stays possible."""
        self._readers.close()
        connection, self._writer = self._writer, None
        if connection is not None:
            with database_faults("close", self.path):
                connection.close()

    @contextmanager
    def _reading(self) -> Iterator[apsw.Cursor]:
        with self._damage_noticed(), self._readers.reading() as found:
            yield found

    @contextmanager
    def _changing(self) -> Iterator[apsw.Cursor]:
        with self._damage_noticed(), database_faults("write to", self.path), transaction(self._connection()) as changed:
            yield changed

    @contextmanager
    def _damage_noticed(self) -> Iterator[None]:
        """Give up an index that turns out to be damaged or gone. Raises: IndexDamaged."""
        self._refuse_if_damaged()
        try:
            yield
        except StorageUnavailable as error:
            if not isinstance(error.__cause__, _DAMAGE) and not is_missing(self.path):
                raise
            if self._is_writer:
                self.give_up()
                raise IndexDamaged(f"{error.message}; {_MADE_ANEW}") from error
            remedy = f"the daemon makes it anew from the log when it meets that, too, or when it starts without {self.path.parent}"
            raise IndexDamaged(f"{error.message}; {remedy}") from error
        self._refuse_if_damaged()

    def _refuse_if_damaged(self) -> None:
        if self.is_damaged:
            raise IndexDamaged(f"{self.path} is damaged; {_MADE_ANEW}")

    def _connection(self) -> apsw.Connection:
        if self._writer is None:
            self._writer = connect(self.path, apsw.SQLITE_OPEN_READWRITE)
            self._writer.pragma("synchronous", "NORMAL")
            self._writer.pragma("cache_size", -_CACHE_KB)
        return self._writer


def discard(path: Path) -> None:
    """Remove an index, whatever it is. Raises: OSError."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _values(row: Row) -> tuple[Value | bytes, ...]:
    return (row.receipt_id, row.is_open, row.last_seq, array("Q", row.places).tobytes(), *row.facets)


def unpack(places: bytes) -> "array[int]":
    """The places that `tobytes` packed."""
    unpacked = array("Q")
    unpacked.frombytes(places)
    return unpacked


def _is_there(log: LogFolder, state: State) -> bool:
    """Whether the last entry that the index knows of is where it says. One that was taken away since has left its frame empty."""
    place = Place.unpacked(state.covered)
    try:
        with opened(log, place.segment) as segment:
            frame = read_frame(segment.read, place.offset)
    except StorageUnavailable:
        return False
    if frame is None:
        return False
    payload = unpadded(frame.payload)
    if not payload:
        return True
    try:
        head = decode_head(payload)
    except msgspec.DecodeError:
        return False
    return (head.receipt_id, head.seq) == (state.covered_id, state.covered_seq)


def _known(row: Any) -> Known:
    session = None if row[5] is None else (str(row[4]), str(row[5]))
    return Known(row[0], bool(row[1]), row[2], unpack(row[3]), session)


def _state(found: apsw.Cursor) -> State:
    row: Any = found.execute(f"SELECT {', '.join(State._fields)} FROM state").fetchone()  # noqa: S608 - our own words
    return State(*row)


def _put_state(changed: apsw.Cursor, state: State) -> None:
    changed.execute(f"UPDATE state SET {', '.join(f'{name} = ?' for name in State._fields)}", state)  # noqa: S608 - our own words


def _release(changed: apsw.Cursor, places: "array[int]") -> None:
    counts: dict[int, int] = {}
    for place in places:
        segment = Place.unpacked(place).segment
        counts[segment] = counts.get(segment, 0) + 1
    changed.executemany(
        "UPDATE segments SET held = held - ? WHERE number = ?", [(count, number) for number, count in counts.items()]
    )


def _ids(found: apsw.Cursor, sql: str, values: tuple[Value, ...] = ()) -> list[str]:
    return [str(row[0]) for row in found.execute(sql, values).fetchall()]
