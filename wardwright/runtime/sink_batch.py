"""Reading the log as a sink takes it: the next records behind a position, no more than go into one delivery."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wardwright.domain.sink import Unit
from wardwright.ports.sink import BATCH_BYTES, Record, receipt_record
from wardwright.ports.storage import ReceiptReader, Stored
from wardwright.receipts.events import Closed
from wardwright.runtime.pace import unpaced
from wardwright.runtime.sink_place import Stretch

_ENTRIES_PER_RECORD = 20
_MOST_SEEN_BYTES = 4 * BATCH_BYTES
_CLOSED = Closed.__struct_config__.tag


class _Fact(msgspec.Struct):
    type: str


class _Head(msgspec.Struct):
    receipt_id: str
    seq: int
    at: float
    event: _Fact


_decode_head = msgspec.json.Decoder(_Head).decode


def recorded_at(payload: bytes) -> float:
    """When an entry was recorded, in Unix seconds. Raises: msgspec.DecodeError when it is none."""
    return _decode_head(payload).at


class Wanted(NamedTuple):
    """What is to be read: `most` records behind `after`, of entries up to `last`."""

    unit: Unit
    after: int
    most: int
    last: int | None = None


class Batch(NamedTuple):
    """What was read: `entries` of the log up to `end`, which came to these records.

    `unreadable` are receipts whose record is not whole, `gone` is how many were forgotten before they could be read. `first_at` and `last_at` are
    when the first and last of the entries were recorded; `is_last` when there was nothing behind it that was asked for.
    """

    records: tuple[Record, ...]
    end: int
    entries: int
    is_last: bool
    unreadable: tuple[Stretch, ...] = ()
    gone: int = 0
    first_at: float | None = None
    last_at: float | None = None


class _Seen:
    """Entries of receipts that came by, so that those which open and close within a batch need not be looked up again."""

    def __init__(self) -> None:
        self._entries: dict[str, list[bytes]] = {}
        self._bytes = 0

    def add(self, head: _Head, payload: bytes) -> None:
        """Remember an entry, if all before it are remembered. When it comes to too much, everything is forgotten."""
        if self._bytes > _MOST_SEEN_BYTES:
            self._entries.clear()
            self._bytes = 0
        entries = self._entries.setdefault(head.receipt_id, []) if head.seq == 1 else self._entries.get(head.receipt_id)
        if entries is not None and len(entries) == head.seq - 1:
            entries.append(payload)
            self._bytes += len(payload)

    def take(self, head: _Head) -> list[bytes] | None:
        """All entries of a receipt up to this one, its last; None when they are not all remembered."""
        entries = self._entries.pop(head.receipt_id, None)
        if entries is None or len(entries) != head.seq:
            return None
        self._bytes -= sum(map(len, entries))
        return entries


class _Reading:
    """One batch while it is being read."""

    def __init__(self, store: ReceiptReader, wanted: Wanted, pace: Callable[[], None]) -> None:
        self._store = store
        self._pace = pace
        self._wanted = wanted
        self._records: list[Record] = []
        self._unreadable: list[Stretch] = []
        self._seen = _Seen()
        self._bytes = 0
        self._gone = 0
        self._entries = 0
        self._end = wanted.after
        self._first_at: float | None = None
        self._last_at: float | None = None

    def read(self) -> Batch:
        wanted = self._wanted
        for stored in self._store.replay(wanted.after):
            if wanted.last is not None and stored.position > wanted.last:
                break
            if self._is_full():
                return self._batch(is_last=False)
            self._take(stored)
            self._pace()
        if wanted.last is not None:
            self._end = max(self._end, wanted.last)
        return self._batch(is_last=True)

    def _is_full(self) -> bool:
        most = self._wanted.most
        return len(self._records) >= most or self._bytes >= BATCH_BYTES or self._entries >= most * _ENTRIES_PER_RECORD

    def _take(self, stored: Stored) -> None:
        head, before = _decode_head(stored.payload), self._end
        self._end = stored.position
        self._entries += 1
        self._first_at = head.at if self._first_at is None else self._first_at
        self._last_at = head.at
        if self._wanted.unit == "events":
            self._add(Record(f"{head.receipt_id}:{head.seq}", head.receipt_id, stored.position, stored.payload))
            return
        self._seen.add(head, stored.payload)
        if head.event.type == _CLOSED:
            self._take_receipt(head, before, stored.position)

    def _take_receipt(self, head: _Head, before: int, position: int) -> None:
        payloads = self._seen.take(head) or self._store.payloads(head.receipt_id)
        if not payloads:
            self._gone += 1
            return
        try:
            self._add(receipt_record(position, payloads))
        except (
            ValueError,
            msgspec.DecodeError,
        ):  # a power failure took an entry, as it may where durability is not strict
            self._unreadable.append(Stretch(before, position, 1, "its record is not whole"))

    def _add(self, record: Record) -> None:
        self._records.append(record)
        self._bytes += len(record.body)

    def _batch(self, *, is_last: bool) -> Batch:
        return Batch(
            records=tuple(self._records),
            end=self._end,
            entries=self._entries,
            is_last=is_last,
            unreadable=tuple(self._unreadable),
            gone=self._gone,
            first_at=self._first_at,
            last_at=self._last_at,
        )


def read_batch(store: ReceiptReader, wanted: Wanted, pace: Callable[[], None] = unpaced) -> Batch:
    """Read the next batch. Everything in the log behind `after` and up to `end` is in it, or was not asked for.

    Raises: StorageUnavailable, ValueError when nothing was ever stored at `after`.
    """
    return _Reading(store, wanted, pace).read()


def refused_stretches(batch: Batch, after: int, reasons: dict[str, str]) -> list[Stretch]:
    """Where the records of a batch lie that a sink has refused; those next to each other are one stretch."""
    found: list[Stretch] = []
    for record in batch.records:
        if record.key in reasons:
            found.append(Stretch(after, record.position, 1, reasons[record.key][:300]))
        after = record.position
    return found
