"""Commands on storage in PostgreSQL: there and back again, what they say when there is no way to it, and never who connects."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer
from wardwright.domain.control import ControlEntry, KeyCreated
from wardwright.storage.folder import FileStorage
from wardwright.storage.postgres import PostgresStorage

from .conftest import Run

SCHEMA, OTHER = "commands", "commands_too"
DECIDED = ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash"))


@pytest.fixture
def server(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[PostgresServer]:
    monkeypatch.setenv("WARDWRIGHT_POSTGRES_URL", postgres.url())
    yield postgres
    for schema in (SCHEMA, OTHER):
        postgres.drop(schema)


def configure(folder: Path, kind: str, schema: str = SCHEMA) -> None:
    """Have the configuration name another kind of storage."""
    (folder / "wardwright.toml").write_text(
        f'[storage]\nkind = "{kind}"\nschema = "{schema}"\npath = "data"\n[server]\nbind = "127.0.0.1:1"\n'
    )


def test_there_and_back_again_nothing_is_lost(stored: Path, folder: Path, server: PostgresServer, run: Run) -> None:
    with closing(FileStorage(stored).open_control()) as log:
        log.append([DECIDED])
    questions = (["receipts", "export"], ["receipts", "stats", "--json"], ["storage", "verify"])
    told = [run(*question).stdout for question in questions]
    configure(folder, "file")
    migrated = run("storage", "migrate", "postgres")
    assert migrated.stdout == (
        f"2 receipts, 7 entries and 1 decision copied to schema {SCHEMA} of database postgres at {server.folder}; "
        'set kind = "postgres" in [storage]\n'
    )
    configure(folder, "postgres")
    assert [run(*question).stdout for question in questions] == told
    assert "already: move it away first" in run("storage", "restore", "data").stderr

    assert run("storage", "snapshot", "copy").stdout == "2 receipts, 7 entries and 1 decision copied to copy\n"
    configure(folder, "postgres", OTHER)
    assert run("storage", "verify").exit_code == 1
    assert run("storage", "restore", "copy").exit_code == 0
    assert [run(*question).stdout for question in questions] == told

    stored.rename(folder / "lost")
    assert run("storage", "migrate", "file").exit_code == 0
    configure(folder, "file")
    assert [run(*question).stdout for question in questions] == told


def test_nothing_is_migrated_while_daemons_write(folder: Path, server: PostgresServer, run: Run) -> None:
    configure(folder, "postgres")
    with closing(PostgresStorage(server.url(), SCHEMA).open()) as store:
        store.enlist("boot-1")
        result = run("storage", "migrate", "file")
    assert result.exit_code == 1
    assert f"stop what writes to schema {SCHEMA}" in " ".join(result.stderr.split())
    assert FileStorage(folder / "data").is_new()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            None,
            "storage.url_env: expected the URL of a PostgreSQL database in WARDWRIGHT_POSTGRES_URL, which is not set",
        ),
        ("mysql://somebody:unheard-of@db/receipts", "got something else (not shown here)"),
        ("postgresql://somebody:unheard-of@127.0.0.1:1/receipts", "Connection refused (see WARDWRIGHT_POSTGRES_URL)"),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["storage", "verify"], ["receipts", "export"]])
def test_without_a_way_to_the_database_a_sentence_says_so(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, url: str | None, said: str, command: list[str]
) -> None:
    configure(folder, "postgres")
    if url is not None:
        monkeypatch.setenv("WARDWRIGHT_POSTGRES_URL", url)
    result = run(*command)
    told = " ".join((result.stdout + result.stderr).split())
    assert said in told
    assert (result.exit_code == 0) is (command == ["check"] and "refused" in said), (
        "a file may be right and its database away"
    )
    assert "somebody" not in told
    assert "unheard-of" not in told


def test_without_the_driver_a_sentence_says_what_to_install(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(folder, "postgres")
    monkeypatch.setenv("WARDWRIGHT_POSTGRES_URL", "postgresql://db/receipts")
    monkeypatch.setitem(sys.modules, "wardwright.storage.postgres", None)
    result = run("storage", "verify")
    assert result.exit_code == 1
    assert 'pip install "wardwright[postgres]"' in " ".join(result.stderr.split())
