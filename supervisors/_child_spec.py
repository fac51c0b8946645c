"""The recipe for one child: what to start, when to restart it, how to stop it.

Pure. A spec checks itself when it is made, so a supervisor never meets a wrong one and nothing has been started when
the mistake shows. Each field has its own check and its own message.
"""

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from supervisors._backoff import Backoff, Pause
from supervisors._checks import expected_one_of, is_count, is_finite, is_number
from supervisors._reasons import ExitReason, Restart, Shutdown
from supervisors.exceptions import InvalidChildSpec

ChildType: TypeAlias = Literal["worker", "supervisor"]
Overflow: TypeAlias = Literal["reject", "drop_newest", "drop_oldest", "block"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]

_OVERFLOWS: tuple[str, ...] = get_args(Overflow)
_RESTARTS: tuple[str, ...] = get_args(Restart)
_TYPES: tuple[str, ...] = get_args(ChildType)

WORKER_SHUTDOWN: Shutdown = 5.0
SUPERVISOR_SHUTDOWN: Shutdown = "infinity"


class Startable(Protocol):
    """What a spec's factory makes: the part of an `Actor` by which a type checker knows one."""

    def init(self) -> Awaitable[object]:
        """Prepare the actor."""

    def terminate(self, reason: ExitReason) -> Awaitable[None]:
        """Clean up after it."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How many messages may wait for an actor, and what gives way when it is full.

    `reject` tells the sender; `drop_newest` discards the arriving message and `drop_oldest` the longest waiting one
    without troubling the sender. A request that is dropped fails its caller with `MailboxFull`. `block` lets a `call`
    and a `cast_wait` wait for room until their deadline; a `cast`, which cannot wait, is refused. News of deaths,
    timers, stops and system requests are never refused or dropped.

    Raises:
        InvalidChildSpec: a field makes no sense.
    """

    capacity: int = 1000
    overflow: Overflow = "reject"

    def __post_init__(self) -> None:
        if not is_count(self.capacity, least=1):
            raise InvalidChildSpec("mailbox", "capacity", f"expected a positive whole number, got {self.capacity!r}")
        if self.overflow not in _OVERFLOWS:
            raise InvalidChildSpec("mailbox", "overflow", expected_one_of(_OVERFLOWS, self.overflow))


DEFAULT_MAILBOX = Mailbox()


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What a supervisor knows about a child before it runs.

    Attributes:
        id: the child's name below its supervisor.
        start: makes a fresh actor object; called once for every incarnation, inside the new actor's own task.
        restart: permanent (always), transient (after a fault) or temporary (never).
        shutdown: seconds to stop in before it is killed, "brutal_kill" or "infinity"; five seconds for a worker and
            infinity for a supervisor when left out, since a supervisor cut short would orphan its children.
        type: worker or supervisor.
        significant: whether its end may be the end of its supervisor, as the `auto_shutdown` of that one says.
        backoff: delays between its restarts, instead of those its supervisor has for all.
        mailbox: the bound of its mailbox.
        interrupt: stop by cancelling the running handler instead of waiting for it; `terminate` runs either way.
        start_timeout: seconds its `init` may take, or its `activate`.
        passivate_after: seconds without a message after which it goes passive (`Actor.passivate`); infinity lets it do
            so only when it asks to. None keeps it live. Only workers of a dynamic supervisor may have this.

    Raises:
        InvalidChildSpec: a field makes no sense. It names the field.
    """

    id: str
    start: Callable[[], Startable]
    restart: Restart = "permanent"
    shutdown: Shutdown | None = None
    type: ChildType = "worker"
    mailbox: Mailbox = DEFAULT_MAILBOX
    interrupt: bool = False
    start_timeout: float = math.inf
    significant: bool = False
    backoff: Backoff | None = None
    passivate_after: float | None = None

    def __post_init__(self) -> None:
        subject = f"child {self.id!r}"
        _validate_id(self.id, subject)
        _validate_start(self.start, subject)
        _validate_choice(self.restart, _RESTARTS, subject, "restart")
        _validate_choice(self.type, _TYPES, subject, "type")
        if self.shutdown is not None:
            _validate_shutdown(self.shutdown, subject)
        _validate_start_timeout(self.start_timeout, subject)
        _validate_significant(self.significant, self.restart, subject)
        if not isinstance(self.mailbox, Mailbox):
            raise InvalidChildSpec(subject, "mailbox", f"expected a Mailbox, got {self.mailbox!r}")
        validate_backoff(subject, self.backoff)
        if self.passivate_after is not None:
            _validate_passivate_after(self.passivate_after, self.type, subject)

    @property
    def shutdown_policy(self) -> Shutdown:
        """How to stop this child, with the default of its type filled in."""
        if self.shutdown is not None:
            return self.shutdown
        return SUPERVISOR_SHUTDOWN if self.type == "supervisor" else WORKER_SHUTDOWN


def child_path(parent: str, child_id: str) -> str:
    """Name a child below its parent: the path by which everybody else finds it.

    An id may hold any character. A slash in it is written `%2F`, so it cannot be mistaken for a level of the tree.
    """
    if "/" in child_id or "%" in child_id:
        child_id = child_id.replace("%", "%25").replace("/", "%2F")
    return f"{parent}/{child_id}"


def child_id_in(path: str) -> str:
    """Read the child's id off its path."""
    name = path.rpartition("/")[2]
    return name.replace("%2F", "/").replace("%25", "%") if "%" in name else name


