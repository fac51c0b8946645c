"""A receipt store in memory: every promise of the port but durability. For tests and for trying Wardwright out.

It keeps all it is given until the process ends.
"""

import threading
from collections.abc import Sequence

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import StoreHealth
from wardwright.storage.index import ReceiptIndex
from wardwright.storage.indexed import IndexedReceipts


class MemoryReceiptStore(IndexedReceipts[bytes]):
    """Receipt entries in memory. Implements `ports.storage.ReceiptStore`."""

    def __init__(self) -> None:
        super().__init__(ReceiptIndex[bytes](list))
        self._writing = threading.Lock()
        self._closed = False

    def append(self, payloads: Sequence[bytes]) -> None:
        """Keep the entries that are not known yet.

        Raises: StorageUnavailable when the store is closed. ValueError when a payload is no entry or comes too early.
        """
        with self._writing:
            self.check_writable()
            chosen = self._index.unknown(payloads)
            self._index.add([head for head, _ in chosen], [payload for _, payload in chosen])

    def health(self) -> StoreHealth:
        """Counts and facts."""
        receipt_count, open_count = self._index.counts()
        return StoreHealth(kind="memory", durable=False, receipt_count=receipt_count, open_count=open_count)

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the store is closed."""
        if self._closed:
            raise StorageUnavailable("the receipt store is closed")

    def close(self) -> None:
        """Refuse further appends. Idempotent; what is stored can still be read."""
        self._closed = True

    def _fetch(self, places: Sequence[bytes]) -> list[bytes]:
        return list(places)
