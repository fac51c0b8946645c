"""What a report shows of a value: plain data, and not much of it.

Pure. A view that an actor makes of itself may hold anything, and a report is made at the worst of moments. So what goes
into one is cut to a size that can be read and logged, and is no longer the value itself: nobody who keeps a report
keeps anything else alive.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

LONGEST = 200
"""Characters of a text."""

MOST = 20
"""Members of a collection."""

DEEPEST = 4
"""Collections within each other."""


def shorten(value: object, depth: int = 0) -> object:
    """Reduce a value to texts, numbers, lists and mappings within the bounds; what was left out is named."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return _listing(value, len(value), depth)
    return _shown(value)


def shorten_view(view: Mapping[str, object]) -> dict[str, object]:
    """Reduce what an actor shows of itself."""
    return _entries(view, 0)


def _mapping(value: Mapping[object, object], depth: int) -> object:
    return f"<{len(value)} entries>" if depth == DEEPEST else _entries(value, depth)


def _entries(value: Mapping[Any, object], depth: int) -> dict[str, object]:
    shown: dict[str, object] = {
        _cut(str(key)): shorten(member, depth + 1) for key, member in islice(value.items(), MOST)
    }
    if len(value) > MOST:
        shown["…"] = f"<{len(value) - MOST} more>"
    return shown


def _listing(value: Iterable[object], length: int, depth: int) -> object:
    if depth == DEEPEST:
        return f"<{length} members>"
    shown = [shorten(member, depth + 1) for member in islice(value, MOST)]
    if length > MOST:
        shown.append(f"<{length - MOST} more>")
    return shown


def _shown(value: object) -> str:
    try:
        return _cut(repr(value))
    except Exception as error:  # noqa: BLE001 what cannot be shown is named
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… <{len(text) - LONGEST} more>"
