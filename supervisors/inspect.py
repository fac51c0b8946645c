"""The tree as data: what an operator, a test or a page may know about a member at any moment.

These values are read synchronously, so they work on an actor which is stuck. Nothing in them is live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from linecache import getline
from types import CodeType, TracebackType
from typing import Any, Literal, TypeAlias

from supervisors._child_spec import ChildType
from supervisors._reasons import ExitReason, Restart
from supervisors.events import Traced

_OUTERMOST = 16
_INNERMOST = 48
"""How much of a very deep stack is shown."""

Status: TypeAlias = Literal[
    "starting", "running", "suspended", "passive", "draining", "stopping", "dead", "restarting", "stopped"
]


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One incarnation, seen from outside.

    Attributes:
        since: when it entered its present status, in seconds of the System's clock.
        current_message: type of the message it is handling.
        busy_since: when it began with that message.
        waiting_on: paths of those it is waiting for, while a handler awaits a call.
        handled: messages looked at so far.
        dropped: messages its mailbox had no room for.
        restarts: how often its supervisor has restarted it.
        last_exit: how the incarnation before it ended.
        exit_reason: how this one ended.
        details: its own redacted view of itself.
        links: paths of those it is linked to.
        names: further names that it holds.
    """

    path: str
    kind: str
    type: ChildType
    status: Status
    restart: Restart
    since: float
    mailbox_depth: int
    current_message: str | None
    busy_since: float | None
    waiting_on: tuple[str, ...]
    handled: int
    dropped: int
    restarts: int
    last_exit: ExitReason | None
    exit_reason: ExitReason | None
    details: Mapping[str, object]
    links: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A member of the tree, or the place of a child which is not running, with what hangs below it.

    Attributes:
        next_at: when a child that is restarting is to be started, in seconds of the System's clock.
        passive: how many of its children are passive; those have no node here, since there may be very many.
    """

    path: str
    id: str
    kind: str
    type: ChildType
    status: Status
    restart: Restart
    mailbox_depth: int
    restarts: int
    last_exit: ExitReason | None
    since: float
    waiting_on: tuple[str, ...]
    children: tuple["TreeNode", ...]
    next_at: float | None = None
    passive: int = 0

    def find(self, path: str) -> "TreeNode | None":
        """Look a member up by its path, from here down."""
        if self.path == path:
            return self
        for child in self.children:
            if path == child.path or path.startswith(child.path + "/"):
                return child.find(path)
        return None


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """How many children a supervisor has.

    Attributes:
        specs: all it knows of, running or not.
        active: those with a task of their own, starting and stopping ones included.
        supervisors: those of all that are supervisors by their spec.
        workers: the others.
        passive: those of all that are passive, and so not active.
    """

    specs: int
    active: int
    supervisors: int
    workers: int
    passive: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """The traffic of one incarnation.

    Attributes:
        started_at: when the incarnation was made, in seconds of the System's clock.
        now: the time of the answer.
        messages_in: messages that arrived: looked at, waiting, or dropped for want of room.
        messages_out: answers that handlers have returned; one that is given later through a `ReplyTo` does not count.
        handled: messages looked at.
        waiting: messages in the mailbox.
        dropped: messages its mailbox had no room for.
    """

    started_at: float
    now: float
    messages_in: int
    messages_out: int
    handled: int
    waiting: int
    dropped: int


@dataclass(frozen=True, slots=True)
class ActorStatus:
    """One incarnation, as it describes itself.

    Attributes:
        module: the module of its class, and the class.
        status: running or suspended.
        parent: path of its supervisor; None for the root.
        links: paths of those it is linked to.
        debug: what is switched on: "trace", "log".
        log: the last messages, while they are being kept.
        details: its own redacted view of itself, made by `format_status`.
    """

    path: str
    module: str
    status: Status
    parent: str | None
    traps_exit: bool
    links: tuple[str, ...]
    debug: tuple[str, ...]
    statistics: Statistics
    log: tuple[Traced, ...]
    details: Mapping[str, object]


def describe_stack(coroutine: Any) -> tuple[str, ...]:
    """Show where a suspended coroutine stands, outermost call first."""
    lines: list[str] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        lines.append(_described(frame.f_code, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None)
    return tuple(lines)


def describe_traceback(traceback: TracebackType | None) -> tuple[str, ...]:
    """Show where an exception came from, outermost call first, each with its source line.

    The standard library's `format_tb` asks the file system about every file and parses every line anew, to underline a
    part of it: ten times the price, and most of what a crash would cost. Of a stack that is very deep the middle is
    left out.
    """
    places: list[tuple[CodeType, int]] = []
    while traceback is not None:
        places.append((traceback.tb_frame.f_code, traceback.tb_lineno))
        traceback = traceback.tb_next
    left_out = len(places) - _OUTERMOST - _INNERMOST
    if left_out <= 0:
        return tuple(_with_source(*place) for place in places)
    outer = [_with_source(*place) for place in places[:_OUTERMOST]]
    inner = [_with_source(*place) for place in places[-_INNERMOST:]]
    return (*outer, f"  ... {left_out} more calls ...\n", *inner)


def _with_source(code: CodeType, line: int) -> str:
    source = getline(code.co_filename, line).strip()
    return _described(code, line) + (f"    {source}\n" if source else "")


def _described(code: CodeType, line: int) -> str:
    return f'  File "{code.co_filename}", line {line}, in {code.co_qualname}\n'
