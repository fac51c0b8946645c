"""`wardwright sinks`, and `receipts export --to-sink` by a daemon and without one."""

import json
from pathlib import Path
from typing import Any

import pytest

from wardwright.cli.receipt_story import clock
from wardwright.runtime.sink_mark import PlaceLost, kept_place
from wardwright.runtime.sink_place import SinkPlace
from wardwright.storage.folder import FileStorage

from .conftest import Run
from .fake_daemon import FakeDaemon, error_answer

SINK: dict[str, Any] = {
    "id": "archive",
    "kind": "webhook",
    "where": "https://hooks.example",
    "unit": "receipts",
    "on_full": "block",
    "max_lag": 1000,
    "state": "idle",
    "paused_at": None,
    "stale": False,
    "full": False,
    "position": 42,
    "lag_entries": 0,
    "lag_seconds": 0.0,
    "delivered": 7,
    "refused": 0,
    "dropped_entries": 0,
    "lost_entries": 0,
    "forgotten_receipts": 0,
    "dead_letters": 0,
    "sending_again": False,
    "failed_batches": 0,
    "last_error": None,
    "last_error_at": None,
    "last_success_at": 1.5,
    "next_attempt_at": None,
    "restarts": 0,
}
ILL = {
    **SINK,
    "id": "billing",
    "state": "failing",
    "stale": True,
    "lag_entries": 300,
    "lag_seconds": 301.4,
    "dead_letters": 2,
    "last_error": "nobody answers",
}


