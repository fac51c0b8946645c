"""The control port: the append-only log of what operators decide. Synchronous for the reason that `ports.storage` gives."""

from collections.abc import Sequence
from typing import Protocol

from wardwright.domain.control import ControlEntry
from wardwright.domain.errors import StorageUnavailable


class ControlMovedOn(StorageUnavailable):
    """Somebody else has appended since the log was last read: nothing was written, and what there is has to be looked at first."""


class ControlLog(Protocol):
    """Control entries, durable in order. A writer opens the log, reads it whole, and appends from there.

    There is one, unless the writers of its storage may be concurrent.
    """

    def entries(self) -> Sequence[ControlEntry]:
        """Every entry there is, in order.

        Raises: StorageUnavailable for damage, and for an entry that this version does not know.
        """
        ...

    def append(self, entries: Sequence[ControlEntry]) -> None:
        """Write entries in order and return once they are on disk, whatever the durability of receipts is.

        All or none of them count when it fails; a process that dies in it may leave some leading ones.

        Raises: StorageUnavailable; the log stays usable for later appends when the cause has gone. ControlMovedOn, which is one,
        where their numbers do not go on from what is stored.
        """
        ...

    def close(self) -> None:
        """Release everything. Idempotent."""
        ...
