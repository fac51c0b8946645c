"""Receipt filters in SQL, meaning what `ReceiptFilter.matches` means."""

from collections.abc import Container, Iterator
from operator import attrgetter
from typing import NamedTuple

import apsw

from wardwright.receipts.query import CLOCK_SLACK_S, ReceiptFilter
from wardwright.receipts.receipt import Summary
from wardwright.storage.sqlite_database import FACETS

_ABOVE_ALL = "\U0010ffff"
_LARGEST = 2**62  # beyond every time there is, and still a number for SQLite

Value = str | int | None


class Condition(NamedTuple):
    """A condition with its parameters."""

    sql: str
    values: tuple[Value, ...] = ()


NEVER = Condition("0")
"""What nothing meets."""

IS_OPEN = Condition("is_open")


def matching_ids(wanted: ReceiptFilter, columns: Container[str]) -> Condition:
    """The statement that finds the ids of a page, and one more where another page follows. Purity: pure.

    Args: columns: those of `FACETS` that there are.
    """
    conditions = list(_conditions(wanted, columns))
    where = " AND ".join(condition.sql for condition in conditions) or "1"
    values = tuple(value for condition in conditions for value in condition.values)
    sql = f"SELECT receipt_id FROM receipts WHERE {where} ORDER BY receipt_id DESC LIMIT ?"  # noqa: S608 - our own words
    return Condition(sql, (*values, wanted.limit + 1))


def ids_apart(found: apsw.Cursor, apart: int) -> list[str]:
    """Every so-manieth id of the receipts, descending. Reads an index from end to end."""
    sql = "SELECT receipt_id FROM receipts WHERE receipt_id < ? ORDER BY receipt_id DESC LIMIT 1 OFFSET ?"
    ids: list[str] = []
    below: str | None = _ABOVE_ALL
    while (below := found.execute(sql, (below, apart - 1)).get) is not None:
        ids.append(below)
    return ids


_facets = attrgetter(*FACETS)


def facets_of(summary: Summary | None) -> tuple[Value, ...]:
    """The columns `created_at`, `simulation` and `FACETS` of a receipt; nothing is known of one without an opening entry."""
    if summary is None:
        return (None,) * (2 + len(FACETS))
    return (summary.created_at, int(summary.simulation), *_facets(summary))


def time_conditions(wanted: ReceiptFilter) -> Iterator[Condition]:
    """When the receipt was opened. Purity: pure."""
    if is_bounded(wanted.created_at_min) or wanted.created_at_min > 0:
        yield Condition("created_at >= ?", (bounded(wanted.created_at_min),))
    if is_bounded(wanted.created_at_max) or wanted.created_at_max < 0:
        yield Condition("created_at <= ?", (bounded(wanted.created_at_max),))


def exact_condition(name: str, value: str | bool | None, columns: Container[str]) -> Condition:
    """That a field of the summary has a value: none has one that is no column. Purity: pure."""
    if value is None:
        return IS_OPEN  # no other field is asked for nothing
    if name == "simulation":
        return Condition("simulation = ?", (int(value),)) if isinstance(value, bool) else NEVER
    if name not in columns or not _is_encodable(str(value)):
        return NEVER
    return Condition(f"{name} = ?", (value,))


def is_bounded(seconds: float) -> bool:
    """Whether a time is one that a receipt may have been opened at. Purity: pure."""
    return -_LARGEST < seconds < _LARGEST


def bounded(seconds: float) -> int:
    """A time as SQLite can compare it. Purity: pure."""
    return int(max(-_LARGEST, min(_LARGEST, seconds)))


def _conditions(wanted: ReceiptFilter, columns: Container[str]) -> Iterator[Condition]:
    for name, value in wanted.exact:
        yield exact_condition(name, value, columns)
    if wanted.before is not None:
        yield Condition("receipt_id < ?", (wanted.before,))
    if wanted.least:
        yield Condition("receipt_id >= ?", (wanted.least,))
    for condition in time_conditions(wanted):
        yield Condition(f"+{condition.sql}", condition.values)  # by no index: ids are the order that is asked for
    yield from _time_as_ids(wanted)


def _time_as_ids(wanted: ReceiptFilter) -> Iterator[Condition]:
    """Between which ids a span of time is, so that nothing is looked at that is far from it. Ids sort by time, but for as much as a clock
    may be set back.
    """
    if is_bounded(wanted.created_at_max):
        sooner = "SELECT receipt_id FROM receipts WHERE created_at > ? ORDER BY created_at LIMIT 1"
        # A blob is above every text.
        yield Condition(f"receipt_id < coalesce(({sooner}), x'')", (bounded(wanted.created_at_max + CLOCK_SLACK_S),))
    if is_bounded(wanted.created_at_min):
        later = "SELECT receipt_id FROM receipts WHERE created_at < ? ORDER BY created_at DESC LIMIT 1"
        yield Condition(f"receipt_id > coalesce(({later}), '')", (bounded(wanted.created_at_min - CLOCK_SLACK_S),))


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
