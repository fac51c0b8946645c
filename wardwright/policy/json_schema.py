"""JSON Schemas, draft 2020-12, of operators and of callers: compiled once, and never a danger to whoever validates with them.

The validator is jsonschema-rs. It has the whole draft; what is kept from it here is what could hurt:

- A schema stands on its own. What it refers to is in it; nothing is ever fetched, from a network or from a disk.
- Patterns are matched in linear time, so they have no look-around and no back-references. `format` says what is meant and is not
  checked, as the draft has it.
- A schema that says much with few words is refused: written out, every reference replaced by what it refers to, it may not grow
  beyond `MOST_CHECKS`, nor lead on and on without going into the value. What refers to itself counts once, for the validator remembers
  what such a schema has said of a value.
- A panic of the validator's is a fault of the schema, or of the answer.
- An answer is not validated that is nested deeper than `DEEPEST`, or so large that its values times the checks are over
  `MOST_WORK`. Both bound how long the one event loop is kept, and the first the stack. Where that is over `MOST_EXPLAINED`, faults are
  not told one by one: there may be as many, and the validator makes them all, with all that led to each where a schema has choices.

A schema's `$schema` is not looked at: what is valid in this draft is read in it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

import jsonschema_rs
import msgspec

LONGEST_SCHEMA = 65_536
MOST_CHECKS = 10_000
MOST_STEPS = 64
DEEPEST = 128
MOST_WORK = 10_000_000
MOST_EXPLAINED = 20_000

_KEPT = 1_000_000
_FAULTS_TOLD = 5
_LARGEST_PATTERN = 1_000_000
_MASK = "the value"

_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("not", "if", "then", "else")
_BELOW = ("additionalProperties", "items", "contains", "propertyNames", "unevaluatedProperties", "unevaluatedItems")
_BELOW_TABLES = ("properties", "patternProperties")

_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class SchemaFault(ValueError):
    """A schema that cannot be honoured; the message completes "expected a JSON Schema that …" for the person who wrote it."""


class Unreadable(ValueError):
    """A text that is no JSON, or more of it than is validated; the message says which."""


class CompiledSchema:
    """One schema, ready to validate. Raises: SchemaFault."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_SCHEMA:
            raise SchemaFault(f"is at most {LONGEST_SCHEMA} characters of JSON")
        try:
            schema = msgspec.json.decode(text)
            measured = _Measure(schema)
            with _panic_as_fault():
                self._validator = jsonschema_rs.Draft202012Validator(
                    schema,
                    pattern_options=jsonschema_rs.RegexOptions(size_limit=_LARGEST_PATTERN),
                    offline=True,
                    mask=_MASK,
                )
        except jsonschema_rs.ValidationError as error:
            raise SchemaFault(_complaint(error)) from None
        except (RecursionError, msgspec.DecodeError, ValueError) as error:
            if isinstance(error, SchemaFault):
                raise
            raise SchemaFault("is JSON, and nested less deeply") from error
        self.checks = measured.whole.checks
        self._returns = measured.whole.returns
        self._has_choices = measured.has_choices

    def faults(self, value: Any, values: int = 1) -> tuple[str, ...] | None:
        """Validate a value: None when it is accepted, else what is wrong, in words without any of its values.

        `values` is how many there are in it: where there may be too many faults, only the first is told, or none of them.
        """
        try:
            with _panic_as_fault():
                return None if self._validator.is_valid(value) else self._explained(value, values)
        except SchemaFault:
            return ("cannot be validated",)

    def _explained(self, value: Any, values: int) -> tuple[str, ...]:
        if not self._can_be_explained(value, values):
            return (self._first_fault(value),)
        return tuple(_told(fault) for fault in islice(self._validator.iter_errors(value), _FAULTS_TOLD))

    def _can_be_explained(self, value: Any, values: int) -> bool:
        work = values * self.checks
        if work > MOST_EXPLAINED or self._returns < 2:
            return work <= MOST_EXPLAINED
        # Each time it leads back to itself, at every level anew: what it has said of a value is not remembered here.
        return bool(work * self._returns ** _levels(value) <= MOST_EXPLAINED)

    def _first_fault(self, value: Any) -> str:
        if not (self._returns or self._has_choices):
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as fault:
                return _told(fault)
        return "does not match the schema"


@contextmanager
def _panic_as_fault() -> Iterator[None]:
    """Make a fault of a panic of the validator's. Panics of Rust are no `Exception`: one would take the whole daemon along."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise SchemaFault("the validator can follow; on this one it fails") from error
        raise


class SchemaCache:
    """The schemas that were asked for last, as many as have `room` characters together: each of their patterns may take 10 kB."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._schemas: dict[str, CompiledSchema] = {}

    def get(self, text: str) -> CompiledSchema:
        """Compile a schema, or take it from those that were compiled before. Raises: SchemaFault."""
        kept = self._schemas.pop(text, None)
        self._schemas[text] = schema = kept or CompiledSchema(text)
        if kept is None:
            self._room -= len(text)
            while self._room < 0:
                oldest = next(iter(self._schemas))
                del self._schemas[oldest]
                self._room += len(oldest)
        return schema


_CACHE = SchemaCache(_KEPT)


def compile_schema(text: str) -> CompiledSchema:
    """Compile a schema, or take it from those that were compiled last. Raises: SchemaFault."""
    return _CACHE.get(text)


