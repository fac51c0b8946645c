"""File storage: a folder with the receipt log and the control log in folders of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from wardwright.domain.control import ControlEntry
from wardwright.ports.control import ControlLog
from wardwright.ports.storage import ReceiptReader, ReceiptStore
from wardwright.storage.compaction import Compacted
from wardwright.storage.control import FileControlLog, read_control
from wardwright.storage.file import TAIL_ENTRIES, FileReceiptStore
from wardwright.storage.file_reading import CAPABILITIES
from wardwright.storage.files import is_missing
from wardwright.storage.log import SEGMENT_BYTES, Durability


class FileStorage:
    """Storage in a folder. Implements `ports.storage.StorageProvider`."""

    kind = "file"
    capabilities = CAPABILITIES

    def __init__(
        self,
        path: Path,
        durability: Durability = "strict",
        *,
        segment_bytes: int = SEGMENT_BYTES,
        tail_entries: int = TAIL_ENTRIES,
    ) -> None:
        self.receipts = path / "receipts"
        self.control = path / "control"
        self._durability = durability
        self._segment_bytes = segment_bytes
        self._tail_entries = tail_entries

    @property
    def where(self) -> str:
        """The folder of the receipt log."""
        return str(self.receipts)

    def is_new(self) -> bool:
        """See `StorageProvider.is_new`."""
        return is_missing(self.receipts) and is_missing(self.control)

    def open(self) -> ReceiptStore:
        """See `StorageProvider.open`."""
        return FileReceiptStore(
            self.receipts, self._durability, segment_bytes=self._segment_bytes, tail_entries=self._tail_entries
        )

    def compact(self, on_progress: Callable[[float], None]) -> Compacted:
        """Give back space, where no daemon runs. `on_progress` is told which part of it is done.

        Raises: StorageUnavailable.
        """
        store = FileReceiptStore(self.receipts, self._durability, segment_bytes=self._segment_bytes)
        try:
            return store.compact(on_progress)
        finally:
            store.close()

    def read(self) -> ReceiptReader:
        """See `StorageProvider.read`."""
        return FileReceiptStore.read_only(self.receipts)

    def open_control(self) -> ControlLog:
        """See `StorageProvider.open_control`."""
        return FileControlLog(self.control)

    def read_control(self) -> Sequence[ControlEntry]:
        """See `StorageProvider.read_control`."""
        return read_control(self.control)
