"""Compare a raw TOML tree with the types of `config.settings`, and find every difference, in the order of the file.

msgspec stops at the first thing it cannot convert; an operator wants all of them at once. So the tree is walked beside
`msgspec.inspect`'s description of the types, and always makes a whole table: a wrong value gives way to its default or to a
stand-in, an entry beyond repair is left out. That lets the checks which look across tables run beside this one; nothing ever
starts from such a table, since a problem has been reported for each of them.
"""

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from wardwright.config import not_yet
from wardwright.config.problems import Problem, below, nearest_hint, one_of, shown

Table = TypeVar("Table", bound=msgspec.Struct)

_NOT_YET = "not supported by this version yet"
_INLINE_SECRETS = frozenset({"api_key", "apikey", "key", "token", "credential", "password", "secret"})
_INLINE_URLS = frozenset({"url", "dsn", "uri", "password", "user"})
_LABEL = re.compile(r"[!-~]{1,256}")


class Place(NamedTuple):
    """Where the walk stands: the path as messages show it, and the same path without list entries, which names the kind."""

    path: str = ""
    kind: str = ""

    def key(self, name: str) -> "Place":
        """Lead on to a key of the table here."""
        return Place(below(self.path, name), below(self.kind, name))


class Rejected:
    """Stands for a value that was reported and has nothing usable in it."""


_REJECTED = Rejected()


def examine(
    tree: dict[str, Any], table: type[Table], file: str | None = None, *, kind: str = ""
) -> tuple[Table, list[Problem]]:
    """Read a tree as a table of the format, and list every difference between the two. Purity: pure.

    `kind` is where a table that stands alone would stand in a whole configuration: `models`.
    """
    examiner = _Examiner(file)
    info = inspect.type_info(table)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - the type variable says so, mypy cannot carry it over
    found: Table = examiner.table(tree, info, Place("", kind))
    return found, examiner.problems


def entry_paths(list_path: str, entries: Iterable[Any]) -> list[str]:
    """Name the entries of a list: by id where it has a readable one of its own, by index where not. Purity: pure."""
    taken: set[str] = set()
    paths: list[str] = []
    for index, name in enumerate(entries):
        if isinstance(name, str) and _LABEL.fullmatch(name) and name not in taken:
            taken.add(name)
            paths.append(below(list_path, name))
        else:
            paths.append(below(list_path, index))
    return paths


class _Examiner:
    """One walk over one tree, collecting problems as it goes."""

    def __init__(self, file: str | None) -> None:
        self.problems: list[Problem] = []
        self._file = file

    def table(self, raw: dict[str, Any], info: inspect.StructType, place: Place) -> Any:
        """Read the keys of a table in the file's order, then report the keys it lacks."""
        raw = {name: value for name, value in raw.items() if value is not None}  # JSON's way to say nothing
        fields = {field.encode_name: field for field in info.fields}
        cleaned: dict[str, Any] = {}
        for name, value in raw.items():
            if name == info.tag_field:
                continue
            if name not in fields:
                self._report_unknown(name, fields, place)
            else:
                found = self._value(value, fields[name].type, place.key(name))
                if not isinstance(found, Rejected):
                    cleaned[name] = found
        for name, field in fields.items():
            if field.required and name not in cleaned:
                if name not in raw:
                    self._report(place.key(name), f"expected {_expected(field.type)}, got nothing")
                cleaned[name] = _stand_in(field.type, raw.get(name))
        return info.cls(**cleaned)

    def _value(self, raw: Any, info: inspect.Type, place: Place) -> Any:
        plain = _plain(info)
        if isinstance(plain, inspect.UnionType):
            return self._tagged_table(raw, plain.types, place)
        if isinstance(plain, inspect.StructType) and plain.tag_field is not None:
            return self._tagged_table(raw, (plain,), place)
        if isinstance(plain, inspect.StructType) and isinstance(raw, dict):
            return self.table(raw, plain, place)
        if isinstance(plain, inspect.DictType) and isinstance(raw, dict) and len(raw) >= (plain.min_length or 0):
            return self._entries(raw, plain, place)
        if isinstance(plain, inspect.VarTupleType) and isinstance(raw, list) and len(raw) >= (plain.min_length or 0):
            return self._list(raw, plain.item_type, place)
        if _admits(plain, raw):
            return float(raw) if isinstance(plain, inspect.FloatType) else raw
        if isinstance(raw, str) and raw in not_yet.VALUES.get(place.kind, ()):
            self._report(place, f"{shown(raw)} is {_NOT_YET}, expected {_expected(info)}")
        else:
            self._report(place, f"expected {_expected(info)}, got {_got(raw, info)}")
        return _REJECTED

    def _entries(self, raw: dict[str, Any], info: inspect.DictType, place: Place) -> dict[str, Any]:
        """Read a table whose keys are names that the file makes up."""
        found = {
            name: self._value(entry, info.value_type, Place(below(place.path, _readable(name)), place.kind))
            for name, entry in raw.items()
        }
        return {name: entry for name, entry in found.items() if not isinstance(entry, Rejected)}

    def _list(self, raw: list[Any], item: inspect.Type, place: Place) -> tuple[Any, ...]:
        names = [entry.get("id") if isinstance(entry, dict) else None for entry in raw]
        paths = entry_paths(place.path, names)
        found = [self._value(entry, item, Place(path, place.kind)) for entry, path in zip(raw, paths, strict=True)]
        return tuple(entry for entry in found if not isinstance(entry, Rejected))

    def _tagged_table(self, raw: Any, types: Iterable[inspect.Type], place: Place) -> Any:
        """Read a table whose type is told by one of its keys."""
        members = [member for member in types if isinstance(member, inspect.StructType)]
        if not isinstance(raw, dict):
            self._report(place, f"expected a table, got {shown(raw)}")
            return _REJECTED
        tag_field = str(members[0].tag_field)
        tag = raw.get(tag_field)
        for member in members:
            if member.tag == tag:
                return self.table(raw, member, place)
        at = place.key(tag_field)
        known = one_of(str(member.tag) for member in members)
        if isinstance(tag, str) and tag in not_yet.VALUES.get(at.kind, ()):
            self._report(at, f"{shown(tag)} is {_NOT_YET}, expected {known}")
        else:
            self._report(at, f"expected {known}, got {'nothing' if tag is None else shown(tag)}")
        return _REJECTED

    def _report_unknown(self, name: str, fields: Iterable[str], place: Place) -> None:
        known = list(fields)
        if name in not_yet.KEYS.get(place.kind, ()):
            message = f"this key is {_NOT_YET}"
        elif name in _INLINE_SECRETS and "credential_env" in known:
            message = "unknown key; a credential is never written here: name its environment variable in credential_env"
        elif name in _INLINE_URLS and "url_env" in known:
            message = (
                "unknown key; a URL that has a password is never written here: name its environment variable in url_env"
            )
        else:
            hint = nearest_hint(name, known)
            message = "unknown key" + (hint or f", expected {one_of(known)}")
        self._report(place.key(_readable(name)), message)

    def _report(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place.path, message, self._file))


