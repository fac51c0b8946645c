"""The storage port: an append-only log of receipt events, read back by receipt or newest first.

The interface is synchronous on purpose: the checkpointer actor calls it from a worker thread of its own, so an adapter may block
on the disk or on a database driver without knowing which event loop runs the daemon.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from wardwright.receipts.events import Entry


class StoreHealth(msgspec.Struct, frozen=True):
    """What a store says of itself. `path` is None for stores that have none."""

    kind: str
    durable: bool
    receipt_count: int
    open_count: int
    path: str | None = None
    recovered_bytes: int = 0


class ReceiptStore(Protocol):
    """Receipt events, durable in order.

    One writer calls `append`; readers may call the other methods at the same time from other threads.
    """

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write encoded entries (`receipts.events.encode_entry`) in order and return once they are as durable as configured.

        All-or-prefix: after a failure some leading payloads may be stored, never a later one without the earlier. Idempotent by
        (receipt_id, seq): an entry that is already stored is skipped, so a caller that does not know whether its append went
        through sends it again.

        Raises: StorageUnavailable; the store stays usable for later appends when the cause has gone. ValueError, before anything
        is written, for a payload that is no entry or that comes before its receipt's earlier ones.
        """
        ...

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        """All entries of one receipt in order; empty when unknown."""
        ...

    def newest(self, before: str | None = None) -> Iterator[tuple[Entry, ...]]:
        """Receipts by descending receipt id (ids sort by creation time), strictly below `before` when given; lazily read."""
        ...

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The greatest id among the receipts of a session of a model; None when it has none. Touches no disk."""
        ...

    def open_receipts(self) -> tuple[tuple[Entry, ...], ...]:
        """Every receipt that has no closing entry yet."""
        ...

    def health(self) -> StoreHealth:
        """Counts and facts, cheap enough for a readiness probe."""
        ...

    def check_writable(self) -> None:
        """Raise StorageUnavailable when an append could not succeed now."""
        ...

    def close(self) -> None:
        """Flush and release everything, the single-writer lock included. Idempotent."""
        ...
