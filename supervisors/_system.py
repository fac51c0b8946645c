"""The root: one event loop's worth of actors, entered with `async with`.

Two task groups. The outer one belongs to the caller's code and is cancelled with it. The inner one holds the actors
behind a shield, because cancelling it would hit every actor at once and lose their order, their timeouts and their
`terminate`. So an orderly end is always a message to the root: it is sent when the block is left, when the block is
cancelled from outside, or when somebody asks for it. What has not ended within the shutdown budget is killed.

Leaving the block returns when every task has ended, whatever it takes; what was killed and still runs is listed in
`unstopped` meanwhile.
"""

import logging
from collections.abc import Callable, Hashable
from random import random
from types import TracebackType
from typing import Any, Protocol, Self

import anyio

from supervisors._backend import detect_backend
from supervisors._cell import Cell, current_cell
from supervisors._locks import Lock, Locks
from supervisors._member import Hub, Member
from supervisors._monitor import MonitorRef
from supervisors._names import Names, Registration
from supervisors._reasons import ExitReason
from supervisors._ref import DEFAULT_TIMEOUT, ActorRef, NamedRef, cell_of
from supervisors._timers import Revocable, Timers
from supervisors.events import DeadLetter, Event, log_event
from supervisors.exceptions import CallCycle, StartIgnored
from supervisors.inspect import TreeNode

SHUTDOWN_BUDGET = 30.0

_logger = logging.getLogger("supervisors")


class Root(Protocol):
    """What a System can run: something that starts as the top of a tree, which is a supervisor."""

    def launch(self, system: "System") -> Cell:
        """Start below nobody, under the System's name."""


class Timer(Revocable):
    """A message on its way to the future, made by `System.send_after`; `cancel` calls it off."""

    __slots__ = ("_message", "_target")

    def __init__(self, timers: Timers, target: ActorRef | NamedRef, message: object) -> None:
        super().__init__(timers)
        self._target = target
        self._message = message

    def due(self) -> None:
        """Deliver the message, past the mailbox bound."""
        self.settled = True
        cell = cell_of(self._target)
        if cell is not None:
            cell.signal(self._message)


class Callback(Revocable):
    """A function on its way to the future, made by `System.call_after`; `cancel` calls it off.

    Once settled it lets go of the function: who keeps the callback it is called by would otherwise be a circle for the
    garbage collector, and what was called off long ago would be kept until its time.
    """

    __slots__ = ("_action",)

    def __init__(self, timers: Timers, action: Callable[[], object]) -> None:
        super().__init__(timers)
        self._action: Callable[[], object] | None = action

    def cancel(self) -> bool:
        """Call it off; False when it has happened already."""
        self._action = None
        return super().cancel()

    def due(self) -> None:
        """Run the function; its mistakes are its own."""
        self.settled = True
        action, self._action = self._action, None
        try:
            if action is not None:
                action()
        except Exception:
            _logger.exception("a function that was to be called later failed")


