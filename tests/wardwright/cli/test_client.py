from pathlib import Path

import pytest

from wardwright.cli.client import actor_path, daemon_address
from wardwright.config.settings import ServerSettings, Settings

from .conftest import Run, closed_port
from .fake_daemon import FakeDaemon, error_answer


def settings(bind: str) -> Settings:
    return Settings(server=ServerSettings(bind=bind, admin_token_env="MY_TOKEN"))


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1:8791", "http://127.0.0.1:8791"),
        ("localhost:80", "http://localhost:80"),
        ("[::1]:8791", "http://[::1]:8791"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("[::]:9000", "http://[::1]:9000"),
    ],
)
def test_without_a_url_the_daemon_is_asked_where_it_binds(bind: str, url: str) -> None:
    address = daemon_address(None, settings(bind))

    assert (address.url, address.is_named) == (url, False)


def test_a_url_wins_over_the_configuration() -> None:
    address = daemon_address("http://elsewhere:1/", settings("127.0.0.1:8791"))

    assert (address.url, address.is_named) == ("http://elsewhere:1", True)


def test_the_token_comes_from_the_variable_the_configuration_names(
    daemon: FakeDaemon, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "wardwright.toml").write_text('[server]\nadmin_token_env = "MY_TOKEN"\n')
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    monkeypatch.setenv("WARDWRIGHT_ADMIN_TOKEN", "another")

    run("actors", "tree", "--url", daemon.url)

    assert daemon.asked[0].headers["authorization"] == "Bearer s3cret"


def test_without_a_token_none_is_sent(daemon: FakeDaemon, run: Run) -> None:
    run("actors", "tree", "--url", daemon.url)

    assert "authorization" not in {name.lower() for name in daemon.asked[0].headers}


def test_the_environment_names_the_daemon_too(daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWRIGHT_URL", daemon.url)

    run("actors", "tree")

    assert [asked.path for asked in daemon.asked] == ["/admin/runtime"]


def test_the_bind_address_of_the_configuration_is_asked(daemon: FakeDaemon, run: Run, folder: Path) -> None:
    (folder / "other.toml").write_text(f'[server]\nbind = "{daemon.url.removeprefix("http://")}"\n')

    run("actors", "tree", "--config", "other.toml")

    assert [asked.path for asked in daemon.asked] == ["/admin/runtime"]


def test_a_broken_configuration_is_no_hindrance_to_a_daemon_named_by_url(
    daemon: FakeDaemon, run: Run, folder: Path
) -> None:
    (folder / "wardwright.toml").write_text("nonsense")
    daemon.lay("GET", "/v1/wardwright/models", (200, {"data": []}))

    assert run("models", "list", "--json", "--url", daemon.url).exit_code == 0
    assert run("models", "list", "--json", "--url", daemon.url, "--config", "wardwright.toml").exit_code == 2


def test_an_absent_daemon_is_named_with_the_way_to_start_one(run: Run) -> None:
    url = f"http://127.0.0.1:{closed_port()}"

    result = run("actors", "tree", "--url", url)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"wardwright: no daemon answers at {url}; start one with `wardwright serve`\n"


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (404, b"<html>"),
        (500, {"detail": "no"}),
        (502, ["x"]),
        (200, b"\xff"),
        (200, {"no": "tree"}),
        (204, b""),
    ],
)
def test_something_else_at_the_address_is_told_apart(daemon: FakeDaemon, run: Run, answer: tuple[int, object]) -> None:
    daemon.lay("GET", "/admin/runtime", answer)

    result = run("actors", "tree", "--url", daemon.url)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"wardwright: what answers at {daemon.url} is not a Wardwright daemon (HTTP {answer[0]})\n"


def test_a_refusal_is_shown_with_its_code(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/admin/runtime", error_answer(503, "the catalog is restarting", "actor_restarting"))

    result = run("actors", "tree", "--url", daemon.url)

    assert (result.exit_code, result.stderr) == (1, "wardwright: the catalog is restarting (actor_restarting)\n")


@pytest.mark.parametrize(("token", "said"), [("", "is not set"), ("wrong", "does not hold it")])
def test_a_refusal_for_want_of_the_token_says_where_it_is_taken_from(
    daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    monkeypatch.setenv("WARDWRIGHT_ADMIN_TOKEN", token)
    daemon.lay("GET", "/admin/runtime", error_answer(403, "this needs the admin token", "protected_endpoint"))

    result = run("actors", "tree", "--url", daemon.url)

    assert result.exit_code == 1
    assert f"WARDWRIGHT_ADMIN_TOKEN, which {said}" in result.stderr


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8791", "http://", "http://[::1", "http://x:port"])
def test_a_url_that_is_none_is_wrong_use(run: Run, url: str) -> None:
    result = run("actors", "tree", "--url", url)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "--url" in result.stderr


def test_names_in_an_actors_path_are_taken_literally() -> None:
    assert actor_path("/wardwright/models/m/sessions/a%2Fb c") == (
        "/admin/runtime/actors/wardwright/models/m/sessions/a%252Fb%20c"
    )
