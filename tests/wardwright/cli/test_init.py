import os
from pathlib import Path

import pytest

from wardwright.app.banner import own_command
from wardwright.config.load import load_config

from .conftest import Run
from .fake_daemon import FakeDaemon


def test_the_first_file_is_one_that_check_accepts(folder: Path, run: Run) -> None:
    made = run("init")
    checked = run("check")

    assert made.exit_code == 0
    assert made.stdout.splitlines()[0] == "wrote wardwright.toml"
    assert made.stdout.splitlines()[-1] == f"  {own_command()} serve"
    assert checked.exit_code == 0, checked.stderr
    assert checked.stdout.startswith(f"{folder / 'wardwright.toml'}: no problems\n")
    assert [path.name for path in folder.iterdir()] == ["wardwright.toml"]


def test_what_the_machine_has_is_found_used_and_told(
    folder: Path, run: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.lay("GET", "/api/tags", (200, {"models": [{"name": "llama3:8b"}, {"name": "qwen3:4b"}]}))
    monkeypatch.setenv("OLLAMA_HOST", daemon.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")

    result = run("init")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:5] == [
        "found",
        f"  Ollama at {daemon.url}: llama3:8b, qwen3:4b",
        "  a key in ANTHROPIC_API_KEY",
        "  a key in OPENAI_API_KEY",
    ]
    settings = load_config(folder / "wardwright.toml", os.environ).settings
    assert {"ollama/llama3:8b", "ollama/qwen3:4b"} < {target.id for target in settings.targets}
    assert "sk-" not in (folder / "wardwright.toml").read_text()


def test_a_file_that_is_there_is_left_as_it_is(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text("mine")

    result = run("init")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("wardwright: wardwright.toml exists and is left as it is; --force")
    assert (folder / "wardwright.toml").read_text() == "mine"


def test_force_replaces_the_file(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text("mine")

    assert run("init", "--force").exit_code == 0
    assert run("check").exit_code == 0


def test_another_path_is_named_in_what_to_do_next(folder: Path, run: Run) -> None:
    (folder / "etc").mkdir()

    result = run("init", "--path", "etc/gateway.toml")

    assert result.stdout.splitlines()[0] == "wrote etc/gateway.toml"
    assert f"  {own_command()} check etc/gateway.toml" in result.stdout.splitlines()
    assert f"  {own_command()} serve --config etc/gateway.toml" in result.stdout.splitlines()
    assert run("check", "etc/gateway.toml").exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("--force",)])
def test_a_file_that_cannot_be_written_fails_and_leaves_nothing(
    folder: Path, run: Run, arguments: tuple[str, ...]
) -> None:
    result = run("init", "--path", "missing/wardwright.toml", *arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "wardwright: cannot write missing/wardwright.toml: No such file or directory\n"
    assert list(folder.iterdir()) == []
