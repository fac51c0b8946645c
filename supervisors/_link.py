"""Links: two members which do not want to outlive each other.

A link is two-way and there is at most one between two members. When one of them dies, the link goes with it, and the
other

- hears of it as an `Exit` message if it traps exits (`trap_exit`), whatever the reason;
- goes on if the reason is normal;
- else is killed with the same reason, without `terminate`. An end by `shutdown` is not normal in this sense.

A kill cannot be trapped by whom it hits; those linked to it get the reason `killed`, which can. An `Exit` shares the
queue of messages, so what the dead one had sent comes first; a death by link is immediate, as a kill is. Links are
told after the dead one's names are free and its callers have their errors, and before its monitors and its supervisor.

A link is no kinship. It makes nobody a child, and a child cannot be moved to another supervisor by linking or otherwise:
whose child it is says its path, and its supervisor owes it a place in the order of starts and stops. To have it elsewhere,
terminate it here and start it there.
"""

from dataclasses import dataclass

from supervisors._cell import Cell
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, NamedRef, cell_of
from supervisors.exceptions import ActorDown


@dataclass(frozen=True, slots=True)
class Exit:
    """To an actor which traps exits: a member linked to it is dead."""

    ref: ActorRef | NamedRef
    reason: ExitReason


def link(cell: Cell, target: ActorRef | NamedRef) -> ExitReason | None:
    """Link two members; a second link between them, or one to itself, is nothing.

    Returns:
        With what reason the link ended at once, because there was nobody to link to.

    Raises:
        ActorDown: `cell` is dead itself, or the target is a supervisor that stops: it takes on nobody any more.
    """
    if cell.exit_reason is not None or cell.kill_reason is not None:
        raise ActorDown(cell.path, cell.exit_reason or ExitReason.KILLED)
    peer = cell_of(target)
    if peer is None or peer.exit_reason is not None:
        return ExitReason.NOPROC
    peer = peer.awake()
    if peer.type == "supervisor" and (peer.status in ("draining", "stopping") or peer.kill_reason is not None):
        raise ActorDown(peer.path, ExitReason.NOPROC, problem="is stopping")
    if peer is not cell:
        cell.bind(peer)
        peer.bind(cell)
    return None


def unlink(cell: Cell, target: ActorRef | NamedRef) -> None:
    """End the link between two members; nothing happens if there is none."""
    peer = cell_of(target)
    if peer is not None:
        cell.unbind(peer)
        peer.unbind(cell)
