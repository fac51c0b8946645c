"""Redaction of JSON values: of every text in them, of texts that are JSON themselves, and of what stands under a secret's name.

The structure stays. Names in objects are texts too. The texts of a multi-part content are read as one, since a model reads them so.
A text that is JSON, as the arguments of a tool call are, is redacted as the value it means, so that no escape hides a character.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from wardwright.policy.plain_json import PlainJson
from wardwright.policy.redaction import MOST_READINGS, Redactor, marker
from wardwright.policy.secrets_in_text import names_a_secret
from wardwright.policy.utf8 import utf8_size

LARGEST = 262_144
"""How much of one value is kept, in bytes of its texts before redaction."""

_READ_AHEAD = 65_536  # how far behind the end of what is kept a secret may reach and is still seen as one
_PER_ITEM = 8  # bytes that an entry takes beside its texts
_DEEPEST = 64
_SHORTEST_NUMBER = 12  # digits of one that could be a card's


class Redacted(msgspec.Struct, frozen=True):
    """A value without its secrets: how many of them were found, by label, and how many bytes of texts it was too long by."""

    value: Any
    counts: dict[str, int]
    cut_bytes: int


def redacted_value(redactor: Redactor, value: Any, largest: int = LARGEST) -> Redacted:
    """Cut a JSON value where it is too long, and redact what is left. Purity: no I/O."""
    fitting = _Fitting(redactor, largest)
    fitted = fitting.fit(value, _DEEPEST)
    redaction = _Redaction(redactor)
    return Redacted(redaction.redacted(fitted, _DEEPEST), dict(redaction.counts), fitting.cut_bytes)


class _Fitting:
    """Leaves out what comes behind the first so many bytes. A text is cut behind a secret rather than within."""

    def __init__(self, redactor: Redactor, largest: int) -> None:
        self._redactor = redactor
        self._left = largest
        self.cut_bytes = 0

    def fit(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list | dict) and depth == 0:
            return marker("too_deep")
        if isinstance(value, list):
            return [self.fit(entry, depth - 1) for entry in value if self._has_room(entry)]
        if isinstance(value, dict):
            kept = ((name, entry) for name, entry in value.items() if self._has_room(entry))
            return {self._text(name): self.fit(entry, depth - 1) for name, entry in kept}
        return value

    def _has_room(self, entry: Any) -> bool:
        if self._left <= 0:
            self.cut_bytes += utf8_size(entry) if isinstance(entry, str) else _PER_ITEM
            return False
        self._left -= _PER_ITEM
        return True

    def _text(self, text: str) -> str:
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be written down
        end = len(text)
        if end > self._left:
            room = max(0, self._left)
            end = self._redactor.cut(text[: room + _READ_AHEAD], room)
            self.cut_bytes += utf8_size(text[end:])
        self._left -= utf8_size(text[:end])
        return text[:end]


class _Redaction:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.counts: Counter[str] = Counter()
        # With nothing to redact in them: a table has each of its names in every row.
        self._plain_names: set[str] = set()

    def redacted(self, value: Any, depth: int) -> Any:
        """A value without its secrets; what is nested deeper is left out."""
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value)
        if isinstance(value, list | dict) and depth == 0:
            return marker("too_deep")
        if isinstance(value, list):
            return [self.redacted(entry, depth - 1) for entry in self._read_as_one(value)]
        if isinstance(value, dict):
            return self._object(value, depth - 1)
        return value

    def _object(self, fields: dict[str, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in fields.items():
            shown = unique = self._name(name)
            while unique in made:
                unique += "+"
            made[unique] = self._secret(value, depth) if names_a_secret(shown) else self.redacted(value, depth)
        return made

    def _name(self, name: str) -> str:
        if name in self._plain_names:
            return name
        shown = self._text(name, 0)
        if shown == name:
            self._plain_names.add(name)
        return shown

    def _secret(self, value: Any, depth: int) -> Any:
        """What stands under the name of a secret; an object may have secrets in it and other things too."""
        if isinstance(value, list) and depth:
            return [self._secret(entry, depth - 1) for entry in value]
        if isinstance(value, list | dict):
            return self.redacted(value, depth)
        if value in ("", None) or isinstance(value, bool) or value == marker("secret"):
            return value
        self.counts["secret"] += 1
        return marker("secret")

    def _number(self, value: float) -> Any:
        text = str(value)
        if len(text) < _SHORTEST_NUMBER:
            return value
        redacted = self._redactor.redacted(text, self.counts)
        return value if redacted == text else redacted

    def _read_as_one(self, parts: list[Any]) -> Sequence[Any]:
        """The parts of a content, without secrets that go over from one text into the next."""
        texts = [part["text"] for part in parts if _is_text_part(part)]
        if len(texts) < 2:
            return parts
        redacted = iter(self._redactor.redacted_pieces(texts, self.counts))
        return [{**part, "text": next(redacted)} if _is_text_part(part) else part for part in parts]

    def _text(self, text: str, depth: int) -> str:
        for _ in range(MOST_READINGS):
            redacted = self._redactor.redacted(self._as_json(text, depth), self.counts)
            if redacted == text or not _may_be_json(redacted, depth):
                return redacted
            text = redacted
        return marker("unsettled")

    def _as_json(self, text: str, depth: int) -> str:
        """A text that is JSON, redacted as what it means; any other as it is."""
        if not _may_be_json(text, depth):
            return text
        plain = PlainJson()
        spelled = plain.feed(text) + plain.finish()  # names may be there twice, and only the last is read
        try:
            value = msgspec.json.decode(spelled)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return spelled
        redacted = self.redacted(value, depth - 1)
        return spelled if redacted == value else msgspec.json.encode(redacted).decode()


def _may_be_json(text: str, depth: int) -> bool:
    """Whether it is worth trying. So deep in a value nobody tries any more."""
    return depth > 0 and text.lstrip().startswith(("{", "[", '"'))


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