def validate_children(supervisor: str, ids: Iterable[str]) -> None:
    """Refuse a list of children in which an id appears twice."""
    seen: set[str] = set()
    for child_id in ids:
        if child_id in seen:
            raise InvalidChildSpec(supervisor, "children", f"the id {child_id!r} appears twice")
        seen.add(child_id)


def validate_strategy(supervisor: str, strategy: Strategy) -> None:
    """Refuse a restart strategy that does not exist."""
    _validate_choice(strategy, get_args(Strategy), supervisor, "strategy")


def validate_auto_shutdown(supervisor: str, auto_shutdown: AutoShutdown) -> None:
    """Refuse a rule for automatic shutdown that does not exist."""
    _validate_choice(auto_shutdown, get_args(AutoShutdown), supervisor, "auto_shutdown")


def validate_significance(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    """Refuse a significant child where no child's end could ever be the supervisor's."""
    if spec.significant and auto_shutdown == "never":
        problem = "the supervisor does not shut down with any child, its auto_shutdown being never"
        raise InvalidChildSpec(f"child {spec.id!r}", "significant", problem)


def validate_residence(spec: ChildSpec) -> None:
    """Refuse a child that would go passive where nobody keeps its record."""
    if spec.passivate_after is not None:
        problem = "only a dynamic supervisor has passive children"
        raise InvalidChildSpec(f"child {spec.id!r}", "passivate_after", problem)


def validate_intensity(supervisor: str, max_restarts: int, max_seconds: float) -> None:
    """Refuse a restart limit that could not be counted."""
    if not is_count(max_restarts, least=0):
        raise InvalidChildSpec(supervisor, "max_restarts", f"expected a whole number from 0, got {max_restarts!r}")
    if not is_number(max_seconds) or not 0 < max_seconds < math.inf:
        problem = f"expected a positive, finite number of seconds, got {max_seconds!r}"
        raise InvalidChildSpec(supervisor, "max_seconds", problem)


def validate_backoff(subject: str, backoff: Backoff | None) -> None:
    """Refuse what are no delays."""
    if backoff is not None and not isinstance(backoff, Backoff):
        raise InvalidChildSpec(subject, "backoff", f"expected a Backoff or None, got {backoff!r}")


def validate_pause(supervisor: str, pause: Pause | None) -> None:
    """Refuse what is no pause."""
    if pause is not None and not isinstance(pause, Pause):
        raise InvalidChildSpec(supervisor, "pause", f"expected a Pause or None, got {pause!r}")


def validate_limit(supervisor: str, name: str, limit: int | None) -> None:
    """Refuse a limit of children that is not a count."""
    if limit is not None and not is_count(limit, least=1):
        raise InvalidChildSpec(supervisor, name, f"expected a positive whole number or None, got {limit!r}")


def _validate_id(child_id: object, subject: str) -> None:
    if not isinstance(child_id, str) or not child_id:
        raise InvalidChildSpec(subject, "id", f"expected a non-empty string, got {child_id!r}")


def _validate_start(start: object, subject: str) -> None:
    if not callable(start):
        raise InvalidChildSpec(subject, "start", f"expected a callable which makes the actor, got {start!r}")


def _validate_shutdown(shutdown: object, subject: str) -> None:
    if isinstance(shutdown, str) and shutdown in ("brutal_kill", "infinity"):
        return
    if not is_finite(shutdown, least=0):
        problem = f'expected seconds from 0, "brutal_kill" or "infinity", got {shutdown!r}'
        raise InvalidChildSpec(subject, "shutdown", problem)


def _validate_start_timeout(seconds: object, subject: str) -> None:
    if not is_number(seconds) or not seconds > 0:
        raise InvalidChildSpec(subject, "start_timeout", f"expected a positive number of seconds, got {seconds!r}")


def _validate_significant(significant: object, restart: Restart, subject: str) -> None:
    if not isinstance(significant, bool):
        raise InvalidChildSpec(subject, "significant", f"expected True or False, got {significant!r}")
    if significant and restart == "permanent":
        raise InvalidChildSpec(subject, "significant", "a permanent child is always restarted, so it has no end")


def _validate_passivate_after(seconds: object, child_type: ChildType, subject: str) -> None:
    if not is_number(seconds) or not seconds > 0:
        problem = f"expected a positive number of seconds or None, got {seconds!r}"
        raise InvalidChildSpec(subject, "passivate_after", problem)
    if child_type == "supervisor":
        raise InvalidChildSpec(subject, "passivate_after", "a supervisor cannot leave its children")


def _validate_choice(value: object, allowed: tuple[str, ...], subject: str, name: str) -> None:
    if value not in allowed:
        raise InvalidChildSpec(subject, name, expected_one_of(allowed, value))
