"""What a user writes: a class with a mailbox.

An actor is a plain object that lives inside one task. Its handlers run one at a time, so its state needs no lock. What
happens next is a value: a handler returns None to go on or `Stop` to end; `init` may also return `Ignore`. Raising is
a crash, and a crash is the supervisor's business.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisors._call import NO_REPLY, ReplyTo
from supervisors._cell import Cell
from supervisors._host import Helper, HostCell
from supervisors._monitor import MonitorRef
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef, NamedRef
from supervisors._system import System
from supervisors.exceptions import UnexpectedRequest
from supervisors.inspect import TreeNode


@dataclass(frozen=True, slots=True)
class Ignore:
    """Returned by `init`: nothing to do here, and that is no failure."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Returned by `init` or a handler: end with this reason.

    From `handle_call` it may carry the answer to the request; without one the caller gets `ActorDown` with the reason.
    """

    reason: ExitReason = ExitReason.NORMAL
    reply: Any = NO_REPLY


class Actor:
    """Base of every actor. Override what you need; every method has a harmless default.

    The constructor is yours. `ref` and `system` are set between it and `init`.
    """

    ref: ActorRef
    system: System
    _cell: HostCell

    async def init(self) -> Ignore | Stop | None:
        """Prepare to serve. The name is registered already; whoever started the actor waits for this."""
        return None

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        """Answer a request.

        Returns:
            The answer; or `NO_REPLY`, when `reply_to` will be used later; or `Stop`.
        """
        reply_to.fail(UnexpectedRequest(self.ref.path, type(request).__qualname__))
        return NO_REPLY

    async def handle_cast(self, message: Any) -> Stop | None:
        """Take a message nobody waits for."""
        self._cell.unexpected("cast", message)
        return None

    async def handle_info(self, message: Any) -> Stop | None:
        """Take a `Down`, a timer's message, or one that was sent with `send`."""
        self._cell.unexpected("info", message)
        return None

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up. Runs once after every end except a kill and a failed `init`."""

    def format_status(self) -> Mapping[str, object]:
        """Describe the state for operators and crash reports; leave out what they may not see."""
        return {}

    def spawn(self, body: Callable[..., Awaitable[object]], *args: object) -> Helper:
        """Run `body(*args)` as a linked task beside the mailbox.

        It dies with the actor: an orderly end runs `terminate` first and then cancels what still runs. If it crashes,
        the actor crashes with its exception.
        """
        return self._cell.spawn(body, args)

    def monitor(self, ref: ActorRef | NamedRef) -> MonitorRef:
        """Watch another member; its death arrives as one `Down` at `handle_info`."""
        return self._cell.monitor(ref)

    def _child_exited(self, child: Cell, reason: ExitReason) -> None:
        """Hear of a child's death, within its synchronous step; supervisors do."""

    def _tree_children(self) -> Iterable[TreeNode]:
        return [child.node() for child in self._cell.children]
