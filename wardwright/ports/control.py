"""The control port: the append-only log of what operators decide. Synchronous for the reason that `ports.storage` gives."""

from collections.abc import Sequence
from typing import Protocol

from wardwright.domain.control import ControlEntry


class ControlLog(Protocol):
    """Control entries, durable in order. One writer; it opens the log, reads it whole, and appends from there."""

    def entries(self) -> Sequence[ControlEntry]:
        """Every entry there is, in order.

        Raises: StorageUnavailable for damage, and for an entry that this version does not know.
        """
        ...

    def append(self, entries: Sequence[ControlEntry]) -> None:
        """Write entries in order and return once they are on disk, whatever the durability of receipts is.

        All or none of them count when it fails; a process that dies in it may leave some leading ones.

        Raises: StorageUnavailable; the log stays usable for later appends when the cause has gone.
        """
        ...

    def close(self) -> None:
        """Release everything. Idempotent."""
        ...
