"""What a provider's author hands to the storage suite: how to come by storage at a place, and how to do to it what fate does.

The bench of durable storage is pickled into the process that a clause kills, so it is made of what can be imported.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from wardwright.ports.storage import StorageProvider
from wardwright.storage.memory import MemoryStorage


class StorageBench(Protocol):
    """A provider under test. A place is a folder path that names it and need not exist; one place, one content.

    `effort` is 1, or less where opening a place and asking it cost so much that fewer generated histories have to do.
    """

    effort: float

    def at(self, place: Path) -> StorageProvider:
        """The storage at a place. The same place gives storage with the same content."""
        ...

    def crash(self, place: Path, copy: Path) -> None:
        """Make `copy` the place that a process killed at this moment would leave behind at `place`. Asked of durable storage alone."""
        ...

    def cut_off(self, place: Path) -> None:
        """Take away whatever is kept at a place from under its open stores. Asked of runtime hot stores alone."""
        ...


class FolderBench:
    """The bench of a provider that keeps everything in files below its place, written through at each append."""

    effort = 1.0

    def __init__(self, at: Callable[[Path], StorageProvider]) -> None:
        self._at = at

    def at(self, place: Path) -> StorageProvider:
        """Make the provider for a folder."""
        return self._at(place)

    def crash(self, place: Path, copy: Path) -> None:
        """Copy the files as they are."""
        shutil.copytree(place, copy)

    def cut_off(self, place: Path) -> None:
        """Remove the files."""
        shutil.rmtree(place)


class MemoryBench:
    """The bench of storage in memory."""

    effort = 1.0

    def __init__(self) -> None:
        self._places: dict[Path, MemoryStorage] = {}

    def at(self, place: Path) -> StorageProvider:
        """Find the storage of a place, or begin it."""
        return self._places.setdefault(place, MemoryStorage())

    def crash(self, place: Path, copy: Path) -> None:
        """Leave nothing behind."""

    def cut_off(self, place: Path) -> None:
        """Take nothing away: there is nothing but the memory itself."""
