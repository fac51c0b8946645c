"""Control logs: in a folder of log segments beside the receipts, and in memory.

A folder has no lock of its own: its writer is whoever holds the lock of the receipt folder, and opens that first.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from wardwright.domain.control import ControlEntry, decode_control, encode_control
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlMovedOn
from wardwright.storage.files import FileOps, disk_faults, make_folder
from wardwright.storage.log import LogWriter
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.segments import LogReader

_NAME = "control"


class FileControlLog:
    """Control entries in an append-only log on disk, always synced. Implements `ports.control.ControlLog`.

    Raises: StorageUnavailable when the folder cannot be used, or the log is damaged.
    """

    def __init__(self, path: Path, *, files: FileOps | None = None) -> None:
        files = files or FileOps()
        self._path = path
        self._writing = threading.Lock()
        self._closed = False
        log = LogFolder(path, _NAME)
        with disk_faults("use the control folder", path):
            make_folder(path, files)
        reader = LogReader(log)
        deque(reader.catch_up(), maxlen=0)
        self._log = LogWriter(log, durability="strict", files=files, clock=time.monotonic)
        self._log.start(reader.tail)

    def entries(self) -> list[ControlEntry]:
        """See `ControlLog.entries`."""
        return read_control(self._path)

    def append(self, entries: Sequence[ControlEntry]) -> None:
        """See `ControlLog.append`."""
        with self._writing:
            if self._closed:
                raise StorageUnavailable(f"the control log in {self._path} is closed")
            try:
                self._log.append([encode_control(entry) for entry in entries])
            except ValueError as error:
                raise StorageUnavailable(f"the control log takes no such entry: {error}") from error

    def close(self) -> None:
        """See `ControlLog.close`. Waits for an append in progress, so that the next writer never meets it."""
        with self._writing:
            self._closed = True
            self._log.close()


class MemoryControlLog:
    """Control entries in memory: gone when the process ends. Implements `ports.control.ControlLog`."""

    def __init__(self) -> None:
        self._entries: list[ControlEntry] = []

    def entries(self) -> list[ControlEntry]:
        """See `ControlLog.entries`."""
        return list(self._entries)

    def append(self, entries: Sequence[ControlEntry]) -> None:
        """See `ControlLog.append`."""
        if entries[0].seq != len(self._entries) + 1:
            raise ControlMovedOn("the control log has gone on without this writer")
        self._entries.extend(entries)

    def close(self) -> None:
        """Stay: the next incarnation of the owner opens the same log again."""


def read_control(path: Path) -> list[ControlEntry]:
    """Read a control log that another process may be writing to; where there is none yet, nothing.

    Raises: StorageUnavailable when it is damaged, or holds what this version does not know.
    """
    if not path.is_dir():
        return []
    log, entries = LogFolder(path, _NAME), []
    for place, payload in LogReader(log).catch_up():
        try:
            entries.append(decode_control(payload))
        except msgspec.DecodeError as error:
            segment, offset = Place.unpacked(place)
            where = f"{log.segment(segment)} at offset {offset}"
            raise StorageUnavailable(f"{where} holds a control entry that this version cannot read: {error}") from error
    return entries
