"""What an actor's cell does beside the mailbox: helper tasks, bonds to others, and the reaping of what it leaves behind.

A helper is a task linked to its actor. It dies with the actor, and its crash is the actor's. It runs outside the
mailbox, so it may call its own actor, and no handler waits for it.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from anyio import TaskHandle

from supervisors._backend import Waiter
from supervisors._cell import Cell
from supervisors._failure import contain
from supervisors._link import Exit, link, unlink
from supervisors._member import Hub, Member
from supervisors._monitor import MonitorRef
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, NamedRef
from supervisors.events import UnexpectedMessage
from supervisors.exceptions import ActorDown, ForeignCancellation


class Helper:
    """A linked task of an actor, made by `Actor.spawn`. Its actor is not dead before it has ended.

    Attributes:
        done: whether it has ended.
    """

    __slots__ = ("_cancelled", "_host", "_task", "done")

    def __init__(self, host: "HostCell") -> None:
        self.done = False
        self._host = host
        self._cancelled = False
        self._task: TaskHandle[None, None] | None = None

    def start(self, body: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        """Give the helper its task."""
        name = f"{self._host.path} {getattr(body, '__name__', 'helper')}"
        self._task = self._host.hub.spawn(self._run(body, args), name)

    def cancel(self) -> None:
        """End the helper alone; its actor goes on."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Sleep until the helper has ended, in whatever way.

        Cancellation: cancel point; the helper goes on.
        """
        if self._task is not None:
            await self._task.wait()

    async def _run(self, body: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        try:
            await body(*args)
        except BaseException as error:  # noqa: BLE001 whatever ends a helper ends its actor, never the tree
            reason = contain(error, self._host.hub)
            if not (self._cancelled and isinstance(reason.error, ForeignCancellation)):
                self._host.helper_failed(reason)
        finally:
            self.done = True
            self._host.helper_ended(self)


class HostCell(Cell):
    """A member that runs code of its own: it may have helpers, and it ends only after all it has started."""

    __slots__ = ("_helpers", "_reaper", "unexpected_types")

    def __init__(self, hub: Hub, path: str, child_id: str, parent: Cell | None) -> None:
        super().__init__(hub, path, child_id, parent)
        self._helpers: dict[Helper, None] | None = None
        self.unexpected_types: set[tuple[str, type]] | None = None
        self._reaper: Waiter | None = None

    def spawn(self, body: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> Helper:
        """Start a linked task."""
        if self.exit_reason is not None or self.kill_reason is not None:
            raise ActorDown(self.path, self.exit_reason or ExitReason.KILLED)
        helper = Helper(self)
        self._helpers = self._helpers or {}
        self._helpers[helper] = None
        helper.start(body, args)
        return helper

    def helper_failed(self, reason: ExitReason) -> None:
        """Take over the crash of a helper."""
        raise NotImplementedError

    def helper_ended(self, helper: Helper) -> None:
        """Strike a helper off."""
        if self._helpers is not None:
            self._helpers.pop(helper, None)
        self._wake_reaper()

    def child_exited(self, child: Member, reason: ExitReason) -> None:
        """Strike a dead child off."""
        super().child_exited(child, reason)
        self._wake_reaper()

    @property
    def leaves_something(self) -> bool:
        """Whether children or helpers are still there."""
        return bool(self.children or self._helpers)

    async def reap(self) -> None:
        """Take down what is left below this member and wait until it is gone.

        A kill gives up what does not end in time, so for children this cannot take longer than that.
        """
        for helper in list(self._helpers or ()):
            helper.cancel()
        for child in list(self.children):
            child.kill()
        while self.leaves_something:
            self._reaper = self.hub.backend.new_waiter()
            await self._reaper

    def monitor(self, ref: ActorRef | NamedRef) -> MonitorRef:
        """Watch another member on behalf of this one."""
        return MonitorRef(self.hub, ref, self)

    def link(self, ref: ActorRef | NamedRef) -> None:
        """Bind this member's life to another's."""
        broken = link(self, ref)
        if broken is not None:
            self._take_exit(ref, broken)

    def unlink(self, ref: ActorRef | NamedRef) -> None:
        """Take a link off."""
        unlink(self, ref)

    @property
    def traps_exit(self) -> bool:
        """Whether the death of a linked member is news to it, instead of its own death."""
        return False

    def linked_exit(self, peer: Member, reason: ExitReason) -> None:
        """Hear of the death of a linked member, or die of it."""
        self._take_exit(ActorRef(peer), reason)

    def _take_exit(self, ref: ActorRef | NamedRef, reason: ExitReason) -> None:
        if self.traps_exit:
            self.signal(Exit(ref, reason))
        elif reason.kind != "normal":
            self.kill(reason)

    def unexpected(self, lane: Literal["cast", "info"], message: object) -> None:
        """Say once that the actor has no handler for this type of message."""
        self.unexpected_types = self.unexpected_types or set()
        if (lane, type(message)) not in self.unexpected_types:
            self.unexpected_types.add((lane, type(message)))
            self.hub.emit(UnexpectedMessage(self.path, lane, type(message).__qualname__))

    def _cancel(self) -> None:
        for helper in list(self._helpers or ()):
            helper.cancel()

    def _wake_reaper(self) -> None:
        reaper, self._reaper = self._reaper, None
        if reaper is not None:
            reaper.wake()
