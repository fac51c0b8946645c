"""The storage port: an append-only log of receipt events, read back by receipt, by query, or in the order it was written.

`contracts/storage-provider-contract.md` is the promise behind these signatures, and `wardwright.testing.storage_suite` proves it for a
provider. The interface is synchronous on purpose: the checkpointer actor calls it from a worker thread of its own, so an adapter may
block on the disk or on a database driver without knowing which event loop runs the daemon.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from wardwright.domain.control import ControlEntry
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.receipts.events import Entry
from wardwright.receipts.query import Page, ReceiptFilter
from wardwright.receipts.receipt import Receipt

CONTRACT = 1

MARK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class Capability(StrEnum):
    """What some providers promise beyond what all of them must. The contract has one section for each that can be declared yet."""

    DURABLE = "durable"
    RUNTIME_HOT_STORE = "runtime_hot_store"
    TRANSACTIONAL = "transactional"
    CONCURRENT_WRITERS = "concurrent_writers"
    JSON_QUERIES = "json_queries"
    FULL_TEXT_SEARCH = "full_text_search"
    FACETED_SEARCH = "faceted_search"
    EVENT_REPLAY = "event_replay"
    CONSUMER_OFFSETS = "consumer_offsets"
    TIME_RANGE_INDEXES = "time_range_indexes"
    RETENTION_JOBS = "retention_jobs"
    ADVISORY_LOCKS = "advisory_locks"
    ANALYTICS_EXPORTS = "analytics_exports"


class StoreHealth(msgspec.Struct, frozen=True):
    """What a store says of itself. `path` says where it is, and is None for stores that are nowhere.

    `contract` is the version of the contract that it keeps, `capabilities` are those of its provider. `index_progress` is None, unless
    the store is making anew, beside everything else, what questions are answered from: then it is the part that is made, 0 to 1, and
    questions are refused until it is whole.
    """

    kind: str
    durable: bool
    receipt_count: int
    open_count: int
    path: str | None = None
    recovered_bytes: int = 0
    contract: int = CONTRACT
    capabilities: tuple[Capability, ...] = ()
    index_progress: float | None = None


class MarkDamaged(StorageUnavailable):
    """What was kept under a name has changed since then; another value that is set there takes its place."""


class Stored(NamedTuple):
    """An entry and its position: a number that ascends in the order in which entries were stored."""

    position: int
    payload: bytes


def checked_mark(name: str) -> str:
    """A name that a mark may have. Raises: ValueError for any other."""
    if MARK_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} cannot name a mark: it takes 1 to 100 of a-z, 0-9, '.', '_' and '-'")
    return name


class ReceiptReader(Protocol):
    """Receipts to be read, from any number of threads."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of its provider."""
        ...

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        """All entries of one receipt in order; empty when unknown."""
        ...

    def payloads(self, receipt_id: str) -> tuple[bytes, ...]:
        """The entries of one receipt byte for byte as they were appended; empty when unknown."""
        ...

    def newest(self, before: str | None = None) -> Iterator[tuple[Entry, ...]]:
        """Receipts by descending receipt id (ids sort by creation time), strictly below `before` when given; lazily read."""
        ...

    def page(self, wanted: ReceiptFilter) -> Page:
        """Summaries of the receipts that a filter matches, newest first, below its cursor.

        A page may come short, even empty, and still have a cursor; the pages up to the one without are the whole answer, and that
        is the same from every store that holds the same receipts.
        """
        ...

    def select(self, wanted: ReceiptFilter) -> Iterator[Receipt]:
        """Every receipt that a filter matches, whole, by descending id, below its cursor; lazily read. The limit is for pages alone."""
        ...

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The greatest id among the receipts of a session of a model; None when it has none.

        A runtime hot store answers from memory or by one lookup, so that it may be asked on the event loop.
        """
        ...

    def open_receipts(self) -> tuple[tuple[Entry, ...], ...]:
        """Every receipt that has no closing entry yet, by id."""
        ...

    def replay(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
        """Every entry that was stored after a position, and not after another, in the order in which they were stored; lazily read.

        Raises: ValueError when no entry was ever stored at the position to begin at, and it is none of `cuts`.
        """
        ...

    def cuts(self, apart: int) -> Sequence[int]:
        """Ascending positions, about so many entries apart or more, to replay pieces between, each from a reader of its own.

        There may be none: then whatever is stored had better be read at once.
        """
        ...

    def id_cuts(self, apart: int) -> Sequence[str]:
        """Descending ids, about so many receipts apart, to select between, each piece from a reader of its own; none as in `cuts`."""
        ...

    def mark(self, name: str) -> bytes | None:
        """What was last set under a name; None when nothing was.

        Raises: StorageUnavailable, as MarkDamaged when what was set is no longer what is there, where that can be told. ValueError for what
        `MARK_NAME` does not match.
        """
        ...

    def health(self) -> StoreHealth:
        """Counts and facts, cheap enough for a readiness probe."""
        ...

    def close(self) -> None:
        """Release everything. Idempotent; what is stored can still be read."""
        ...


class ReceiptStore(ReceiptReader, Protocol):
    """Receipt events, durable in order.

    One writer calls `append`; readers may call the other methods at the same time from other threads. Where writers may be
    concurrent, other processes have stores of their own at the same place.
    """

    def enlist(self, boot: str) -> frozenset[str]:
        """Say which run of a daemon writes here until the store is closed, and learn which others do; none where there is one writer.

        To be called now and then: what it says may be lost with a connection. An open receipt belongs to a daemon that is gone when
        it was listed before this call, and its boot is in no answer. Any thread may call it, also beside `append`.

        Raises: StorageUnavailable.
        """
        ...

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write encoded entries (`receipts.events.encode_entry`) in order and return once they are as durable as configured.

        All-or-prefix: after a failure some leading payloads may be stored, never a later one without the earlier. Idempotent by
        (receipt_id, seq): an entry that is already stored is skipped, so a caller that does not know whether its append went
        through sends it again.

        Raises: StorageUnavailable; the store stays usable for later appends when the cause has gone. ValueError, before anything
        is written, for a payload that is no entry or that comes before its receipt's earlier ones.
        """
        ...

    def forget(self, before: str, at_most: int = 1000) -> int:
        """Let go of closed receipts below an id, so many at most, the oldest first; tell how many. Ask again until none is left.

        They are in no answer any more, for good, and one that is open below the bound goes when it is closed. Entries of receipts that
        were forgotten count as stored: sending them again changes nothing. Positions stay valid. Space is given back in time. Of this
        and `replace`, one thread calls one at a time; it need not be the appending one.

        Raises: StorageUnavailable.
        """
        ...

    def set_mark(self, name: str, value: bytes) -> None:
        """Keep a small value under a name in the place of the one before; it is durable on return, unless durability is none.

        A consumer of `replay` keeps its position so, and whoever makes snapshots the newest one. Any thread may call it, also beside
        `append`.

        Raises: StorageUnavailable; then the value before it holds. ValueError for a name that `MARK_NAME` does not match.
        """
        ...

    def tend(self) -> bool:
        """Do a little of what the store puts off while it is busy, some milliseconds' worth; tell whether more of it is left.

        Changes no answer. May be called from another thread than the appending one, or never: a store that is not tended does this
        work within its appends when it must. Raises: StorageUnavailable.
        """
        ...

    def replace(self, payloads: Sequence[bytes]) -> None:
        """Put other bytes in the place of stored entries, each of the same receipt, number and kind, and not longer than what is there.

        Every answer is by them from now on. Positions stay valid. When this returns the bytes that were there are in none of the
        store's files any more, and a crash brings none of them back. What is not stored is skipped. Replacing again changes nothing.

        Raises: StorageUnavailable; some may be replaced then, and perhaps none is gone from the files. Asked again, be it with the rest
        or with nothing, it does what it could not. ValueError, before anything is written, for a payload that is no entry, is of
        another kind or longer.
        """
        ...

    def check_writable(self) -> None:
        """Raise StorageUnavailable when an append could not succeed now."""
        ...

    def close(self) -> None:
        """Flush and release everything, the single-writer lock included. Idempotent; what is stored can still be read."""
        ...


class StorageProvider(Protocol):
    """One kind of storage at one place: where its receipts and its control log are opened. Making one touches nothing."""

    @property
    def kind(self) -> str:
        """The name of this kind, as the configuration has it."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it promises beyond what every provider must."""
        ...

    @property
    def where(self) -> str:
        """Where receipts are kept, for people."""
        ...

    def is_new(self) -> bool:
        """Whether nothing was ever kept at this place. Changes nothing."""
        ...

    def open(self) -> ReceiptStore:
        """Open the receipts for writing, made ready first where this place is new, and brought forward from an earlier format.

        Raises: StorageUnavailable when that cannot be done, somebody else writes here, or what is here is damaged or of a later format.
        """
        ...

    def read(self) -> ReceiptReader:
        """Open the receipts for reading beside whoever writes. Changes nothing.

        Raises: StorageUnavailable when there is nothing to read, or it is damaged.
        """
        ...

    def open_control(self) -> ControlLog:
        """Open the control log for writing; only whoever has opened the receipts may. Raises: StorageUnavailable."""
        ...

    def read_control(self) -> Sequence[ControlEntry]:
        """Every control entry, read beside whoever writes; none where there is no log yet. Raises: StorageUnavailable."""
        ...
