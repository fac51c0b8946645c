"""What happens to the tree, as frozen values for one observer.

An observer is a plain function given to the System. Events carry names, reasons and the actor's own redacted view
(`Actor.format_status`); they never carry a message or a state, because those hold prompts and keys.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from supervisors._child_spec import ChildType
from supervisors._reasons import ExitReason, Restart, Shutdown

Lane: TypeAlias = Literal["cast", "info"]
ReportContext: TypeAlias = Literal["start_error", "child_terminated", "shutdown_error", "shutdown"]

_logger = logging.getLogger("supervisors")


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """The child an event is about; `restarts` tells its incarnations apart."""

    path: str
    kind: str
    restart: Restart
    shutdown: Shutdown
    type: ChildType
    significant: bool = False
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A child of a supervisor is up."""

    supervisor: str
    child: ChildInfo


@dataclass(frozen=True, slots=True)
class SupervisorReport:
    """Something a supervisor had to deal with.

    `count` is the number of children it concerns: a dynamic supervisor which stops reports once per reason.
    """

    supervisor: str
    context: ReportContext
    reason: ExitReason
    offender: ChildInfo | None
    count: int = 1


@dataclass(frozen=True, slots=True)
class RestartDelayed:
    """A child is to be started again, in so many seconds; `attempt` says which restart in a row it will be."""

    supervisor: str
    child: ChildInfo
    seconds: float
    attempt: int


@dataclass(frozen=True, slots=True)
class RestartsPaused:
    """A supervisor saw too many failures, of which `child` had the last; it restarts nobody for so many seconds."""

    supervisor: str
    child: ChildInfo
    seconds: float


@dataclass(frozen=True, slots=True)
class RestartsResumed:
    """A supervisor's pause is over, and the children that were waiting are started again."""

    supervisor: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A member that was linked to one which crashed, at that moment.

    Attributes:
        mailbox_depth: how many messages were waiting for it.
        current_message: type of the message it was handling.
    """

    path: str
    kind: str
    status: str
    mailbox_depth: int
    current_message: str | None


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A member of the tree ended in a way nobody meant.

    Attributes:
        mailbox_depth: how many messages it had not looked at.
        last_message: the type of the message it was handling.
        status: the actor's own view of itself, made by `format_status`, cut to a size that can be read.
        client: path of the actor whose request it was handling.
        stack: where the exception came from, outermost first; source lines only.
        links: paths of those it was linked to.
        module: the module of its class, and the class; None for an adopted task, which has none.
        messages: the messages it had not looked at, by type and number.
        client_stack: where the code of that client waits; source lines only.
        neighbours: those it was linked to, as they were.
        log: its last messages, if it was told to keep some.
        restarts: how often its supervisor had restarted it.
    """

    path: str
    kind: str
    reason: ExitReason
    ancestors: tuple[str, ...]
    mailbox_depth: int
    last_message: str | None
    status: Mapping[str, object]
    client: str | None
    stack: tuple[str, ...]
    links: tuple[str, ...] = ()
    module: str | None = None
    messages: Mapping[str, int] = field(default_factory=dict)
    client_stack: tuple[str, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    log: tuple["Traced", ...] = ()
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Messages which an actor never looked at, because it ended first; by type and number."""

    path: str
    reason: ExitReason
    messages: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message which nobody will read, for the `on_dead_letter` of the System.

    This is no event, because it has the message itself in it, and so it goes nowhere else.

    Attributes:
        path: to whom it was sent.
        lane: how.
        message: the message as it was sent.
        reason: how the actor ended that had it unread; `noproc` if there was nobody to send it to.
    """

    path: str
    lane: Lane
    message: object
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class UnexpectedMessage:
    """An actor got a type of message it has no handler for; said once per actor and type."""

    path: str
    lane: Lane
    message_type: str


@dataclass(frozen=True, slots=True)
class Traced:
    """One message of an actor that is being traced: it takes one out of its mailbox, or its handler returns an answer.

    Attributes:
        at: when, in seconds of the System's clock.
        lane: how the message came; or "reply" for an answer.
        message_type: the type of the message or of the answer.
        peer: path of the actor which asked; None if it is not known.
    """

    path: str
    at: float
    lane: Literal["call", "cast", "info", "reply"]
    message_type: str
    peer: str | None


@dataclass(frozen=True, slots=True)
class Unstopped:
    """A killed member did not end. It was given up: its name is free, its code still runs; `stack` is where."""

    path: str
    stack: tuple[str, ...]


Event: TypeAlias = (
    Progress
    | SupervisorReport
    | RestartDelayed
    | RestartsPaused
    | RestartsResumed
    | CrashReport
    | DeadLetters
    | UnexpectedMessage
    | Unstopped
    | Traced
)


def log_event(event: Event) -> None:
    """Write an event to the `supervisors` logger: what a System does when it is given no observer."""
    if isinstance(event, Progress):
        _logger.info("%s started %s", event.supervisor, event.child.path)
    elif isinstance(event, SupervisorReport):
        offender = event.offender.path if event.offender is not None else f"{event.count} children"
        _logger.error("%s: %s: %s (%s)", event.supervisor, event.context, offender, event.reason)
    elif isinstance(event, RestartDelayed):
        _logger.warning("%s starts %s again in %.3g s", event.supervisor, event.child.path, event.seconds)
    elif isinstance(event, RestartsPaused):
        _logger.error("%s restarts nobody for %.3g s, %s being one too many", event.supervisor, event.seconds,
                      event.child.path)  # fmt: skip
    elif isinstance(event, RestartsResumed):
        _logger.warning("%s restarts its children again; %d wait", event.supervisor, event.waiting)
    elif isinstance(event, CrashReport):
        _logger.error("%s ended: %s%s\n%s", event.path, event.reason, _circumstances(event), "".join(event.stack))
    elif isinstance(event, DeadLetters):
        _logger.warning("%s ended with unread messages: %s", event.path, dict(event.messages))
    elif isinstance(event, UnexpectedMessage):
        _logger.warning("%s has no handler for the %s %s", event.path, event.lane, event.message_type)
    elif isinstance(event, Traced):
        peer = "" if event.peer is None else f" ({event.peer})"
        _logger.info("%s: %s %s%s", event.path, event.lane, event.message_type, peer)
    else:
        _logger.critical("%s was killed and still runs\n%s", event.path, "".join(event.stack))


def _circumstances(crash: CrashReport) -> str:
    """Say in a line what the member was doing."""
    facts = []
    if crash.last_message is not None:
        client = "" if crash.client is None else f" for {crash.client}"
        facts.append(f"handling {crash.last_message}{client}")
    if crash.mailbox_depth:
        facts.append(f"{crash.mailbox_depth} messages unread")
    if crash.status:
        facts.append(f"status {dict(crash.status)}")
    return "".join(f"; {fact}" for fact in facts)
