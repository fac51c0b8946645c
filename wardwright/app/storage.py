"""The storage that a configuration names: the one place that knows every provider."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from wardwright.config.settings import Settings, StorageSettings
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import StorageProvider
from wardwright.storage.folder import FileStorage
from wardwright.storage.log import Durability
from wardwright.storage.memory import MemoryStorage
from wardwright.storage.sqlite import SqliteStorage

_IN_FOLDERS: Mapping[str, Callable[[Path, Durability], StorageProvider]] = {
    "file": FileStorage,
    "sqlite": SqliteStorage,
}

LASTING = (*_IN_FOLDERS, "postgres")
"""The kinds of storage that outlive a daemon."""


def storage_of(settings: Settings, kind: str | None = None) -> StorageProvider:
    """Make the provider; nothing is touched yet. Storage in memory is the provider itself: another one has other receipts.

    `kind` takes the place of the kind that the settings name.

    Raises: StorageUnavailable where there is no way to a database. KeyError for a kind that there is not.
    """
    storage = settings.storage
    match kind or storage.kind:
        case "memory":
            return MemoryStorage()
        case "postgres":
            return _postgres(storage)
        case in_folder:
            return storage_at(in_folder, Path(storage.path), storage.durability)


def storage_at(kind: str, path: Path, durability: Durability = "strict") -> StorageProvider:
    """The provider of a kind that keeps everything in a folder. Raises: KeyError for any other kind."""
    return _IN_FOLDERS[kind](path, durability)


def storages_in(path: Path) -> list[StorageProvider]:
    """A provider of every kind that keeps everything in a folder, for that folder; most of them find it new."""
    return [storage_at(kind, path) for kind in _IN_FOLDERS]


def snapshot_in(path: Path, kind: str) -> StorageProvider:
    """Where a snapshot of storage of some kind goes: into the same kind, or into the log where that is in no folder."""
    return storage_at(kind if kind in _IN_FOLDERS else "file", path)


def _postgres(storage: StorageSettings) -> StorageProvider:
    try:
        from wardwright.storage.postgres import PostgresStorage  # noqa: PLC0415 - its driver is an extra
    except ImportError as error:
        raise StorageUnavailable(
            f'storage.kind = "postgres" takes a driver that is not here ({error}): pip install "wardwright[postgres]"'
        ) from error
    url = os.environ.get(storage.url_env, "").strip()
    return PostgresStorage(url, storage.schema, storage.durability, variable=storage.url_env)
