"""What a person reads at the start: every command of it works as it stands."""

from pathlib import Path

import pytest

from wardwright.app.banner import Announcement, option_to_reach, own_command
from wardwright.config.load import EMBEDDED_SOURCE

READY = Announcement("http://127.0.0.1:8791", ["coding", "other"], "/data/receipts", "wardwright.toml", 0.2)


def replaced(**fields: object) -> str:
    known = {name: getattr(READY, name) for name in READY.__slots__}
    return str(Announcement(**{**known, **fields}))


def test_it_says_where_what_and_how() -> None:
    text = str(READY)
    assert "is ready at http://127.0.0.1:8791 (0.2 s, wardwright.toml)" in text
    assert "models    coding, other" in text
    assert "receipts  /data/receipts" in text
    assert "curl http://127.0.0.1:8791/v1/chat/completions" in text
    assert '"model": "coding"' in text
    assert "wardwright receipts list\n" in text
    assert "demo" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_commands_name_the_daemon_where_they_would_not_find_it() -> None:
    text = replaced(reach=" --url http://127.0.0.1:9999")
    assert "wardwright receipts list --url http://127.0.0.1:9999\n" in text
    assert "wardwright actors tree --url http://127.0.0.1:9999\n" in text


def test_without_models_there_is_nothing_to_try() -> None:
    text = replaced(models=[])
    assert "models    none configured" in text
    assert "try it" not in text


def test_a_demonstration_is_called_one() -> None:
    assert "demo      canned answers, no language model: script\n" in replaced(demo=["script"])
    built_in = replaced(demo=["smollm2-short", "smollm2-long"], source=EMBEDDED_SOURCE, command=".venv/bin/wardwright")
    assert "demo      canned answers: no language model is here; `.venv/bin/wardwright models pull` fetches" in built_in


@pytest.mark.parametrize(
    ("port", "config", "environ", "option"),
    [
        (8791, None, {}, ""),
        (9999, None, {}, " --url URL"),
        (9999, None, {"WARDWRIGHT_BIND": "127.0.0.1:9999"}, " --url URL"),
        (8791, None, {"WARDWRIGHT_BIND": "127.0.0.1:8791"}, ""),
        (9999, '[server]\nbind = "127.0.0.1:9999"\n', {}, ""),
        (8791, '[server]\nbind = "127.0.0.1:9999"\n', {"WARDWRIGHT_CONFIG": "other.toml"}, " --url URL"),
        (8791, "nonsense", {}, " --url URL"),
    ],
)
def test_an_option_is_needed_where_a_fresh_terminal_would_look_elsewhere(
    tmp_path: Path, port: int, config: str | None, environ: dict[str, str], option: str
) -> None:
    if config is not None:
        (tmp_path / "wardwright.toml").write_text(config)
    environ = {"HOME": str(tmp_path), **environ}
    assert option_to_reach("URL", "127.0.0.1", port, environ, tmp_path) == option


def test_the_program_is_called_by_its_name_where_the_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "wardwright"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    assert own_command(str(program)) == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_command(str(program)) == "wardwright"
