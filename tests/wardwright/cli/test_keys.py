import json

from wardwright.cli.receipt_story import moment

from .conftest import Run
from .fake_daemon import FakeDaemon, error_answer

KEY = {
    "id": "key_1",
    "model_id": "coding-balanced",
    "label": "build robots",
    "prefix": "wwk_7Jb2hQ0m",
    "created_at": 1_800_000_000.0,
    "caller": {"tenant_id": "acme"},
    "limits": {"requests_per_minute": 60, "usd_per_day": 2.5},
    "used": {"requests_in_minute": 3, "tokens_in_minute": 90, "usd_today": 0.25, "live_requests": 1},
}
PATH = "/admin/model-api-keys"


def test_a_key_is_shown_once_alone_on_stdout(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("POST", PATH, (201, {"api_key": {**KEY, "key": "wwk_secret"}}))

    result = run(
        "keys", "create", "coding-balanced", "--label", "build robots", "--bind", "tenant_id=acme",
        "--limit", "requests_per_minute=60", "--limit", "usd_per_day=2.5", "--url", daemon.url,
    )  # fmt: skip

    assert (result.exit_code, result.stdout) == (0, "wwk_secret\n")
    assert result.stderr == "key_1 opens coding-balanced; this is the only time that the key is shown\n"
    assert daemon.asked[0].body == {
        "model": "coding-balanced",
        "label": "build robots",
        "caller": {"tenant_id": "acme"},
        "limits": {"requests_per_minute": 60, "usd_per_day": 2.5},
    }


def test_what_is_no_pair_or_no_number_is_wrong_use(daemon: FakeDaemon, run: Run) -> None:
    for option, value, problem in (
        ("--bind", "acme", "expected NAME=VALUE, got 'acme'"),
        ("--limit", "usd_per_day=much", "usd_per_day: expected a number, got 'much'"),
    ):
        result = run("keys", "create", "m", "--label", "l", option, value, "--url", daemon.url)
        assert result.exit_code == 2
        assert problem in result.stderr
    assert daemon.asked == []


def test_keys_are_listed_with_what_they_vouch_for_and_may_use(daemon: FakeDaemon, run: Run) -> None:
    plain = {**KEY, "id": "key_0", "caller": {}, "limits": {}, "revoked_at": 1_800_000_100.0}
    daemon.lay("GET", PATH, (200, {"data": [KEY, plain]}))

    result = run("keys", "list", "--model", "coding-balanced", "--url", daemon.url)

    assert daemon.asked[0].query == {"model": "coding-balanced"}
    heading, first, second = (" ".join(line.split()) for line in result.stdout.splitlines())
    assert heading == "ID MODEL KEY LABEL CREATED VOUCHES FOR LIMITS USED STATE"
    created, revoked = moment(1_800_000_000.0), moment(1_800_000_100.0)
    assert first == (
        f"key_1 coding-balanced wwk_7Jb2hQ0m… build robots {created} tenant_id=acme "
        "60 requests per minute, 2.5 usd per day 3 requests, 90 tokens in the last minute; 0.25 USD today active"
    )
    assert (
        second
        == f"key_0 coding-balanced wwk_7Jb2hQ0m… build robots {created} - - 3 requests, 90 tokens in the last minute; 0.25 USD today revoked {revoked}"
    )


def test_keys_for_programs_are_the_daemons_own(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", PATH, (200, {"data": [KEY]}))
    assert json.loads(run("keys", "list", "--json", "--url", daemon.url).stdout) == [KEY]


def test_a_key_is_revoked_by_its_id(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("DELETE", f"{PATH}/key_1", (200, {"deleted": True, "id": "key_1"}))
    assert run("keys", "revoke", "key_1", "--url", daemon.url).stdout == "key_1 is revoked\n"


def test_what_the_daemon_refuses_is_told_in_its_words(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("DELETE", f"{PATH}/key_9", error_answer(404, "there is no API key 'key_9'", "api_key_not_found"))
    result = run("keys", "revoke", "key_9", "--url", daemon.url)
    assert result.exit_code == 1
    assert "there is no API key 'key_9' (api_key_not_found)" in result.stderr
