"""What static and dynamic supervisors have in common: the record of a child, when it comes back, and the reports.

A child which has to come back is given an appointment: a time, which is now unless delays or a pause put it off. The
supervisor never sleeps until then. The appointment is a deadline that falls due as a message to it, and whatever else
becomes of the child meanwhile calls it off.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from supervisors._actor import Actor, Stop
from supervisors._admin import ChildStatus
from supervisors._backoff import Backoff, Pause
from supervisors._call import ReplyTo
from supervisors._cell import Cell
from supervisors._child_spec import (
    ChildSpec,
    child_path,
    validate_backoff,
    validate_intensity,
    validate_pause,
)
from supervisors._intensity import FailureMeter, RestartWindow
from supervisors._member import Member
from supervisors._reasons import ExitReason, Shutdown
from supervisors._ref import ActorRef
from supervisors._runner import ActorCell, start_actor
from supervisors._system import System
from supervisors._timers import Alarm, Revocable
from supervisors.events import (
    ChildInfo,
    Progress,
    ReportContext,
    RestartDelayed,
    RestartsPaused,
    RestartsResumed,
    SupervisorReport,
)
from supervisors.exceptions import BackoffExhausted, ChildNotFound, RestartLimitReached, SupervisorError
from supervisors.inspect import ChildCounts, Status, TreeNode


class Reminder(Revocable):
    """A deadline of a supervisor's, which is the message to it as well."""

    __slots__ = ("_home", "at")

    def __init__(self, home: Cell, at: float) -> None:
        super().__init__(home.hub.timers)
        self._home = home
        self.at = at

    def due(self) -> None:
        """Tell the supervisor."""
        self.settled = True
        self._home.signal(self)


class Appointment(Reminder):
    """When a child is to be started again; stale if the child does not have it any more."""

    __slots__ = ("child", "is_now")

    def __init__(self, home: Cell, child: "Child", at: float, now: float) -> None:
        super().__init__(home, at)
        self.child = child
        self.is_now = self.settled = at <= now


class Rest(Reminder):
    """A pause in which a supervisor restarts nobody, and its end."""

    __slots__ = ()


class Child:
    """What a supervisor remembers of one child, across its incarnations.

    The spec of a temporary child is dropped once it has started: it is never needed again, and whatever its factory
    holds on to would live as long as the child. A child that was passive may share its spec with its like, and then has
    an id of its own.

    `attempts` counts the restarts in a row, as its backoff understands it.
    """

    __slots__ = ("appointment", "attempts", "backoff", "cell", "id", "kind", "last_exit", "path", "restart", "restarts",
                 "shutdown", "significant", "since", "spec", "starter", "status", "type")  # fmt: skip

    def __init__(
        self, spec: ChildSpec, supervisor_path: str, backoff: Backoff | None, child_id: str | None = None
    ) -> None:
        self.id = child_id or spec.id
        self.path = child_path(supervisor_path, self.id)
        self.backoff = spec.backoff or backoff
        self.attempts = 0
        self.appointment: Appointment | None = None
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
        cell = start_actor(
            system, self.path, self.id, self.spec, parent, restarts=self.restarts, last_exit=self.last_exit
        )
        if self.restart == "temporary":
            self.spec = None
        self.cell = cell
        self.enter("starting", system.now())
        return cell

    def lost(self, reason: ExitReason, now: float) -> None:
        """Note that the incarnation is gone."""
        if self.cell is not None:
            self.kind = self.cell.kind
        if self.backoff is not None and self.status == "running" and now - self.since >= self.backoff.reset_after:
            self.attempts = 0
        self.cell = None
        self.last_exit = reason
        self.enter("stopped", now)

    def enter(self, status: Status, now: float) -> None:
        """Note the present condition, and since when; it is no longer the one in which an appointment was made."""
        self.status = status
        self.since = now
        if self.appointment is not None:
            self.appointment.cancel()
            self.appointment = None

    def wait_for(self, appointment: Appointment, now: float) -> None:
        """Note when the child is to be started again."""
        self.enter("restarting", now)
        self.appointment = appointment

    def keeps(self, appointment: Appointment) -> bool:
        """Whether the child still waits for this, and not for another or for nothing."""
        return self.appointment is appointment

    @property
    def may_come_back(self) -> bool:
        """Whether it is dead and its name is kept for its next incarnation, if there is to be one."""
        return self.restart != "temporary" and (self.cell is None or self.cell.exit_reason is not None)

    @property
    def next_at(self) -> float | None:
        """When it is to be started again; None if it is not waiting for that."""
        return None if self.appointment is None else self.appointment.at

    def as_status(self) -> ChildStatus:
        """Describe the child for `which_children`."""
        ref = None if self.cell is None else ActorRef(self.cell)
        return ChildStatus(self.id, ref, self.status, self.type, self.restart, self.next_at)

    def as_info(self) -> ChildInfo:
        """Describe the child for an event."""
        kind = self.kind if self.cell is None else self.cell.kind
        return ChildInfo(self.path, kind, self.restart, self.shutdown, self.type, self.significant, self.restarts)

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
            next_at=self.next_at,
        )


@dataclass(frozen=True, slots=True)
class ChildExited:
    """To a supervisor, from the death of a child; stale if the supervisor itself had stopped it."""

    cell: Member
    reason: ExitReason


