"""The task of one actor: init, the message loop, terminate, and the containment of everything that can go wrong.

Rules:
- Nothing an actor does leaves this task except as an exit reason (and an interrupt, which ends the System).
- `halt` is the stop lane: the first reason to end wins, and it beats every queued message. It never interrupts a
  running handler, unless the spec says so, a helper crashed or the actor is killed.
- Cancelling the task interrupts init or the loop. Everything after runs behind `fin`, a shield which hides it from
  that; only a kill cancels `fin` as well.
- The loop has no checkpoint while messages are waiting, so it makes one every BURST messages.
- Whatever is more urgent than messages sets `called`; the loop looks at nothing else, so what is rare costs nothing.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import anyio
from anyio import TaskHandle
from anyio.lowlevel import checkpoint

from supervisors._actor import Actor, Continue, Ignore, Leave, Passivate, Stop
from supervisors._backend import Waiter
from supervisors._call import NO_REPLY, ReplyTo
from supervisors._cell import Cell, current_cell
from supervisors._child_spec import ChildSpec, Startable
from supervisors._desk import DeskCell
from supervisors._failure import contain
from supervisors._idleness import NOTHING, Idleness
from supervisors._mailbox import Cast, Envelope, Info
from supervisors._member import Member
from supervisors._monitor import Down
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef
from supervisors._system import System
from supervisors._timers import Alarm
from supervisors.exceptions import (
    ActorDown,
    AlreadyStarted,
    BadReturnValue,
    ForeignCancellation,
    StartFailed,
    StartTimeout,
)
from supervisors.inspect import TreeNode, describe_stack

BURST = 64


def start_actor(
    system: System,
    path: str,
    child_id: str,
    spec: ChildSpec,
    parent: Cell | None,
    *,
    restarts: int = 0,
    last_exit: ExitReason | None = None,
) -> "ActorCell":
    """Start one incarnation and return without waiting for its `init`.

    Raises:
        AlreadyStarted: its name is taken.
        ActorDown: the parent is dead or dying.
    """
    if parent is not None and (parent.exit_reason is not None or parent.kill_reason is not None):
        raise ActorDown(parent.path, ExitReason.NOPROC)
    cell = ActorCell(system, path, child_id, spec, parent)
    holder = cell.claim()
    if holder is not cell:
        raise AlreadyStarted(path, ActorRef(holder))
    cell.restarts = restarts
    cell.last_exit = last_exit
    if parent is not None:
        parent.children[cell] = None
    cell.start(spec.start_timeout)
    return cell


class ActorCell(DeskCell):
    """The cell of an actor that has a task and a mailbox of its own."""

    __slots__ = (
        "_factory",
        "_fin",
        "_idleness",
        "_ignored",
        "_initialised",
        "_interrupt",
        "_patience",
        "_ready",
        "_task",
        "on_ready",
        "system",
    )

    def __init__(self, system: System, path: str, child_id: str, spec: ChildSpec, parent: Cell | None) -> None:
        super().__init__(system.hub, path, child_id, parent, spec.mailbox)
        self.system = system
        self.restart = spec.restart
        self.type = spec.type
        self.on_ready: Callable[[], None] | None = None
        self._factory: Callable[[], Startable] | None = spec.start
        self._interrupt = spec.interrupt
        self._fin: anyio.CancelScope | None = None
        self._task: TaskHandle[None, None] | None = None
        self._ready: Waiter | None = None
        self._patience: Alarm | None = None
        self._initialised = False
        self._ignored = False
        self._idleness: Idleness | None = None
        if spec.passivate_after is not None:
            self._idleness = Idleness(self, spec, spec.passivate_after)

    @property
    def kind(self) -> str:
        """The class of the actor."""
        return "unstarted" if self.actor is None else type(self.actor).__name__

    def start(self, timeout: float) -> None:
        """Give the actor its task."""
        self._task = self.hub.spawn(self.run(), self.path)
        if timeout < math.inf:
            late = ExitReason.crashed(StartTimeout(self.path, timeout))
            self._patience = self.hub.timers.after(timeout, lambda: self.kill(late))

    async def handshake(self) -> bool:
        """Wait until `init` is done; False when it declined.

        Raises:
            StartFailed: it ended instead; its name is free again.
        Cancellation: cancel point; the actor goes on starting.
        """
        while not self._initialised and self.exit_reason is None:
            self._ready = self.hub.backend.new_waiter()
            await self._ready
        if self._initialised:
            return True
        if self.declined:
            return False
        raise StartFailed(self.path, self.exit_reason or ExitReason.KILLED)

    @property
    def declined(self) -> bool:
        """Whether `init` said `Ignore`."""
        return self._ignored and self.kill_reason is None

    @property
    def initialised(self) -> bool:
        """Whether `init` succeeded, for this cell or for one before it."""
        return self._initialised or self._resumes

    # --- reasons to end

    def request_stop(self, reason: ExitReason) -> None:
        """Ask for an orderly end after the present message."""
        if self.exit_reason is not None or self.halt is not None:
            return
        self._halt_with(reason)
        if self._interrupt:
            self._interrupt_task()

    def request_drain(self) -> None:
        """Take in no more messages, and end when those that are there have been handled."""
        if self.exit_reason is None and self.halt is None:
            if self.status == "running":
                self._enter("draining")
            self.close()

    def accept_request(self, request: ReplyTo[Any]) -> None:
        """Queue a request; one that comes after the end has begun would wait for it in vain."""
        if self.halt is None:
            self._inbox.admit(request)
        else:
            request.fail(ActorDown(self.path, self.halt, problem="is stopping"))

    def helper_failed(self, reason: ExitReason) -> None:
        """Crash because a helper did."""
        if self.halt is None:
            self._halt_with(reason)
            self._interrupt_task()
        elif not self.kill_reason:
            self.hub.emit(self.crash_report(reason))

    # --- the task

    async def run(self) -> None:
        """Be the actor's task."""
        current_cell.set(self)
        reason = ExitReason.KILLED
        try:
            reason = await self._live()
            self._fin = anyio.CancelScope(shield=True)
            with self._fin:
                if self._initialised and self.kill_reason is None and self.exit_reason is None:
                    reason = await self._finish(reason)
            if self.leaves_something:
                with anyio.CancelScope(shield=True):
                    await self.reap()
        finally:
            self.publish_exit(reason)

    async def _live(self) -> ExitReason:
        if self.kill_reason is not None:
            return self.kill_reason
        try:
            return await self._serve()
        except BaseException as error:  # noqa: BLE001 the wall: what an actor raises becomes its exit reason
            return self._blame(contain(error, self.hub))

    async def _finish(self, reason: ExitReason) -> ExitReason:
        if self.halt is None:
            self._halt_with(reason)
        self.deadline = math.inf
        try:
            await self._living().terminate(reason)
        except BaseException as error:  # noqa: BLE001 the same wall, for the clean-up
            return contain(error, self.hub)
        return reason

    async def _serve(self) -> ExitReason:
        actor = self._make()
        outcome: object = await self._opening(actor)
        if isinstance(outcome, Ignore) and not self._resumes:
            self._ignored = True
            return ExitReason.NORMAL
        if isinstance(outcome, Stop):
            return outcome.reason
        if outcome is not None and not isinstance(outcome, Continue):
            raise BadReturnValue("activate" if self._resumes else "init", type(outcome).__qualname__)
        self._announce()
        if outcome is not None:
            await self._continue(actor, outcome)
        return await self._loop(actor)

    def _opening(self, actor: Actor) -> Awaitable[object]:
        if self._idleness is None or not self._idleness.resumes:
            return actor.init()
        return actor.activate(self._idleness.kept)

    def _make(self) -> Actor:
        factory, self._factory = self._factory, None  # what a temporary child was made from is not kept
        made: object = factory() if factory is not None else None
        if not isinstance(made, Actor):
            raise BadReturnValue("start", type(made).__qualname__)
        made._cell = self
        made.ref = ActorRef(self)
        made.system = self.system
        self.actor = made
        return made

    def _announce(self) -> None:
        self._initialised = True
        self._enter("draining" if self._inbox.closed else "running")
        self._end_handshake()
        if self._idleness is not None:
            self._begin_idleness(self._idleness)
        on_ready, self.on_ready = self.on_ready, None
        if on_ready is not None:
            on_ready()

    async def _continue(self, actor: Actor, outcome: object) -> None:
        """Handle what comes before all messages."""
        while isinstance(outcome, Continue) and self.halt is None:
            self._current = Info(outcome.message)
            self._busy_since = self.hub.backend.now()
            outcome = await actor.handle_continue(outcome.message)
            self._current = None
        if outcome is not None and self.halt is None:
            self._read_outcome("handle_continue", outcome)

    async def _loop(self, actor: Actor) -> ExitReason:
        inbox, now, idleness = self._inbox, self.hub.backend.now, self._idleness
        burst = 0
        while True:
            if self.called:
                await self.attend()
                if self.halt is not None:
                    return self.halt
                if idleness is not None and idleness.asked and self._go_passive(actor, idleness):
                    return ExitReason.NORMAL
            elif not inbox.queue:
                burst = 0
                if inbox.closed and not self._deferred:  # drained, and nobody is owed an answer
                    self._halt_with(ExitReason.NORMAL)
                    continue
                if idleness is not None:
                    idleness.since = now()
                await inbox.wait()
            elif burst == BURST:
                burst = 0
                await checkpoint()
            else:
                burst += 1
                self._current = envelope = inbox.queue.popleft()
                self._busy_since = now()
                outcome = await self._handling(actor, envelope)
                self._handled += 1
                self._current = None
                if outcome is not None:
                    self._read_outcome("handle_cast" if isinstance(envelope, Cast) else "handle_info", outcome)

    def _handling(self, actor: Actor, envelope: Envelope) -> Awaitable[object]:
        if self.scribe is not None:
            self.scribe.took(envelope, self._busy_since)
        if isinstance(envelope, Cast):
            return actor.handle_cast(envelope.message)
        if isinstance(envelope, ReplyTo):
            return self._answer(actor, envelope)
        if isinstance(envelope.message, Down) and envelope.message.monitor.flushed:
            return _nothing()
        return actor.handle_info(envelope.message)

    def _read_outcome(self, handler: str, outcome: object) -> None:
        if isinstance(outcome, Passivate):
            if self._idleness is not None:
                self._idleness.asked = True
                self.called = True
            return
        if not isinstance(outcome, Stop):
            raise BadReturnValue(handler, type(outcome).__qualname__)
        if self.halt is None:
            self._halt_with(outcome.reason)

    async def _answer(self, actor: Actor, request: ReplyTo[Any]) -> Leave | None:
        if not request.begin(self._busy_since):
            return None
        self.deadline = request.deadline
        outcome = await actor.handle_call(request.message, request)
        self.deadline = math.inf
        if isinstance(outcome, Leave):
            if outcome.reply is not NO_REPLY:
                self._reply(request, outcome.reply)
            self.defer(request)
            return outcome
        if outcome is NO_REPLY:
            self.defer(request)
        else:
            self._reply(request, outcome)
        return None

    def _reply(self, request: ReplyTo[Any], answer: object) -> None:
        self._answered += 1
        request.reply(answer)
        if self.scribe is not None:
            self.scribe.answered(request, answer, self.hub.backend.now())

    # --- going passive, and coming back

    @property
    def _resumes(self) -> bool:
        return self._idleness is not None and self._idleness.resumes

    def take_up(self, state: Any, *, held: bool) -> None:
        """Begin with what this actor's last cell has left; `held`, without looking at a message."""
        if self._idleness is not None:
            self._idleness.kept = state
            self._idleness.held = held

    def _begin_idleness(self, idleness: Idleness) -> None:
        idleness.kept = NOTHING
        idleness.watch()
        if idleness.held:
            self._enter("suspended")
            self.called = True

    def _go_passive(self, actor: Actor, idleness: Idleness) -> bool:
        """Let a record stand for this actor, unless something is under way; then look again later."""
        keeper = self.parent.actor if isinstance(self.parent, ActorCell) else None
        if keeper is not None and self._is_free():
            state = actor.passivate()
            if self._is_free() and keeper._keep(self, idleness.spec, state):
                idleness.end()
                self.actor = None
                return True
        idleness.watch()
        return False

    def _is_free(self) -> bool:
        """Whether nothing waits, nothing is owed to anybody, and nothing would be cut off."""
        ties = self.ties
        return not (
            self.halt is not None
            or self.kill_reason is not None
            or self._inbox.queue
            or self._inbox.closed
            or self._deferred
            or self._alarm is not None
            or self._idle_after is not None
            or self.leaves_something
            or (ties is not None and (ties.links or ties.sleepers))
        )

    # --- death

    def child_exited(self, child: Member, reason: ExitReason) -> None:
        """Strike a dead child off, and let a supervisor know."""
        super().child_exited(child, reason)
        if self.actor is not None and self.exit_reason is None:
            self.actor._child_exited(child, reason)

    def _halt_with(self, reason: ExitReason) -> None:
        self.halt = reason
        if self._initialised:
            self._enter("stopping")
        self.call_away()

    def _blame(self, crash: ExitReason) -> ExitReason:
        """Choose between what the actor raised and the reason for which it was being ended."""
        if self.halt is None:
            return crash
        consequence = not self.halt.is_normal or isinstance(crash.error, ForeignCancellation)
        return self.halt if consequence else crash

    def _cancel(self) -> None:
        super()._cancel()
        self.halt = self.kill_reason
        self.called = True
        self._interrupt_task()
        if self._fin is not None:
            self._fin.cancel()

    def _interrupt_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _last_words(self, reason: ExitReason) -> None:
        self._end_handshake()
        if self._idleness is not None:
            self._idleness.end()
        super()._last_words(reason)

    def _end_handshake(self) -> None:
        if self._patience is not None:
            self.hub.timers.discard(self._patience)
            self._patience = None
        if self._ready is not None:
            self._ready.wake()

    # --- views

    def next_start(self, child_id: str) -> float | None:
        """When a supervisor is going to start this child again."""
        return None if self.actor is None else self.actor._next_start(child_id)

    def details(self) -> Mapping[str, object]:
        """The actor's own redacted view of itself."""
        if self.actor is None:
            return {}
        try:
            return dict(self.actor.format_status())
        except Exception as error:  # noqa: BLE001 a view must not be able to hurt whoever looks
            return {"format_status": f"raised {type(error).__name__}"}

    def _count_passive(self) -> int:
        return 0 if self.actor is None else self.actor._count_passive()

    def _child_nodes(self) -> Iterable[TreeNode]:
        return () if self.actor is None else self.actor._tree_children()

    def _stack(self) -> tuple[str, ...]:
        return () if self._task is None else describe_stack(self._task.coro)


async def _nothing() -> None:
    """Handle a message that was taken back."""