class Document(NamedTuple):
    """A JSON text that was read: its value, and how many values that has in it at most."""

    value: Any
    values: int


def read_json(text: str, checks: int) -> Document:
    """Read a text that is to be validated with so many checks. Purity: pure.

    Raises: Unreadable.
    """
    brackets = text.count("[") + text.count("{")
    values = text.count(",") + brackets + 1
    if brackets > DEEPEST and _is_deeper(text, DEEPEST):
        raise Unreadable(f"it is nested deeper than {DEEPEST} levels, or its brackets are no pairs")
    if values * checks > MOST_WORK:
        raise Unreadable("it has more values than can be validated with this schema")
    try:
        return Document(msgspec.json.decode(text), values)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise Unreadable(f"it is no valid JSON: {error}") from None


class _Extent(NamedTuple):
    """What a schema comes to: its checks, over how many steps it leads on in place, and how often it leads back to where it is in."""

    checks: int
    steps: int
    returns: int


class _Measure:
    """How much a schema comes to when every reference is replaced by what it refers to. Raises: SchemaFault."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._anchors: dict[str, Any] = {}
        self._done: dict[int, _Extent] = {}
        self._open: dict[int, int] = {}
        self.has_choices = False
        self.whole = self._of(schema, 0)
        if self.whole.checks > MOST_CHECKS:
            raise SchemaFault(f"is smaller: with every reference written out it has more than {MOST_CHECKS} parts")

    def _of(self, schema: Any, below: int) -> _Extent:
        """What a schema comes to; `below` counts how deep into the value it stands."""
        if not isinstance(schema, dict):
            return _Extent(1, 1, 0)
        key = id(schema)
        if key in self._open:
            if self._open[key] == below:
                raise SchemaFault("does not refer to itself in a circle that never goes into the value")
            return _Extent(1, 1, 1)
        found = self._done.get(key)
        if found is None:
            if isinstance(schema.get("$id"), str) and schema is not self._root:
                raise SchemaFault("has no $id but its own")
            self._open[key] = below
            in_place = [self._of(part, below) for part in self._in_place(schema)]
            parts = in_place + [self._of(part, below + 1) for part in _parts_below(schema)]
            del self._open[key]
            found = self._done[key] = _Extent(
                checks=1 + sum(part.checks for part in parts),
                steps=1 + max((part.steps for part in in_place), default=0),
                returns=sum(part.returns for part in parts),
            )
            if found.steps > MOST_STEPS:
                raise SchemaFault(f"leads on over at most {MOST_STEPS} steps for one value")
        return found

    def _in_place(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        for key in _IN_PLACE_LISTS:
            yield from _entries(schema.get(key))
            self.has_choices = self.has_choices or (key != "allOf" and key in schema)
        for key in _IN_PLACE:
            if key in schema:
                yield schema[key]
        yield from _entries(schema.get("dependentSchemas"))
        if "$dynamicRef" in schema:
            raise SchemaFault("has no $dynamicRef")
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield self._referred(reference)

    def _referred(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise SchemaFault(f"refers to nothing outside of itself, as {reference[:80]!r} does")
        fragment = unquote(reference[1:])
        found = self._root
        try:
            if fragment and not fragment.startswith("/"):
                return self._anchor(fragment)
            for step in fragment.split("/")[1:]:
                key = step.replace("~1", "/").replace("~0", "~")
                found = found[int(key)] if isinstance(found, list) else found[key]
        except (LookupError, TypeError, ValueError):
            raise SchemaFault(f"has what it refers to: there is nothing at {reference[:80]!r}") from None
        return found

    def _anchor(self, name: str) -> Any:
        if not self._anchors:
            self._anchors = {
                found["$anchor"]: found for found in _tables(self._root) if isinstance(found.get("$anchor"), str)
            }
        return self._anchors[name]


def _parts_below(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in _BELOW:
        if key in schema:
            yield schema[key]
    for key in _BELOW_TABLES:
        yield from _entries(schema.get(key))
    yield from _entries(schema.get("prefixItems"))


def _entries(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for entry in _entries(value):
        yield from _tables(entry)


def _levels(value: Any) -> int:
    return 1 + max(map(_levels, _entries(value)), default=0)


def _is_deeper(text: str, levels: int) -> bool:
    """Whether a JSON text is nested deeper than so many levels; of a text that is none, any answer will do."""
    without_escapes = text.replace("\\\\", "").replace('\\"', "") if "\\" in text else text
    outside_of_strings = "".join(without_escapes.split('"')[::2])
    brackets = outside_of_strings.encode("utf-8", "replace").translate(None, _ALL_BUT_BRACKETS)
    if re.search(rb"[\[{]{%d}" % (levels + 1), brackets):
        return True
    for _ in range(levels):
        inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return bool(brackets)


def _told(fault: jsonschema_rs.ValidationError) -> str:
    return f"{_place(fault.instance_path)}: {fault.message}"


def _place(path: list[str | int]) -> str:
    """A place in a value as a JSON pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path) or "the whole"


def _complaint(error: jsonschema_rs.ValidationError) -> str:
    path = _place(error.instance_path)
    if 'not a "regex"' in error.message:
        return f"has patterns of a size and kind that match in linear time, without look-around and back-references, unlike {path}"
    return f"is valid in draft 2020-12; {path}: {error.message.replace(_MASK, 'it')}"
