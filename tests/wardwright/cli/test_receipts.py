import json
from pathlib import Path

import msgspec
import pytest

from wardwright.receipts.fold import summarise

from .conftest import Run, closed_port
from .fake_daemon import FakeDaemon, error_answer
from .samples import FALLBACK, receipt

SUMMARY = msgspec.json.decode(msgspec.json.encode(summarise(receipt(*FALLBACK))))


def test_a_list_shows_the_daemons_receipts_and_tells_of_more(daemon: FakeDaemon, run: Run) -> None:
    opened = {**SUMMARY, "receipt_id": "rcpt_0002", "status": None, "session_id": None}
    daemon.lay("GET", "/v1/receipts", (200, {"data": [opened, SUMMARY], "next_cursor": "more"}))

    result = run("receipts", "list", "--limit", "2", "--url", daemon.url)

    assert result.exit_code == 0
    header, *rows = (line.split() for line in result.stdout.splitlines())
    assert header == ["RECEIPT", "TIME", "MODEL", "STATUS", "TARGET", "SESSION"]
    assert [(row[0], *row[3:]) for row in rows] == [
        ("rcpt_0002", "coding-balanced", "open", "cloud/large", "-"),
        ("rcpt_0001", "coding-balanced", "completed", "cloud/large", "s1"),
    ]
    assert result.stderr == "there are more; --limit shows them\n"


