"""Erasing a person's receipts, step by step.

A step is bounded by how many receipts it looks at and how much it puts into their place, so that whoever writes receipts meanwhile
waits for no more than that. Steps may be taken again: what was erased has nothing left to erase.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.receipts.erasure import erased
from wardwright.receipts.query import Page, ReceiptFilter, cursor
from wardwright.receipts.receipt import Summary
from wardwright.runtime.pace import unpaced

PAGE = 200
"""So many receipts are looked at together: a database sends them all at once, with their content."""

MOST_PAGES = 5
"""So many are of one step: the file store makes every segment anew that it finds a receipt in, at each step."""

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
    wanted = ReceiptFilter((("consuming_user_id", user_id), *tenant), created_at_max=latest, limit=PAGE)
    return Chosen(wanted if going_on is None else wanted.going_on(going_on), math.inf if before is None else before)


def erase(store: ReceiptStore, chosen: Chosen, *, dry_run: bool = False, pace: Callable[[], None] = unpaced) -> Erased:
    """Erase caller and content of the next of the chosen receipts; with `dry_run` only count them. `pace` is called for each of them.

    Raises: StorageUnavailable, also for a store that cannot erase.
    """
    if Capability.RETENTION_JOBS not in store.capabilities:
        raise StorageUnavailable("this kind of storage cannot erase anything")
    step, next_cursor = _Step(store, chosen.before, pace), None
    for _ in range(MOST_PAGES):
        next_cursor = step.take(store.page(chosen.wanted))
        if next_cursor is None or step.size >= MOST_BYTES:
            break
        chosen = chosen._replace(wanted=chosen.wanted.going_on(next_cursor))
    if not dry_run:
        store.replace(step.left)  # nothing, too: what could not be overwritten when it was asked before is then
    return Erased(step.receipts, len(step.left), step.open_receipts, next_cursor)


class _Step:
    """What of a store is to be replaced in one step: it is looked at page by page, and replaced at once."""

    def __init__(self, store: ReceiptStore, before: float, pace: Callable[[], None]) -> None:
        self._store = store
        self._before = before
        self._pace = pace
        self.left: list[bytes] = []
        self.receipts = 0
        self.open_receipts = 0
        self.size = 0
        """Bytes of the receipts that were looked at for that."""

    def take(self, page: Page) -> str | None:
        """Look at the receipts of a page until there are enough bytes of them; tell where to go on. Raises: StorageUnavailable."""
        for summary in page.data:
            self._look_at(summary)
            self._pace()
            if self.size >= MOST_BYTES and summary is not page.data[-1]:
                return cursor(summary.receipt_id)
        return page.next_cursor

    def _look_at(self, summary: Summary) -> None:
        if not _is_before(self._store, summary, self._before):
            return
        if summary.status is None:
            self.open_receipts += 1
            return
        payloads = self._store.payloads(summary.receipt_id)
        some = [payload for payload in map(erased, payloads) if payload is not None]
        self.receipts += bool(some)
        self.size += sum(map(len, payloads))
        self.left += some


def _is_before(store: ReceiptStore, summary: Summary, before: float) -> bool:
    """Whether a receipt was opened before a time. Raises: StorageUnavailable."""
    if summary.created_at + 1 <= before:
        return True
    entries = store.entries(summary.receipt_id)
    return bool(entries) and entries[0].at < before
