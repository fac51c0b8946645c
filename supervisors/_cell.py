"""The record of one member of the tree that runs: an actor, or a task that was adopted.

The tree is data. Every member is a task of its own below one task group; who is whose child is written here and
nowhere else. That is why one hung task can never pin its neighbours, and why two things are this module's business
which nesting would have given for free:

- A member's exit is not published before every child below it is dead, or was given up (`abandon`).
- A kill is always followed by a death: what has not ended after a short grace is given up. Its name is free again
  and its callers have been told, while the code it was stuck in still runs.
"""

import math
from collections.abc import Iterable, Mapping
from contextvars import ContextVar

from supervisors._child_spec import ChildType
from supervisors._member import Hub, Member
from supervisors._reasons import ExitReason, Restart
from supervisors._timers import Alarm
from supervisors._waits import find_trail
from supervisors.exceptions import CallCycle, CallingSelf
from supervisors.inspect import ActorInfo, TreeNode

KILL_GRACE = 1.0
"""Seconds between a kill and giving the member up."""

current_cell: ContextVar["Cell | None"] = ContextVar("current_cell", default=None)
"""The member in whose task this code runs: the caller of a call, if it has one."""


class Cell(Member):
    """One member that runs, or did: kin, waits, and the way it dies.

    This base takes no messages. The runner of an actor and the cell of an adopted task build on it.
    """

    __slots__ = (
        "_grace",
        "children",
        "deadline",
        "id",
        "kill_reason",
        "last_exit",
        "restart",
        "restarts",
        "type",
        "waiting_on",
    )

    parent: "Cell | None"

    def __init__(self, hub: Hub, path: str, child_id: str, parent: "Cell | None") -> None:
        super().__init__(hub, path, parent, "starting")
        self.id: str = child_id
        self.restart: Restart = "temporary"
        self.type: ChildType = "worker"
        self.deadline = math.inf
        self.kill_reason: ExitReason | None = None
        self.last_exit: ExitReason | None = None
        self.restarts = 0
        self.children: dict[Member, None] = {}
        self.waiting_on: list[Member] = []
        self._grace: Alarm | None = None

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

    def request_stop(self, reason: ExitReason) -> None:
        """Ask for an orderly end."""
        self._enter("stopping")

    # --- waiting for others

    def begin_wait(self, target: Member) -> None:
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

    def note_wait(self, target: Member) -> None:
        """Note a wait that cannot be refused: a supervisor's for its child."""
        self.waiting_on.append(target)

    def end_wait(self, target: Member) -> None:
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
        if self._grace is not None:
            self.hub.timers.discard(self._grace)
            self._grace = None
        super().publish_exit(self.kill_reason or reason)

    def child_exited(self, child: Member, reason: ExitReason) -> None:
        """Strike a dead child off."""
        self.children.pop(child, None)

    def child_exchanged(self, child: Member, successor: Member) -> None:
        """Have another stand for a child."""
        del self.children[child]
        self.children[successor] = None

    # --- views

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
            names=self.names,
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
            passive=self._count_passive(),
        )

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

    def _count_passive(self) -> int:
        return 0

    def _child_nodes(self) -> Iterable[TreeNode]:
        return [child.node() for child in self.children]

    def _waiting_paths(self) -> tuple[str, ...]:
        return tuple(target.path for target in self.waiting_on)
