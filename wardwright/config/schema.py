"""The JSON Schema of the configuration file, generated from the types that read it.

`python -m wardwright.config.schema FILE` writes it; the repository keeps it at `contracts/config.schema.json`.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec

from wardwright.config.settings import Settings


def render_schema() -> bytes:
    """Render the schema as indented JSON, equal for equal types. Purity: pure."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wardwright configuration",
        **_with_clean_descriptions(msgspec.json.schema(Settings)),
    }
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"


def _with_clean_descriptions(schema: Any) -> Any:
    """Take the source's indentation out of the docstrings: Python versions differ in how much of it they keep."""
    if isinstance(schema, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _with_clean_descriptions(value)
            for key, value in schema.items()
        }
    return [_with_clean_descriptions(entry) for entry in schema] if isinstance(schema, list) else schema


def main(arguments: list[str]) -> int:
    """Write the schema to the one file named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m wardwright.config.schema FILE\n")
        return 2
    Path(arguments[0]).write_bytes(render_schema())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
