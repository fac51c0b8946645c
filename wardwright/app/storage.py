"""The storage that a configuration names: the one place that knows every provider."""

from collections.abc import Callable, Mapping
from pathlib import Path

from wardwright.config.settings import Settings
from wardwright.ports.storage import StorageProvider
from wardwright.storage.folder import FileStorage
from wardwright.storage.log import Durability
from wardwright.storage.memory import MemoryStorage
from wardwright.storage.sqlite import SqliteStorage

_LASTING: Mapping[str, Callable[[Path, Durability], StorageProvider]] = {"file": FileStorage, "sqlite": SqliteStorage}


def storage_of(settings: Settings) -> StorageProvider:
    """Make the provider; nothing is touched yet. Storage in memory is the provider itself: another one has other receipts."""
    storage = settings.storage
    if storage.kind == "memory":
        return MemoryStorage()
    return storage_at(storage.kind, Path(storage.path), storage.durability)


def storage_at(kind: str, path: Path, durability: Durability = "strict") -> StorageProvider:
    """The provider of a kind that lasts, for a data folder. Raises: KeyError for any other kind."""
    return _LASTING[kind](path, durability)


def storages_in(path: Path) -> list[StorageProvider]:
    """A provider of every kind that lasts, for a data folder; most of them find it new."""
    return [storage_at(kind, path) for kind in _LASTING]
