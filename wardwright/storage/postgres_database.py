"""The PostgreSQL schema behind `storage.postgres`: how to connect to it, its formats, and its faults in the words of the port.

Everything is in one schema, so that a database can be shared with others. A format is a number of steps of `_STEPS` that were taken;
opening for writing takes those that are missing, under the lock that also orders the writers.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.log import Durability
from wardwright.storage.sqlite_database import FACETS, FIRST_FACETS, TOOL_FACETS, facet_index

T = TypeVar("T")

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST_SERVER = 140_000  # as `server_version_num` counts: PostgreSQL 14
MOST_READERS = 8

# An address that does not answer is given up soon, and so is a connection whose far side has gone without a word.
_CONNECTING = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "wardwright",
}
# A writer that stands still inside a transaction, or whose machine is gone, must not keep the others waiting for good.
_SESSION = {
    "client_encoding": "UTF8",
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

_WAIT_FOR_THE_DISK = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')"

_RECEIPTS = f"""
CREATE TABLE entries (
    position bigint PRIMARY KEY,
    receipt_id text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    crc bigint NOT NULL,
    payload bytea NOT NULL
);
CREATE UNIQUE INDEX entries_of_receipt ON entries (receipt_id, seq);

CREATE TABLE receipts (
    receipt_id text COLLATE "C" PRIMARY KEY,
    is_open boolean NOT NULL,
    created_at bigint,
    simulation boolean,
    {", ".join(f'{name} text COLLATE "C"' for name in FIRST_FACETS)}
);
CREATE INDEX open_receipts ON receipts (receipt_id) WHERE is_open;
CREATE INDEX receipts_by_time ON receipts (created_at);
CREATE INDEX receipts_by_session ON receipts (model_id, session_id, receipt_id) WHERE session_id IS NOT NULL;
{"".join(map(facet_index, FIRST_FACETS))}
"""

# Beside the receipts: one row with what is counted up, who writes, and what the contract keeps besides receipts.
_STATE = """
CREATE TABLE state (
    last_position bigint NOT NULL,
    receipt_count bigint NOT NULL,
    open_count bigint NOT NULL,
    forgotten_below text COLLATE "C" NOT NULL
);
INSERT INTO state VALUES (0, 0, 0, '');

