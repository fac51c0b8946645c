"""Erasing a person's receipts, step by step.

A step is bounded by how many receipts it looks at and how much it puts into their place, so that whoever writes receipts meanwhile
waits for no more than that. Steps may be taken again: what was erased has nothing left to erase.
"""

import math

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.receipts.erasure import erased
from wardwright.receipts.query import ReceiptFilter, cursor

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


def receipts_of(
    user_id: str, tenant_id: str | None = None, before: float | None = None, going_on: str | None = None
) -> ReceiptFilter:
    """The receipts of one person, of those opened before a time (Unix seconds). Purity: pure.

    Raises: RequestError when `going_on` is no cursor.
    """
    tenant = () if tenant_id is None else (("tenant_id", tenant_id),)
    latest = math.inf if before is None else math.ceil(before) - 1
    wanted = ReceiptFilter((("consuming_user_id", user_id), *tenant), created_at_max=latest, limit=MOST_RECEIPTS)
    return wanted if going_on is None else wanted.going_on(going_on)


def erase(store: ReceiptStore, wanted: ReceiptFilter, *, dry_run: bool = False) -> Erased:
    """Erase caller and content of the next receipts that a filter matches; with `dry_run` only count them.

    Raises: StorageUnavailable, also for a store that cannot erase.
    """
    if Capability.RETENTION_JOBS not in store.capabilities:
        raise StorageUnavailable("this kind of storage cannot erase anything")
    page = store.page(wanted)
    next_cursor = page.next_cursor
    receipts = open_receipts = size = 0
    left: list[bytes] = []
    for summary in page.data:
        if size >= MOST_BYTES:
            break
        next_cursor = page.next_cursor if summary is page.data[-1] else cursor(summary.receipt_id)
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
