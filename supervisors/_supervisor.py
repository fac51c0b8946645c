"""The static supervisor: a fixed list of children, started in order and stopped in reverse.

It does one thing at a time. While it waits for a child to start or to stop it serves nobody, which is what makes the
order certain; after a restart that failed it goes back to its mailbox before the next try, so that it can be asked,
administered and stopped between the attempts.

A child is started and stopped only here, and news of a death counts only for the incarnation that is on record: what
the supervisor stopped itself arrives late and is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from supervisors._actor import Ignore, Stop
from supervisors._admin import (
    ChildStatus,
    CountChildren,
    DeleteChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from supervisors._backoff import Backoff, Pause
from supervisors._call import NO_REPLY, ReplyTo
from supervisors._child_spec import (
    AutoShutdown,
    ChildSpec,
    Strategy,
    child_path,
    validate_auto_shutdown,
    validate_children,
    validate_residence,
    validate_significance,
    validate_strategy,
)
from supervisors._children import Appointment, Child, ChildExited, SupervisorBase, ask_to_stop, is_worth_a_report
from supervisors._reasons import ExitReason, is_expected_exit, should_restart
from supervisors._ref import ActorRef
from supervisors._runner import ActorCell
from supervisors._strategy import RestartPlan, ends_supervisor, plan_restart
from supervisors.exceptions import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    StartFailed,
    StartIgnored,
    SupervisorError,
)


@dataclass(frozen=True, slots=True)
class Withdraw:
    """From a supervisor to itself: stop a child which nobody has received."""

    child: Child
    forget: bool


class Supervisor(SupervisorBase):
    """Starts its children in order, restarts them by a strategy, and gives up when restarts come too fast.

    Giving up ends the supervisor with `shutdown`, which is an end of the normal class: a supervisor above restarts it
    if it is permanent and lets it go if it is transient.

    Args:
        children: what to start, in start order.
        strategy: whom the fault of one child concerns.
        max_restarts: how many restarts within `max_seconds` are borne; 0 bears none.
        max_seconds: the length of that window. Budgets of nested supervisors multiply.
        auto_shutdown: whether the supervisor ends, with `shutdown`, when a significant child has ended and is not
            restarted: with the first of them, with the last, or never. An end which the supervisor itself brought
            about, because it was asked to or for the sake of a sibling, does not count.
        backoff: delays between the restarts of each child which has none of its own. Those of its group which stop
            because of it wait along with it.
        pause: rests from restarting when failures come too fast, instead of giving up; `max_restarts` has no say then.

    Raises:
        InvalidChildSpec: an argument makes no sense, or an id appears twice.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
        backoff: Backoff | None = None,
        pause: Pause | None = None,
    ) -> None:
        super().__init__(max_restarts, max_seconds, backoff, pause)
        validate_strategy(type(self).__name__, strategy)
        validate_auto_shutdown(type(self).__name__, auto_shutdown)
        validate_children(type(self).__name__, [spec.id for spec in children])
        for spec in children:
            validate_significance(spec, auto_shutdown)
            validate_residence(spec)
        self._specs = tuple(children)
        self._strategy: Strategy = strategy
        self._auto_shutdown: AutoShutdown = auto_shutdown

    async def init(self) -> Ignore | Stop | None:
        """Start the children; if one fails, stop those before it and fail with it."""
        specs, self._specs = self._specs, ()  # what a temporary child was made from is not kept
        for spec in specs:
            child = self._enlist(spec)
            failure = await self._start(child)
            if failure is not None:
                self._report("start_error", failure.reason, child)
                await self._stop_all()
                return Stop(ExitReason.shutdown(failure))
        return None

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        """Administer the children."""
        try:
            return await self._administer(request, reply_to)
        except SupervisorError as refusal:
            reply_to.fail(refusal)
            return NO_REPLY

    async def handle_info(self, message: Any) -> Stop | None:
        """Deal with the death of a child, and with what the supervisor has told itself to do."""
        if isinstance(message, ChildExited):
            return await self._lost(message)
        if isinstance(message, Appointment):
            return await self._restart(message.child) if message.child.keeps(message) else None
        if isinstance(message, Withdraw):
            await self._withdraw(message.child, forget=message.forget)
            return None
        return await super().handle_info(message)

    async def terminate(self, reason: ExitReason) -> None:
        """Stop the children, last started first, each in its own time."""
        self._call_off()
        await self._stop_all()

    # --- administration

    async def _administer(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        match request:
            case StartChild(spec):
                return await self._add(spec, reply_to)
            case TerminateChild(which):
                return await self._terminate(self._known(self._id_of(which)))
            case RestartChild(child_id):
                return await self._start_for(self._stopped(child_id), reply_to, forget=False)
            case DeleteChild(child_id):
                return self._forget(self._stopped(child_id))
            case WhichChildren():
                return self._listed()
            case CountChildren():
                return self._counts()
            case _:
                return await super().handle_call(request, reply_to)

    async def _add(self, spec: ChildSpec, reply_to: ReplyTo[ActorRef]) -> ActorRef:
        validate_significance(spec, self._auto_shutdown)
        validate_residence(spec)
        present = self._children.get(spec.id)
        if present is not None:
            path = present.path
            raise AlreadyPresent(path) if present.cell is None else AlreadyStarted(path, ActorRef(present.cell))
        child = self._enlist(spec)
        try:
            return await self._start_for(child, reply_to, forget=True)
        except StartFailed:
            self._forget(child)
            raise

    async def _start_for(self, child: Child, reply_to: ReplyTo[ActorRef], *, forget: bool) -> ActorRef:
        reply_to.on_abandon(lambda: self._starter_gone(child, forget=forget))
        failure = await self._start(child, reply_to)
        if failure is not None:
            raise failure
        if child.cell is None:
            raise StartIgnored(child.path)
        return ActorRef(child.cell)

    def _starter_gone(self, child: Child, *, forget: bool) -> None:
        """Take a child back whose starter stopped waiting; even one whose starter never saw the answer."""
        if child.status == "starting" and child.cell is not None:
            child.cell.kill()
        elif child.cell is not None:
            self._cell.signal(Withdraw(child, forget=forget))

    async def _withdraw(self, child: Child, *, forget: bool) -> None:
        await self._stop(child)
        if forget:
            self._forget(child)

    async def _terminate(self, child: Child) -> None:
        await self._stop(child)
        child.attempts = 0  # whoever starts it again by hand does not want to wait
        if child.restart == "temporary":
            self._forget(child)

    def _known(self, child_id: str) -> Child:
        child = self._children.get(child_id)
        if child is None:
            raise ChildNotFound(child_path(self.ref.path, child_id))
        return child

    def _stopped(self, child_id: str) -> Child:
        child = self._known(child_id)
        if child.status == "restarting":
            raise ChildRestarting(child.path)
        if child.cell is not None:
            raise ChildRunning(child.path)
        return child

    def _listed(self) -> list[ChildStatus]:
        return [child.as_status() for child in self._children.values()]

    # --- one child

    def _enlist(self, spec: ChildSpec) -> Child:
        child = self._children[spec.id] = Child(spec, self.ref.path, self._backoff)
        return child

    def _forget(self, child: Child) -> None:
        if self._children.get(child.id) is child:
            del self._children[child.id]

    async def _start(self, child: Child, starter: ReplyTo[ActorRef] | None = None) -> StartFailed | None:
        """Start a child and wait until it is up, unless its `starter` gives up first."""
        try:
            cell = child.launch(self.system, self._cell)
        except AlreadyStarted as taken:
            return StartFailed(child.path, ExitReason.crashed(taken))
        self._cell.note_wait(cell)
        try:
            running = await self._shake_hands(cell, starter)
        except StartFailed as failure:
            child.lost(failure.reason, self.system.now())
            return failure
        finally:
            self._cell.end_wait(cell)
        if running:
            child.enter("running", self.system.now())
            self._progress(child)
        else:
            child.lost(ExitReason.NORMAL, self.system.now())
            if child.restart == "temporary":
                self._forget(child)
        return None

    async def _shake_hands(self, cell: ActorCell, starter: ReplyTo[ActorRef] | None) -> bool:
        running = await cell.handshake()
        if starter is not None and starter.abandoned:
            raise StartFailed(cell.path, await cell.wait_exit())
        return running

    async def _stop(self, child: Child) -> None:
        cell = child.cell
        if cell is None:
            if child.status == "restarting":
                child.enter("stopped", self.system.now())  # which calls its restart off
            return
        patience = ask_to_stop(cell, child.shutdown)
        self._cell.note_wait(cell)
        try:
            reason = await cell.wait_exit()
        finally:
            self._cell.end_wait(cell)
        if patience is not None:
            self.system.hub.timers.discard(patience)
        if not is_expected_exit(child.shutdown, child.restart, reason):
            self._report("shutdown_error", reason, child)
        child.lost(reason, self.system.now())

    async def _stop_all(self) -> None:
        for child in reversed(list(self._children.values())):
            await self._stop(child)

    # --- restarts

    async def _lost(self, exited: ChildExited) -> Stop | None:
        child = self._children.get(exited.cell.id)
        if child is None or child.cell is not exited.cell:
            return None
        again = should_restart(child.restart, exited.reason)
        if again or is_worth_a_report(exited.reason):
            self._report("child_terminated", exited.reason, child)
        child.lost(exited.reason, self.system.now())
        if again:
            return await self._bring_back(child)
        if child.restart == "temporary":
            self._forget(child)
        return self._ended_for_good(child)

    def _ended_for_good(self, child: Child) -> Stop | None:
        """Decide whether a child which ended by itself and stays away takes the supervisor with it."""
        left = sum(other.significant and other.status != "stopped" for other in self._children.values())
        if child.significant and ends_supervisor(self._auto_shutdown, left):
            return Stop(ExitReason.shutdown(f"the significant child {child.path} has ended"))
        return None

    async def _bring_back(self, failed: Child) -> Stop | None:
        """Restart the group of a child that has died; if not now, stop it already, since what it needs is gone."""
        appointment = self._appoint(failed)
        if isinstance(appointment, Stop):
            return appointment
        if appointment.is_now:
            return await self._restart(failed)
        await self._stop_group(self._plan(failed))
        return None

    async def _restart(self, failed: Child) -> Stop | None:
        plan = self._plan(failed)
        await self._stop_group(plan)
        for child_id in plan.start:
            child = self._children[child_id]
            child.restarts += 1
            failure = await self._start(child)
            if failure is not None:
                self._report("start_error", failure.reason, child)
                return self._try_again(child)
        return None

    def _plan(self, failed: Child) -> RestartPlan:
        children = [(child.id, child.restart) for child in self._children.values()]
        return plan_restart(self._strategy, children, failed.id)

    async def _stop_group(self, plan: RestartPlan) -> None:
        for child_id in plan.stop:
            child = self._children[child_id]
            await self._stop(child)
            if child.restart == "temporary":
                self._forget(child)
