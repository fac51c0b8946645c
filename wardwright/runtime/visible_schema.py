"""The JSON Schema of what watchers are told, generated from its types. `contracts/events.schema.json` is this, rendered."""

import inspect
from typing import Any, get_args

import msgspec

from wardwright.runtime.bus import LOST
from wardwright.runtime.visible import Fact

_ENVELOPE = ("id", "topic", "at")


def events_schema() -> dict[str, Any]:
    """Describe the JSON of one event, as `GET /admin/events` sends it. Purity: pure."""
    facts = get_args(Fact)
    refs, definitions = msgspec.json.schema_components(facts, ref_template="#/$defs/{name}")
    for fact in facts:
        definition = definitions[fact.__name__]
        described = definition["properties"]
        definition["description"] = inspect.cleandoc(fact.__doc__)
        definition["properties"] = {
            "id": {"type": "string"},
            "topic": {"const": fact.topic},
            "at": {"type": "number"},
            **described,
        }
        definition["required"] = [*_ENVELOPE, *described]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wardwright event",
        "description": (
            "An event of the visibility bus. `id` is what a watcher that comes back goes on behind, `at` when, in Unix seconds. "
            "Other releases may add types and fields."
        ),
        "anyOf": [*refs, {"$ref": "#/$defs/Lost"}],
        "$defs": {**definitions, "Lost": _LOST},
    }


_LOST = {
    "title": "Lost",
    "description": (
        "So many events of the topics that are watched are not told; they stood before the next one. Null when nobody knows how many."
    ),
    "type": "object",
    "properties": {"type": {"enum": [LOST]}, "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["type", "count"],
}


def render_events_schema() -> bytes:
    """Render the schema as the file holds it. Purity: pure."""
    return msgspec.json.format(msgspec.json.encode(events_schema()), indent=2) + b"\n"
