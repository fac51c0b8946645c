"""Handles to actors.

An `ActorRef` designates one incarnation: once that is dead, the handle is dead. A `NamedRef` designates a name and
looks it up at every send, so it outlives restarts. Both give the same promise for `call`: it ends, with the answer or
with the reason why there is none. Both belong to the event loop's thread; other threads go through `anyio.from_thread`.
"""

from collections.abc import Callable
from typing import Self, TypeVar

from supervisors._call import Call, ReplyTo
from supervisors._cell import current_cell
from supervisors._child_spec import child_id_in
from supervisors._lobby import Place
from supervisors._mailbox import Cast, Info
from supervisors._member import Handle, Hub, Member
from supervisors._reasons import ExitReason
from supervisors._timers import Alarm
from supervisors.events import DeadLetter, Lane
from supervisors.exceptions import ActorDown, CallTimeout, NotRunning, SupervisorError
from supervisors.inspect import ActorInfo

R = TypeVar("R")

DEFAULT_TIMEOUT = 5.0


class ActorRef(Handle):
    """One incarnation of an actor, or of another member.

    It never reaches the next incarnation. Two handles to the same one are equal.
    """

    __slots__ = ()

    def __new__(cls, cell: Member) -> Self:
        handle = cell.handle
        if isinstance(handle, cls):
            return handle
        made = super().__new__(cls)
        made._cell = cell
        if cell.exit_reason is None:
            cell.handle = made
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(self._cell.path)

    def __repr__(self) -> str:
        return f"<ActorRef {self.path} {self._cell.status}>"

    @property
    def path(self) -> str:
        """Its name, from the System down."""
        return self._cell.path

    @property
    def alive(self) -> bool:
        """Whether this incarnation has not ended."""
        return self._cell.exit_reason is None

    async def call(self, request: Call[R], timeout: float = DEFAULT_TIMEOUT) -> R:
        """Send a request and wait for its answer.

        Inside `handle_call` the deadline is never later than that of the request being handled.

        Raises:
            ActorDown: the actor is dead or died before it answered; `started` says whether it had begun.
            CallTimeout: the deadline passed; a late answer is dropped. `started` as above.
            CallingSelf: the caller is the actor itself; nothing was sent.
            CallCycle: the actor waits for the caller; nothing was sent.
            MailboxFull: there is no room for the request, or it gave way to a newer message; it was not begun.
            UnexpectedRequest: the actor does not know this type of request.
            NoMailbox: it is an adopted task.
            Exception: whatever the actor gave to `ReplyTo.fail`.
        Cancellation: cancel point; on cancel an unstarted request is dropped.
        """
        cell = self._cell
        return await _ask(cell, request, cell.hub.backend.now() + timeout, timeout)

    def cast(self, message: object) -> bool:
        """Send a message to `handle_cast`; nobody waits for it.

        Never raises and never waits. True says that it was queued (or dropped by a policy which drops in silence), and
        nothing about what becomes of it. False says that the actor is dead or drains, or had no room and tells.
        """
        return self._cell.accept(Cast(message))

    async def cast_wait(self, message: object, timeout: float = DEFAULT_TIMEOUT) -> bool:
        """Send a message nobody waits for, and wait for room for it if the mailbox has the policy `block`.

        Returns:
            False when there was no room in time, or the actor is dead; with another policy, what `cast` returns.

        Raises:
            CallingSelf: the caller would wait for itself to make room.
            CallCycle: the actor waits for the caller.
        Cancellation: cancel point if there is no room; on cancel the message is not sent.
        """
        return await _wait_for_room(self._cell, Cast(message), timeout)

    def send(self, message: object) -> bool:
        """Send a message to `handle_info`; otherwise as `cast`."""
        return self._cell.accept(Info(message))

    def kill(self) -> None:
        """End the actor, and everything below it, without `terminate`, and return at once.

        What is running there is cancelled. A member that has not ended after a second is given up: its name is free,
        its callers have their errors, and it is reported as `Unstopped`.
        """
        self._cell.kill()

    async def stop(self, timeout: float | None = DEFAULT_TIMEOUT, reason: ExitReason = ExitReason.NORMAL) -> ExitReason:
        """Ask the actor to end after its present message, and wait until it has.

        Its supervisor does about it what it does about an end with this reason: a permanent child is started again, and
        a transient one if the reason is none of the normal class.

        Args:
            timeout: seconds after which the actor is killed; None waits as long as it takes.
            reason: what it is to end with.

        Returns:
            How it ended, which may be for another reason.

        Raises:
            ActorDown: it is dead already.
            CallingSelf: the actor is the caller's own.
            CallCycle: the actor waits for the caller.
            ValueError: `timeout` is negative.
        Cancellation: cancel point; the actor stops all the same.
        """
        return await _end(self._cell, lambda: self._cell.request_stop(reason), timeout)

    async def drain(self, timeout: float | None = DEFAULT_TIMEOUT) -> ExitReason:
        """Ask the actor to end when it has handled everything it was sent so far, and wait until it has.

        From now on it takes in nothing: a `cast` is refused, a `call` fails as never begun, and a call by name waits for
        the next incarnation. What it sends to itself is refused as well. Answers that it owes are waited for. Then it
        ends as after a `stop`: `terminate` runs, and a permanent child is started again. After `timeout` seconds the
        actor is killed; None waits as long as it takes.

        Returns:
            How it ended, which need not be `normal`.

        Raises:
            ActorDown: it is dead already.
            CallingSelf: the actor is the caller's own.
            CallCycle: the actor waits for the caller.
            ValueError: `timeout` is negative.
        Cancellation: cancel point; the actor ends all the same.
        """
        return await _end(self._cell, self._cell.request_drain, timeout)

    def info(self) -> ActorInfo:
        """Describe the actor; synchronous, so it works on one that is stuck or dead."""
        return self._cell.info()


