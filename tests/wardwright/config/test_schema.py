"""The JSON Schema of the file: current in the repository, and of one mind with the loader."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from wardwright.config.defaults import Discovered, embedded_config_text, render_config
from wardwright.config.examine import examine
from wardwright.config.schema import main, render_schema
from wardwright.config.settings import Settings

COMMITTED = Path(__file__).parents[3] / "contracts" / "config.schema.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(render_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_current() -> None:
    assert COMMITTED.read_bytes() == render_schema(), "run: python -m wardwright.config.schema " + str(COMMITTED)


def test_the_writer_writes_the_schema(tmp_path: Path) -> None:
    assert main([str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "s.json").read_bytes() == render_schema()


def test_the_writer_wants_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        embedded_config_text(True),
        embedded_config_text(False),
        render_config(Discovered(credentials=frozenset({"OPENAI_API_KEY"}), embedded_weights=True)),
    ],
)
def test_what_loads_is_valid_by_the_schema(validator: jsonschema.Draft202012Validator, text: str) -> None:
    tree = tomllib.loads(text)
    assert list(validator.iter_errors(tree)) == []
    assert examine(tree, Settings)[1] == []


@pytest.mark.parametrize(
    "tree",
    [
        {"colour": 1},
        {"storage": {"kind": "punched cards"}},
        {"storage": {"schema": "pg_catalog"}},
        {"providers": [{"id": "p"}]},
        {"providers": [{"id": "p", "kind": "canned", "outputs": []}]},
        {"targets": [{"id": "a", "provider": "p", "context_window": 0}]},
        {"targets": [{"id": "wardwright/a", "provider": "p", "context_window": 1}]},
        {"models": [{"id": "a/b"}]},
        {"models": [{"id": "m", "access": {"requires_api_key": "yes"}}]},
    ],
)
def test_what_does_not_load_is_invalid_by_the_schema(
    validator: jsonschema.Draft202012Validator, tree: dict[str, Any]
) -> None:
    assert list(validator.iter_errors(tree))
    assert examine(tree, Settings)[1]