def _plain(info: inspect.Type) -> inspect.Type:
    """Take off what is wrapped around a type: notes, and the None of an optional key, which TOML cannot write."""
    if isinstance(info, inspect.Metadata):
        return _plain(info.type)
    if isinstance(info, inspect.UnionType):
        others = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        return _plain(others[0]) if len(others) == 1 else info
    return info


def _note(info: inspect.Type) -> inspect.Metadata | None:
    if isinstance(info, inspect.Metadata):
        return info
    if isinstance(info, inspect.UnionType):
        return next((member for member in info.types if isinstance(member, inspect.Metadata)), None)
    return None


def _admits(info: inspect.Type, raw: Any) -> bool:
    """Whether a single value is of a type and within its bounds."""
    match info:
        case inspect.StrType():
            return isinstance(raw, str) and _admits_text(info, raw)
        case inspect.BoolType():
            return isinstance(raw, bool)
        case inspect.IntType():
            return isinstance(raw, int) and not isinstance(raw, bool) and _within_bounds(info, raw)
        case inspect.FloatType():
            is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
            return is_number and _within_bounds(info, raw) and math.isfinite(raw)
        case inspect.LiteralType():
            return isinstance(raw, str) and raw in info.values
        case inspect.AnyType():
            return True
        case _:
            return False


def _admits_text(info: inspect.StrType, text: str) -> bool:
    # fullmatch, because `$` alone would let a trailing newline through.
    return len(text) >= (info.min_length or 0) and (
        info.pattern is None or re.fullmatch(info.pattern, text) is not None
    )


def _within_bounds(info: inspect.IntType | inspect.FloatType, number: float) -> bool:
    return (
        (info.gt is None or number > info.gt)
        and (info.ge is None or number >= info.ge)
        and (info.le is None or number <= info.le)
    )


def _expected(info: inspect.Type) -> str:
    """Complete the phrase "expected …" for a type."""
    note = _note(info)
    if note is not None and note.extra_json_schema is not None:
        return str(note.extra_json_schema["description"])
    match _plain(info):
        case inspect.LiteralType(values=values):
            return one_of(map(str, values))
        case inspect.StructType() | inspect.UnionType() | inspect.DictType():
            return "a table"
        case inspect.VarTupleType():
            return "a list"
        case _:
            return "a text"


def _got(raw: Any, info: inspect.Type) -> str:
    note = _note(info)
    is_private = note is not None and (note.extra or {}).get("private", False)
    return "a text that is not shown here" if is_private and isinstance(raw, str) else shown(raw)


def _stand_in(info: inspect.Type, raw: Any) -> Any:
    """Make up a value for a required key that has no right one.

    A text stays as it was written, so that its entry is called the same in later messages; a number is so large that no
    comparison with it finds fault.
    """
    match _plain(info):
        case inspect.VarTupleType():
            return ()
        case inspect.IntType(le=bound) | inspect.FloatType(le=bound):
            return bound
        case _:
            return raw if isinstance(raw, str) else ""


def _readable(name: str) -> str:
    return name if _LABEL.fullmatch(name) else shown(name)