class System:
    """A supervision tree and what its members share: `async with System("app", root) as system`.

    Entering returns when the tree is up. Leaving stops it in order and returns when every one of its tasks has ended;
    an exception or a cancellation of the block passes after that, and an interrupt which surfaced inside a member is
    raised there. It can be entered once.

    Args:
        name: the path of the root, and the first part of every other path.
        root: the top supervisor. When it ends, the System is over; it is never restarted.
        on_event: told of every lifecycle event, synchronously; without one they go to the `supervisors` logger.
        shutdown_budget: seconds an orderly end may take before everything is killed.
        on_dead_letter: given each message that was cast or sent and that nobody will read, because its receiver died
            first or is not there. Called within the step in which that is certain, so it has to return at once.
        draw: makes numbers from 0 to less than 1, which spread the delays of restarts; not random, if they are to be
            had again.

    Raises:
        StartFailed: on entering, when the tree could not start; nothing is left of it.
        StartIgnored: on entering, when the `init` of the root declined.
    """

    def __init__(
        self,
        name: str,
        root: Root,
        *,
        on_event: Callable[[Event], None] | None = None,
        shutdown_budget: float = SHUTDOWN_BUDGET,
        on_dead_letter: Callable[[DeadLetter], None] | None = None,
        draw: Callable[[], float] = random,
    ) -> None:
        self.name = name
        self._top = root
        self._observer = on_event if on_event is not None else log_event
        self._budget = shutdown_budget
        self._heir = on_dead_letter
        self._draw = draw
        self._locks = Locks()
        self._hub: Hub | None = None
        self._root: Cell | None = None

    @property
    def hub(self) -> Hub:
        """The parts shared by all members; for the library itself."""
        if self._hub is None:
            raise RuntimeError(f"the system {self.name} has not been entered")
        return self._hub

    async def __aenter__(self) -> Self:
        if self._hub is not None:
            raise RuntimeError(f"the system {self.name} can be entered only once")
        self._hub = Hub(detect_backend(), self._observer, self._draw, self._heir)
        self._sheltered, self._down, self._over = anyio.Event(), anyio.Event(), anyio.Event()
        self._lookout = anyio.CancelScope()
        self._outside = anyio.create_task_group()
        await self._outside.__aenter__()
        self._body = anyio.CancelScope()
        self._body.__enter__()
        self._hub.on_fatal = self._end_body
        try:
            await self._boot()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._body.__exit__(exc_type, exc, traceback)  # swallows only what a fatal error below had cancelled
        finally:
            interruption = await self._close()
        if self.hub.fatal is not None:
            raise self.hub.fatal
        if interruption is not None:
            raise interruption

    # --- finding and watching members

    @property
    def _names(self) -> Names:
        return Names(self.hub)

    def named(self, path: str) -> NamedRef:
        """Make a handle which looks the name up at every send. Nobody need hold it yet."""
        return NamedRef(self.hub, path)

    def whereis(self, path: str) -> ActorRef | None:
        """Find the present holder of a name; None when there is none. The dead are never found."""
        return self.named(path).resolve()

    def register(self, name: str, ref: ActorRef, value: object = None) -> None:
        """Give a living actor a further name, which is freed at its death, before anybody hears of that.

        A name that the actor has already stays as it is, its value included.

        Args:
            name: how it is to be found; no path of a member.
            ref: who is to be found.
            value: what else is to be found under the name; see `lookup` and `update_value`.

        Raises:
            AlreadyStarted: the name is taken.
            ActorDown: the actor is dead.
        """
        self._names.register(name, ref, value)

    def unregister(self, name: str) -> None:
        """Free a further name; nothing happens if nobody has it."""
        self._names.unregister(name)

    def lookup(self, name: str) -> Registration | None:
        """Find the holder and the value of a further name; None when there is none. The path of a member is none."""
        return self._names.lookup(name)

    def registrations(self) -> tuple[Registration, ...]:
        """List all further names, in the order in which they were registered."""
        return self._names.everything()

    def update_value(self, name: str, change: Callable[[Any], Any]) -> Any:
        """Set the value of a further name to `change(value)`, which is returned. Only its holder may, in a callback.

        It happens in one step, so nobody sees anything between. If `change` raises, the value stays.

        Raises:
            NotTheHolder: the caller is not the holder.
        """
        return self._names.update_value(name, change)

    def listen(self, ref: ActorRef) -> None:
        """Have an actor told of each further name that comes or goes, until it dies; twice is the same as once.

        It gets `Registered` and `Unregistered` at `handle_info`, whatever the mailbox's bound says; a name that goes
        because of a death before the `Down` of that. What is there already, `registrations` tells.

        Raises:
            ActorDown: the actor is dead.
        """
        self._names.listen(ref)

    def unlisten(self, ref: ActorRef) -> None:
        """Tell an actor no more about names; nothing happens if it was not told."""
        self._names.unlisten(ref)

    def lock(self, key: Hashable, timeout: float = DEFAULT_TIMEOUT) -> Lock:
        """Hold the lock of a key while a block runs: `async with system.lock(key)`.

        Those who want the same key take turns, in the order of their coming; other keys have nothing to do with it.
        The lock is free when the block is left, or when its holder dies, even if the holder's code still runs. Inside a
        handler the deadline is never later than that of the request being handled.

        Raises:
            LockTimeout: on entering, the deadline passed.
            CallingSelf: on entering, the caller holds this lock already.
            CallCycle: on entering, the holder waits for the caller.
            ActorDown: on entering, the caller is dead, its code having outlived it.
        Cancellation: entering is a cancel point if it has to wait; on cancel the place in the line is free.
        """
        return Lock(self.hub, self._locks, key, timeout)

    def monitor(self, ref: ActorRef | NamedRef) -> MonitorRef:
        """Watch a member from outside the tree: `await system.monitor(ref).wait()`.

        If it is dead, or nobody holds the name, the news is there at once with the reason `noproc`.
        """
        return MonitorRef(self.hub, ref)

    def tree(self) -> TreeNode:
        """Describe the whole tree; synchronous, so it works on a stuck one."""
        return self._root_cell().node()

    def node(self, path: str) -> TreeNode | None:
        """Describe one member and what hangs below it, or the place of a child that is not running.

        It also finds a passive actor, which has no node in the tree. Where somebody stands at the path, this costs no more
        than what hangs below it.
        """
        member = self.hub.names.whereis(path)
        return member.node() if member is not None and member.path == path else self.tree().find(path)

    @property
    def unstopped(self) -> tuple[str, ...]:
        """Members that were killed and given up, and whose code still runs."""
        return tuple(cell.path for cell in self.hub.unstopped)

    @property
    def dead_letters(self) -> int:
        """How many messages that were cast or sent found nobody to read them."""
        return self.hub.dead_letters

    # --- time

    def now(self) -> float:
        """Read the clock by which every deadline and every `since` is measured."""
        return (self._hub or self.hub).backend.now()  # asked many times for each request

    def send_after(self, seconds: float, ref: ActorRef | NamedRef, message: object) -> Timer:
        """Deliver `message` to `handle_info` in this many seconds, whatever the mailbox's bound says.

        A name is looked up then, so a `NamedRef` finds the successor. With nobody there the message is lost.
        """
        timer = Timer(self.hub.timers, ref, message)
        self.hub.timers.add(self.now() + seconds, timer)
        return timer

    def call_after(self, seconds: float, action: Callable[[], object]) -> Callback:
        """Run `action` in this many seconds, in the timer task that all deadlines share.

        It must return at once: setting an event or cancelling a scope is what it is for. Cheaper than a cancel scope
        with a deadline, and it may be called off at any time.
        """
        callback = Callback(self.hub.timers, action)
        self.hub.timers.add(self.now() + seconds, callback)
        return callback

    # --- the end

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self.hub.stopping

    def begin_shutdown(self) -> None:
        """Start the orderly end and return at once. Any member may ask for it; asking again is nothing more."""
        hub = self.hub
        if hub.stopping:
            return
        hub.stopping = True
        hub.names.wake_all()
        if self._root is not None:
            self._root.request_stop(ExitReason.SHUTDOWN)
            hub.timers.after(self._budget, self._root.kill)

    async def shutdown(self) -> ExitReason:
        """Stop the tree in order and wait until it is down.

        Raises:
            CallCycle: the caller is an actor of this tree, whose end it would wait for; use `begin_shutdown`.
        Cancellation: cancel point; the shutdown goes on.
        """
        caller = current_cell.get()
        if caller is not None and caller.hub is self.hub:
            raise CallCycle([caller.path, self.name, caller.path])
        self.begin_shutdown()
        return await self.wait_stopped()

    async def wait_stopped(self) -> ExitReason:
        """Sleep until the root supervisor has ended: it was stopped, or it gave up.

        Cancellation: cancel point; nothing changes.
        """
        return await self._root_cell().wait_exit()

    # --- inside

    async def _boot(self) -> None:
        self._outside.start_soon(self._shelter)
        with anyio.CancelScope(shield=True):
            await self._sheltered.wait()
        self._outside.start_soon(self._watch_outside)
        self._root = self._top.launch(self)
        self._root.at_exit(self._root_ended)
        try:
            if not await self._root.handshake():
                raise StartIgnored(self.name)
        except BaseException:
            _abort_start(self._root)
            raise

    async def _shelter(self) -> None:
        """Hold the inner group: shielded, and open until the tree is down."""
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as actors:
                    self.hub.use_tasks(actors)
                    timers = anyio.CancelScope()
                    actors.start_soon(self._run_timers, timers)
                    self._sheltered.set()
                    await self._down.wait()
                    timers.cancel()
        finally:
            self._over.set()

    async def _run_timers(self, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    await self.hub.timers.run()
                except (KeyboardInterrupt, SystemExit) as error:  # trio raises it in whatever task is running
                    self.hub.escalate(error)

    async def _watch_outside(self) -> None:
        """Be cancelled together with the caller's code, however slow that is, and begin the shutdown."""
        with self._lookout:
            try:
                await anyio.sleep_forever()
            finally:
                self.begin_shutdown()

    async def _close(self) -> BaseException | None:
        """End everything; what interrupted the wait is returned, to be raised when all is done."""
        interruption: BaseException | None = None
        self.begin_shutdown()
        while not self._over.is_set():
            try:
                with anyio.CancelScope(shield=True):
                    if self._root is not None:
                        await self._root.wait_exit()
                    self._down.set()
                    await self._over.wait()
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 a second interrupt: stop being patient, but do not leave
                interruption = error
                if self._root is not None:
                    self._root.kill()
        self._lookout.cancel()
        await self._outside.__aexit__(None, None, None)
        return interruption

    def _root_ended(self) -> None:
        self.hub.stopping = True
        self.hub.names.wake_all()

    def _end_body(self) -> None:
        self._body.cancel()
        self.begin_shutdown()

    def _root_cell(self) -> Cell:
        if self._root is None:
            raise RuntimeError(f"the system {self.name} has not been entered")
        return self._root


def _abort_start(cell: Member) -> None:
    """Give up a start: kill whoever is being initialised, so that the supervisors above fail and unwind in order."""
    starting = [child for child in cell.children if child.status == "starting"]
    for child in starting:
        _abort_start(child)
    if not cell.children:
        cell.kill()