class NamedRef:
    """Whoever holds a name at the moment of sending. It outlives restarts, and the name need not exist."""

    __slots__ = ("_hub", "path")

    def __init__(self, hub: Hub, path: str) -> None:
        self._hub = hub
        self.path = path

    def __repr__(self) -> str:
        return f"<NamedRef {self.path}>"

    def resolve(self) -> ActorRef | None:
        """Find the present holder of the name; None when there is none."""
        cell = self._hub.names.whereis(self.path)
        return None if cell is None else ActorRef(cell)

    async def call(self, request: Call[R], timeout: float = DEFAULT_TIMEOUT, wait_for_restart: bool = True) -> R:
        """Send a request to whoever holds the name, and wait for the answer.

        While nobody holds it, wait for the next incarnation within the same deadline. A request which an incarnation
        took to its grave unread is sent again to the next; one that was begun never is. With `wait_for_restart=False`,
        and in a System that is ending, neither happens.

        Raises:
            NotRunning: nobody was there to begin with the request before the deadline. While a restart is delayed, it
                says until when.
            ActorDown: the holder died; with `started`, after it had begun with the request.
            CallTimeout: the holder did not answer in time.
            CallingSelf, CallCycle, MailboxFull, UnexpectedRequest, NoMailbox: as for `ActorRef.call`.
            Exception: whatever the holder gave to `ReplyTo.fail`.
        Cancellation: cancel point; on cancel an unstarted request is dropped.
        """
        now = self._hub.backend.now
        deadline = _inherited(now() + timeout)
        while True:
            cell = self._hub.names.whereis(self.path)
            if cell is not None:
                try:
                    return await _ask(cell, request, deadline, timeout)
                except ActorDown as down:
                    if down.started or not wait_for_restart or self._hub.stopping:
                        raise
                    if self._hub.names.whereis(self.path) is cell:  # it is ending, and takes in nothing any more
                        await self._successor(deadline)
                except CallTimeout as late:
                    if late.started or cell.status != "starting":
                        raise
                    raise NotRunning(self.path) from None
            elif not wait_for_restart or self._hub.stopping:
                at = self._next_start()
                raise NotRunning(self.path, "is not running" if at is None else "is restarting", at)
            else:
                await self._successor(deadline)

    def cast(self, message: object) -> bool:
        """Send a message to the present holder as `ActorRef.cast` does; False without a holder."""
        cell = self._hub.names.whereis(self.path)
        return self._bury("cast", message) if cell is None else cell.accept(Cast(message))

    async def cast_wait(self, message: object, timeout: float = DEFAULT_TIMEOUT) -> bool:
        """Send a message to the present holder, waiting for room as `ActorRef.cast_wait` does; False without a holder.

        Raises:
            CallingSelf, CallCycle: as for `ActorRef.cast_wait`.
        Cancellation: cancel point if there is no room; on cancel the message is not sent.
        """
        cell = self._hub.names.whereis(self.path)
        return self._bury("cast", message) if cell is None else await _wait_for_room(cell, Cast(message), timeout)

    def send(self, message: object) -> bool:
        """Send a message to the present holder's `handle_info`; otherwise as `cast`."""
        cell = self._hub.names.whereis(self.path)
        return self._bury("info", message) if cell is None else cell.accept(Info(message))

    async def _successor(self, deadline: float) -> None:
        """Sleep until somebody claims the name."""
        if self._hub.backend.now() >= deadline:
            raise NotRunning(self.path, next_at=self._next_start()) from None
        await _appearance(self._hub, self.path, deadline)

    def _bury(self, lane: Lane, message: object) -> bool:
        self._hub.bury(DeadLetter(self.path, lane, message, ExitReason.NOPROC))
        return False

    def _next_start(self) -> float | None:
        above = self._hub.names.whereis(self.path.rpartition("/")[0])
        return None if above is None else above.next_start(child_id_in(self.path))


