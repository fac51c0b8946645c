"""`wardwright receipts replay`: one decision or many, the same or otherwise, and what the exit code makes of it."""

import json
from typing import Any

import msgspec
import pytest

from wardwright.receipts.fold import summarise

from .conftest import Run
from .fake_daemon import FakeDaemon, error_answer
from .samples import FALLBACK, receipt

RECEIPT = receipt(*FALLBACK)
SUMMARY: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(summarise(RECEIPT)))
DECISION: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(RECEIPT.decision))


def answer(receipt_id: str = "rcpt_0001", **changed: object) -> dict[str, Any]:
    """A replay in which these fields come out otherwise."""
    recomputed = {**DECISION, **changed}
    differences = [
        {"field": name, "recorded": DECISION.get(name), "recomputed": value} for name, value in changed.items()
    ]
    return {
        "receipt_id": receipt_id,
        "identical": not changed,
        "versions": {"coding-balanced": "v1"},
        "recorded": DECISION,
        "recomputed": recomputed,
        "differences": differences,
    }


def lay(daemon: FakeDaemon, replay: object, receipt_id: str = "rcpt_0001", status: int = 200) -> None:
    daemon.lay("POST", f"/v1/receipts/{receipt_id}/replay", (status, replay))


def test_a_decision_that_comes_out_the_same_is_one_line(daemon: FakeDaemon, run: Run) -> None:
    lay(daemon, answer())
    result = run("receipts", "replay", "rcpt_0001", "--url", daemon.url)
    assert (result.exit_code, daemon.asked[0].body) == (0, {})
    assert result.stdout == "rcpt_0001: the same decision, local/small, under coding-balanced v1\n"


def test_a_decision_that_comes_out_otherwise_is_a_failure_with_its_differences(daemon: FakeDaemon, run: Run) -> None:
    lay(daemon, answer(selected_model="cloud/large", fallback_models=[], overflow="fit"))
    result = run("receipts", "replay", "rcpt_0001", "--url", daemon.url)
    assert result.exit_code == 1
    first, header, *rows = result.stdout.splitlines()
    assert first == "rcpt_0001: another decision under coding-balanced v1"
    assert header.split() == ["FIELD", "RECORDED", "RECOMPUTED"]
    assert [row.split() for row in rows] == [
        ["selected_model", "local/small", "cloud/large"],
        ["fallback_models", '["cloud/large"]', "[]"],
        ["overflow", "-", "fit"],
    ]


def test_another_version_may_well_decide_otherwise(daemon: FakeDaemon, run: Run) -> None:
    lay(daemon, answer(selected_model="cloud/large"))
    result = run("receipts", "replay", "rcpt_0001", "--version", "draft", "--json", "--url", daemon.url)
    assert (result.exit_code, daemon.asked[0].body) == (0, {"version": "draft"})
    assert json.loads(result.stdout)["identical"] is False


def lay_list(daemon: FakeDaemon, *receipt_ids: str) -> None:
    listed = [{**SUMMARY, "receipt_id": name} for name in receipt_ids]
    daemon.lay("GET", "/v1/receipts", (200, {"data": listed, "next_cursor": None}))


def test_many_are_counted_and_those_that_change_are_listed(daemon: FakeDaemon, run: Run) -> None:
    lay_list(daemon, "rcpt_0003", "rcpt_0002", "rcpt_0001")
    lay(daemon, answer("rcpt_0003", selected_model=None, route_blocked=True), "rcpt_0003")
    lay(daemon, answer("rcpt_0002", reason="because"), "rcpt_0002")
    lay(daemon, answer())

    arguments = ("--since", "1d", "--model", "coding-balanced", "--version", "draft", "--url", daemon.url)
    result = run("receipts", "replay", *arguments)

    assert result.exit_code == 0
    assert set(daemon.asked[0].query) == {"created_at_min", "model", "limit"}
    first, header, *rows = result.stdout.splitlines()
    assert first == "3 decisions replayed under version draft: 2 change, 1 of them to another target"
    assert header.split() == ["RECEIPT", "TIME", "RECORDED", "RECOMPUTED", "DIFFERS", "IN"]
    assert [(row.split()[0], *row.split()[3:]) for row in rows] == [
        ("rcpt_0003", "local/small", "refused", "selected_model,", "route_blocked"),
        ("rcpt_0002", "local/small", "local/small", "reason"),
    ]


def test_one_that_cannot_be_replayed_is_told_and_makes_it_a_failure(daemon: FakeDaemon, run: Run) -> None:
    lay_list(daemon, "rcpt_0002", "rcpt_0001")
    lay(daemon, error_answer(404, "the model 'm' has no version 'v0'", "version_not_found")[1], "rcpt_0002", 404)
    lay(daemon, answer())
    result = run("receipts", "replay", "--since", "2h", "--json", "--url", daemon.url)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["replayed"], told["changed"], len(told["failed"])) == (1, 0, 1)


def test_when_none_can_be_replayed_that_is_the_answer(daemon: FakeDaemon, run: Run) -> None:
    lay_list(daemon, "rcpt_0001")
    lay(daemon, error_answer(404, "the model 'm' has no version 'v9'", "version_not_found")[1], status=404)
    result = run("receipts", "replay", "--since", "90s", "--model", "m", "--version", "v9", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none of 1 receipts can be replayed: the model 'm' has no version 'v9'" in result.stderr


def test_one_change_is_counted_as_one(daemon: FakeDaemon, run: Run) -> None:
    lay_list(daemon, "rcpt_0001")
    lay(daemon, answer(reason="because"))
    result = run("receipts", "replay", "--where", "user=jane", "--until", "2027-01-01T00:00:00Z", "--url", daemon.url)
    assert daemon.asked[0].query == {"consuming_user_id": "jane", "created_at_max": "1798761599", "limit": "500"}
    assert result.stdout.splitlines()[0] == "1 decision replayed: 1 changes, none of them to another target"


def test_nothing_in_that_time_is_nothing_to_complain_of(daemon: FakeDaemon, run: Run) -> None:
    lay_list(daemon)
    result = run("receipts", "replay", "--since", "1w", "--url", daemon.url)
    assert (result.exit_code, result.stdout) == (0, "0 decisions replayed: nothing changes\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name one receipt, or several by --since"),
        (("rcpt_0001", "--since", "1d"), "name one receipt, or several by --since"),
        (("--since", "yesterday"), "'yesterday' is no age such as 6h or 1d"),
        (("rcpt_0001", "--model", "m"), "name one receipt, or several by --since"),
        (("--where", "colour=red"), "unknown 'colour'"),
        (("--since", "1d", "--version", "v"), "needs --model here"),
    ],
)
def test_what_does_not_go_together_is_wrong_use(run: Run, arguments: tuple[str, ...], words: str) -> None:
    result = run("receipts", "replay", *arguments, "--url", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
