"""Erasing a person's receipts, step by step.

A step is bounded by how many receipts it looks at and how much it puts into their place, so that whoever writes receipts meanwhile
waits for no more than that. Steps may be taken again: what was erased has nothing left to erase.
"""

import math
from typing import NamedTuple

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.receipts.erasure import erased
from wardwright.receipts.query import ReceiptFilter, cursor
from wardwright.receipts.receipt import Summary

MOST_RECEIPTS = 200
MOST_BYTES = 8_388_608


class Erased(msgspec.Struct, frozen=True):
    """What a step has erased, or would erase: receipts, and entries of theirs. `open` receipts are left as they are until they are closed.

    `next_cursor` is where the next step begins; null after the last.
    """

    receipts: int = 0
    entries: int = 0
    open: int = 0
    next_cursor: str | None = None


class Chosen(NamedTuple):
    """Receipts that a filter matches and that were opened before a time, in Unix seconds.

    Filters know whole seconds only, and what is erased by mistake is gone: so the filter takes in the second that the time is in, and
    receipts of that second are looked at.
    """

    wanted: ReceiptFilter
    before: float = math.inf


def receipts_of(
    user_id: str, tenant_id: str | None = None, before: float | None = None, going_on: str | None = None
) -> Chosen:
    """The receipts of one person, of those opened before a time (Unix seconds). Purity: pure.

    Raises: RequestError when `going_on` is no cursor.
    """
    tenant = () if tenant_id is None else (("tenant_id", tenant_id),)
    latest = math.inf if before is None else math.ceil(before) - 1
    wanted = ReceiptFilter((("consuming_user_id", user_id), *tenant), created_at_max=latest, limit=MOST_RECEIPTS)
    return Chosen(wanted if going_on is None else wanted.going_on(going_on), math.inf if before is None else before)


def erase(store: ReceiptStore, chosen: Chosen, *, dry_run: bool = False) -> Erased:
    """Erase caller and content of the next of the chosen receipts; with `dry_run` only count them.

    Raises: StorageUnavailable, also for a store that cannot erase.
    """
    if Capability.RETENTION_JOBS not in store.capabilities:
        raise StorageUnavailable("this kind of storage cannot erase anything")
    page = store.page(chosen.wanted)
    next_cursor = page.next_cursor
    receipts = open_receipts = size = 0
    left: list[bytes] = []
    for summary in page.data:
        if size >= MOST_BYTES:
            break
        next_cursor = page.next_cursor if summary is page.data[-1] else cursor(summary.receipt_id)
        if not _is_before(store, summary, chosen.before):
            continue
        if summary.status is None:
            open_receipts += 1
            continue
        payloads = store.payloads(summary.receipt_id)
        some = [payload for payload in map(erased, payloads) if payload is not None]
        receipts += bool(some)
        size += sum(map(len, payloads))
        left += some
    if not dry_run:
        store.replace(left)  # nothing, too: what could not be overwritten when it was asked before is then
    return Erased(receipts, len(left), open_receipts, next_cursor)


def _is_before(store: ReceiptStore, summary: Summary, before: float) -> bool:
    """Whether a receipt was opened before a time. Raises: StorageUnavailable."""
    if summary.created_at + 1 <= before:
        return True
    entries = store.entries(summary.receipt_id)
    return bool(entries) and entries[0].at < before
