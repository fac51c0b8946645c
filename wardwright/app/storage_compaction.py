"""Giving back the space of storage that does not do so by itself."""

from collections.abc import Callable

from wardwright.domain.errors import WardwrightError
from wardwright.ports.storage import StorageProvider
from wardwright.storage.compaction import Compacted
from wardwright.storage.folder import FileStorage


class CannotCompact(WardwrightError):
    """There is nothing to compact; the message says why."""

    code = "cannot_compact"


def compact(storage: StorageProvider, on_progress: Callable[[float], None]) -> Compacted:
    """Compact what is kept, where no daemon runs. `on_progress` is told which part of it is done.

    Raises: CannotCompact for a kind that needs it not, and where nothing is. StorageUnavailable.
    """
    if not isinstance(storage, FileStorage):
        raise CannotCompact(f"storage of kind {storage.kind!r} uses space again by itself")
    if storage.is_new():
        raise CannotCompact(f"there is nothing in {storage.where} yet")
    return storage.compact(on_progress)
