"""Every error of the library, one tree.

A decision is a value and never appears here: `Ignore`, `Stop` and a refused `cast` are return values. What is here
went wrong: a child could not start, a call could not be answered, a spec makes no sense.
"""

from collections.abc import Sequence
from typing import Any

from supervisors._reasons import ExitReason


class SupervisorError(Exception):
    """Root of the tree; never raised itself."""


class InvalidChildSpec(SupervisorError, ValueError):
    """A child spec or a supervisor's flags make no sense; nothing was started.

    Attributes:
        subject: the child or the supervisor.
        field: which field is wrong.
        problem: what was expected there, and what was found.
    """

    def __init__(self, subject: str, field: str, problem: str) -> None:
        super().__init__(f"{subject}: {field}: {problem}")
        self.subject = subject
        self.field = field
        self.problem = problem


class StartFailed(SupervisorError):
    """A member ended before its `init` was done. Nothing of it is left, and its name is free again.

    `reason` says how it ended; for a supervisor it is `shutdown`, with the failure of the child as its detail.
    """

    def __init__(self, path: str, reason: ExitReason) -> None:
        super().__init__(f"{path} failed to start: {reason}")
        self.path = path
        self.reason = reason


class StartIgnored(SupervisorError):
    """The child's `init` said `Ignore`: there is nothing to hold a reference to."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} declined to start")
        self.path = path


class AlreadyStarted(SupervisorError):
    """The name is taken by a living member, whose `ActorRef` is `ref`."""

    def __init__(self, path: str, ref: Any) -> None:
        super().__init__(f"{path} is already started")
        self.path = path
        self.ref = ref


class AlreadyPresent(SupervisorError):
    """The supervisor keeps a stopped child of this id: restart it or delete it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is already present and not running")
        self.path = path


class ChildNotFound(SupervisorError):
    """The supervisor has no child of this id."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not a child of this supervisor")
        self.path = path


class ChildRunning(SupervisorError):
    """The request needs a stopped child and this one runs."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is running")
        self.path = path


class ChildRestarting(SupervisorError):
    """The request needs a stopped child and this one is between two attempts to start it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is restarting")
        self.path = path


class TooManyChildren(SupervisorError):
    """The dynamic supervisor holds `max_children` already; nothing was started."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(f"{path} holds its limit of {limit} children")
        self.path = path
        self.limit = limit


class RestartLimitReached(SupervisorError):
    """A supervisor saw more restarts than it was allowed. Never raised: it is the detail of its exit reason."""

    def __init__(self, path: str, max_restarts: int, max_seconds: float) -> None:
        super().__init__(f"{path} reached more than {max_restarts} restarts within {max_seconds:g} s")
        self.path = path
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds


class BackoffExhausted(SupervisorError):
    """A child was restarted as often in a row as its `Backoff` allows; the detail of its supervisor's exit reason."""

    def __init__(self, path: str, attempts: int, reset_after: float) -> None:
        super().__init__(f"{path} was restarted {attempts} times in a row and never stayed up for {reset_after:g} s")
        self.path = path
        self.attempts = attempts
        self.reset_after = reset_after


class ActorDown(SupervisorError):
    """The target was dead or died before it answered.

    Attributes:
        reason: how it ended; `noproc` when there was nobody to begin with.
        started: what a retry may assume. False means the request was never looked at, True that its outcome is unknown.
    """

    def __init__(self, path: str, reason: ExitReason, *, started: bool = False, problem: str = "is down") -> None:
        super().__init__(f"{path} {problem} ({reason})" + (" while handling the request" if started else ""))
        self.path = path
        self.reason = reason
        self.started = started


class NotRunning(ActorDown):
    """Nobody held the name, or nobody until the deadline; the request was never looked at.

    `next_at` says when its supervisor is going to start it, by the clock of the System; None if that is not settled.
    """

    def __init__(self, path: str, problem: str = "is restarting", next_at: float | None = None) -> None:
        super().__init__(path, ExitReason.NOPROC, started=False, problem=problem)
        self.next_at = next_at


class ActorKilled(SupervisorError):
    """What `adopt` raises around a body that was killed: the body did not get to its end, or did so too late."""

    def __init__(self, path: str, reason: ExitReason) -> None:
        super().__init__(f"{path} was killed ({reason})")
        self.path = path
        self.reason = reason


class CallTimeout(SupervisorError):
    """No answer came before the deadline. The target goes on, and its answer will be dropped.

    `started` says whether it had begun with the request; if not, the request is never looked at.
    """

    def __init__(self, path: str, timeout: float, *, started: bool) -> None:
        state = "is still at it" if started else "had not begun"
        super().__init__(f"{path} did not answer within {timeout:g} s and {state}")
        self.path = path
        self.timeout = timeout
        self.started = started


class LockTimeout(SupervisorError):
    """The lock was not had before the deadline; whoever holds it goes on."""

    def __init__(self, key: object, timeout: float) -> None:
        super().__init__(f"the lock {key!r} was not to be had within {timeout:g} s")
        self.key = key
        self.timeout = timeout


class NotTheHolder(SupervisorError):
    """The value of a name is changed by its holder alone, whose `ActorRef` is `ref`; None if nobody holds the name."""

    def __init__(self, name: str, ref: Any) -> None:
        super().__init__(f"only the holder of {name} may change its value")
        self.name = name
        self.ref = ref


class MailboxFull(SupervisorError):
    """The target's mailbox had no room for the request, or it gave way to a newer message; it was never looked at."""

    def __init__(self, path: str, capacity: int) -> None:
        super().__init__(f"the mailbox of {path} holds its limit of {capacity} messages")
        self.path = path
        self.capacity = capacity


class NoMailbox(SupervisorError):
    """The target is an adopted task: it can be watched and killed, but it takes no messages."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is an adopted task and takes no messages")
        self.path = path


class CallingSelf(SupervisorError):
    """An actor called, or waited for the end of, itself: it could only wait forever. Nothing was sent."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is calling itself")
        self.path = path


class CallCycle(SupervisorError):
    """The call would close a circle of actors which all wait for each other. Nothing was sent.

    `path` names them in order, from the caller round to the caller.
    """

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__("the call would wait forever: " + " -> ".join(path))
        self.path = tuple(path)


class UnexpectedRequest(SupervisorError):
    """The target does not know this type of request; it carries on."""

    def __init__(self, path: str, request_type: str) -> None:
        super().__init__(f"{path} does not answer {request_type}")
        self.path = path
        self.request_type = request_type


class BadReturnValue(SupervisorError):
    """A callback returned what it may not return; the actor crashes with this."""

    def __init__(self, callback: str, returned: str) -> None:
        super().__init__(f"{callback} returned a {returned}")
        self.callback = callback
        self.returned = returned


class ForeignCancellation(SupervisorError):
    """A cancellation that nobody in the tree had asked for reached an actor.

    It leaks from a natively cancelled asyncio task somebody awaits. Taken for an orderly end it would take the actor
    away in silence, so it is a crash.
    """

    def __init__(self) -> None:
        super().__init__("cancelled by something outside the tree")


class StartTimeout(SupervisorError):
    """`init` took longer than the spec's `start_timeout`. Never raised: it is the error in the reason of `StartFailed`."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(f"{path} was not initialised within {timeout:g} s")
        self.path = path
        self.timeout = timeout
