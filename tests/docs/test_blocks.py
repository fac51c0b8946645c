"""What the documents show is what the product takes: configurations load, JSON is of its schema, Python compiles."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.openapi import check
from tests.docs.pages import Block, blocks, blocks_in
from wardwright.config.examine import examine
from wardwright.config.load import load_config
from wardwright.config.settings import Settings

COMPLETE = "# wardwright.toml"
LANGUAGES = {"toml", "json", "sh", "python", "text", "ini", ""}

FILES = [block for block in blocks_in("toml") if block.text.startswith(COMPLETE)]
FRAGMENTS = [block for block in blocks_in("toml") if not block.text.startswith(COMPLETE)]


def name(block: Block) -> str:
    return block.id


def test_blocks_of_both_kinds_are_found() -> None:
    assert len(FILES) > 3
    assert len(FRAGMENTS) > 3
    assert {block.language for block in blocks_in(*LANGUAGES)} == LANGUAGES


@pytest.mark.parametrize("block", FILES, ids=name)
def test_a_whole_configuration_loads_without_a_warning(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "wardwright.toml"
    file.write_text(block.text, encoding="utf-8")
    loaded = load_config(file, {"HOME": str(tmp_path), "EXAMPLE_API_KEY": "secret"})
    assert loaded.definitions
    assert loaded.warnings == ()


def test_the_tutorial_shows_the_version_that_a_newcomer_meets() -> None:
    (model,) = load_config(None, {}, weights_available=True).definitions
    shown = [block.text for block in blocks(Path("docs/tutorials/first-model.md")) if "sha256:" in block.text]
    assert shown
    assert all(model.version in text for text in shown)


@pytest.mark.parametrize("block", FRAGMENTS, ids=name)
def test_a_fragment_is_of_the_format(block: Block) -> None:
    tree: dict[str, Any] = tomllib.loads(block.text)
    if isinstance(tree.get("models"), dict):  # selectors alone: their model stands on another page
        tree["models"] = [{"id": "model", **tree["models"]}]
    assert tree
    assert examine(tree, Settings)[1] == []


def test_the_receipt_on_its_page_is_one() -> None:
    (receipt,) = (json.loads(b.text) for b in blocks(Path("docs/reference/receipt.md")) if b.language == "json")
    check(receipt, "/paths/~1v1~1receipts~1{receipt_id}/get/responses/200/content/application~1json/schema")


def test_the_error_on_its_page_is_one() -> None:
    (error,) = (json.loads(b.text) for b in blocks(Path("docs/reference/errors.md")) if b.language == "json")
    check(error, "/components/schemas/ErrorEnvelope")


@pytest.mark.parametrize("block", blocks_in("json"), ids=name)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks_in("python"), ids=name)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.id, "exec")


@pytest.mark.parametrize("block", blocks_in("sh"), ids=name)
def test_bodies_sent_with_curl_are_json(block: Block) -> None:
    for body in re.findall(r"-d '(.*?)'", block.text, re.DOTALL):
        json.loads(body)
