"""The HTTP contract, `contracts/openapi.yaml`, as tests use it: parsed, its references followed, values checked against its schemas."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

CONTRACTS = Path(__file__).parents[2] / "contracts"
TEXT = (CONTRACTS / "openapi.yaml").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = json.loads(TEXT)  # its text is JSON, which is YAML
COMPONENTS: dict[str, dict[str, Any]] = DOCUMENT["components"]
BASE = "https://wardwright.invalid/contracts/"

Operation = tuple[str, str]

OPERATIONS: dict[Operation, dict[str, Any]] = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


@cache
def registry() -> Registry[Any]:
    names = ("receipt.schema.json", "events.schema.json")
    schemas = {name: json.loads((CONTRACTS / name).read_text(encoding="utf-8")) for name in names}
    documents = {"openapi.yaml": DOCUMENT, **schemas}
    return Registry().with_resources(
        (BASE + name, Resource.from_contents(content, default_specification=DRAFT202012))
        for name, content in documents.items()
    )


def check(value: object, pointer: str) -> None:
    """The value is what the document's schema at a JSON pointer says."""
    schema = {"$ref": f"{BASE}openapi.yaml#{pointer}"}
    jsonschema.Draft202012Validator(schema, registry=registry()).validate(value)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the document leads to."""
    if "$ref" not in node:
        return node
    _, kind, name = node["$ref"].removeprefix("#/").split("/")
    found: dict[str, Any] = COMPONENTS[kind][name]
    return found


def nodes(value: object, pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document with its JSON pointer."""
    if isinstance(value, dict):
        yield pointer, value
        for name, below in value.items():
            yield from nodes(below, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from nodes(below, f"{pointer}/{index}")
