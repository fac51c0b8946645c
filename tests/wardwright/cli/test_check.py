from pathlib import Path

import msgspec

from wardwright.domain.control import ControlEntry, Published, VersionAdded
from wardwright.storage.control import FileControlLog

from .conftest import Run

GOOD = """
[storage]
path = "data"

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "http://127.0.0.1:1/v1"
credential_env = "NOT_SET_ANYWHERE"

[[targets]]
id = "up/small"
provider = "up"
context_window = 8192

[[targets]]
id = "up/large"
provider = "up"
context_window = 32768

[[models]]
id = "coding"
version = "v1"

[[models.dispatchers]]
id = "fit"
models = ["up/small", "up/large"]
"""


def test_a_good_file_is_summed_up(folder: Path, run: Run) -> None:
    (folder / "good.toml").write_text(GOOD)

    result = run("check", "good.toml")

    assert result.exit_code == 0
    verdict, summary, *made = result.stdout.splitlines()
    assert verdict == "good.toml: no problems"
    assert summary == (
        f"1 provider, 2 targets, 1 model, 1 warning; serves on 127.0.0.1:8791, receipts in {folder / 'data' / 'receipts'}"
    )
    assert [line.split() for line in made] == [
        ["MODEL", "VERSION", "ROOT", "TARGET", "WINDOW", "PROVIDER", "KIND"],
        ["coding", "v1", "fit", "up/small", "8192", "up", "openai-compatible"],
        ["up/large", "32768", "up", "openai-compatible"],
    ]
    assert result.stderr.startswith("warning: ")
    assert "NOT_SET_ANYWHERE" in result.stderr


def test_sinks_are_counted_where_there_are_some(folder: Path, run: Run) -> None:
    (folder / "good.toml").write_text(f'{GOOD}\n[[sinks]]\nid = "file"\nkind = "jsonl"\npath = "out.jsonl"\n')
    assert "1 model, 1 sink, 1 warning;" in run("check", "good.toml").stdout


def test_targets_stand_in_the_order_of_the_route(folder: Path, run: Run) -> None:
    cascade = GOOD.replace("dispatchers", "cascades").replace('["up/small", "up/large"]', '["up/large", "up/small"]')
    (folder / "cascade.toml").write_text(cascade)
    (folder / "dispatcher.toml").write_text(GOOD.replace("8192", "65536"))

    for kind in ("cascade", "dispatcher"):
        made = run("check", f"{kind}.toml").stdout.splitlines()[3:]

        assert [line.split()[-4] for line in made] == ["up/large", "up/small"], kind


def test_every_problem_has_its_line_and_they_are_counted(folder: Path, run: Run) -> None:
    bad = GOOD.replace('"up/large"]', '"up/larg"]').replace('kind = "openai', 'base_urll = 1\nkind = "openai')
    (folder / "bad.toml").write_text(bad)

    result = run("check", "bad.toml")

    assert (result.exit_code, result.stdout) == (2, "")
    unknown, missing, summary = result.stderr.splitlines()
    assert unknown.startswith("providers.up.base_urll: ")
    assert missing.startswith("models.coding.dispatchers.fit.models[1]: ")
    assert summary == "wardwright: 2 problems in bad.toml"


def test_one_problem_is_counted_as_one(folder: Path, run: Run) -> None:
    result = run("check", "missing.toml")

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "wardwright: 1 problem in missing.toml"


def test_without_any_file_the_built_in_configuration_is_checked(run: Run) -> None:
    result = run("check")

    assert result.exit_code == 0
    assert result.stdout.startswith("the built-in configuration: no problems\n")
    assert "coding-balanced" in result.stdout


def test_receipts_in_memory_are_said_to_be_there(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text('[storage]\nkind = "memory"\n')

    result = run("check")

    assert result.stdout.splitlines()[1].endswith("receipts in memory")
    assert "no model" in result.stderr


def test_it_says_what_each_stream_rule_promises(folder: Path, run: Run) -> None:
    rule = '[[models.stream_rules]]\nid = "old"\ncontains = "OldClient("\naction = "block"\non = ["text"]\n'
    (folder / "good.toml").write_text(GOOD + rule)

    result = run("check", "good.toml")

    heads, promised = (line.split() for line in result.stdout.splitlines()[-2:])
    assert heads == ["MODEL", "STREAM", "RULE", "ACTION", "ON", "GUARANTEE"]
    assert promised == ["coding", "old", "block", "text", *["holds", "at", "most", "9", "bytes"]]


def test_it_says_what_is_promised_of_the_form_of_answers(folder: Path, run: Run) -> None:
    (folder / "good.toml").write_text(GOOD + '[models.structured_output.schemas.answer]\ntype = "object"\n')

    result = run("check", "good.toml")

    heads, promised = result.stdout.splitlines()[-2:]
    assert heads.split() == ["MODEL", "STRUCTURED", "OUTPUT", "ANSWERS", "TAKEN"]
    assert "every answer is JSON that one of these accepts: answer; streams are held until their end" in promised
    assert promised.endswith("at most 3 answers; told what is wrong")


def publish(folder: Path, version: str, content: str) -> None:
    """Leave in the data folder what a daemon does that served this version."""
    log = FileControlLog(folder / "data" / "control")
    log.append([ControlEntry(1, 0.0, VersionAdded("coding", version, content, "file", msgspec.Raw(b"{}")))])
    log.append([ControlEntry(2, 0.0, Published("coding", version, "file"))])
    log.close()


def test_a_label_that_already_names_other_content_is_a_problem(folder: Path, run: Run) -> None:
    (folder / "good.toml").write_text(GOOD)
    publish(folder, "v1", "sha256:other")

    result = run("check", "good.toml")

    assert result.exit_code == 2
    assert 'models.coding.version: expected a version that names this content, got "v1"' in result.stderr


def test_a_new_label_is_none(folder: Path, run: Run) -> None:
    (folder / "good.toml").write_text(GOOD)
    publish(folder, "v0", "sha256:other")
    assert run("check", "good.toml").exit_code == 0


def test_a_data_folder_that_cannot_be_read_is_a_warning(folder: Path, run: Run) -> None:
    (folder / "good.toml").write_text(GOOD)
    publish(folder, "v1", "sha256:other")
    segment = folder / "data" / "control" / "control-00000001.log"
    segment.write_bytes(segment.read_bytes().replace(b"sha256:other", b"sha256:OTHER"))

    result = run("check", "good.toml")

    assert result.exit_code == 0
    assert "not compared with what was published before" in result.stderr
    assert "1 model, 2 warnings;" in result.stdout
