"""What commands need of the disk without a daemon."""

from pathlib import Path

import pytest

from tests.wardwright.app.configs import CANNED, loaded
from wardwright.app import files
from wardwright.config.problems import ConfigError

WEIGHTS = """
[[providers]]
id = "{id}"
kind = "llama-cpp"
weights = "{weights}"
context_window = 2048
"""


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any configuration of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("WARDWRIGHT_DATA_DIR", str(tmp_path / "data"))
    for variable in ("WARDWRIGHT_CONFIG", "WARDWRIGHT_BIND"):
        monkeypatch.delenv(variable, raising=False)


def lay_weights(folder: Path) -> Path:
    """A file that passes for the small model's weights, without its hundred megabytes of disk."""
    file = folder / "weights" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    file.parent.mkdir(parents=True)
    with file.open("wb") as weights:
        weights.truncate(98_362_432)
    return file


class TestLoading:
    def test_the_file_in_the_working_directory_is_found(self, tmp_path: Path) -> None:
        (tmp_path / "wardwright.toml").write_text(CANNED, encoding="utf-8")
        assert [definition.id for definition in files.load().definitions] == ["test-model"]

    def test_a_file_that_is_named_must_be_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read the file"):
            files.load(tmp_path / "other.toml")

    def test_without_a_file_and_without_weights_there_is_a_demonstration(self) -> None:
        found = files.load()
        assert {provider.__struct_config__.tag for provider in found.settings.providers} == {"canned"}
        assert "Demo" in found.definitions[0].description

    def test_without_a_file_but_with_weights_there_is_a_model(self, tmp_path: Path) -> None:
        lay_weights(tmp_path / "data")
        found = files.load()
        assert {provider.__struct_config__.tag for provider in found.settings.providers} == {"llama-cpp"}


class TestWeights:
    def test_those_that_are_missing_are_named_once(self, tmp_path: Path) -> None:
        text = CANNED + WEIGHTS.format(id="a", weights="smollm2") + WEIGHTS.format(id="b", weights="smollm2")
        settings = loaded(tmp_path, text).settings
        assert files.weights_needed(settings) == ["smollm2"]
        assert files.weights_found("smollm2", tmp_path / "data") is None

    def test_those_that_are_there_are_not(self, tmp_path: Path) -> None:
        file = lay_weights(tmp_path / "elsewhere")
        settings = loaded(tmp_path, CANNED + WEIGHTS.format(id="a", weights="smollm2")).settings
        assert files.weights_needed(settings, tmp_path / "elsewhere") == []
        assert files.weights_needed(settings) == ["smollm2"]
        assert files.weights_found("smollm2", tmp_path / "elsewhere") == file

    def test_a_model_file_of_the_operators_own_needs_none(self, tmp_path: Path) -> None:
        own = WEIGHTS.format(id="a", weights="x").replace('weights = "x"', f'model_path = "{tmp_path}/own.gguf"')
        assert files.weights_needed(loaded(tmp_path, CANNED + own).settings) == []

    def test_unknown_weights_cannot_be_pulled(self, tmp_path: Path) -> None:
        with pytest.raises(files.PullFailed, match="no weights are known as 'none'"):
            files.pull_weights("none", tmp_path, lambda done, total: None)
