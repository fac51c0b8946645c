"""Requests and their answers.

A request is a message which names the type of its answer. On its way it is wrapped in a `ReplyTo`: the caller waits on
it, the target answers through it, the deadline heap expires it, and the death of the target fails it. Whoever comes
first settles it; everything later is nothing. That is the whole of "a call never hangs and is answered once".
"""

from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from supervisors._backend import Waiter
from supervisors._timers import Deadline
from supervisors.exceptions import CallTimeout

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Call(Generic[R_co]):
    """Base of every request message; a `class GetPlan(Call[Plan])` is answered with a `Plan`.

    A type checker holds callers to it, and the handler too where its `ReplyTo` names the same type. Make requests
    frozen: they are handed over, not copied.
    """

    __slots__ = ()


class NoReply:
    """The type of `NO_REPLY`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_REPLY"


NO_REPLY: Final = NoReply()
"""What `handle_call` returns when the answer will come later, through the `ReplyTo`."""


class Caller(Protocol):
    """The member whose handler waits for the answer."""

    path: str


class ReplyTo(Deadline, Generic[R]):
    """Where the answer to one request goes: at once, or later from anywhere in the event loop.

    A handler needs `reply`, `fail` and `on_abandon`; the other methods are the library's. The first answer counts. If
    the actor dies before there is one, its caller gets `ActorDown`.

    Attributes:
        settled: whether the caller has its answer, or has stopped waiting for one.
        abandoned: whether the caller has stopped waiting.
        deadline: until when the caller waits, in seconds of the System's clock.
        caller: the member which asked; None if it is none, or not known.
    """

    __slots__ = (
        "_error",
        "_home",
        "_on_abandon",
        "_timeout",
        "_value",
        "_waiter",
        "abandoned",
        "caller",
        "deadline",
        "message",
        "path",
        "started",
    )

    def __init__(
        self,
        message: Call[R],
        path: str,
        deadline: float,
        timeout: float,
        waiter: Waiter,
        caller: Caller | None = None,
    ) -> None:
        self.settled = False  # not through super(): this is the hottest constructor of the library
        self.abandoned = False
        self.started = False
        self.message = message
        self.path = path
        self.deadline = deadline
        self.caller = caller
        self._timeout = timeout
        self._waiter = waiter
        self._value: Any = None
        self._error: BaseException | None = None
        self._home: set[ReplyTo[Any]] | None = None
        self._on_abandon: Callable[[], object] | None = None

    def reply(self, value: R) -> None:
        """Answer the request; nothing happens if it is settled already."""
        if not self.settled:
            self._value = value
            self._settle()

    def fail(self, error: BaseException) -> None:
        """Raise `error` at the caller; nothing happens if the request is settled already. The actor goes on."""
        if not self.settled:
            self._error = error
            self._settle()

    def begin(self, now: float) -> bool:
        """Hand the request to a handler; False when its caller has gone or its time is up."""
        if self.settled:
            return False
        if self.deadline <= now:
            self.due()
            return False
        self.started = True
        return True

    def defer(self, home: set["ReplyTo[Any]"]) -> None:
        """Keep an unanswered request where the death of its target will find it."""
        if not self.settled:
            self._home = home
            home.add(self)

    def on_abandon(self, action: Callable[[], object] | None) -> None:
        """Run `action` when the caller stops waiting before it has an answer; None takes that back."""
        self._on_abandon = action

    def due(self) -> None:
        """Give up: the deadline has passed."""
        self.fail(CallTimeout(self.path, self._timeout, started=self.started))
        self._abandon()

    async def answer(self) -> R:
        """Wait for the answer; the caller's half of the exchange.

        Cancellation: cancel point; on cancel the request is abandoned, and dropped unexecuted if it still waits.
        """
        try:
            await self._waiter
        except BaseException:
            self.settled = True
            self._abandon()
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or exception, traceback and request would hold each other
        value: R = self._value
        return value

    def _settle(self) -> None:
        self.settled = True
        if self._home is not None:
            self._home.discard(self)
        self._waiter.wake()

    def _abandon(self) -> None:
        self.abandoned = True
        if self._home is not None:
            self._home.discard(self)
        if self._on_abandon is not None:
            self._on_abandon()
