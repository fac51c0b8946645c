"""Taking a running task into the tree for the length of an `async with`.

A request is handled in a task the server made. Spawning an actor for it would cost a task, two hops and a mailbox;
this makes the task itself a temporary child of a dynamic supervisor, by bookkeeping alone.

What surrounds the body sees one of four things: nothing (it ran to its end, or `cancel` let it off), its own exception
unchanged, a cancellation (which came from outside), or `ActorKilled`. A kill never shows as a bare cancellation.
"""

from collections.abc import Callable, Mapping
from types import TracebackType

from supervisors._adopted import AdoptedCell
from supervisors._cell import Cell, current_cell
from supervisors._dynamic import DynamicSupervisor
from supervisors._member import Hub
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, NamedRef, cell_of
from supervisors._runner import ActorCell
from supervisors.exceptions import ActorDown, ActorKilled


class Adoption:
    """What `adopt` returns; good for one `async with`."""

    __slots__ = ("_cell", "_id", "_outer", "_shutdown", "_status", "_supervisor")

    def __init__(
        self,
        supervisor: NamedRef | ActorRef,
        child_id: str,
        status: Callable[[], Mapping[str, object]] | None,
        shutdown: float,
    ) -> None:
        self._supervisor = supervisor
        self._id = child_id
        self._status = status
        self._shutdown = shutdown
        self._outer: Cell | None = None

    async def __aenter__(self) -> ActorRef:
        supervisor, home = self._find()
        cell = self._cell = AdoptedCell(home, self._id, self._status, self._shutdown)
        supervisor.admit(cell)
        outer = self._outer = current_cell.get()
        if outer is not None:  # an actor that adopts its own handler: whoever waits for the body waits for it
            outer.note_wait(cell)
            cell.deadline = outer.deadline
        current_cell.set(cell)
        cell.scope.__enter__()
        return ActorRef(cell)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:  # as type checkers have it: a body that nobody lets off does run to its end
        cell = self._cell
        current_cell.set(self._outer)  # not by token: an async generator may be closed in another context
        if self._outer is not None:
            self._outer.end_wait(cell)
        try:
            cancelled = bool(cell.scope.__exit__(exc_type, exc, traceback))
        except BaseException as rest:
            cell.publish_exit(_reason(rest, cell.hub))
            raise
        cell.publish_exit(_reason(exc, cell.hub))
        if cell.kill_reason is not None and (cancelled or exc is None):
            raise ActorKilled(cell.path, cell.kill_reason) from None
        return cancelled

    def cancel(self) -> None:
        """Leave the body at its next cancel point, as if it had ended there; nothing is raised. The tree sees a shutdown.

        For whoever finds that nobody wants the outcome any more. A second time, and afterwards, it is nothing.
        """
        if self._cell.exit_reason is None:
            self._cell.scope.cancel()

    def _find(self) -> tuple[DynamicSupervisor, ActorCell]:
        home = cell_of(self._supervisor)
        if home is None or home.exit_reason is not None:
            raise ActorDown(self._supervisor.path, ExitReason.NOPROC)
        # asked first, because what is still starting has no actor to look at
        # (a suspended one takes in tasks all the same: that asks nothing of its mailbox)
        if home.status not in ("running", "suspended") or home.kill_reason is not None:
            raise ActorDown(home.path, ExitReason.NOPROC, problem=f"is {home.status}")
        if not isinstance(home, ActorCell) or not isinstance(home.actor, DynamicSupervisor):
            raise TypeError(f"{home.path} is not a dynamic supervisor")
        return home.actor, home


def adopt(
    supervisor: NamedRef | ActorRef,
    id: str,
    *,
    status: Callable[[], Mapping[str, object]] | None = None,
    shutdown: float = 5.0,
) -> Adoption:
    """Make the caller's task a temporary child of a dynamic supervisor while the block runs.

    Entering is synchronous at heart and costs a few microseconds. A supervisor which stops lets the body run for
    `shutdown` seconds and then kills it; one which is killed or crashes kills it at once.

    Args:
        supervisor: a `DynamicSupervisor`.
        id: its name below the supervisor.
        status: makes the redacted view of the body for operators.
        shutdown: seconds the body may go on when the supervisor stops.

    Raises:
        ActorDown: the supervisor is not running.
        AlreadyStarted: the name is taken.
        AlreadyPresent: it is kept for a child that is to be started again.
        TooManyChildren: the supervisor is at its limit.
        ActorKilled: on leaving, when the body was killed.
        TypeError: the supervisor is not a dynamic one.
    Cancellation: passes through.
    """
    return Adoption(supervisor, id, status, shutdown)


def _reason(error: BaseException | None, hub: Hub) -> ExitReason:
    if error is None:
        return ExitReason.NORMAL
    if isinstance(error, hub.backend.cancelled | GeneratorExit):
        return ExitReason.shutdown("cancelled")
    return ExitReason.crashed(error)
