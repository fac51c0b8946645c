"""What goes by itself: receipts, and before them their content, when they are older than they are kept for.

It is done at the start and once an hour, in steps between which receipts are written. What a crash here loses: nothing; the next
hour does it.
"""

from collections.abc import Callable
from functools import partial

import anyio
import msgspec
import structlog

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptStore
from wardwright.runtime.erasure import content_to_erase
from wardwright.runtime.identity import first_receipt_id
from wardwright.runtime.worker import Worker

_INTERVAL_S = 3600.0
_CONTENT_MARK = "content-erased-below"

_log = structlog.get_logger("wardwright.storage")


class Terms(msgspec.Struct, frozen=True):
    """How long receipts, and the content in them, are kept, in seconds; None for good."""

    receipts_s: float | None = None
    content_s: float | None = None


KEEP_EVERYTHING = Terms()


class Retention:
    """Lets go of what is too old. `worker` is a thread beside the one that writes receipts."""

    def __init__(
        self, terms: Terms, store: Callable[[], ReceiptStore], worker: Worker, *, now: Callable[[], float]
    ) -> None:
        self._terms = terms
        self._store = store
        self._worker = worker
        self._now = now
        self.forgotten = 0
        """Receipts that are gone."""
        self.erased = 0
        """Entries whose content is gone."""

    @property
    def is_wanted(self) -> bool:
        """Whether anything ever goes."""
        return self._terms != KEEP_EVERYTHING

    async def follow(self) -> None:
        """Let go of what is too old, for as long as the store is written to. Cancellation: cancel point; a step is taken to its end."""
        while True:
            try:
                if self._terms.receipts_s is not None:
                    await self._forget(first_receipt_id(self._now() - self._terms.receipts_s))
                if self._terms.content_s is not None:
                    await self._erase_content(first_receipt_id(self._now() - self._terms.content_s))
            except StorageUnavailable as error:
                _log.warning("what is old enough to go could not be let go of", problem=error.message)
            await anyio.sleep(_INTERVAL_S)

    async def _forget(self, before: str) -> None:
        while forgotten := await self._worker.run(partial(self._store().forget, before)):
            self.forgotten += forgotten

    async def _erase_content(self, below: str) -> None:
        """Go through the receipts that have become old enough since the last time; a mark in the store says up to where that was."""
        store = self._store()
        done = await self._worker.run(partial(store.mark, _CONTENT_MARK)) or b""
        steps = content_to_erase(store, below=below, not_below=done.decode())
        while (left := await self._worker.run(partial(next, steps, None))) is not None:
            if left:
                await self._worker.run(partial(store.replace, left))
                self.erased += len(left)
        await self._worker.run(partial(store.set_mark, _CONTENT_MARK, below.encode()))