def test_sinks_are_listed_with_what_is_worth_a_look(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/sinks", (200, {"data": [SINK, ILL]}))
    result = run("sinks", "list", "--url", daemon.url)
    assert (result.exit_code, result.stderr) == (0, "")
    heading, well, ill = (line.split() for line in result.stdout.splitlines())
    assert heading[:4] == ["SINK", "KIND", "WHERE", "STATE"]
    assert well == ["archive", "webhook", "https://hooks.example", "idle", "7"]
    assert " ".join(ill[3:]) == "failing, stale 300 entries, 301 s 7 2 nobody answers"


def test_what_is_not_counted_yet_is_not_said_to_be_nothing(daemon: FakeDaemon, run: Run) -> None:
    starting = {**SINK, "state": "starting", "lag_entries": None, "lag_seconds": None}
    daemon.lay("GET", "/admin/sinks", (200, {"data": [starting]}))
    line = run("sinks", "list", "--url", daemon.url).stdout.splitlines()[1]
    assert " ".join(line.split()) == "archive webhook https://hooks.example starting not known yet 7"


def test_no_sinks_are_said_to_be_none(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/sinks", (200, {"data": []}))
    result = run("sinks", "list", "--url", daemon.url)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no sinks are configured\n")


def test_for_programs_it_is_the_daemons_own_answer(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/sinks", (200, {"data": [SINK]}))
    daemon.lay("GET", "/admin/sinks/archive", (200, {**SINK, "dead_letter_stretches": []}))
    assert json.loads(run("sinks", "list", "--json", "--url", daemon.url).stdout) == {"data": [SINK]}
    shown = run("sinks", "show", "archive", "--json", "--url", daemon.url)
    assert json.loads(shown.stdout) == {**SINK, "dead_letter_stretches": []}


def test_one_sink_is_shown_with_the_places_of_its_dead_letters(daemon: FakeDaemon, run: Run) -> None:
    stretches = [{"after": 3, "last": 9, "count": 2, "reason": "too large"}]
    daemon.lay("GET", "/admin/sinks/billing", (200, {**ILL, "dead_letter_stretches": stretches}))
    lines = run("sinks", "show", "billing", "--url", daemon.url).stdout.splitlines()
    words = [line.split() for line in lines]
    assert ["lag", "entries", "300"] in words
    assert ["stale", "yes"] in words
    assert ["full", "no"] in words
    assert ["last", "success", "at", *clock(1.5).split()] in words
    assert lines[-1].strip() == "2 behind 3 up to 9: too large"


@pytest.mark.parametrize(
    ("count", "said"), [(2, "2 dead letters of archive to be sent again;"), (0, "archive has no dead letters")]
)
def test_dead_letters_are_sent_again(daemon: FakeDaemon, run: Run, count: int, said: str) -> None:
    path = "/admin/sinks/archive/dead-letters/replay"
    daemon.lay("POST", path, (202, {"id": "archive", "dead_letters": count}))
    result = run("sinks", "replay", "archive", "--url", daemon.url)
    assert result.exit_code == 0
    assert result.stdout.startswith(said)


@pytest.mark.parametrize(
    ("how", "lag", "said"),
    [
        ("pause", 0, "archive is paused; behind: nothing yet"),
        ("pause", 3, "archive is paused; behind: 3 entries, 2 s"),
        ("resume", 3, "archive goes on; behind: 3 entries, 2 s"),
        ("resume", 0, "archive goes on; behind: nothing"),
    ],
)
def test_a_sink_is_paused_and_resumed(daemon: FakeDaemon, run: Run, how: str, lag: int, said: str) -> None:
    answer = {**SINK, "lag_entries": lag, "lag_seconds": 2.1 if lag else 0.0}
    daemon.lay("POST", f"/admin/sinks/archive/{how}", (200, answer))
    result = run("sinks", how, "archive", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (0, f"{said}\n")
    as_json = run("sinks", how, "archive", "--json", "--url", daemon.url)
    assert json.loads(as_json.stdout) == answer


def test_an_export_to_one_that_is_paused_is_not_waited_for(daemon: FakeDaemon, run: Run) -> None:
    paused = {**SINK, "state": "paused", "paused_at": 1.5, "sending_again": True, "dead_letter_stretches": []}
    daemon.lay("GET", "/admin/sinks/archive", (200, paused))
    answer = {"id": "archive", "from": 0, "to": 42, "place_was_lost": False}
    daemon.lay("POST", "/admin/sinks/archive/export", (202, answer))
    result = run("receipts", "export", "--to-sink", "archive", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (0, "0 records sent to archive\n")
    assert result.stderr == "the sink is paused, and the daemon sends the rest when it is resumed\n"


def test_an_export_is_the_daemons_work_and_waited_for(daemon: FakeDaemon, run: Run) -> None:
    answers = [
        {**SINK, "delivered": 7},
        {**SINK, "delivered": 9, "sending_again": True, "state": "failing", "last_error": "nobody answers"},
        {**SINK, "delivered": 9, "sending_again": True, "state": "failing", "last_error": "nobody answers"},
        {**SINK, "delivered": 12},
    ]
    daemon.lay("GET", "/admin/sinks/archive", lambda _: (200, {**answers.pop(0), "dead_letter_stretches": []}))
    daemon.lay(
        "POST", "/admin/sinks/archive/export", (202, {"id": "archive", "from": 3, "to": 42, "place_was_lost": False})
    )
    result = run("receipts", "export", "--to-sink", "archive", "--from", "3", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (0, "5 records sent to archive\n")
    assert result.stderr == "the sink is failing, and the daemon goes on by itself: nobody answers\n"
    assert [asked.body for asked in daemon.asked if asked.method == "POST"] == [{"from": 3}]


def test_a_place_that_was_lost_is_set_by_the_daemon_which_goes_on_from_there(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/sinks/archive", (200, {**SINK, "state": "failing", "dead_letter_stretches": []}))
    answer = {"id": "archive", "from": 3, "to": 3, "place_was_lost": True}
    daemon.lay("POST", "/admin/sinks/archive/export", (202, answer))
    result = run("receipts", "export", "--to-sink", "archive", "--from", "3", "--url", daemon.url)
    said = "the place of archive was lost: the daemon sends it what was recorded behind position 3, and goes on from there\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, said, "")


def test_what_the_daemon_refuses_is_told(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/sinks/nobody", error_answer(404, "there is no sink 'nobody'", "not_found"))
    result = run("receipts", "export", "--to-sink", "nobody", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no sink 'nobody'" in result.stderr


@pytest.mark.parametrize("option", ["--since=1d", "--model=m", "--where=status=completed", "--output=x"])
def test_a_sink_is_sent_everything_or_nothing(run: Run, option: str) -> None:
    result = run("receipts", "export", "--to-sink", "archive", option)
    assert result.exit_code == 2
    assert "a sink is sent everything" in result.stderr


class TestWithoutADaemon:
    @pytest.fixture
    def file(self, stored: Path, folder: Path) -> Path:
        """The file of a sink `archive` of every event."""
        with (folder / "wardwright.toml").open("a") as config:
            config.write('[[sinks]]\nid = "archive"\nkind = "jsonl"\npath = "out.jsonl"\nunit = "events"\n')
        return folder / "out.jsonl"

    def test_it_is_sent_here(self, run: Run, file: Path) -> None:
        result = run("receipts", "export", "--to-sink", "archive")
        assert result.exit_code == 0
        lines = [json.loads(line) for line in file.read_bytes().splitlines()]
        assert result.stdout == f"{len(lines)} records sent to archive, 0 refused\n"
        assert len({line["receipt_id"] for line in lines}) == 2
        assert "no daemon answers at" in result.stderr
        again = run("receipts", "export", "--to-sink", "archive")
        assert again.exit_code == 0
        assert len(file.read_bytes().splitlines()) == len(lines), "a file knows what it has"

    @pytest.mark.usefixtures("file")
    def test_a_sink_that_is_not_there_is_said_to_be_missing(self, run: Run) -> None:
        result = run("receipts", "export", "--to-sink", "nobody")
        assert result.exit_code == 1
        assert "there is no sink 'nobody' in the configuration" in result.stderr

    @pytest.mark.usefixtures("file")
    def test_a_position_that_is_none_is_refused(self, run: Run) -> None:
        result = run("receipts", "export", "--to-sink", "archive", "--from", "7")
        assert result.exit_code == 1
        assert "nothing was ever recorded at position 7" in result.stderr

    def test_a_sink_that_is_gone_is_told_with_where_to_go_on(self, run: Run, file: Path) -> None:
        file.mkdir()
        result = run("receipts", "export", "--to-sink", "archive")
        assert result.exit_code == 1
        assert "ask again with --from 0" in result.stderr

    def test_a_place_that_was_lost_is_behind_what_was_sent(self, run: Run, file: Path, folder: Path) -> None:
        log = FileStorage(folder / "data").read()

        def place() -> SinkPlace | None:
            return kept_place(log, "archive")

        run("receipts", "export", "--to-sink", "archive")
        assert place() is None, "a sink's own place stays as it is"
        marks = folder / "data" / "receipts" / "marks"
        marks.mkdir(exist_ok=True)
        (marks / "sink.archive").write_bytes(b"00000000\n{}")
        with pytest.raises(PlaceLost, match="its checksum is another"):
            place()
        result = run("receipts", "export", "--to-sink", "archive")
        sent = len(file.read_bytes().splitlines())
        assert (result.exit_code, result.stdout) == (0, f"{sent} records sent to archive, 0 refused\n")
        assert "the place of the sink was lost: it is behind these records now" in result.stderr
        assert place() == SinkPlace(position=[stored.position for stored in log.replay()][-1])
