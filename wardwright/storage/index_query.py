"""How a filter is answered from the index of a log: which receipts match, newest first, looking at a bounded number of them.

One index of the database drives the search, that of the condition which the fewest receipts meet; the others are looked up. So a page
costs what it shows where one condition is rare, and is bounded where none is.
"""

from array import array
from collections.abc import Container, Sequence
from typing import NamedTuple

import apsw

from wardwright.receipts.query import CLOCK_SLACK_S, ReceiptFilter
from wardwright.storage.sqlite_query import (
    IS_OPEN,
    NEVER,
    Condition,
    bounded,
    exact_condition,
    is_bounded,
    time_conditions,
)

MOST_LOOKED_AT = 2_000


class Scan(NamedTuple):
    """Receipts with their places, by descending id; the last id that was looked at, None when nothing is left below; and how many were."""

    receipts: list[tuple[str, Sequence[int]]]
    reached: str | None
    looked_at: int


class Search(NamedTuple):
    """What to look for: the condition whose index drives, the others, and between which ids."""

    through: str
    driving: Condition
    others: list[Condition]
    before: str | None
    after: str | None
    least: str


def narrowed(found: apsw.Cursor, wanted: ReceiptFilter, before: str | None, columns: Container[str]) -> Search:
    """Choose the condition that drives, and turn times into ids, which sort by time but for as much as a clock may be set back.

    Args: columns: those of `FACETS` that there are.
    """
    conditions = [(name, exact_condition(name, value, columns)) for name, value in wanted.exact]
    driven = [(name, condition) for name, condition in conditions if name in columns and condition != NEVER]
    driver = _rarest(found, driven, before)
    others = [condition for name, condition in conditions if name != driver] + list(time_conditions(wanted))
    sooner = _id_after(found, wanted.created_at_max + CLOCK_SLACK_S)
    return Search(
        through="receipts_by_id" if driver is None else _index_of(driver, dict(driven)[driver]),
        driving=Condition("1") if driver is None else dict(driven)[driver],
        others=others,
        before=before if sooner is None or (before is not None and before < sooner) else sooner,
        after=_id_before(found, wanted.created_at_min - CLOCK_SLACK_S),
        least=wanted.least,
    )


def matching(found: apsw.Cursor, search: Search, below: str, at_most: int) -> Scan:
    """Look for receipts; closed ones below the bound of forgetting are none."""
    where, values = [search.driving.sql], list(search.driving.values)
    for comparison, limit in (("<", search.before), (">", search.after), (">=", search.least or None)):
        if limit is not None:
            where.append(f"receipt_id {comparison} ?")
            values.append(limit)
    others = [*search.others, Condition("(receipt_id >= ? OR is_open)", (below,))]
    rest = " AND ".join(condition.sql for condition in others)
    sql = (
        f"SELECT receipt_id, CASE WHEN {rest} THEN places END FROM receipts INDEXED BY {search.through} "  # noqa: S608 - our own words
        f"WHERE {' AND '.join(where)} ORDER BY receipt_id DESC LIMIT {MOST_LOOKED_AT}"
    )
    rest_values = [value for condition in others for value in condition.values]
    receipts: list[tuple[str, Sequence[int]]] = []
    if NEVER in others:
        return Scan(receipts, None, 0)
    looked_at, receipt_id = 0, ""
    cursor = found.connection.cursor()
    try:
        for receipt_id, places in cursor.execute(sql, (*rest_values, *values)):
            looked_at += 1
            if places is not None:
                unpacked = array("Q")
                unpacked.frombytes(places)
                receipts.append((receipt_id, unpacked))
                if len(receipts) == at_most:
                    break
    finally:
        cursor.close(force=True)
    is_all = looked_at < MOST_LOOKED_AT and len(receipts) < at_most
    return Scan(receipts, None if is_all else receipt_id, looked_at)


def _index_of(name: str, condition: Condition) -> str:
    return "open_receipts" if condition == IS_OPEN else f"receipts_by_{name}"


def _rarest(found: apsw.Cursor, driven: Sequence[tuple[str, Condition]], before: str | None) -> str | None:
    """The name of the condition that the fewest receipts meet, as far as it is worth counting; None when there is none."""
    if len(driven) < 2:
        return driven[0][0] if driven else None
    counts: dict[str, int] = {}
    for name, condition in driven:
        above = "" if before is None else "AND receipt_id < ?"
        sql = (
            f"SELECT count(*) FROM (SELECT 1 FROM receipts INDEXED BY {_index_of(name, condition)} "  # noqa: S608 - our own words
            f"WHERE {condition.sql} {above} LIMIT {MOST_LOOKED_AT})"
        )
        values = condition.values if before is None else (*condition.values, before)
        counts[name] = int(str(found.execute(sql, values).get))
    return min(counts, key=lambda name: counts[name])


def _id_after(found: apsw.Cursor, at: float) -> str | None:
    """An id above which no receipt was opened at that time or before; None when nothing is known."""
    if not is_bounded(at):
        return None
    sql = "SELECT receipt_id FROM receipts WHERE created_at > ? ORDER BY created_at LIMIT 1"
    above: str | None = found.execute(sql, (bounded(at),)).get
    return above


def _id_before(found: apsw.Cursor, at: float) -> str | None:
    """An id below which no receipt was opened at that time or after; None when nothing is known."""
    if not is_bounded(at):
        return None
    sql = "SELECT receipt_id FROM receipts WHERE created_at < ? ORDER BY created_at DESC LIMIT 1"
    under: str | None = found.execute(sql, (bounded(at),)).get
    return under
