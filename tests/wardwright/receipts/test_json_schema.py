"""`contracts/receipt.schema.json` is current, and receipts are what it says. Run this file to write it anew."""

from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.wardwright.receipts.receipt_samples import entries, fallback_story, opened
from wardwright.receipts.events import Closed, Event
from wardwright.receipts.fold import fold
from wardwright.receipts.json_schema import receipt_schema, render_receipt_schema

SCHEMA_FILE = Path(__file__).parents[3] / "contracts" / "receipt.schema.json"


def test_the_schema_file_is_current() -> None:
    assert SCHEMA_FILE.read_bytes() == render_receipt_schema(), f"run {__file__} and commit the schema"


@pytest.mark.parametrize(
    "story",
    [
        fallback_story(),
        fallback_story()[:1],
        fallback_story()[:2],
        [opened(simulation=True), Closed("route_blocked", 0)],
    ],
)
def test_receipts_are_valid(story: list[Event]) -> None:
    receipt: Any = msgspec.json.decode(msgspec.json.encode(fold(entries(story))))
    jsonschema.Draft202012Validator(receipt_schema()).validate(receipt)


@pytest.mark.parametrize("field", ["receipt_id", "decision", "final", "events"])
def test_a_receipt_without_a_required_field_is_not_valid(field: str) -> None:
    receipt: Any = msgspec.json.decode(msgspec.json.encode(fold(entries(fallback_story()))))
    del receipt[field]
    assert not jsonschema.Draft202012Validator(receipt_schema()).is_valid(receipt)


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(render_receipt_schema())
