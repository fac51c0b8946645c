"""When an actor may go passive: it has had nothing to do for as long as its spec says, or it has asked to.

There is one deadline for an actor's whole life, and no message moves it. It falls due, finds how long the actor has
been silent, and puts itself off by what is missing: so a busy actor pays for its idleness once in a while, and nothing
per message.
"""

from typing import Any, Final

from supervisors._child_spec import ChildSpec
from supervisors._mail import MailCell
from supervisors._timers import Deadline

NOTHING: Final = object()
"""What an actor was left with that has never been passive."""


class Idleness(Deadline):
    """What an actor whose spec has `passivate_after` knows about going passive and having been so.

    Attributes:
        asked: whether it is to go passive before the next message, if nothing is under way.
        since: since when it has waited for a message.
        spec: what the next cell of this incarnation is to be made from.
        kept: what it had left when it went passive, until it has taken that up again.
        held: whether it was suspended while it was passive.
    """

    __slots__ = ("_cell", "_seconds", "asked", "held", "kept", "since", "spec")

    def __init__(self, cell: MailCell, spec: ChildSpec, seconds: float) -> None:
        self.settled = True
        self.asked = False
        self.since = 0.0
        self.spec = spec
        self.kept: Any = NOTHING
        self.held = False
        self._cell = cell
        self._seconds = seconds

    @property
    def resumes(self) -> bool:
        """Whether the actor was passive before, and has not taken up yet what it had left."""
        return self.kept is not NOTHING

    def watch(self) -> None:
        """Begin to count, if nobody does yet."""
        self.asked = False
        self.since = self._cell.hub.backend.now()
        if self.settled:
            self._look_at(self.since + self._seconds)

    def end(self) -> None:
        """Count no more: the actor is passive or dead."""
        if not self.settled:
            self._cell.hub.timers.discard(self)

    def due(self) -> None:
        """Have the actor go passive if it has been silent for long enough, or look again when it may have been."""
        self.settled = True
        now = self._cell.hub.backend.now()
        when = (now if self._cell.is_busy else self.since) + self._seconds
        if when > now:
            self._look_at(when)
        else:
            self.asked = True
            self._cell.call_away()

    def _look_at(self, when: float) -> None:
        self.settled = False
        self._cell.hub.timers.add(when, self)
