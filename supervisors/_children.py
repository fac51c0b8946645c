"""What static and dynamic supervisors have in common: the record of a child, asking it to stop, and the reports."""

from collections.abc import Iterable
from dataclasses import dataclass

from supervisors._actor import Actor, Stop
from supervisors._admin import ChildStatus
from supervisors._call import ReplyTo
from supervisors._cell import Cell
from supervisors._child_spec import ChildSpec, validate_intensity
from supervisors._intensity import RestartWindow
from supervisors._reasons import ExitReason, Shutdown
from supervisors._ref import ActorRef
from supervisors._runner import ActorCell, start_actor
from supervisors._system import System
from supervisors._timers import Alarm
from supervisors.events import ChildInfo, Progress, ReportContext, SupervisorReport
from supervisors.exceptions import RestartLimitReached
from supervisors.inspect import ChildCounts, Status, TreeNode


class Child:
    """What a supervisor remembers of one child, across its incarnations.

    The spec of a temporary child is dropped once it has started: it is never needed again, and whatever its factory
    holds on to would live as long as the child.
    """

    __slots__ = ("cell", "id", "kind", "last_exit", "path", "restart", "restarts", "shutdown", "significant", "since",
                 "spec", "starter", "status", "type")  # fmt: skip

    def __init__(self, spec: ChildSpec, path: str) -> None:
        self.id = spec.id
        self.path = path
        self.kind = "unstarted"
        self.restart = spec.restart
        self.shutdown = spec.shutdown_policy
        self.type = spec.type
        self.significant = spec.significant
        self.spec: ChildSpec | None = spec
        self.cell: ActorCell | None = None
        self.status: Status = "stopped"
        self.since = 0.0
        self.restarts = 0
        self.last_exit: ExitReason | None = None
        self.starter: ReplyTo[ActorRef] | None = None

    def launch(self, system: System, parent: Cell) -> ActorCell:
        """Start an incarnation without waiting for it.

        Raises:
            AlreadyStarted: the name is taken by somebody who is not this child.
        """
        if self.spec is None:
            raise RuntimeError(f"{self.path} is temporary and cannot be started again")
        cell = start_actor(system, self.spec, parent, restarts=self.restarts, last_exit=self.last_exit)
        if self.restart == "temporary":
            self.spec = None
        self.cell = cell
        self.enter("starting", system.now())
        return cell

    def lost(self, reason: ExitReason, now: float) -> None:
        """Note that the incarnation is gone."""
        if self.cell is not None:
            self.kind = self.cell.kind
        self.cell = None
        self.last_exit = reason
        self.enter("stopped", now)

    def enter(self, status: Status, now: float) -> None:
        """Note the present condition, and since when."""
        self.status = status
        self.since = now

    def as_status(self) -> ChildStatus:
        """Describe the child for `which_children`."""
        ref = None if self.cell is None else ActorRef(self.cell)
        return ChildStatus(self.id, ref, self.status, self.type, self.restart)

    def as_info(self) -> ChildInfo:
        """Describe the child for an event."""
        kind = self.kind if self.cell is None else self.cell.kind
        return ChildInfo(self.path, kind, self.restart, self.shutdown, self.type, self.significant)

    def as_node(self) -> TreeNode:
        """Describe the child for the tree, also while it does not run."""
        if self.cell is not None:
            return self.cell.node()
        return TreeNode(
            path=self.path,
            id=self.id,
            kind=self.kind,
            type=self.type,
            status=self.status,
            restart=self.restart,
            mailbox_depth=0,
            restarts=self.restarts,
            last_exit=self.last_exit,
            since=self.since,
            waiting_on=(),
            children=(),
        )


@dataclass(frozen=True, slots=True)
class ChildExited:
    """To a supervisor, from the death of a child; stale if the supervisor itself had stopped it."""

    cell: Cell
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class TryAgain:
    """From a supervisor to itself: a restart failed, so serve whoever waits and then try once more."""

    child: Child


class SupervisorBase(Actor):
    """The common half of both supervisors."""

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        validate_intensity(type(self).__name__, max_restarts, max_seconds)
        self._window = RestartWindow(max_restarts, max_seconds)
        self._children: dict[str, Child] = {}

    def launch(self, system: System) -> Cell:
        """Start as the top of a tree."""
        spec = ChildSpec(system.name, lambda: self, restart="temporary", type="supervisor")
        return start_actor(system, spec, None)

    def _count_restart(self, child: Child) -> Stop | None:
        """Count one attempt to restart; the answer says that it was one too many."""
        self._window = self._window.add(self.system.now())
        if not self._window.exceeded:
            child.restarts += 1
            return None
        limit = RestartLimitReached(self.ref.path, self._window.max_restarts, self._window.max_seconds)
        reason = ExitReason.shutdown(limit)
        self._report("shutdown", reason, child)
        return Stop(reason)

    def _report(self, context: ReportContext, reason: ExitReason, child: Child) -> None:
        self.system.hub.emit(SupervisorReport(self.ref.path, context, reason, child.as_info()))

    def _progress(self, child: Child) -> None:
        self.system.hub.emit(Progress(self.ref.path, child.as_info()))

    def _counts(self) -> ChildCounts:
        children = self._children.values()
        supervisors = sum(child.type == "supervisor" for child in children)
        return ChildCounts(
            specs=len(children),
            active=sum(child.cell is not None for child in children),
            supervisors=supervisors,
            workers=len(children) - supervisors,
        )

    def _child_exited(self, child: Cell, reason: ExitReason) -> None:
        self._cell.signal(ChildExited(child, reason))

    def _tree_children(self) -> Iterable[TreeNode]:
        return [child.as_node() for child in self._children.values()]


def ask_to_stop(cell: Cell, shutdown: Shutdown) -> Alarm | None:
    """Begin to stop a member as its spec says; the alarm that will kill it is to be discarded at its death."""
    if shutdown == "brutal_kill":
        cell.kill()
        return None
    cell.request_stop(ExitReason.SHUTDOWN)
    if shutdown == "infinity":
        return None
    return cell.hub.timers.after(shutdown, cell.kill)