CREATE TABLE writers (boot text PRIMARY KEY, key bigint NOT NULL, since timestamptz NOT NULL);
CREATE TABLE marks (name text PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE control (seq bigint PRIMARY KEY, payload bytea NOT NULL);
"""

_TOOLS = f"""
ALTER TABLE receipts {", ".join(f'ADD COLUMN {name} text COLLATE "C"' for name in TOOL_FACETS)};
{"".join(map(facet_index, TOOL_FACETS))}
"""

_STEPS = (_RECEIPTS + _STATE, _TOOLS)
FORMAT = len(_STEPS)
TOOLS_SINCE = 2


def facets_in(number: int) -> tuple[str, ...]:
    """The columns of `FACETS` that a schema of a format has. Purity: pure."""
    return FACETS if number >= TOOLS_SINCE else FIRST_FACETS


class Database:
    """A schema of a database, and the way there. `variable` names where the URL came from; nothing shows who connects.

    Raises: StorageUnavailable when the URL is none.
    """

    def __init__(self, url: str, schema: str, *, variable: str) -> None:
        self.schema = schema
        self._url = url
        self._variable = variable
        try:
            parts = conninfo_to_dict(url) if url.startswith(("postgresql://", "postgres://")) else None
        except psycopg.ProgrammingError:
            parts = None  # what libpq says of it repeats the URL
        if parts is None:
            raise StorageUnavailable(f"{variable} is {'no URL of a PostgreSQL database' if url else 'not set'}")
        self._private = [str(parts[name]) for name in ("password", "user") if parts.get(name)]
        host, port, name = parts.get("host"), parts.get("port"), parts.get("dbname")
        at = "" if host is None else f" at {host}" if port is None else f" at {host}:{port}"
        of = "" if name is None else f" of database {name}"
        self.where = f"schema {schema}{of}{at}"

    @property
    def lock_key(self) -> int:
        """The advisory lock that a writer holds through its transaction."""
        return key_of("wardwright", self.schema)

    def connect(self, durability: Durability = "strict", *, read_only: bool = False) -> Connection:
        """A connection that commits each statement by itself, and finds the tables of the schema by their names.

        Raises: StorageUnavailable, with the server's own sentence.
        """
        try:
            options = {name: value for name, value in _CONNECTING.items() if name not in conninfo_to_dict(self._url)}
            connection = psycopg.connect(self._url, autocommit=True, **options)  # type: ignore[arg-type]
        except psycopg.Error as error:
            said = self._sentence(error)
            raise StorageUnavailable(f"cannot connect to {self.where}: {said} (see {self._variable})") from None
        try:
            self._prepare(connection, durability, read_only=read_only)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def faults(self, doing: str) -> Iterator[None]:
        """Turn the database's errors in the block into StorageUnavailable, with a sentence that says what could not be done where."""
        try:
            yield
        except psycopg.Error as error:
            raise StorageUnavailable(f"cannot {doing} {self.where}: {self._sentence(error)}") from error

    def format_of(self, connection: Connection) -> int:
        """The format of what is in the schema; 0 when there is nothing. Raises: StorageUnavailable for a later one, and a stranger's."""
        with self.faults("read from"):
            is_ours, is_used = connection.execute(
                "SELECT to_regclass(%s) IS NOT NULL, "
                "EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(%s))",
                (f"{self.schema}.wardwright_format", self.schema),
            ).fetchall()[0]
            if not is_ours and is_used:
                raise StorageUnavailable(f"{self.where} holds tables of some other application")
            found = int(connection.execute("SELECT number FROM wardwright_format").fetchall()[0][0]) if is_ours else 0
        if found > FORMAT:
            raise StorageUnavailable(f"{self.where} has format {found}; this version reads formats up to {FORMAT}")
        return found

    def prepare(self, connection: Connection) -> None:
        """Make the schema and its tables where there are none, and bring those of an earlier format forward. Any number may do so at once.

        Raises: StorageUnavailable.
        """
        if self.format_of(connection) == FORMAT:
            return
        with self.faults("make ready"), connection.transaction():
            connection.execute("SET LOCAL lock_timeout = 0")
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (self.lock_key,))
            self._migrate(connection, self.format_of(connection))

    def _migrate(self, connection: Connection, found: int) -> None:
        if found == 0:
            self._make_schema(connection)
            connection.execute("CREATE TABLE wardwright_format (number integer NOT NULL)")
            connection.execute("INSERT INTO wardwright_format VALUES (0)")
        for step in _STEPS[found:]:
            connection.execute(step)
        connection.execute("UPDATE wardwright_format SET number = %s", (FORMAT,))

    def _make_schema(self, connection: Connection) -> None:
        """Unless there is one, which somebody may have made who has the right to."""
        is_there, may = connection.execute(
            "SELECT to_regnamespace(%s) IS NOT NULL, has_database_privilege(current_database(), 'CREATE')",
            (self.schema,),
        ).fetchall()[0]
        if is_there:
            return
        if not may:
            raise StorageUnavailable(
                f"there is no {self.where}, and this user may not make it: "
                "make the schema with this user as its owner, or grant CREATE on the database"
            )
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))

    def _prepare(self, connection: Connection, durability: Durability, *, read_only: bool) -> None:
        version = connection.info.server_version
        if version < OLDEST_SERVER:
            raise StorageUnavailable(
                f"{self.where} is on PostgreSQL {version // 10_000}; "
                f"it takes PostgreSQL {OLDEST_SERVER // 10_000} or later"
            )
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise StorageUnavailable(f"{self.where} is not in UTF8: it takes a database with ENCODING 'UTF8'")
        wanted = {**_SESSION, "search_path": self.schema}
        if read_only:
            wanted["default_transaction_read_only"] = "on"
        if durability != "strict":
            wanted["synchronous_commit"] = "off"
        with self.faults("use"):
            connection.execute(
                "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)",
                (list(wanted), list(wanted.values())),
            )
            if durability == "strict":  # and no less, if somebody set the database up to wait for a standby
                connection.execute(_WAIT_FOR_THE_DISK)

    def _sentence(self, error: psycopg.Error) -> str:
        """What went wrong, in the words of the server or of its client library, without who connects."""
        said = error.diag.message_primary or (str(error) or type(error).__name__).splitlines()[0]
        said = said.removeprefix("connection failed: ")
        for name in self._private:
            said = said.replace(f'"{name}"', '"…"')
        return said


def key_of(*names: str) -> int:
    """The number of an advisory lock: not negative, so that `pg_locks` shows it in two plain halves."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:8]) >> 1


class Readers:
    """Connections that several threads share, each used by one at a time and kept for the next; more threads wait for their turn."""

    def __init__(self, connect: Callable[[], Connection], database: Database) -> None:
        self._connect = connect
        self._database = database
        self._idle: list[Connection] = []
        self._turns = threading.BoundedSemaphore(MOST_READERS)
        self._closed = False

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What one statement gives, which sees one moment.

        Raises: StorageUnavailable.
        """
        return self.ask(lambda connection: connection.execute(statement, values, binary=True).fetchall())

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask something on one of the connections; again where it was lost since it was last used.

        Raises: StorageUnavailable.
        """
        with self._turns, self._database.faults("read from"):
            while (connection := self._kept()) is not None:
                try:
                    return question(connection)
                except psycopg.OperationalError:
                    if not connection.broken:
                        raise
                finally:
                    self._put_back(connection)
            connection = self._connect()
            try:
                return question(connection)
            finally:
                self._put_back(connection)

    def close(self) -> None:
        """Keep no connection any longer. Idempotent; reading stays possible."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        while (connection := self._kept()) is not None:
            connection.close()

    def _kept(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _put_back(self, connection: Connection) -> None:
        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if self._closed:
            self._let_go()
