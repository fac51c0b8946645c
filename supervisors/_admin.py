"""Administration of a supervisor's children: the messages, and the functions which send them.

The functions are what users call; they work alike for static and dynamic supervisors. None of them counts as a restart.
"""

from dataclasses import dataclass
from typing import TypeAlias

from supervisors._call import Call
from supervisors._child_spec import ChildSpec, ChildType
from supervisors._reasons import Restart
from supervisors._ref import ActorRef, NamedRef
from supervisors.inspect import ChildCounts, Status

ADMIN_TIMEOUT = 60.0
"""Longer than a usual call: the supervisor may be waiting for a slow child to start or to stop."""

SupervisorRef: TypeAlias = ActorRef | NamedRef


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One line of `which_children`.

    Attributes:
        ref: the present incarnation; None while there is none.
        status: "stopped" and "restarting" are those of a child without one.
        next_at: when a child that is restarting is to be started, in seconds of the System's clock.
    """

    id: str
    ref: ActorRef | None
    status: Status
    type: ChildType
    restart: Restart
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class StartChild(Call[ActorRef]):
    """Start one more child. Changes the list of children; a crash meanwhile loses the child."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class TerminateChild(Call[None]):
    """Stop a child as its spec says; its spec is kept, unless it is temporary or the supervisor dynamic."""

    which: str | ActorRef


@dataclass(frozen=True, slots=True)
class RestartChild(Call[ActorRef]):
    """Start a stopped child again."""

    id: str


@dataclass(frozen=True, slots=True)
class DeleteChild(Call[None]):
    """Forget the spec of a stopped child."""

    id: str


@dataclass(frozen=True, slots=True)
class WhichChildren(Call[list[ChildStatus]]):
    """List the children, in start order."""


@dataclass(frozen=True, slots=True)
class CountChildren(Call[ChildCounts]):
    """Count the children."""


async def start_child(supervisor: SupervisorRef, spec: ChildSpec, timeout: float = ADMIN_TIMEOUT) -> ActorRef:
    """Start a child and wait until its `init` is done. Giving up the wait takes the child back.

    Raises:
        AlreadyStarted: a child of this id is running.
        AlreadyPresent: a child of this id is kept, and not running.
        InvalidChildSpec: the child is significant, and this supervisor never ends with a child; or it may go passive, and
            the supervisor is a static one.
        TooManyChildren: a dynamic supervisor is at its limit.
        StartFailed: the child ended before its `init` was done.
        StartIgnored: its `init` declined.
        ActorDown, CallTimeout, CallCycle: as for any call.
    Cancellation: cancel point; on cancel the child is stopped again.
    """
    return await supervisor.call(StartChild(spec), timeout)


async def terminate_child(supervisor: SupervisorRef, which: str | ActorRef, timeout: float = ADMIN_TIMEOUT) -> None:
    """Stop a child as its spec says and wait until it is down; one that is not running is no error.

    The spec is kept, unless the child is temporary or the supervisor dynamic. A restart that is being tried is called
    off.

    Args:
        supervisor: whose child it is.
        which: its id; or the handle of one incarnation, and then no other is stopped in its place.
        timeout: seconds to wait.

    Raises:
        ChildNotFound: there is no such child, or that incarnation is none of this supervisor's or is gone.
        CallTimeout: it was not down in time; the stop goes on.
        ActorDown: the supervisor has ended, or is ending and takes no requests.
        CallCycle: the supervisor waits for the caller.
    Cancellation: cancel point; if the supervisor has begun with it, the child stops all the same.
    """
    await supervisor.call(TerminateChild(which), timeout)


async def restart_child(supervisor: SupervisorRef, child_id: str, timeout: float = ADMIN_TIMEOUT) -> ActorRef:
    """Start a stopped child of a static supervisor again.

    Raises:
        ChildNotFound: there is no such child.
        ChildRunning, ChildRestarting: it is not stopped.
        StartFailed, StartIgnored: as for `start_child`; the spec is kept.
        UnexpectedRequest: the supervisor is a dynamic one.
        ActorDown, CallTimeout, CallCycle: as for any call.
    Cancellation: cancel point; on cancel the child is stopped again.
    """
    return await supervisor.call(RestartChild(child_id), timeout)


async def delete_child(supervisor: SupervisorRef, child_id: str, timeout: float = ADMIN_TIMEOUT) -> None:
    """Forget a stopped child of a static supervisor.

    Raises:
        ChildNotFound: there is no such child.
        ChildRunning, ChildRestarting: it is not stopped.
        UnexpectedRequest: the supervisor is a dynamic one.
        ActorDown, CallTimeout, CallCycle: as for any call.
    Cancellation: cancel point.
    """
    await supervisor.call(DeleteChild(child_id), timeout)


async def which_children(supervisor: SupervisorRef, timeout: float = ADMIN_TIMEOUT) -> list[ChildStatus]:
    """List a supervisor's children, in start order; adopted tasks last.

    Raises:
        ActorDown, CallTimeout, CallCycle: as for any call.
    Cancellation: cancel point.
    """
    return await supervisor.call(WhichChildren(), timeout)


async def count_children(supervisor: SupervisorRef, timeout: float = ADMIN_TIMEOUT) -> ChildCounts:
    """Count a supervisor's children. A static one answers when it has dealt with everything that came before.

    Raises:
        ActorDown, CallTimeout, CallCycle: as for any call.
    Cancellation: cancel point.
    """
    return await supervisor.call(CountChildren(), timeout)
