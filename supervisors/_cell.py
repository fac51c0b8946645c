"""The record of one member of the tree.

The tree is data. Every member is a task of its own below one task group; who is whose child is written here and
nowhere else. That is why one hung task can never pin its neighbours, and why this module owns the invariant which
nesting would have given for free:

- A member's exit is published once, in one synchronous step: mark it dead, free its names and subscriptions, report,
  fail its queued and pending calls, tell those linked to it, its monitors, its parent. Whoever hears of a death
  therefore finds the name free or held by the successor.
- It is not published before every child below it is dead, or was given up (`abandon`).
- A kill is always followed by a death: what has not ended after a short grace is given up. Its name is free again
  and its callers have been told, while the code it was stuck in still runs.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from supervisors._backend import Waiter
from supervisors._call import ReplyTo
from supervisors._child_spec import ChildType
from supervisors._hub import SharedHub
from supervisors._lobby import Place
from supervisors._mailbox import Cast, Info
from supervisors._reasons import ExitReason, Restart
from supervisors._timers import Alarm
from supervisors._waits import find_trail
from supervisors.exceptions import CallCycle, CallingSelf, NoMailbox
from supervisors.inspect import ActorInfo, Status, TreeNode

KILL_GRACE = 1.0
"""Seconds between a kill and giving the member up."""

current_cell: ContextVar["Cell | None"] = ContextVar("current_cell", default=None)
"""The member in whose task this code runs: the caller of a call, if it has one."""


class Watcher(Protocol):
    """Somebody who is told of one death."""

    def down(self, reason: ExitReason) -> None:
        """Hear of it, within the synchronous step of the death."""


class Hub(SharedHub["Cell"]):
    """What the members of one System share."""

    __slots__ = ()


class Cell:
    """One member of the tree, alive or dead: identity, kin, and the way it dies.

    This base takes no messages. The runner of an actor and the cell of an adopted task build on it.
    """

    __slots__ = (
        "_aliases",
        "_grace",
        "_links",
        "_on_exit",
        "_waiters",
        "_watchers",
        "children",
        "deadline",
        "exit_reason",
        "hub",
        "id",
        "kill_reason",
        "last_exit",
        "parent",
        "path",
        "restart",
        "restarts",
        "since",
        "status",
        "type",
        "waiting_on",
    )

    def __init__(self, hub: Hub, path: str, child_id: str, parent: "Cell | None") -> None:
        self.hub = hub
        self.path = path
        self.id = child_id
        self.parent = parent
        self.restart: Restart = "temporary"
        self.type: ChildType = "worker"
        self.status: Status = "starting"
        self.since = hub.backend.now()
        self.deadline = math.inf
        self.exit_reason: ExitReason | None = None
        self.kill_reason: ExitReason | None = None
        self.last_exit: ExitReason | None = None
        self.restarts = 0
        self.children: dict[Cell, None] = {}
        self.waiting_on: list[Cell] = []
        self._watchers: dict[Watcher, None] | None = None
        self._waiters: list[Waiter] | None = None
        self._on_exit: dict[Callable[[], None], None] | None = None
        self._aliases: list[str] | None = None
        self._grace: Alarm | None = None
        self._links: dict[Cell, None] | None = None

    @property
    def kind(self) -> str:
        """What sort of thing this is, for people."""
        return "member"

    async def handshake(self) -> bool:
        """Wait until the member is initialised; False when it declined to start.

        Raises:
            StartFailed: it ended instead.
        """
        return True

    # --- messages: a bare member takes none

    def accept(self, envelope: Cast | Info) -> bool:
        """Queue a message; False when it was refused."""
        return False

    def accept_or_wait(self, envelope: Cast | Info) -> "bool | Place":
        """Queue a message as `accept` does; or, if it may wait for room, say where."""
        return self.accept(envelope)

    def accept_request(self, request: ReplyTo[Any]) -> None:
        """Queue a request, or raise why that is impossible."""
        raise NoMailbox(self.path)

    def accept_errand(self, request: ReplyTo[Any]) -> None:
        """Queue a request in the system lane, or raise why that is impossible."""
        raise NoMailbox(self.path)

    def signal(self, message: object) -> None:
        """Deliver news of the library's own, whatever the mailbox bound says."""

    def request_stop(self, reason: ExitReason) -> None:
        """Ask for an orderly end."""
        self._enter("stopping")

    # --- waiting for others

    def begin_wait(self, target: "Cell") -> None:
        """Note that this member now waits for `target`.

        Raises:
            CallingSelf: it is the target.
            CallCycle: the target waits for this member already, directly or through others.
        """
        if target is self:
            raise CallingSelf(self.path)
        if target.waiting_on:
            trail = find_trail(target, self)
            if trail is not None:
                raise CallCycle([self.path, *trail])
        self.note_wait(target)

    def note_wait(self, target: "Cell") -> None:
        """Note a wait that cannot be refused: a supervisor's for its child."""
        self.waiting_on.append(target)

    def end_wait(self, target: "Cell") -> None:
        """Note that the waiting is over."""
        self.waiting_on.remove(target)

    # --- death

    def kill(self, reason: ExitReason = ExitReason.KILLED) -> None:
        """End this member and everything below it at once, without `terminate`."""
        if self.exit_reason is not None or self.kill_reason is not None:
            return
        self.kill_reason = reason
        for child in list(self.children):
            child.kill()
        self._cancel()
        self._grace = self.hub.timers.after(KILL_GRACE, self.abandon)

    def abandon(self) -> None:
        """Declare a killed member dead although its task has not ended.

        Those below it were killed before it was, so by now they are dead or given up too.
        """
        if self.exit_reason is not None:
            return
        self.hub.give_up(self, self._stack())
        self.publish_exit(ExitReason.KILLED)

    def publish_exit(self, reason: ExitReason) -> None:
        """Die, in one synchronous step; only the first time counts, since the abandoned end once more."""
        if self.exit_reason is not None:
            self.hub.unstopped.pop(self, None)
            return
        self.exit_reason = reason = self.kill_reason or reason
        self._enter("dead")
        if self._grace is not None:
            self.hub.timers.discard(self._grace)
            self._grace = None
        self._release()
        self._last_words(reason)
        links, self._links = self._links, None
        for peer in links or ():
            peer.unbind(self)
            peer.linked_exit(self, reason)
        watchers, self._watchers = self._watchers, None
        for watcher in watchers or ():
            watcher.down(reason)
        if self.parent is not None:
            self.parent.child_exited(self, reason)
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.wake()

    async def wait_exit(self) -> ExitReason:
        """Sleep until this member is dead.

        Cancellation: cancel point; nothing changes.
        """
        while self.exit_reason is None:
            waiter = self.hub.backend.new_waiter()
            self._waiters = self._waiters or []
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if self._waiters:
                    self._waiters.remove(waiter)
        return self.exit_reason

    def child_exited(self, child: "Cell", reason: ExitReason) -> None:
        """Strike a dead child off."""
        self.children.pop(child, None)

    def watch(self, watcher: Watcher) -> None:
        """Have `watcher` told of this member's death."""
        if self._watchers is None:
            self._watchers = {}
        self._watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Take a watcher off."""
        if self._watchers is not None:
            self._watchers.pop(watcher, None)

    def at_exit(self, action: Callable[[], None]) -> None:
        """Run `action` at the moment of death, before anybody is told of it."""
        if self._on_exit is None:
            self._on_exit = {}
        self._on_exit[action] = None

    def forget_exit(self, action: Callable[[], None]) -> None:
        """Take back `at_exit`."""
        if self._on_exit is not None:
            self._on_exit.pop(action, None)

    # --- links

    def bind(self, peer: "Cell") -> None:
        """Note this half of a link."""
        if self._links is None:
            self._links = {}
        self._links[peer] = None

    def unbind(self, peer: "Cell") -> None:
        """Strike this half of a link off, if it is there."""
        if self._links is not None:
            self._links.pop(peer, None)
            self._links = self._links or None

    def linked_exit(self, peer: "Cell", reason: ExitReason) -> None:
        """Hear of the death of a linked member, within its synchronous step: die of it, unless it was normal."""
        if reason.kind != "normal":
            self.kill(reason)

    @property
    def links(self) -> tuple[str, ...]:
        """Paths of those it is linked to."""
        return tuple(peer.path for peer in self._links or ())

    # --- names

    def claim(self, name: str) -> "Cell":
        """Take a further name; the holder is returned, and that may be somebody else."""
        holder = self.hub.names.claim(name, self)
        if holder is self and name != self.path:
            if self._aliases is None:
                self._aliases = []
            self._aliases.append(name)
        return holder

    def disclaim(self, name: str) -> None:
        """Give a further name back."""
        if self._aliases is not None and name in self._aliases:
            self._aliases.remove(name)
            self.hub.names.release(name, self)

    # --- views

    def next_start(self, child_id: str) -> float | None:
        """When a child that is not running is to be started again; None if that is not settled."""
        return None

    def details(self) -> Mapping[str, object]:
        """The member's own redacted view of itself."""
        return {}

    def info(self) -> ActorInfo:
        """Describe this incarnation, however stuck it is."""
        return ActorInfo(
            path=self.path,
            kind=self.kind,
            type=self.type,
            status=self.status,
            restart=self.restart,
            since=self.since,
            mailbox_depth=0,
            current_message=None,
            busy_since=None,
            waiting_on=self._waiting_paths(),
            handled=0,
            dropped=0,
            restarts=self.restarts,
            last_exit=self.last_exit,
            exit_reason=self.exit_reason,
            details=self.details(),
            links=self.links,
        )

    def node(self) -> TreeNode:
        """Describe this member and what hangs below it."""
        return TreeNode(
            path=self.path,
            id=self.id,
            kind=self.kind,
            type=self.type,
            status=self.status,
            restart=self.restart,
            mailbox_depth=self.mailbox_depth,
            restarts=self.restarts,
            last_exit=self.last_exit,
            since=self.since,
            waiting_on=self._waiting_paths(),
            children=tuple(self._child_nodes()),
        )

    @property
    def mailbox_depth(self) -> int:
        """How many messages wait for it."""
        return 0

    def ancestors(self) -> tuple[str, ...]:
        """Paths of those above, nearest first."""
        above: list[str] = []
        cell = self.parent
        while cell is not None:
            above.append(cell.path)
            cell = cell.parent
        return tuple(above)

    # --- what the kinds of member fill in

    def _cancel(self) -> None:
        """Interrupt whatever the member is doing."""

    def _stack(self) -> tuple[str, ...]:
        return ()

    def _last_words(self, reason: ExitReason) -> None:
        """Report the death and fail what waits for an answer."""

    def _child_nodes(self) -> Iterable[TreeNode]:
        return [child.node() for child in self.children]

    def _enter(self, status: Status) -> None:
        self.status = status
        self.since = self.hub.backend.now()

    def _release(self) -> None:
        names = self.hub.names
        names.release(self.path, self)
        for alias in self._aliases or ():
            names.release(alias, self)
        actions, self._on_exit = self._on_exit, None
        for action in actions or ():
            action()

    def _waiting_paths(self) -> tuple[str, ...]:
        return tuple(target.path for target in self.waiting_on)
