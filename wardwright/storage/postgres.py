"""PostgreSQL storage: one schema of a database that several daemons may share, for receipts and for the control log."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec

from wardwright.domain.control import ControlEntry, decode_control, encode_control
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog, ControlMovedOn
from wardwright.ports.storage import ReceiptReader, ReceiptStore
from wardwright.storage.log import Durability
from wardwright.storage.postgres_database import Connection, Database
from wardwright.storage.postgres_receipts import CAPABILITIES, PostgresReceiptReader
from wardwright.storage.postgres_store import PostgresReceiptStore


class PostgresStorage:
    """Storage in a schema of a PostgreSQL database. Implements `ports.storage.StorageProvider`.

    `variable` names where the URL came from, for messages; none of them shows the URL's user and password.

    Raises: StorageUnavailable when the URL is none.
    """

    kind = "postgres"
    capabilities = CAPABILITIES

    def __init__(
        self, url: str, schema: str = "wardwright", durability: Durability = "strict", *, variable: str = "the URL"
    ) -> None:
        self._database = Database(url, schema, variable=variable)
        self._durability = durability

    @property
    def where(self) -> str:
        """The schema and its database."""
        return self._database.where

    def is_new(self) -> bool:
        """See `StorageProvider.is_new`. Raises: StorageUnavailable when the database cannot be asked."""
        with closing(self._database.connect(read_only=True)) as connection:
            return self._database.format_of(connection) == 0

    def open(self) -> ReceiptStore:
        """See `StorageProvider.open`."""
        return PostgresReceiptStore(self._database, self._durability)

    def read(self) -> ReceiptReader:
        """See `StorageProvider.read`."""
        reader = PostgresReceiptReader(self._database)
        try:
            reader.check_readable()
        except StorageUnavailable:
            reader.close()
            raise
        return reader

    def open_control(self) -> ControlLog:
        """See `StorageProvider.open_control`."""
        with closing(self._database.connect()) as connection:
            self._database.prepare(connection)
        return PostgresControlLog(self._database)

    def read_control(self) -> Sequence[ControlEntry]:
        """See `StorageProvider.read_control`."""
        return [] if self.is_new() else PostgresControlLog(self._database).entries()


class PostgresControlLog:
    """Control entries in the schema that the receipts are in, always synced. Implements `ports.control.ControlLog`.

    Decisions are rare, so each is made on a connection of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_open = True

    def entries(self) -> Sequence[ControlEntry]:
        """See `ControlLog.entries`."""
        with closing(self._database.connect(read_only=True)) as connection, self._database.faults("read from"):
            self._database.format_of(connection)
            rows = connection.execute("SELECT payload FROM control ORDER BY seq", binary=True).fetchall()
        try:
            return [decode_control(payload) for (payload,) in rows]
        except msgspec.DecodeError as error:
            raise StorageUnavailable(
                f"{self._database.where} holds a control entry that this version cannot read: {error}"
            ) from error

    def append(self, entries: Sequence[ControlEntry]) -> None:
        """See `ControlLog.append`. All or none of them are stored."""
        if not self._is_open:
            raise StorageUnavailable(f"the control log in {self._database.where} is closed")
        rows = [(entry.seq, encode_control(entry)) for entry in entries]
        connection = self._database.connect()
        with closing(connection), self._database.faults("write to"), connection.transaction():
            self._append(connection, rows)

    def close(self) -> None:
        """See `ControlLog.close`."""
        self._is_open = False

    def _append(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Raises: ControlMovedOn where the numbers do not go on from what is stored."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (self._database.lock_key,))
        ((last,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM control").fetchall()
        if rows[0][0] != last + 1:
            raise ControlMovedOn(f"the control log in {self._database.where} has gone on without this writer")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO control (seq, payload) VALUES (%s, %s)", rows)
