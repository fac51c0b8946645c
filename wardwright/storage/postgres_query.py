"""Receipt filters in PostgreSQL's SQL, meaning what `ReceiptFilter.matches` means.

A column holds the very text that a receipt has, unless PostgreSQL could not keep it (a text has no NUL there) or not index it (an index
entry has less than 2.7 KB). Then it holds a digest, which is asked for in the same way.
"""

from collections.abc import Container, Iterator
from hashlib import sha256
from typing import NamedTuple

from wardwright.receipts.query import ReceiptFilter
from wardwright.receipts.receipt import Summary
from wardwright.storage.sqlite_database import FACETS

_LONGEST = 200
_DIGEST = "sha256-of:"
_LARGEST = 2**62  # beyond every time there is, and still a number for PostgreSQL

Value = str | int | bool | None


class Condition(NamedTuple):
    """A condition with its parameters."""

    sql: str
    values: tuple[Value, ...] = ()


_NEVER = Condition("false")


def matching_ids(wanted: ReceiptFilter, columns: Container[str]) -> Condition:
    """The statement that finds the ids of a page, and one more where another page follows. Purity: pure.

    Args: columns: those of `FACETS` that there are.
    """
    conditions = list(_conditions(wanted, columns))
    where = " AND ".join(condition.sql for condition in conditions) or "true"
    values = tuple(value for condition in conditions for value in condition.values)
    sql = f"SELECT receipt_id FROM receipts WHERE {where} ORDER BY receipt_id DESC LIMIT %s"  # noqa: S608 - our own words
    return Condition(sql, (*values, wanted.limit + 1))


def facets_of(summary: Summary | None) -> tuple[Value, ...]:
    """The columns `created_at`, `simulation` and `FACETS` of a receipt; nothing is known of one without an opening entry."""
    if summary is None:
        return (None,) * (2 + len(FACETS))
    return (summary.created_at, summary.simulation, *(_column(getattr(summary, name)) for name in FACETS))


def key_of_value(value: str) -> str:
    """What a column holds for a text."""
    if len(value) <= _LONGEST and "\0" not in value and not value.startswith(_DIGEST):
        return value
    return _DIGEST + sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def can_be_kept(text: str) -> bool:
    """Whether PostgreSQL can have such a text at all."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _column(value: str | None) -> str | None:
    return None if value is None else key_of_value(value)


def _conditions(wanted: ReceiptFilter, columns: Container[str]) -> Iterator[Condition]:
    for name, value in wanted.exact:
        yield _exact(name, value, columns)
    if wanted.before is not None:
        yield Condition("receipt_id < %s", (wanted.before,))
    if wanted.least:
        yield Condition("receipt_id >= %s", (wanted.least,))
    if wanted.created_at_min > -_LARGEST:
        yield Condition("created_at >= %s", (_bounded(wanted.created_at_min),))
    if wanted.created_at_max < _LARGEST:
        yield Condition("created_at <= %s", (_bounded(wanted.created_at_max),))


def _exact(name: str, value: str | bool | None, columns: Container[str]) -> Condition:
    if value is None:
        return Condition("is_open")  # no other field is asked for nothing
    if name == "simulation":
        return Condition("simulation = %s", (value,)) if isinstance(value, bool) else _NEVER
    key = key_of_value(str(value))
    if name not in columns or not can_be_kept(key):
        return _NEVER
    return Condition(f"{name} = %s", (key,))


def _bounded(seconds: float) -> int:
    return int(max(-_LARGEST, min(_LARGEST, seconds)))