def cell_of(target: ActorRef | NamedRef) -> Member | None:
    """Find the member behind a handle; None when a name has no holder."""
    if isinstance(target, ActorRef):
        return target._cell
    return target._hub.names.whereis(target.path)


def hold(target: ActorRef | NamedRef, held: bool) -> bool:
    """Suspend or resume a member if that takes nothing but a note; False if it has to be asked."""
    cell = cell_of(target)
    return cell is not None and cell.hold(held)


async def run_errand(target: ActorRef | NamedRef, message: Call[R], timeout: float) -> R:
    """Send a request in the system lane and wait for its answer.

    Raises:
        NotRunning: nobody holds the name.
        ActorDown, CallTimeout, CallingSelf, CallCycle, NoMailbox: as for a call.
    Cancellation: cancel point; on cancel an unstarted request is dropped.
    """
    cell = cell_of(target)
    if cell is None:
        raise NotRunning(target.path, "is not running")
    return await _ask(cell, message, cell.hub.backend.now() + timeout, timeout, errand=True)


async def _ask(target: Member, message: Call[R], deadline: float, timeout: float, *, errand: bool = False) -> R:
    if target.exit_reason is not None:
        raise ActorDown(target.path, ExitReason.NOPROC)
    cell = target.awake()
    caller = current_cell.get()
    if caller is None:
        request = ReplyTo(message, cell.path, deadline, timeout, cell.hub.backend.new_waiter())
        return await _exchange(cell, request, errand)
    caller.begin_wait(cell)
    try:
        deadline = min(deadline, caller.deadline)
        request = ReplyTo(message, cell.path, deadline, timeout, cell.hub.backend.new_waiter(), caller)
        return await _exchange(cell, request, errand)
    finally:
        caller.end_wait(cell)


async def _exchange(cell: Member, request: ReplyTo[R], errand: bool) -> R:
    hub = cell.hub
    if errand:
        cell.accept_errand(request)
    else:
        cell.accept_request(request)
    hub.timers.add(request.deadline, request)
    try:
        return await request.answer()
    finally:
        hub.timers.discard(request)


async def _wait_for_room(cell: Member, envelope: Cast, timeout: float) -> bool:
    place = cell.accept_or_wait(envelope)
    if isinstance(place, bool):
        return place
    deadline = cell.hub.backend.now() + timeout
    caller = current_cell.get()
    if caller is None:
        return await _in_line(cell, place, deadline)
    try:
        caller.begin_wait(cell)
    except SupervisorError:
        place.leave()
        raise
    try:
        return await _in_line(cell, place, min(deadline, caller.deadline))
    finally:
        caller.end_wait(cell)


async def _in_line(cell: Member, place: Place, deadline: float) -> bool:
    timers = cell.hub.timers
    timers.add(deadline, place)
    try:
        return await place.outcome()
    finally:
        timers.discard(place)


async def _end(cell: Member, ask: Callable[[], None], timeout: float | None) -> ExitReason:
    """Ask for an orderly end and wait for it, with patience for so long."""
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout: expected seconds from 0 or None, got {timeout!r}")
    if cell.exit_reason is not None:
        raise ActorDown(cell.path, ExitReason.NOPROC)
    caller = current_cell.get()
    if caller is None:
        return await _ended(cell, ask, timeout)
    caller.begin_wait(cell)
    try:
        return await _ended(cell, ask, timeout)
    finally:
        caller.end_wait(cell)


async def _ended(cell: Member, ask: Callable[[], None], timeout: float | None) -> ExitReason:
    timers = cell.hub.timers
    ask()
    if timeout is None:
        return await cell.wait_exit()
    patience = timers.after(timeout, cell.kill)
    reason = await cell.wait_exit()  # on cancel the alarm stays, and with it the promise that the actor ends
    timers.discard(patience)
    return reason


async def _appearance(hub: Hub, name: str, deadline: float) -> None:
    """Sleep until somebody claims the name, or the deadline."""
    waiter = hub.backend.new_waiter()
    alarm = Alarm(waiter.wake)
    hub.names.expect(name, waiter)
    hub.timers.add(deadline, alarm)
    try:
        await waiter
    finally:
        hub.names.forget(name, waiter)
        hub.timers.discard(alarm)


def _inherited(deadline: float) -> float:
    caller = current_cell.get()
    return deadline if caller is None else min(deadline, caller.deadline)
