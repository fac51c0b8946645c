"""The JSON Schema of a receipt, generated from its types. `contracts/receipt.schema.json` is this, rendered."""

import inspect
from typing import Any

import msgspec

from wardwright.receipts.receipt import Receipt


def receipt_schema() -> dict[str, Any]:
    """Describe the JSON of a receipt, receipt schema v1. Purity: pure."""
    schema = msgspec.json.schema(Receipt)
    for definition in schema["$defs"].values():
        # Docstrings keep their indentation in some versions of Python and lose it in others.
        definition["description"] = inspect.cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wardwright receipt v1",
        **schema,
    }


def render_receipt_schema() -> bytes:
    """Render the schema as the file holds it. Purity: pure."""
    return msgspec.json.format(msgspec.json.encode(receipt_schema()), indent=2) + b"\n"
