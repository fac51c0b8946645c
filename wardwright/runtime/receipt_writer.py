"""The writing side of one receipt: events in, durable entries out, whatever happens to the checkpointer in between."""

import os
from collections.abc import Callable

from supervisors import ActorDown, CallTimeout, MailboxFull, NamedRef
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import Closed, Event
from wardwright.runtime.bus import Bus
from wardwright.runtime.checkpointer import Append

_PATIENCE_S = 10.0
_SALT_BYTES = 16


class ReceiptWriter:
    """Seals the events of one receipt in order and has the checkpointer store them.

    An entry stays in hand until it is known to be durable; when the checkpointer dies with the outcome unknown it is sent again. Then,
    if the bus hears requests, `tell` gets the event.
    """

    def __init__(
        self,
        receipt_id: str,
        *,
        checkpointer: NamedRef,
        now: Callable[[], float],
        bus: Bus,
        tell: Callable[[Event], None],
    ) -> None:
        self.receipt_id = receipt_id
        self.is_closed = False
        self._checkpointer = checkpointer
        self._now = now
        self._chain = Chain(receipt_id, draw_salt=_draw_salt)
        self._bus = bus
        self._tell = tell
        self._unwritten: list[bytes] = []
        self._untold: list[Event] = []

    @property
    def is_settled(self) -> bool:
        """Whether the receipt is closed and every entry known to be durable."""
        return self.is_closed and not self._unwritten

    def note(self, event: Event) -> None:
        """Add a fact that may reach the disk together with the next recorded one."""
        if self.is_closed:
            return
        self.is_closed = isinstance(event, Closed)
        self._unwritten.append(self._chain.seal(event, self._now()))
        if self._bus.hears_requests:
            self._untold.append(event)

    async def record(self, *events: Event) -> None:
        """Add facts and return when they, and everything noted before, are durable.

        Raises: StorageUnavailable. The entries stay in hand: a later call tries them again.
        Cancellation: cancel point; entries may or may not be stored, and sending them again is harmless.
        """
        for event in events:
            self.note(event)
        while self._unwritten:
            batch, told = tuple(self._unwritten), len(self._untold)
            try:
                await self._checkpointer.call(Append(batch), timeout=_PATIENCE_S)
            except ActorDown as down:
                if not down.started:
                    raise StorageUnavailable("the receipt store is restarting and was not back in time") from down
            except CallTimeout as slow:
                raise StorageUnavailable(f"the receipt store did not answer within {_PATIENCE_S:g} seconds") from slow
            except MailboxFull as full:
                raise StorageUnavailable("more receipts are waiting for the disk than the store may queue") from full
            else:
                del self._unwritten[: len(batch)]
                if told:
                    self._tell_those(told)

    def _tell_those(self, count: int) -> None:
        """Tell watchers of so many facts, which are on disk by now."""
        for event in self._untold[:count]:
            self._tell(event)
        del self._untold[:count]


def _draw_salt() -> str:
    return os.urandom(_SALT_BYTES).hex()
