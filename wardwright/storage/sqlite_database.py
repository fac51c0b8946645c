"""The SQLite database behind `storage.sqlite`: its schema, its connections, and its faults in the words of the port.

It is in WAL mode: one connection writes, any number read meanwhile, each of them a snapshot. A format is a number of steps of
`_STEPS` that were taken; opening for writing takes those that are missing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from wardwright.domain.errors import StorageUnavailable
from wardwright.storage.files import FileOps, disk_faults

APPLICATION_ID = 0x57415244  # "WARD", so that `file` and we know whose it is

BUSY_MS = 10_000

# Columns of `receipts` that a query can name: what `receipts.fold.Summary` calls them, and what it says there.
FIRST_FACETS = (
    "model_id",
    "model_version",
    "status",
    "selected_model",
    "selected_provider",
    "stream_policy_action",
    "tenant_id",
    "application_id",
    "consuming_agent_id",
    "consuming_user_id",
    "session_id",
    "run_id",
)
# No receipt that was stored before these were columns has anything to say in them.
TOOL_FACETS = ("tool_namespace", "tool_name", "tool_phase", "tool_source", "tool_call_id")
FACETS = (*FIRST_FACETS, *TOOL_FACETS)


def facet_index(name: str) -> str:
    """The statement that makes the index of a column of `FACETS`: of those receipts that say anything there. PostgreSQL takes it too."""
    return f"CREATE INDEX receipts_by_{name} ON receipts ({name}, receipt_id) WHERE {name} IS NOT NULL;"


_FIRST_STEP = f"""
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    receipt_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_of_receipt ON entries (receipt_id, seq);

CREATE TABLE receipts (
    receipt_id TEXT PRIMARY KEY,
    is_open INTEGER NOT NULL,
    created_at INTEGER,
    simulation INTEGER,
    {", ".join(f"{name} TEXT" for name in FIRST_FACETS)}
) STRICT, WITHOUT ROWID;
CREATE INDEX open_receipts ON receipts (receipt_id) WHERE is_open;
CREATE INDEX receipts_by_time ON receipts (created_at);
CREATE INDEX receipts_by_session ON receipts (model_id, session_id, receipt_id);
{"".join(map(facet_index, FIRST_FACETS))}

CREATE TABLE control (
    seq INTEGER PRIMARY KEY,
    payload BLOB NOT NULL
) STRICT;
"""

# How far receipts were forgotten, and the last position that was ever given out: SQLite would give those of deleted rows again.
_RETENTION = """
CREATE TABLE retention (below TEXT NOT NULL, last_position INTEGER NOT NULL) STRICT;
INSERT INTO retention VALUES ('', 0);
"""

_MARKS = "CREATE TABLE marks (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"

ADD_TOOL_FACETS = "".join(f"ALTER TABLE receipts ADD COLUMN {name} TEXT; {facet_index(name)}" for name in TOOL_FACETS)

_STEPS = (_FIRST_STEP + _RETENTION, _MARKS, ADD_TOOL_FACETS)
FORMAT = len(_STEPS)
MARKS_SINCE = 2
TOOLS_SINCE = 3


@contextmanager
def database_faults(doing: str, path: Path) -> Iterator[None]:
    """Turn SQLite's errors in the block into StorageUnavailable, with a sentence that says what could not be done where."""
    try:
        yield
    except apsw.BusyError as error:
        said = f"somebody else has kept it locked for {BUSY_MS / 1000:g} s, by writing to it or by reading for so long"
        raise StorageUnavailable(f"cannot {doing} {path}: {said}") from error
    except apsw.Error as error:
        raise StorageUnavailable(f"cannot {doing} {path}: {error}") from error


def prepare(path: Path) -> None:
    """Make the database where there is none, and bring one of an earlier format forward. Only for whoever holds its folder's lock.

    Raises: StorageUnavailable.
    """
    is_new = not path.exists()
    if is_new:
        with disk_faults("create", path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with database_faults("open", path):
        connection = connect(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.pragma("journal_mode", "wal")
            _migrate(connection, path)
        finally:
            connection.close()
    if is_new:
        with disk_faults("use the receipt folder", path.parent):
            FileOps().sync_directory(path.parent)


def sync_log(path: Path) -> None:
    """Return when everything that was committed is on disk. Raises: StorageUnavailable."""
    log = path.with_name(f"{path.name}-wal")
    with disk_faults("make durable what was written to", log):
        fd = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)


def connect(path: Path, flags: int, vfs: str | None = None) -> apsw.Connection:
    """Open a connection that waits for another writer. `vfs` names other file operations than SQLite's own. Raises: apsw.Error."""
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    connection.set_busy_timeout(BUSY_MS)
    connection.pragma("secure_delete", 1)  # what is deleted or replaced is overwritten, wherever it stood
    return connection


def empty_log(connection: apsw.Connection) -> None:
    """Move everything from SQLite's log into the database, and leave nothing in the log.

    Raises: apsw.Error, `BusyError` when somebody has been reading for too long.
    """
    # A connection that has read nothing yet knows of no log, and would do nothing.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def format_of(connection: apsw.Connection, path: Path) -> int:
    """The format of a database, which is 0 for an empty one. Raises: StorageUnavailable for a later one, and for a stranger's."""
    found = _number(connection, "user_version")
    if found > FORMAT:
        raise StorageUnavailable(f"{path} has format {found}; this version reads formats up to {FORMAT}")
    if _number(connection, "application_id") != APPLICATION_ID and (found or _number(connection, "schema_version")):
        raise StorageUnavailable(f"{path} is a database of some other application")
    return found


def facets_in(number: int) -> tuple[str, ...]:
    """The columns of `FACETS` that a database of a format has. Purity: pure."""
    return FACETS if number >= TOOLS_SINCE else FIRST_FACETS


@contextmanager
def transaction(connection: apsw.Connection, kind: str = "IMMEDIATE") -> Iterator[apsw.Cursor]:
    """All of the block, or nothing of it."""
    cursor = connection.cursor()
    cursor.execute(f"BEGIN {kind}")
    try:
        yield cursor
        cursor.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise


def _migrate(connection: apsw.Connection, path: Path) -> None:
    connection.pragma("synchronous", "FULL")
    found = format_of(connection, path)
    if found == FORMAT:
        return
    with transaction(connection) as cursor:
        for step in _STEPS[found:]:
            cursor.execute(step)
        cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}")


def _number(connection: apsw.Connection, pragma: str) -> int:
    return int(connection.pragma(pragma))


class Readers:
    """Connections for reading, each used by one thread at a time and kept for the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[apsw.Connection] = []
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[apsw.Cursor]:
        """One snapshot of the database for all of the block.

        Raises: StorageUnavailable for whatever the database cannot do, in the block too.
        """
        with database_faults("read from", self._path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = connect(self._path, apsw.SQLITE_OPEN_READONLY)
            try:
                with transaction(connection, "DEFERRED") as cursor:
                    yield cursor
            except BaseException:
                connection.close()
                raise
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    def close(self) -> None:
        """Keep no connection any longer. Idempotent; reading stays possible."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
