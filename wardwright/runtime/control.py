"""What operators have decided, for everybody to read, and the way to add to it.

The checkpointer writes the control log and folds it; the state it has come to is on the board. Whoever decides - the catalog for
models, the keys' actor for keys - checks against the board, has the checkpointer make the decision durable, and finds it on the
board when the answer comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import anyio

from supervisors import ActorDown, Call, CallTimeout, MailboxFull, NamedRef
from wardwright.domain.control import ControlEvent
from wardwright.domain.control_state import ControlState
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.runtime.control_facts import fact_of
from wardwright.runtime.visible import Tell, tell_nobody

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Decide(Call[ControlState]):
    """Make these events durable, in this order. Answered, once they are on the board, with the state they led to.

    Fails with StorageUnavailable, or with Contradiction when they cannot follow what is known; then none of them counts. Sending the
    same events again is harmless.
    """

    events: tuple[ControlEvent, ...]


class ControlBoard:
    """The state of the control log. Written by the checkpointer alone.

    `changed` is set when another state takes the place of this one; there is a new event then.
    """

    def __init__(self, tell: Tell = tell_nobody) -> None:
        self.state = ControlState()
        self._tell = tell
        self.changed = anyio.Event()
        self._log: ControlLog | None = None

    @property
    def log(self) -> ControlLog:
        """The open log, for the checkpointer to write to.

        Raises: StorageUnavailable while there is none.
        """
        if self._log is None:
            raise StorageUnavailable("the control log is not open yet")
        return self._log

    def replace_log(self, log: ControlLog | None) -> None:
        """Make `log` the current one and close the one before it; blocks while that one is being written to."""
        before, self._log = self._log, log
        if before is not None and before is not log:
            before.close()

    def show(self, state: ControlState, events: Iterable[ControlEvent] = ()) -> None:
        """Put a state in the place of the current one; `events` are the decisions that led to it, for those who watch."""
        changed, self.state, self.changed = self.changed, state, anyio.Event()
        changed.set()
        for event in events:
            self._tell(fact_of(event))


async def decide(checkpointer: NamedRef, *events: ControlEvent) -> ControlState:
    """Have events made durable; sent again for as long as the outcome is not known.

    Raises: StorageUnavailable, Contradiction.
    Cancellation: cancel point; the events may count or not.
    """
    while True:
        try:
            return await checkpointer.call(Decide(events), timeout=_PATIENCE_S)
        except ActorDown as down:
            if not down.started:
                raise StorageUnavailable("the control log is restarting and was not back in time") from down
        except CallTimeout as slow:
            raise StorageUnavailable(f"the control log did not answer within {_PATIENCE_S:g} seconds") from slow
        except MailboxFull as full:
            raise StorageUnavailable("more is waiting for the disk than the control log may queue") from full
