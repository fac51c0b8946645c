"""Which daemons write to a schema at this moment.

Each holds an advisory lock on the connection it writes by, so that the server itself knows when one has gone, however it went; a row says
whose lock it is. A lock is lost with its connection, and taken again with the next one. So a daemon that is missed is given time before
it counts as gone: where the server was started a moment ago, and where it was still there at the last look.
"""

from wardwright.storage.postgres_database import Connection, key_of

_GRACE_S = 60.0

_SHOW = (
    "INSERT INTO writers (boot, key, since) VALUES (%s, %s, clock_timestamp()) "
    "ON CONFLICT (boot) DO UPDATE SET since = excluded.since"
)
_OTHERS = """
SELECT boot,
    EXISTS (
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE datname = current_database() AND locktype = 'advisory' AND objsubid = 1 AND granted
            AND (classid::bigint << 32 | objid::bigint) = key
    ),
    since < pg_postmaster_start_time() AND clock_timestamp() < pg_postmaster_start_time() + make_interval(secs => %s)
FROM writers WHERE boot <> %s
"""


class Presence:
    """One daemon among those that write to a schema, for as long as a connection shows it."""

    def __init__(self, schema: str, boot: str) -> None:
        self.boot = boot
        self._key = key_of("wardwright", schema, boot)
        self._missed: frozenset[str] | None = None

    def show(self, connection: Connection) -> None:
        """Be here while this connection lives. Raises: psycopg.Error."""
        connection.execute("SELECT pg_advisory_lock(%s)", (self._key,))
        connection.execute(_SHOW, (self.boot, self._key))

    def others(self, connection: Connection) -> frozenset[str]:
        """The other daemons that are here, or may be back in a moment. At the first look, what is missed is gone. Raises: psycopg.Error."""
        rows = connection.execute(_OTHERS, (_GRACE_S, self.boot)).fetchall()
        missed = frozenset(boot for boot, is_here, may_come_back in rows if not is_here and not may_come_back)
        gone = missed if self._missed is None else missed & self._missed
        self._missed = missed
        connection.execute("DELETE FROM writers WHERE boot = ANY(%s)", (list(gone),))
        return frozenset(boot for boot, _, _ in rows) - gone
