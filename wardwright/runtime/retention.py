"""What goes by itself when it is older than it is kept for: receipts, and before them their content and their events.

It is done at the start and once an hour, in steps between which receipts are written. What a crash here loses: nothing; the next
hour does it.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import msgspec
import structlog

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptStore
from wardwright.runtime.identity import first_receipt_id
from wardwright.runtime.old_receipts import Choice, Course, Step, content_of, events_of, steps
from wardwright.runtime.pace import Pace
from wardwright.runtime.worker import Worker

_INTERVAL_S = 3600.0

_log = structlog.get_logger("wardwright.storage")


class Terms(msgspec.Struct, frozen=True):
    """How long receipts, and the content and the events in them, are kept, in seconds; None for good, or for as long as the receipt."""

    receipts_s: float | None = None
    content_s: float | None = None
    events_s: float | None = None


KEEP_EVERYTHING = Terms()


class Aging:
    """One thing in receipts that goes before they do. `mark` says in the store how far it has."""

    def __init__(self, mark: str, choose: Choice, term_s: float | None) -> None:
        self.mark = mark
        self.choose = choose
        self.term_s = term_s
        self.replaced = 0
        """Entries of which less is left than there was."""


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
        self.content = Aging("content-erased-below", content_of, terms.content_s)
        self.events = Aging("events-faded-below", events_of, terms.events_s)

    @property
    def is_wanted(self) -> bool:
        """Whether anything ever goes."""
        return self._terms != KEEP_EVERYTHING

    async def follow(self) -> None:
        """Let go of what is too old, for as long as the store is written to. Cancellation: cancel point; a step is taken to its end."""
        while True:
            if self._terms.receipts_s is not None:
                await _as_far_as_can_be(self._forget(self._before(self._terms.receipts_s)))
            for aging in (self.content, self.events):
                if aging.term_s is not None:
                    await _as_far_as_can_be(self._replace(aging, self._before(aging.term_s)))
            await anyio.sleep(_INTERVAL_S)

    def _before(self, term_s: float) -> str:
        """The id below which receipts are older than a term."""
        return first_receipt_id(self._now() - term_s)

    async def _forget(self, before: str) -> None:
        while forgotten := await self._worker.run(partial(self._store().forget, before)):
            self.forgotten += forgotten

    async def _replace(self, aging: Aging, below: str) -> None:
        """Go through the receipts that have become old enough since the last time."""
        store = self._store()
        course = Course.decode(await self._worker.run(partial(store.mark, aging.mark)))
        coming = steps(store, aging.choose, course, below, Pace())
        while (step := await self._worker.run(partial(next, coming, None))) is not None:
            await self._worker.run(partial(_take, store, aging.mark, step))
            aging.replaced += len(step.left)


async def _as_far_as_can_be(letting_go: Awaitable[None]) -> None:
    """Let one kind of thing go; what keeps it, such as damage somewhere, is told and keeps nothing else."""
    try:
        await letting_go
    except StorageUnavailable as error:
        _log.warning("what is old enough to go could not be let go of", problem=error.message)


def _take(store: ReceiptStore, mark: str, step: Step) -> None:
    """Take a step, and keep how far it has gone. With nothing left a step may still end what one before it could not."""
    store.replace(step.left)
    store.set_mark(mark, step.course.encode())