class SupervisorBase(Actor):
    """The common half of both supervisors."""

    def __init__(self, max_restarts: int, max_seconds: float, backoff: Backoff | None, pause: Pause | None) -> None:
        validate_intensity(type(self).__name__, max_restarts, max_seconds)
        validate_backoff(type(self).__name__, backoff)
        validate_pause(type(self).__name__, pause)
        self._window = RestartWindow(max_restarts, max_seconds)
        self._backoff = backoff
        self._meter = None if pause is None else FailureMeter(pause)
        self._rest: Rest | None = None
        self._children: dict[str, Child] = {}

    def launch(self, system: System) -> Cell:
        """Start as the top of a tree."""
        spec = ChildSpec(system.name, lambda: self, restart="temporary", type="supervisor")
        return start_actor(system, spec.id, spec.id, spec, None)

    async def handle_info(self, message: Any) -> Stop | None:
        """Deal with the end of a pause."""
        if isinstance(message, Rest):
            self._resume()
        else:
            await super().handle_info(message)
        return None

    # --- when a child comes back

    def _appoint(self, child: Child) -> Stop | Appointment:
        """Count a failure and decide when the child is started again; or that this failure was one too many."""
        now, draw = self.system.now(), self.system.hub.draw
        limit = self._limit_reached(child, now)
        if limit is not None:
            reason = ExitReason.shutdown(limit)
            self._report("shutdown", reason, child)
            return Stop(reason)
        at = now
        if child.backoff is not None and child.attempts:
            at += child.backoff.delay(child.attempts, draw())
        if self._rest is not None:
            at = max(at, self._rest.at)
        child.attempts += 1
        appointment = Appointment(self._cell, child, at, now)
        child.wait_for(appointment, now)
        if not appointment.is_now:
            self.system.hub.timers.add(at, appointment)
            self.system.hub.emit(RestartDelayed(self.ref.path, child.as_info(), at - now, child.attempts))
        return appointment

    def _try_again(self, child: Child) -> Stop | None:
        """Have a child whose start has failed started once more, after whoever else waits has been served."""
        appointment = self._appoint(child)
        if isinstance(appointment, Stop):
            return appointment
        if appointment.is_now:
            appointment.due()
        return None

    def _limit_reached(self, child: Child, now: float) -> SupervisorError | None:
        if child.backoff is not None and child.backoff.exhausted(child.attempts):
            return BackoffExhausted(child.path, child.attempts, child.backoff.reset_after)
        if self._meter is not None:
            self._measure(self._meter, child, now)
            return None
        self._window = self._window.add(now)
        if self._window.exceeded:
            return RestartLimitReached(self.ref.path, self._window.max_restarts, self._window.max_seconds)
        return None

    def _measure(self, meter: FailureMeter, child: Child, now: float) -> None:
        """Count a failure, and begin a pause if it was one too many; during a pause nothing is counted."""
        if self._rest is not None:
            return
        self._meter = meter.add(now)
        if self._meter.exceeded:
            seconds = meter.pause.length(self.system.hub.draw())
            self._rest = Rest(self._cell, now + seconds)
            self.system.hub.timers.add(now + seconds, self._rest)
            self.system.hub.emit(RestartsPaused(self.ref.path, child.as_info(), seconds))

    def _resume(self) -> None:
        """End the pause; the appointments of those who wait for it fall due just after."""
        self._rest = None
        if self._meter is not None:
            self._meter = self._meter.reset()
        waiting = sum(child.status == "restarting" for child in self._children.values())
        self.system.hub.emit(RestartsResumed(self.ref.path, waiting))

    def _call_off(self) -> None:
        """Take back every appointment: the supervisor ends."""
        if self._rest is not None:
            self._rest.cancel()
        for child in self._children.values():
            if child.appointment is not None:
                child.enter("stopped", self.system.now())

    def _id_of(self, which: str | ActorRef) -> str:
        """Find the id of a child that was named by it, or by its present incarnation."""
        if isinstance(which, str):
            return which
        if which._cell.parent is not self._cell or not which.alive:
            raise ChildNotFound(which.path)
        return which._cell.id

    def _next_start(self, child_id: str) -> float | None:
        child = self._children.get(child_id)
        return None if child is None else child.next_at

    # --- reports and views

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

    def _child_exited(self, child: Member, reason: ExitReason) -> None:
        self._cell.signal(ChildExited(child, reason))

    def _tree_children(self) -> Iterable[TreeNode]:
        return [child.as_node() for child in self._children.values()]


def is_worth_a_report(reason: ExitReason) -> bool:
    """Whether the end of a child that does not come back is one to tell of.

    A supervisor that gave up ends in the normal class, so a transient one stays away: as it should, and as hardly anybody
    expects.
    """
    return not reason.is_normal or isinstance(reason.detail, RestartLimitReached | BackoffExhausted)


def ask_to_stop(cell: Cell, shutdown: Shutdown) -> Alarm | None:
    """Begin to stop a member as its spec says; the alarm that will kill it is to be discarded at its death."""
    if shutdown == "brutal_kill":
        cell.kill()
        return None
    cell.request_stop(ExitReason.SHUTDOWN)
    if shutdown == "infinity":
        return None
    return cell.hub.timers.after(shutdown, cell.kill)
