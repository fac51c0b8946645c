"""Erasing a person's receipts, as operators ask for it: one bounded step at a time, each durable when it is answered."""

from supervisors import ActorDown, CallTimeout, MailboxFull, System
from wardwright.domain.errors import StorageUnavailable
from wardwright.runtime.checkpointer import Erase
from wardwright.runtime.erasure import Chosen, Erased
from wardwright.runtime.tree import STORAGE

_PATIENCE_S = 300.0
"""A step may make several segments of a log anew."""


class Erasures:
    """What operators do with what was recorded of people. Safe for concurrent use from the one event loop."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def step(self, chosen: Chosen, *, dry_run: bool) -> Erased:
        """Erase the next of the chosen receipts, or count them.

        Raises: StorageUnavailable; the step may be taken again.
        Cancellation: cancel point; the receipts may be erased or not.
        """
        while True:
            try:
                return await self._system.named(STORAGE).call(Erase(chosen, dry_run), timeout=_PATIENCE_S)
            except ActorDown as down:
                if not down.started:
                    raise StorageUnavailable("the receipt store is restarting and was not back in time") from down
            except CallTimeout as slow:
                raise StorageUnavailable(f"the receipt store did not answer within {_PATIENCE_S:g} seconds") from slow
            except MailboxFull as full:
                raise StorageUnavailable("more is waiting for the disk than the receipt store may queue") from full
