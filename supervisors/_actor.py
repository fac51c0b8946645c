"""What a user writes: a class with a mailbox.

An actor is a plain object that lives inside one task. Its handlers run one at a time, so its state needs no lock. What
happens next is a value: a handler returns None to go on, `Stop` to end or `Passivate` to rest until the next message;
`init` may also return `Ignore` or `Continue`. Raising is a crash, and a crash is the supervisor's business.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from supervisors._call import NO_REPLY, ReplyTo
from supervisors._child_spec import ChildSpec
from supervisors._host import Helper
from supervisors._mail import MailCell
from supervisors._member import Member
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
class Continue:
    """Returned by `init`: up and running, but first of all let `handle_continue` have this.

    Whoever started the actor goes on meanwhile, and whatever is in the mailbox already comes after. So a slow start
    holds nobody up and still cannot be overtaken by a message.
    """

    message: Any


class Leave:
    """Returned by a handler: the actor wants to be away, for good or until somebody needs it."""

    __slots__ = ()

    reply: Any


@dataclass(frozen=True, slots=True)
class Stop(Leave):
    """Returned by `init` or a handler: end with this reason.

    From `handle_call` it may carry the answer to the request; without one the caller gets `ActorDown` with the reason.
    """

    reason: ExitReason = ExitReason.NORMAL
    reply: Any = NO_REPLY


@dataclass(frozen=True, slots=True)
class Passivate(Leave):
    """Returned by a handler: nothing is to be done before the next message, so let all but the state go meanwhile.

    It is a wish. It is granted to an actor whose spec has `passivate_after`, if no message waits and nothing else is
    under way; else the actor goes on as if it had returned None, and may ask again after its next message. From
    `handle_call` it may carry the answer to the request.
    """

    reply: Any = NO_REPLY


_GIVEN = ("ref", "system", "_cell")
"""The attributes of an actor which are the library's, and no part of its state."""


