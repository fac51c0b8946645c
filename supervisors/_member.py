"""One incarnation of a member as others know it: by its handle and its names, and through what ties it to them.

How a member lives is the business of its cell. What is here would stay if the cell were exchanged for something else,
and it is where an incarnation ends:

- A member's exit is published once, in one synchronous step: mark it dead, free its names and subscriptions, report,
  fail its queued and pending calls, tell those linked to it, its monitors, its parent. Whoever hears of a death
  therefore finds the name free or held by the successor.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from supervisors._backend import Waiter
from supervisors._call import ReplyTo
from supervisors._child_spec import ChildType
from supervisors._hub import SharedHub
from supervisors._lobby import Place
from supervisors._mailbox import Cast, Info
from supervisors._reasons import ExitReason
from supervisors.exceptions import NoMailbox
from supervisors.inspect import ActorInfo, Status, TreeNode


class Watcher(Protocol):
    """Somebody who is told of one death."""

    def down(self, reason: ExitReason) -> None:
        """Hear of it, within the synchronous step of the death."""


class Hub(SharedHub["Member"]):
    """What the members of one System share."""

    __slots__ = ()


class Handle:
    """What everybody holds of one incarnation.

    Each has one, whoever asks for it. So the member behind it can be exchanged, and all who hold it follow.
    """

    __slots__ = ("_cell",)

    _cell: "Member"


class Ties:
    """What ties a member to others; most have none, so this is made when there is something to note."""

    __slots__ = ("aliases", "at_exit", "links", "sleepers", "watchers")

    def __init__(self) -> None:
        self.aliases: dict[str, None] = {}
        self.at_exit: dict[Callable[[], None], None] = {}
        self.links: dict[Member, None] = {}
        self.sleepers: list[Waiter] = []
        self.watchers: dict[Watcher, None] = {}


class Member:
    """Who is addressed, watched and ended."""

    __slots__ = ("exit_reason", "handle", "hub", "parent", "path", "since", "status", "ties")

    def __init__(self, hub: Hub, path: str, parent: "Member | None", status: Status) -> None:
        self.hub = hub
        self.path = path
        self.parent = parent
        self.status: Status = status
        self.since = hub.backend.now()
        self.exit_reason: ExitReason | None = None
        self.handle: Handle | None = None
        self.ties: Ties | None = None

    # --- messages: a bare member takes none

    def accept(self, envelope: Cast | Info) -> bool:
        """Queue a message; False when it was refused."""
        return False

    def accept_or_wait(self, envelope: Cast | Info) -> bool | Place:
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

    @property
    def mailbox_depth(self) -> int:
        """How many messages wait for it."""
        return 0

    @property
    def waiting_on(self) -> Sequence["Member"]:
        """Those it waits for."""
        return ()

    def awake(self) -> "Member":
        """Get ready to have dealings with others: whoever is passive puts a cell in its place.

        Raises:
            ActorDown: it is passive, and its supervisor ends.
        """
        return self

    def hold(self, held: bool) -> bool:
        """Suspend the member, or resume it, if that takes nothing but a note; False if it does."""
        return False

    # --- kin

    @property
    def id(self) -> str:
        """Its name below its parent."""
        raise NotImplementedError

    @property
    def type(self) -> ChildType:
        """Worker or supervisor."""
        return "worker"

    @property
    def children(self) -> Mapping["Member", None]:
        """Those below it, in the order in which they were started."""
        return {}

    def next_start(self, child_id: str) -> float | None:
        """When a child that is not running is to be started again; None if that is not settled."""
        return None

    # --- death

    @property
    def kill_reason(self) -> ExitReason | None:
        """For what reason it is being killed, if it is."""
        return None

    def request_stop(self, reason: ExitReason) -> None:
        """Ask for an orderly end."""
        raise NotImplementedError

    def request_drain(self) -> None:
        """Ask for an orderly end after everything that waits; a member without a mailbox has nothing that does."""
        self.request_stop(ExitReason.NORMAL)

    def kill(self, reason: ExitReason = ExitReason.KILLED) -> None:
        """End this member and everything below it at once, without `terminate`."""
        raise NotImplementedError

    def publish_exit(self, reason: ExitReason) -> None:
        """Die, in one synchronous step; only the first time counts."""
        if self.exit_reason is not None:
            return
        self.exit_reason = reason
        self._enter("dead")
        self._release()
        self._last_words(reason)
        ties = self.ties
        if ties is not None:
            links, ties.links = ties.links, {}
            for peer in links:
                peer.unbind(self)
                peer.linked_exit(self, reason)
            watchers, ties.watchers = ties.watchers, {}
            for watcher in watchers:
                watcher.down(reason)
        if self.parent is not None:
            self.parent.child_exited(self, reason)
        if ties is not None:
            sleepers, ties.sleepers = ties.sleepers, []
            for sleeper in sleepers:
                sleeper.wake()
        self.handle = None  # or a member and its handle would keep each other

    async def wait_exit(self) -> ExitReason:
        """Sleep until this member is dead.

        Cancellation: cancel point; nothing changes.
        """
        while self.exit_reason is None:
            sleeper = self.hub.backend.new_waiter()
            self._tied().sleepers.append(sleeper)
            try:
                await sleeper
            finally:
                if self.ties is not None and sleeper in self.ties.sleepers:
                    self.ties.sleepers.remove(sleeper)
        return self.exit_reason

    def child_exited(self, child: "Member", reason: ExitReason) -> None:
        """Hear of the death of a member whose parent this is."""
        raise NotImplementedError

    def child_exchanged(self, child: "Member", successor: "Member") -> None:
        """Have another stand for a child."""
        raise NotImplementedError

    def hand_over(self, successor: "Member") -> None:
        """Have `successor` be this incarnation from here on, with its names, its handle and its ties.

        What is left is nobody: it ends without a word.
        """
        names, ties, handle = self.hub.names, self.ties, self.handle
        names.pass_on(self.path, self, successor)
        if ties is not None:
            for alias in ties.aliases:
                names.pass_on(alias, self, successor)
        if handle is not None:
            handle._cell = successor
        successor.handle, self.handle = handle, None
        successor.ties, self.ties = ties, None
        if self.parent is not None:
            self.parent.child_exchanged(self, successor)
        self.exit_reason = ExitReason.NORMAL
        self.status = "dead"

    # --- ties

    def watch(self, watcher: Watcher) -> None:
        """Have `watcher` told of this member's death."""
        self._tied().watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Take a watcher off."""
        if self.ties is not None:
            self.ties.watchers.pop(watcher, None)

    def at_exit(self, action: Callable[[], None]) -> None:
        """Run `action` at the moment of death, before anybody is told of it."""
        self._tied().at_exit[action] = None

    def forget_exit(self, action: Callable[[], None]) -> None:
        """Take back `at_exit`."""
        if self.ties is not None:
            self.ties.at_exit.pop(action, None)

    def bind(self, peer: "Member") -> None:
        """Note this half of a link."""
        self._tied().links[peer] = None

    def unbind(self, peer: "Member") -> None:
        """Strike this half of a link off, if it is there."""
        if self.ties is not None:
            self.ties.links.pop(peer, None)

    def linked_exit(self, peer: "Member", reason: ExitReason) -> None:
        """Hear of the death of a linked member, within its synchronous step: die of it, unless it was normal."""
        if reason.kind != "normal":
            self.kill(reason)

    @property
    def links(self) -> tuple[str, ...]:
        """Paths of those it is linked to."""
        return () if self.ties is None else tuple(peer.path for peer in self.ties.links)

    def claim(self) -> "Member":
        """Take its own path; the holder is returned, and that may be somebody else."""
        return self.hub.names.claim(self.path, self)

    def register(self, name: str, value: object) -> "Member":
        """Take a further name; the holder is returned, and that may be somebody else."""
        holder = self.hub.names.register(name, self, value)
        if holder is self and name != self.path:
            self._tied().aliases[name] = None
        return holder

    def unregister(self, name: str) -> None:
        """Give a further name back; nothing happens to its path."""
        if self.ties is not None and name in self.ties.aliases:
            del self.ties.aliases[name]
            self.hub.names.unregister(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Further names that it holds."""
        return () if self.ties is None else tuple(self.ties.aliases)

    # --- views

    def info(self) -> ActorInfo:
        """Describe this incarnation, whatever it is doing."""
        raise NotImplementedError

    def node(self) -> TreeNode:
        """Describe this member and what hangs below it."""
        raise NotImplementedError

    # --- inside

    def _last_words(self, reason: ExitReason) -> None:
        """Report the death and fail what waits for an answer."""

    def _enter(self, status: Status) -> None:
        self.status = status
        self.since = self.hub.backend.now()

    def _release(self) -> None:
        """Free the names, and let go of whatever is held on this member's account."""
        names, ties = self.hub.names, self.ties
        names.release(self.path, self)
        if ties is not None:
            for alias in ties.aliases:
                names.unregister(alias)
            actions, ties.at_exit = ties.at_exit, {}
            for action in actions:
                action()

    def _tied(self) -> Ties:
        if self.ties is None:
            self.ties = Ties()
        return self.ties