def test_a_list_without_sessions_has_no_column_for_them(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/v1/receipts", (200, {"data": [{**SUMMARY, "session_id": None}], "next_cursor": None}))

    header = run("receipts", "list", "--url", daemon.url).stdout.splitlines()[0]

    assert header.split() == ["RECEIPT", "TIME", "MODEL", "STATUS", "TARGET"]


def test_filters_are_the_daemons(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/v1/receipts", (200, {"data": [], "next_cursor": None}))
    filters = (
        "--model",
        "wardwright/m",
        "--status",
        "completed",
        "--session",
        "s 1",
        "--limit",
        "7",
        "--rules-did",
        "block",
        "--since",
        "2026-11-01T00:00:00Z",
        "--where",
        "user=jane",
        "--tool",
        "search",
        "--where",
        "tool_phase=planning",
    )

    result = run("receipts", "list", *filters, "--url", daemon.url)

    assert daemon.asked[0].query == {
        "model": "wardwright/m", "status": "completed", "session_id": "s 1", "stream_policy_action": "block", "limit": "7",
        "created_at_min": "1793491200", "consuming_user_id": "jane",
        "tool_name": "search", "tool_phase": "planning",
    }  # fmt: skip
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no receipts match\n")


@pytest.mark.parametrize(
    ("option", "word", "known"),
    [
        ("--status", "complete", 'did you mean "completed"?'),
        ("--status", "fine", "expected one of completed, completed_after_guard"),
        ("--rules-did", "blocked", 'did you mean "block"?'),
        ("--where", "status=complete", 'did you mean "completed"?'),
    ],
)
def test_a_word_that_no_receipt_can_have_is_wrong_use(
    daemon: FakeDaemon, run: Run, option: str, word: str, known: str
) -> None:
    result = run("receipts", "list", option, word, "--url", daemon.url)

    assert (result.exit_code, daemon.asked) == (2, [])
    assert known in " ".join(result.stderr.split())


def test_a_list_for_programs_is_json_and_nothing_else(daemon: FakeDaemon, run: Run) -> None:
    page = {"data": [SUMMARY], "next_cursor": None}
    daemon.lay("GET", "/v1/receipts", (200, page))

    result = run("receipts", "list", "--json", "--url", daemon.url)

    assert (json.loads(result.stdout), result.stderr) == (page, "")


def test_one_receipt_is_told_as_a_story_or_shown_as_json(daemon: FakeDaemon, run: Run) -> None:
    whole = msgspec.json.decode(msgspec.json.encode(receipt(*FALLBACK)))
    daemon.lay("GET", "/v1/receipts/rcpt_0001", (200, whole))

    told = run("receipts", "show", "rcpt_0001", "--url", daemon.url)
    listed = run("receipts", "show", "rcpt_0001", "--json", "--url", daemon.url)

    assert told.stdout.splitlines()[0].split() == ["rcpt_0001", "completed"]
    assert "connection refused" in told.stdout
    assert json.loads(listed.stdout) == whole


def test_an_id_is_one_segment_of_the_path_whatever_it_holds(daemon: FakeDaemon, run: Run) -> None:
    run("receipts", "show", "../admin/runtime", "--url", daemon.url)

    assert daemon.asked[0].path == "/v1/receipts/..%2Fadmin%2Fruntime"


def test_a_receipt_that_is_not_there_fails(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/v1/receipts/rcpt_x", error_answer(404, "there is no receipt 'rcpt_x'", "receipt_not_found"))

    result = run("receipts", "show", "rcpt_x", "--url", daemon.url)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "wardwright: there is no receipt 'rcpt_x' (receipt_not_found)\n"


def test_without_a_daemon_the_data_folder_is_read(stored: Path, run: Run) -> None:
    result = run("receipts", "list", "--json")

    assert [summary["receipt_id"] for summary in json.loads(result.stdout)["data"]] == ["rcpt_0002", "rcpt_0001"]
    assert result.stderr.startswith("no daemon answers at http://127.0.0.1:")
    assert result.stderr.endswith(f"; reading {stored / 'receipts'}\n")


def test_without_a_daemon_a_receipt_is_found_in_the_data_folder_or_nowhere(stored: Path, run: Run) -> None:
    found = run("receipts", "show", "rcpt_0001")
    missing = run("receipts", "show", "rcpt_9999")

    assert found.stdout.splitlines()[0].split() == ["rcpt_0001", "completed"]
    assert missing.exit_code == 1
    assert missing.stderr.splitlines()[-1] == "wardwright: there is no receipt 'rcpt_9999'"


def test_a_data_folder_that_was_never_used_has_no_receipts_yet(folder: Path, run: Run) -> None:
    text = f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\npath = "never"\n'
    (folder / "wardwright.toml").write_text(text)

    listed = run("receipts", "list")
    filtered = run("receipts", "list", "--model", "m")
    as_json = run("receipts", "list", "--json")
    shown = run("receipts", "show", "rcpt_0001")

    assert (listed.exit_code, listed.stdout) == (0, "")
    assert listed.stderr.splitlines()[0].endswith(f"; reading {folder / 'never' / 'receipts'}")
    assert listed.stderr.splitlines()[1:] == ["no receipts yet"]
    assert (filtered.exit_code, filtered.stderr.splitlines()[1:]) == (0, ["no receipts match"])
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, {"data": [], "next_cursor": None})
    assert (shown.exit_code, shown.stderr.splitlines()[-1]) == (1, "wardwright: there is no receipt 'rcpt_0001'")
    assert not (folder / "never").exists()


def test_a_data_folder_that_cannot_be_read_fails(folder: Path, run: Run) -> None:
    text = f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\npath = "file"\n'
    (folder / "wardwright.toml").write_text(text)
    (folder / "file").write_text("no folder")

    result = run("receipts", "list")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].endswith("Not a directory")


def test_reading_leaves_the_data_folder_as_it_was(stored: Path, run: Run) -> None:
    before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}

    assert run("receipts", "list").exit_code == 0

    assert {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before


def test_a_daemon_named_by_url_is_not_stood_in_for(stored: Path, run: Run) -> None:
    result = run("receipts", "list", "--url", f"http://127.0.0.1:{closed_port()}")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "no daemon answers" in result.stderr


def test_a_memory_of_a_daemon_that_does_not_run_cannot_be_read(folder: Path, run: Run) -> None:
    text = f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\nkind = "memory"\n'
    (folder / "wardwright.toml").write_text(text)

    result = run("receipts", "list")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "no daemon answers" in result.stderr