class Actor:
    """Base of every actor. Override what you need; every method has a harmless default.

    The constructor is yours; it runs in the actor's own task, once for every incarnation. `ref` and `system` are set
    between it and `init`. Callbacks run one at a time, except for helpers. What a callback raises is a crash, and so is
    a return value that it may not return (`BadReturnValue`).

    Attributes:
        ref: the handle to this incarnation.
        system: the System it belongs to.
        trap_exit: whether the death of a linked member arrives as an `Exit` at `handle_info`, whatever its reason,
            instead of killing this actor. May be set at any time, in the class or in the object.
    """

    trap_exit: bool = False

    ref: ActorRef
    system: System
    _cell: MailCell

    async def init(self) -> Continue | Ignore | Stop | None:
        """Prepare to serve. The name is registered already; whoever started the actor waits for this.

        If it raises, or returns `Stop`, the start has failed: the name is free before the starter hears of it, and
        `terminate` does not run.

        Returns:
            None to serve; `Continue` to serve after `handle_continue`; `Ignore` to decline; `Stop` to fail.
        """
        return None

    async def activate(self, state: Any) -> Continue | Stop | None:
        """Take up again what `passivate` has left, in a fresh object: instead of `init`, before any message.

        Whatever woke the actor waits for this, within its own deadline. If it raises, or returns `Stop`, the
        incarnation has ended with that, and its supervisor decides what follows; `terminate` does not run.

        By default it does as `set_state` with the state.
        """
        self.set_state(state)
        return None

    async def handle_continue(self, message: Any) -> Continue | Passivate | Stop | None:
        """Take the message of a `Continue`, before any other; another `Continue` may follow."""
        raise NotImplementedError(f"{type(self).__qualname__} returned Continue and has no handle_continue")

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        """Answer a request. A caller who is gone by now, or whose time is up, is never served.

        Calls made meanwhile inherit the request's deadline. If this crashes, the caller gets `ActorDown` with
        `started`.

        Args:
            request: what was asked; by default every type fails its caller with `UnexpectedRequest`.
            reply_to: where the answer goes, if it is not returned.

        Returns:
            The answer; or `NO_REPLY`, when `reply_to` will be used later; or `Stop`, or `Passivate`.
        """
        reply_to.fail(UnexpectedRequest(self.ref.path, type(request).__qualname__))
        return NO_REPLY

    async def handle_cast(self, message: Any) -> Passivate | Stop | None:
        """Take a message nobody waits for: None to go on, `Stop` to end, `Passivate` to rest.

        By default it is reported as an `UnexpectedMessage`, once per type.
        """
        self._cell.unexpected("cast", message)
        return None

    async def handle_info(self, message: Any) -> Passivate | Stop | None:
        """Take a `Down`, an `Exit`, a `Timeout`, a timer's message, or one that was sent with `send` or published.

        By default it is reported as an `UnexpectedMessage`, once per type.
        """
        self._cell.unexpected("info", message)
        return None

    async def terminate(self, reason: ExitReason) -> None:
        """Clean up. Runs once after every end except a kill and a failed `init`; by default does nothing.

        It is shielded: only a kill interrupts it, such as that of a supervisor whose patience (`ChildSpec.shutdown`) is
        over. What it raises becomes the exit reason. Names are freed and callers are told after it.
        """

    def passivate(self) -> Any:
        """Hand over what the actor needs to go on after a rest; `activate` will be given it.

        Runs between two messages, when nothing is under way. Then the actor goes passive: its task, its mailbox and this
        object are let go, and this state is all that is kept, so make it small. Leave nothing open: if the actor is
        ended before somebody wakes it, `terminate` does not run. And spoil nothing: if a message comes of this, or the
        supervisor is about to end, the actor goes on with this object. If it raises, the actor has crashed.

        By default the state as `get_state` has it.
        """
        return self.get_state()

    def format_status(self) -> Mapping[str, object]:
        """Describe the state for operators and crash reports; leave out what they may not see.

        It is called synchronously, at any moment, even in the midst of a handler. If it raises, the view says so and
        nothing else happens.
        """
        return {}

    def get_state(self) -> Any:
        """Hand out the state, for `supervisors.sys.get_state`: by default a copy of the attributes, one level deep."""
        return {name: value for name, value in vars(self).items() if name not in _GIVEN}

    def set_state(self, state: Any) -> None:
        """Take on another state, for `supervisors.sys.replace_state`; raise, and change nothing, if it will not do.

        By default the attributes become those of the mapping.

        Raises:
            TypeError: it is no mapping.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"expected a mapping of attributes, got a {type(state).__qualname__}")
        given = {name: value for name, value in vars(self).items() if name in _GIVEN}
        changed = {**state, **given}
        vars(self).clear()
        vars(self).update(changed)

    def spawn(self, body: Callable[..., Awaitable[object]], *args: object) -> Helper:
        """Run `body(*args)` as a linked task beside the mailbox.

        It dies with the actor: an orderly end runs `terminate` first and then cancels what still runs. If it crashes,
        the actor crashes with its exception. It may call its own actor, and no deadline is inherited by its calls.

        Raises:
            ActorDown: the actor is dead, or being killed.
        """
        return self._cell.spawn(body, args)

    def monitor(self, ref: ActorRef | NamedRef) -> MonitorRef:
        """Watch another member; its death arrives as one `Down` at `handle_info`.

        Each call is a monitor of its own. If the target is dead, or nobody holds the name, the `Down` comes at once with
        the reason `noproc`. A name is resolved here: it is the present holder who is watched.
        """
        return self._cell.monitor(ref)

    def link(self, ref: ActorRef | NamedRef) -> None:
        """Bind this actor's life and another member's: neither outlives a death of the other that is not normal.

        Two-way; linking twice, or to oneself, is nothing more. If there is nobody to link to, this actor hears at once
        of an exit with the reason `noproc`, and dies of it unless it traps exits.

        Raises:
            ActorDown: the other is a supervisor which stops; or this actor is dead.
        """
        self._cell.link(ref)

    def unlink(self, ref: ActorRef | NamedRef) -> None:
        """End the link to another member, for both; nothing happens if there is none.

        An `Exit` that waits in the mailbox already still arrives.
        """
        self._cell.unlink(ref)

    def receive_timeout(self, seconds: float | None) -> None:
        """Ask for a `Timeout` if no message comes within so many seconds after the present handler.

        Any message cancels it; to have it again, ask again. None takes it back.

        Raises:
            ValueError: `seconds` is negative.
        """
        self._cell.receive_timeout(seconds)

    def _child_exited(self, child: Member, reason: ExitReason) -> None:
        """Hear of a child's death, within its synchronous step; supervisors do."""

    def _keep(self, child: MailCell, spec: ChildSpec, state: Any) -> bool:
        """Let a child go passive; False if this is no time for it. Dynamic supervisors do."""
        return False

    def _count_passive(self) -> int:
        return 0

    def _next_start(self, child_id: str) -> float | None:
        """When a child is to be started again; supervisors know."""
        return None

    def _tree_children(self) -> Iterable[TreeNode]:
        return [child.node() for child in self._cell.children]
