"""The storage that a configuration names: the one place that knows every provider."""

from pathlib import Path

from wardwright.config.settings import Settings
from wardwright.ports.storage import StorageProvider
from wardwright.storage.folder import FileStorage
from wardwright.storage.memory import MemoryStorage
from wardwright.storage.sqlite import SqliteStorage


def storage_of(settings: Settings) -> StorageProvider:
    """Make the provider; nothing is touched yet. Storage in memory is the provider itself: another one has other receipts."""
    storage = settings.storage
    match storage.kind:
        case "memory":
            return MemoryStorage()
        case "file":
            return FileStorage(Path(storage.path), storage.durability)
        case "sqlite":
            return SqliteStorage(Path(storage.path), storage.durability)
