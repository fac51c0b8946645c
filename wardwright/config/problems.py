"""Problems of a configuration, in one grammar: `path: expected X, got Y`.

A path leads to the place in the file: keys joined by dots, list entries by their id where they have one, by their index where
not. A value is shown as it stands in the file, shortened; what may be a secret is never shown.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from wardwright.domain.errors import WardwrightError

_LONGEST_SHOWN = 60


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a configuration. `file` is set where it is another than the one that was loaded."""

    path: str
    message: str
    file: str | None = None

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.path) if part)
        return f"{place}: {self.message}" if place else self.message


class ConfigError(WardwrightError):
    """A configuration that must not start, with everything that is wrong with it, in the order of the file."""

    code = "invalid_config"

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        counted = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{counted} in {source}{lines}")


def below(path: str, key: str | int) -> str:
    """Lead a path one step further: to a key of a table, or to an entry of a list by its index. Purity: pure."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def is_within(path: str, outer: str) -> bool:
    """Whether a path leads to a place or to anything inside it. Purity: pure."""
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def nearest_hint(name: str, known: Sequence[str]) -> str:
    """Ask whether the nearest known name was meant; empty when none is near. Purity: pure."""
    nearest = difflib.get_close_matches(name[:_LONGEST_SHOWN], known, n=1)
    return f', did you mean "{nearest[0]}"?' if nearest else ""


def one_of(names: Iterable[str]) -> str:
    """Spell out a choice of names. Purity: pure."""
    listed = [f'"{name}"' for name in names]
    return listed[0] if len(listed) == 1 else "one of " + ", ".join(listed)


def shown(value: Any) -> str:
    """Show a value of the file in a message. Purity: pure."""
    match value:
        case str():
            shortened = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
            return json.dumps(shortened, ensure_ascii=False)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if value.bit_length() <= 64 else "a number beyond 64 bits"
        case float():
            return str(value)
        case dict():
            return "a table"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "a date or time"


def repeated_ids(list_path: str, names: Sequence[str]) -> Iterator[Problem]:
    """Say which entries of a list have the id of an earlier one."""
    first_places: dict[str, int] = {}
    for index, name in enumerate(names):
        first = first_places.setdefault(name, index)
        if name and first < index:
            message = f'expected an id of its own, but {below(list_path, first)} is "{name}" too'
            yield Problem(below(below(list_path, index), "id"), message)
