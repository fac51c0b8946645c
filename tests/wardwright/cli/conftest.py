"""Every test of a command runs in an empty folder and an empty environment, so that nothing of the machine shows through."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import wardwright
from wardwright.cli.main import app

from .fake_daemon import FakeDaemon, run_fake_daemon
from .samples import FALLBACK, OPENED, write_receipts

Run = Callable[..., Result]

_FOREIGN = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "NO_COLOR", "FORCE_COLOR")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test, with nothing in it."""
    for name in [*_FOREIGN, *(name for name in os.environ if name.startswith("WARDWRIGHT_"))]:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{closed_port()}")
    # Commands that run in a process of their own are those of the package under test, installed or not.
    monkeypatch.setenv("PYTHONPATH", str(Path(wardwright.__file__).parents[1]))
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def run() -> Run:
    """Run a command in this process: `run("check", "file.toml")`. A bug in it fails the test by its own traceback."""

    def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), env=env, prog_name="wardwright", catch_exceptions=False)

    return invoke


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with run_fake_daemon() as fake:
        yield fake


def closed_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def stored(folder: Path) -> Path:
    """A configuration whose daemon does not run, with two receipts in its data folder."""
    text = f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\npath = "data"\n'
    (folder / "wardwright.toml").write_text(text)
    write_receipts(folder / "data", FALLBACK, (OPENED,))
    return folder / "data"
