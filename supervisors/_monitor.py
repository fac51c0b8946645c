"""Monitors: one-way news of a death.

Each monitor brings exactly one `Down`, even for a target that is dead already. It shares the queue of the watcher's
messages, so whatever the target sent before it died comes first. Taking a monitor off with `flush` also hides a `Down`
which is queued already.
"""

from dataclasses import dataclass

from supervisors._backend import Waiter
from supervisors._member import Hub, Member
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, NamedRef, cell_of


@dataclass(frozen=True, slots=True)
class Down:
    """The target of a monitor is dead.

    Attributes:
        ref: the handle which the monitor was made with.
        reason: how it ended; `noproc` when it was dead already.
        monitor: the monitor, which has done its duty.
    """

    ref: ActorRef | NamedRef
    reason: ExitReason
    monitor: "MonitorRef"


class MonitorRef:
    """One watch over one target: exactly one `Down`, or none after `demonitor`."""

    __slots__ = ("_down", "_hub", "_sleeper", "_target", "_watcher", "flushed", "ref")

    def __init__(self, hub: Hub, ref: ActorRef | NamedRef, watcher: Member | None = None) -> None:
        self.ref = ref
        self.flushed = False
        self._hub = hub
        self._watcher = None if watcher is None else ActorRef(watcher)
        self._target: ActorRef | None = None
        self._down: Down | None = None
        self._sleeper: Waiter | None = None
        target = cell_of(ref)
        if target is None or target.exit_reason is not None:
            self.down(ExitReason.NOPROC)
            return
        self._target = ActorRef(target)
        target.watch(self)
        if watcher is not None:
            watcher.at_exit(self.demonitor)

    def down(self, reason: ExitReason) -> None:
        """Pass the news on; called by the target at its death."""
        self._target = None
        self._down = Down(self.ref, reason, self)
        if self._watcher is not None:
            self._watcher._cell.forget_exit(self.demonitor)
            self._watcher._cell.signal(self._down)
        if self._sleeper is not None:
            self._sleeper.wake()

    def demonitor(self, flush: bool = True) -> None:
        """Stop watching; with `flush`, a `Down` which waits in the mailbox is dropped too."""
        self.flushed = flush
        if self._target is not None:
            self._target._cell.unwatch(self)
            self._target = None
        if self._watcher is not None:
            self._watcher._cell.forget_exit(self.demonitor)

    async def wait(self) -> Down:
        """Sleep until the target is dead: for watchers that are not actors.

        Cancellation: cancel point; the monitor stays.
        """
        while self._down is None:
            self._sleeper = self._hub.backend.new_waiter()
            await self._sleeper
        return self._down
