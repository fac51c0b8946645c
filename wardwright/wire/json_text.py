"""What is wrong with a JSON text, said so that a person can mend it.

msgspec tells faults in its own words; here they become the one grammar of the gateway's messages,
`path: expected X, got Y`, with line and column where the text itself is broken. Only faults pay for this.
"""

import re
from typing import NamedTuple

import msgspec

# All that msgspec may raise while decoding bytes: syntax and types, bytes that are no UTF-8, nesting without end.
JSON_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_WHERE = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_MISMATCH = re.compile(r"Expected `(?P<expected>[^`]*)`(?P<bound>[^,]*)(?:, got `(?P<got>[^`]*)`)?")
_BYTE = re.compile(r"(?P<problem>.*?) ?\(byte (?P<offset>\d+)\)$")

_EXPECTED = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "object": "an object",
    "null": "null",
}
_GOT = _EXPECTED | {"int": "a number", "bool": "a boolean", "array": "a list"}
_LISTS = {"messages": "a list of messages", "content": "a list of parts", "choices": "a list of choices"}


class Fault(NamedTuple):
    """One fault of a JSON text: the problem, and the path of the value it lies in (None: the text as a whole is at fault)."""

    problem: str
    path: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


def find_fault(error: Exception, text: bytes) -> Fault:
    """Explain one of `JSON_FAULTS`, raised while decoding `text`."""
    if isinstance(error, UnicodeDecodeError):
        return Fault(f"is not valid UTF-8 at byte {error.start}")
    if isinstance(error, RecursionError):
        return Fault("is nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        return _mistyped(str(error))
    return _malformed(str(error), text)


def check_utf8(text: bytes) -> None:
    """Raise UnicodeDecodeError unless the text is UTF-8: msgspec does not look inside what it only passes through."""
    if not text.isascii():
        text.decode()


def _mistyped(message: str) -> Fault:
    where = _WHERE.search(message)
    path = where["path"] if where else ""
    what = message[: where.start()] if where else message
    if missing := _MISSING.match(what):
        return Fault("required, but missing", f"{path}.{missing['field']}".lstrip("."))
    if mismatch := _MISMATCH.match(what):
        got = f", got {_GOT.get(mismatch['got'], mismatch['got'])}" if mismatch["got"] else ""
        return Fault(f"expected {_alternatives(mismatch['expected'], path)}{mismatch['bound']}{got}", path or None)
    return Fault(what[:1].lower() + what[1:], path or None)


def _alternatives(expected: str, path: str) -> str:
    """Say msgspec's `str | array | null` as "a string, a list of parts or null"."""
    names: list[str] = []
    for kind in expected.split(" | "):
        if kind == "bool":
            names += ["true", "false"]
        elif kind == "array":
            names.append(_LISTS.get(path.rpartition(".")[2], "a list"))
        else:
            names.append(_EXPECTED.get(kind, kind))
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]


def _malformed(message: str, text: bytes) -> Fault:
    if not text.strip():
        return Fault("is empty")
    if "truncated" in message:
        return Fault("ends too early: a quote or bracket is not closed, or an escaped surrogate has no partner")
    at = _BYTE.match(message.removeprefix("JSON is malformed: "))
    if at is None:
        return Fault(f"is not JSON: {message}")
    problem, offset = at["problem"], int(at["offset"])
    if "surrogate" in problem or "hex escape" in problem:
        problem = r"a \u escape is incomplete or a surrogate without its partner"
    if problem == "trailing characters":
        offset -= 1  # for these alone msgspec counts the byte after
    line = text.count(b"\n", 0, offset) + 1
    column = offset - text.rfind(b"\n", 0, offset)
    return Fault(f"is not JSON: {problem} at line {line}, column {column}")
