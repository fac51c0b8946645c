"""The dynamic supervisor: children that come and go, in no order, all independent of each other.

It never waits for a child while it serves. Starting, stopping and restarting are begun here and finished when the news
arrives, so a slow `init` holds up nobody and every administrative step costs the same with ten children or ten
thousand. Only its own end waits: all children are asked at once, and then all are awaited.

Besides children that it starts it takes in tasks which are running already (`adopt`). Children which go passive are out
of its way, with their records in a dormitory of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from supervisors._actor import Stop
from supervisors._admin import ChildStatus, CountChildren, StartChild, TerminateChild, WhichChildren
from supervisors._adopted import AdoptedCell
from supervisors._backoff import Backoff, Pause
from supervisors._call import NO_REPLY, ReplyTo
from supervisors._cell import Cell
from supervisors._child_spec import ChildSpec, child_path, validate_limit, validate_significance
from supervisors._children import Appointment, Child, ChildExited, SupervisorBase, ask_to_stop, is_worth_a_report
from supervisors._mail import MailCell
from supervisors._member import Member
from supervisors._passive import Dormitory, Passive, revive
from supervisors._reasons import ExitReason, Restart, Shutdown, is_expected_exit, should_restart
from supervisors._ref import ActorRef
from supervisors._runner import ActorCell
from supervisors._timers import Alarm
from supervisors.events import ChildInfo, SupervisorReport
from supervisors.exceptions import (
    ActorDown,
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    StartFailed,
    StartIgnored,
    SupervisorError,
    TooManyChildren,
)
from supervisors.inspect import ChildCounts, TreeNode


class DynamicSupervisor(SupervisorBase):
    """Starts children on request, each restarted by itself.

    A child which ends and is not to be restarted is forgotten. None of them is significant: children that come and go
    at run time are no measure of when the supervisor has done its work, so such a spec is refused.

    Args:
        max_restarts: how many restarts within `max_seconds` are borne, of all children together.
        max_seconds: the length of that window.
        backoff: delays between the restarts of each child which has none of its own.
        pause: rests from restarting when failures come too fast, instead of giving up; `max_restarts` has no say then.
        max_children: how many children it holds at most, those being restarted, the adopted and the passive included.
        max_passive: how many passive children it keeps. One more, and the one that has been passive for longest is ended
            and forgotten, as by `terminate_child`.

    Raises:
        InvalidChildSpec: an argument makes no sense.
    """

    def __init__(
        self,
        *,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        max_children: int | None = None,
        max_passive: int | None = None,
        backoff: Backoff | None = None,
        pause: Pause | None = None,
    ) -> None:
        super().__init__(max_restarts, max_seconds, backoff, pause)
        validate_limit(type(self).__name__, "max_children", max_children)
        validate_limit(type(self).__name__, "max_passive", max_passive)
        self._max_children = max_children
        self._adopted: dict[str, AdoptedCell] = {}
        self._dormitory = Dormitory(self, max_passive)
        self._patience: dict[Member, Alarm] = {}

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        """Administer the children."""
        try:
            return await self._administer(request, reply_to)
        except SupervisorError as refusal:
            reply_to.fail(refusal)
            return NO_REPLY

    async def handle_info(self, message: Any) -> Stop | None:
        """Deal with the end of a child, and with a restart whose time has come."""
        if isinstance(message, ChildExited):
            return self._ended(message.cell, message.reason)
        if isinstance(message, Appointment):
            return self._restart(message.child) if message.child.keeps(message) else None
        if isinstance(message, PassiveExited):
            child = message.child
            on_record = self._children.get(child.id) is child and child.cell is None and child.status == "running"
            return self._lost(child, message.reason) if on_record else None
        return await super().handle_info(message)

    async def terminate(self, reason: ExitReason) -> None:
        """Ask every child at once, then wait for all of them."""
        self._call_off()
        stopping = [
            (cell, shutdown, restart, ask_to_stop(cell, shutdown)) for cell, shutdown, restart in self._living()
        ]
        await self._dormitory.clear(ExitReason.SHUTDOWN)
        surprises: dict[str, list[ExitReason]] = {}
        for cell, shutdown, restart, patience in stopping:
            ended = await cell.wait_exit()
            if patience is not None:
                self.system.hub.timers.discard(patience)
            if not is_expected_exit(shutdown, restart, ended):
                surprises.setdefault(str(ended), []).append(ended)
        for alike in surprises.values():
            self.system.hub.emit(
                SupervisorReport(self.ref.path, "shutdown_error", alike[0], offender=None, count=len(alike))
            )

    # --- adopted tasks: called from the task itself, so these may not wait

    def admit(self, cell: AdoptedCell) -> None:
        """Take in a running task.

        Raises:
            AlreadyStarted: the name is taken.
            AlreadyPresent: it is kept for a child that may come back.
            TooManyChildren: there is no room.
        """
        self._check_room()
        child = self._children.get(cell.id)
        if child is not None and child.may_come_back:
            raise AlreadyPresent(cell.path)
        holder = cell.claim()
        if holder is not cell:
            raise AlreadyStarted(cell.path, ActorRef(holder))
        self._adopted[cell.id] = cell
        self._cell.children[cell] = None

    # --- administration

    async def _administer(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        match request:
            case StartChild(spec):
                return self._add(spec, reply_to)
            case TerminateChild(which):
                return self._dismiss(self._id_of(which), reply_to)
            case WhichChildren():
                return self._listed()
            case CountChildren():
                return self._counts()
            case _:
                return await super().handle_call(request, reply_to)

    def _add(self, spec: ChildSpec, reply_to: ReplyTo[ActorRef]) -> Any:
        validate_significance(spec, "never")
        child = Child(spec, self.ref.path, self._backoff)
        present = self._children.get(child.id)
        if present is not None and present.cell is None:
            raise AlreadyPresent(child.path)
        holder = self.system.hub.names.whereis(child.path) if present is None else present.cell
        if holder is not None:
            raise AlreadyStarted(child.path, ActorRef(holder))
        self._check_room()
        child.starter = reply_to
        cell = self._launch(child)
        self._children[child.id] = child
        reply_to.on_abandon(lambda: self._withdraw(child))
        if isinstance(reply_to.caller, Cell):
            reply_to.caller.note_wait(cell)  # it waits for the child's init, though it called the supervisor
        return NO_REPLY

    def _dismiss(self, child_id: str, reply_to: ReplyTo[None]) -> Any:
        adopted = self._adopted.get(child_id)
        if adopted is not None:
            return self._end(adopted, adopted.shutdown, reply_to)
        child = self._children.get(child_id)
        if child is None:
            return self._put_down(child_path(self.ref.path, child_id))
        if child.cell is None:
            del self._children[child_id]
            child.enter("stopped", self.system.now())  # which calls its restart off
            return None
        child.enter("stopping", self.system.now())
        return self._end(child.cell, child.shutdown, reply_to)

    def _end(self, cell: Cell, shutdown: Shutdown, reply_to: ReplyTo[None]) -> Any:
        if cell.exit_reason is not None:
            return None  # the news is on its way to our mailbox
        patience = ask_to_stop(cell, shutdown)
        if patience is not None:
            self._patience[cell] = patience
        cell.watch(_ReplyAtDeath(reply_to))
        return NO_REPLY

    def _put_down(self, path: str) -> None:
        record = self._dormitory.find(path)
        if record is None:
            raise ChildNotFound(path)
        self._dormitory.discharge(record)
        record.request_stop(ExitReason.SHUTDOWN)

    def _withdraw(self, child: Child) -> None:
        """Take back a child whose starter has gone."""
        if child.cell is not None:
            child.enter("stopping", self.system.now())
            child.cell.kill()
        elif self._dormitory.find(child.path) is not None:
            self._put_down(child.path)

    def _check_room(self) -> None:
        held = len(self._children) + len(self._adopted) + len(self._dormitory)
        if self._max_children is not None and held >= self._max_children:
            raise TooManyChildren(self.ref.path, self._max_children)

    def _listed(self) -> list[ChildStatus]:
        adopted = [
            ChildStatus(cell.id, ActorRef(cell), cell.status, cell.type, cell.restart)
            for cell in self._adopted.values()
        ]
        passive = [record.as_status() for record in self._dormitory]
        return [child.as_status() for child in self._children.values()] + adopted + passive

    def _counts(self) -> ChildCounts:
        counts = super()._counts()
        adopted, passive = len(self._adopted), len(self._dormitory)
        return ChildCounts(
            counts.specs + adopted + passive,
            counts.active + adopted,
            counts.supervisors,
            counts.workers + adopted + passive,
            passive,
        )

    # --- one child

    def _launch(self, child: Child) -> Cell:
        cell = child.launch(self.system, self._cell)
        cell.on_ready = lambda: self._ready(child)
        return cell

    def _ready(self, child: Child) -> None:
        """Note that a child's `init` is done; runs in the child's task, so that its starter need not wait for ours."""
        if child.cell is None or child.status != "starting":
            return
        child.enter("running", self.system.now())
        self._progress(child)
        starter = self._end_start(child)
        if starter is not None:
            starter.reply(ActorRef(child.cell))

    def _ended(self, cell: Member, reason: ExitReason) -> Stop | None:
        child = self._children.get(cell.id)
        if child is None or child.cell is not cell:
            return None
        self._discard_patience(cell)
        if child.status == "stopping":
            self._stopped(child, reason)
        elif child.cell.initialised:
            return self._lost(child, reason)
        else:
            return self._failed_to_start(child, child.cell.declined, reason)
        return None

    def _stopped(self, child: Child, reason: ExitReason) -> None:
        del self._children[child.id]
        starter = self._end_start(child)
        if starter is not None:
            starter.fail(StartFailed(child.path, reason))
        elif not is_expected_exit(child.shutdown, child.restart, reason):
            self._report("shutdown_error", reason, child)

    def _lost(self, child: Child, reason: ExitReason) -> Stop | None:
        again = should_restart(child.restart, reason)
        if again or is_worth_a_report(reason):
            self._report("child_terminated", reason, child)
        child.lost(reason, self.system.now())
        if not again:
            del self._children[child.id]
            return None
        appointment = self._appoint(child)
        if isinstance(appointment, Stop):
            return appointment
        return self._restart(child) if appointment.is_now else None

    def _failed_to_start(self, child: Child, declined: bool, reason: ExitReason) -> Stop | None:
        starter = self._end_start(child)
        child.lost(reason, self.system.now())
        if not declined:
            self._report("start_error", reason, child)
        if child.restarts and not declined:
            return self._try_again(child)
        del self._children[child.id]
        if starter is not None:
            starter.fail(StartIgnored(child.path) if declined else StartFailed(child.path, reason))
        return None

    def _restart(self, child: Child) -> Stop | None:
        child.restarts += 1
        try:
            self._launch(child)
        except AlreadyStarted as taken:
            self._report("start_error", ExitReason.crashed(taken), child)
            return self._try_again(child)
        return None

    def _end_start(self, child: Child) -> ReplyTo[ActorRef] | None:
        """Let go of whoever waits for the child to be up."""
        starter, child.starter = child.starter, None
        if starter is not None and isinstance(starter.caller, Cell) and child.cell is not None:
            starter.caller.end_wait(child.cell)
        return starter

    def _discard_patience(self, cell: Member) -> None:
        patience = self._patience.pop(cell, None)
        if patience is not None:
            self.system.hub.timers.discard(patience)

    # --- passive children: called from whatever task wakes or ends them, so these may not wait

    def _keep(self, child: MailCell, spec: ChildSpec, state: Any) -> bool:
        record = self._children.get(child.id)
        if self._ends or record is None or record.cell is not child or record.status != "running":
            return False
        del self._children[record.id]
        self._dormitory.admit(record, record.cell, spec, state)
        record.cell = None
        surplus = self._dormitory.surplus
        if surplus is not None:
            self._put_down(surplus.path)
        return True

    def wake(self, record: Passive) -> ActorCell:
        """Put a cell in the place of a record.

        Raises:
            ActorDown: the supervisor ends, and starts nobody any more.
        """
        self._dormitory.discharge(record)
        if self._ends:
            record.request_stop(ExitReason.SHUTDOWN)
            raise ActorDown(record.path, ExitReason.SHUTDOWN)
        child = self._enlist(record)
        cell = child.cell = revive(record, child, self.system, self._cell)
        cell.on_ready = lambda: self._awake(child)
        child.enter("starting", self.system.now())
        if child.restart == "temporary":
            child.spec = None
        cell.start(record.recipe.spec.start_timeout)
        return cell

    def _awake(self, child: Child) -> None:
        if child.cell is not None and child.status == "starting":
            child.enter("running", self.system.now())

    def _passive_exited(self, record: Passive, reason: ExitReason) -> None:
        """Bring a passive child back that somebody has ended, if its spec wants that."""
        if self._dormitory.discharge(record) and not self._ends:
            child = self._enlist(record)
            child.enter("running", record.since)
            self._cell.signal(PassiveExited(child, reason))

    def _enlist(self, record: Passive) -> Child:
        child = record.history or Child(record.recipe.spec, self.ref.path, self._backoff, record.id)
        child.kind = record.recipe.kind
        self._children[child.id] = child
        return child

    @property
    def _ends(self) -> bool:
        cell = self._cell
        return cell.status == "stopping" or cell.kill_reason is not None or cell.exit_reason is not None

    # --- everybody

    def _living(self) -> list[tuple[Cell, Shutdown, Restart]]:
        children: list[tuple[Cell, Shutdown, Restart]] = [
            (child.cell, child.shutdown, child.restart) for child in self._children.values() if child.cell is not None
        ]
        return children + [(cell, cell.shutdown, cell.restart) for cell in self._adopted.values()]

    def _child_exited(self, child: Member, reason: ExitReason) -> None:
        if isinstance(child, Passive):
            self._passive_exited(child, reason)
            return
        if not isinstance(child, AdoptedCell):
            super()._child_exited(child, reason)
            return
        del self._adopted[child.id]
        self._discard_patience(child)
        if not reason.is_normal:
            info = ChildInfo(child.path, child.kind, child.restart, child.shutdown, child.type)
            self.system.hub.emit(SupervisorReport(self.ref.path, "child_terminated", reason, info))

    def _count_passive(self) -> int:
        return len(self._dormitory)

    def _tree_children(self) -> Iterable[TreeNode]:
        return [*super()._tree_children(), *(cell.node() for cell in self._adopted.values())]


@dataclass(frozen=True, slots=True)
class PassiveExited:
    """To a dynamic supervisor from itself: a passive child is dead; stale if the child is no longer on record."""

    child: Child
    reason: ExitReason


class _ReplyAtDeath:
    """Answers a request for a child's end once it has come."""

    __slots__ = ("_reply_to",)

    def __init__(self, reply_to: ReplyTo[None]) -> None:
        self._reply_to = reply_to

    def down(self, reason: ExitReason) -> None:
        """Answer."""
        self._reply_to.reply(None)
