"""The tree as data: what an operator, a test or a page may know about a member at any moment.

These values are read synchronously, so they work on an actor which is stuck. Nothing in them is live.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Literal, TypeAlias

from supervisors._child_spec import ChildType
from supervisors._reasons import ExitReason, Restart

Status: TypeAlias = Literal["starting", "running", "stopping", "dead", "restarting", "stopped"]


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


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A member of the tree, or the place of a child which is not running, with what hangs below it."""

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
    """How many children a supervisor has: by spec, alive, and by type."""

    specs: int
    active: int
    supervisors: int
    workers: int


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


def _described(code: CodeType, line: int) -> str:
    return f'  File "{code.co_filename}", line {line}, in {code.co_qualname}\n'
