"""SQLite storage: one database file in a folder of its own, for receipts and for the control log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from wardwright.domain.control import ControlEntry, decode_control, encode_control
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.ports.storage import ReceiptReader, ReceiptStore
from wardwright.storage.files import is_missing
from wardwright.storage.log import Durability
from wardwright.storage.sqlite_database import Readers, connect, database_faults, prepare, transaction
from wardwright.storage.sqlite_receipts import CAPABILITIES, SqliteReceiptReader, SqliteReceiptStore


class SqliteStorage:
    """Storage in a database file. Implements `ports.storage.StorageProvider`."""

    kind = "sqlite"
    capabilities = CAPABILITIES

    def __init__(self, path: Path, durability: Durability = "strict") -> None:
        self.database = path / "sqlite" / "wardwright.db"
        self._durability = durability

    @property
    def where(self) -> str:
        """The database file."""
        return str(self.database)

    def is_new(self) -> bool:
        """See `StorageProvider.is_new`."""
        return is_missing(self.database)

    def open(self) -> ReceiptStore:
        """See `StorageProvider.open`."""
        return SqliteReceiptStore(self.database, self._durability)

    def read(self) -> ReceiptReader:
        """See `StorageProvider.read`."""
        return SqliteReceiptReader(self.database)

    def open_control(self) -> ControlLog:
        """See `StorageProvider.open_control`."""
        return SqliteControlLog(self.database)

    def read_control(self) -> Sequence[ControlEntry]:
        """See `StorageProvider.read_control`."""
        return [] if self.is_new() else _control_entries(self.database)


class SqliteControlLog:
    """Control entries in the database that the receipts are in, always synced. Implements `ports.control.ControlLog`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        prepare(path)
        with database_faults("open", path):
            self._connection: apsw.Connection | None = connect(path, apsw.SQLITE_OPEN_READWRITE)
            self._connection.pragma("synchronous", "FULL")

    def entries(self) -> Sequence[ControlEntry]:
        """See `ControlLog.entries`."""
        return _control_entries(self._path)

    def append(self, entries: Sequence[ControlEntry]) -> None:
        """See `ControlLog.append`. All or none of them are stored."""
        if self._connection is None:
            raise StorageUnavailable(f"the control log in {self._path} is closed")
        rows = [(entry.seq, encode_control(entry)) for entry in entries]
        with database_faults("write to", self._path), transaction(self._connection) as changed:
            changed.executemany("INSERT INTO control (seq, payload) VALUES (?, ?)", rows)

    def close(self) -> None:
        """See `ControlLog.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _control_entries(path: Path) -> list[ControlEntry]:
    readers = Readers(path)
    try:
        with readers.reading() as found:
            rows: list[Any] = found.execute("SELECT payload FROM control ORDER BY seq").fetchall()
    finally:
        readers.close()
    try:
        return [decode_control(payload) for (payload,) in rows]
    except msgspec.DecodeError as error:
        raise StorageUnavailable(f"{path} holds a control entry that this version cannot read: {error}") from error
