import json
import shutil
from pathlib import Path

import apsw
import msgspec
import pytest

from wardwright.app.storage import storage_at
from wardwright.domain.caller import Attributed, Caller
from wardwright.receipts.events import Closed, ContentCaptured, Event, Opened
from wardwright.storage import sqlite_database
from wardwright.testing.sample_receipts import plain

from .conftest import Run, closed_port
from .fake_daemon import FakeDaemon, error_answer
from .samples import OPENED, write_receipts

PATH = "/admin/receipts/erase"
STORAGE = {"kind": "file", "path": "/var/lib/wardwright/receipts"}


def of(user: str, *, closed: bool = True) -> tuple[Event, ...]:
    """A receipt of a user who said something."""
    caller = Caller(consuming_user_id=Attributed(user, "header"), tenant_id=Attributed("acme", "header"))
    opened: Opened = msgspec.structs.replace(OPENED, caller=caller)
    said = ContentCaptured("request", content=msgspec.Raw(msgspec.json.encode({"messages": [{"said by": user}]})))
    return (opened, said, *((Closed("completed", 0),) if closed else ()))


@pytest.fixture
def recorded(stored: Path) -> Path:
    """A data folder with two receipts of anna, one of them open, and one of bert."""
    write_receipts(stored, (), (), of("anna"), of("bert"), of("anna", closed=False))
    return stored


def test_without_a_daemon_it_is_done_in_the_data_folder(recorded: Path, run: Run) -> None:
    result = run("receipts", "erase", "--user", "anna", "--yes")
    assert (result.exit_code, result.stdout) == (0, "1 receipt of anna erased\n")
    assert "erasing in" in result.stderr
    assert "still open: 1 receipt; erase again when that has changed" in result.stderr
    assert "caller" in (shown := run("receipts", "show", "rcpt_0003").stdout)
    assert "erased" in shown
    assert "bert" in run("receipts", "show", "rcpt_0004").stdout
    again = run("receipts", "erase", "--user", "anna", "--tenant", "acme", "--yes", "--json")
    assert json.loads(again.stdout) == {"receipts": 0, "entries": 0, "open": 1, "next_cursor": None}
    verified = run("receipts", "verify")
    assert verified.exit_code == 0
    assert "erased, and of an earlier version: 2 entries" in verified.stderr, "samples have no salts"
    assert b"anna" not in (recorded / "receipts" / "receipts-00000001.log").read_bytes().split(b"rcpt_0005")[0]


def test_it_asks_first_and_takes_no_for_an_answer(recorded: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("receipts", "erase", "--user", "anna")
    assert refused.exit_code == 1
    assert "Erase 1 receipt of anna? They cannot be brought back." in refused.stderr
    assert "anna" in run("receipts", "show", "rcpt_0003").stdout


def test_where_there_is_nothing_it_says_so_and_asks_nothing(recorded: Path, run: Run) -> None:
    for options in (
        ["--user", "nobody"],
        ["--user", "bert", "--before", "2001-01-01"],
        ["--user", "bert", "--tenant", "x"],
    ):
        result = run("receipts", "erase", *options)
        assert (result.exit_code, result.stdout) == (0, f"there is nothing of {options[1]} to erase\n")


def test_a_new_folder_has_nothing(stored: Path, folder: Path, run: Run) -> None:
    text = (folder / "wardwright.toml").read_text().replace('"data"', '"other"')
    (folder / "wardwright.toml").write_text(text)
    assert run("receipts", "erase", "--user", "anna").stdout == "there is nothing of anna to erase\n"
    assert not (folder / "other").exists()


def test_it_is_not_done_before_it_is_gone_from_disk(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_database, "BUSY_MS", 1)
    text = f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\nkind = "sqlite"\npath = "data"\n'
    (folder / "wardwright.toml").write_text(text)
    store = storage_at("sqlite", folder / "data").open()
    store.append(plain(1, user_id="anna").payloads)
    store.close()
    reading = apsw.Connection(str(folder / "data" / "sqlite" / "wardwright.db"), flags=apsw.SQLITE_OPEN_READONLY)
    reading.execute("BEGIN; SELECT count(*) FROM receipts").fetchall()
    for _ in range(2):
        result = run("receipts", "erase", "--user", "anna", "--yes")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "somebody else has kept it locked" in result.stderr
    reading.close()
    assert run("receipts", "erase", "--user", "anna", "--yes").stdout == "there is nothing of anna to erase\n"
    assert not any(b"anna" in path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file())


def test_what_a_migration_has_left_is_told(recorded: Path, folder: Path, run: Run) -> None:
    assert run("storage", "migrate", "sqlite").exit_code == 0
    text = (folder / "wardwright.toml").read_text()
    assert "data/sqlite/wardwright.db has receipts too" in run("receipts", "erase", "--user", "nobody").stderr
    (folder / "wardwright.toml").write_text(text.replace("[storage]", '[storage]\nkind = "sqlite"'))
    result = run("receipts", "erase", "--user", "bert", "--yes")
    assert result.stdout == "1 receipt of bert erased\n"
    assert "data/receipts has receipts too, which no daemon of this configuration reads; nothing" in result.stderr
    shutil.rmtree(recorded / "receipts")
    shutil.rmtree(recorded / "control", ignore_errors=True)
    assert "has receipts too" not in run("receipts", "erase", "--user", "bert").stderr


def test_a_daemon_is_asked_step_by_step(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/storage", (200, STORAGE))
    steps = [
        {"receipts": 2, "entries": 3, "open": 0, "next_cursor": "c1"},
        {"receipts": 1, "entries": 1, "open": 0, "next_cursor": None},
    ]
    daemon.lay("POST", PATH, lambda _: (200, steps[len(daemon.asked) % 2]))
    before = "2026-11-01T00:00:00.25Z"
    result = run("receipts", "erase", "--user", "anna", "--before", before, "--yes", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (0, "3 receipts of anna erased\n")
    assert f"the daemon at {daemon.url} is asked, which erases in /var/lib/wardwright/receipts" in result.stderr
    stated = {"user_id": "anna", "before": 1793491200.25}
    assert [asked.body for asked in daemon.asked[1:]] == [
        {**stated, "dry_run": True},
        {**stated, "cursor": "c1", "dry_run": True},
        {**stated, "dry_run": False},
        {**stated, "cursor": "c1", "dry_run": False},
    ]


def test_what_a_daemon_refuses_is_told(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/storage", error_answer(403, "not from there", "protected_endpoint"))
    result = run("receipts", "erase", "--user", "anna", "--yes", "--url", daemon.url)
    assert result.exit_code == 1
    assert "not from there (protected_endpoint)" in result.stderr
