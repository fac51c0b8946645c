"""Ending an actor at one await, and at every await in turn.

An actor may end wherever it waits. A test that picks the places by hand picks those its author thought of; `every_await`
picks all of them: it makes the actor end at its first await, next time at its second, until one run has fewer awaits
than that.
"""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial, wraps
from typing import Any, Literal, TypeAlias, TypeVar

import anyio

from supervisors._actor import Actor
from supervisors._host import Helper
from supervisors.inspect import describe_stack

T = TypeVar("T")
ActorT = TypeVar("ActorT", bound=Actor)

Harm: TypeAlias = Literal["crash", "kill"]

_CALLBACKS = ("init", "activate", "handle_continue", "handle_call", "handle_cast", "handle_info", "terminate")


class InjectedCrash(Exception):
    """What an await raises at a `CrashPoint`."""


@types.coroutine
def stepped(
    coroutine: Coroutine[Any, Any, T], on_suspend: Callable[[], BaseException | None]
) -> Generator[Any, Any, T]:
    """Run a coroutine, and call `on_suspend` each time it is about to wait.

    If that returns an exception, the wait is broken off and raises it. Waiting for a thread cannot be broken off; it
    raises when it is over.
    """
    resume: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        try:
            waits_for = resume()
        except StopIteration as done:
            value: T = done.value
            return value
        try:
            error = on_suspend()
            if error is None:
                resume = partial(coroutine.send, (yield waits_for))
            else:
                yield from _broken_off(waits_for)
                resume = partial(coroutine.throw, error)
        except BaseException as thrown:  # noqa: BLE001 whatever is thrown in goes where it was meant to go
            resume = partial(coroutine.throw, thrown)


def _broken_off(waits_for: Any) -> Generator[Any, Any, None]:
    """Begin a wait and cancel it, so that the event loop forgets it in good order."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        yield waits_for


class CrashPoint:
    """One await in the life of an actor, its children or successors of the same factory included.

    Attributes:
        number: which await, counted from 1 over all of the actor's callbacks and helpers.
        harm: `crash` makes the await raise `InjectedCrash`; `kill` kills the actor while it waits.
        happened: whether it came to that; it does so once.
        where: source lines of the await, outermost call first.
    """

    def __init__(self, number: int, harm: Harm = "crash") -> None:
        self.number = number
        self.harm = harm
        self.happened = False
        self.where: tuple[str, ...] = ()
        self._awaits = 0

    def __repr__(self) -> str:
        return f"<CrashPoint {self.harm} at await {self.number}>"

    def into(self, start: Callable[[], ActorT]) -> Callable[[], ActorT]:
        """Wrap what makes an actor: `ChildSpec("ledger", point.into(Ledger))`."""

        def make() -> ActorT:
            actor = start()
            actor.__class__ = self._stepping(type(actor))
            return actor

        return make

    def _stepping(self, made: type[ActorT]) -> type[ActorT]:
        """Derive a class from the actor's, because what would be added to the object itself would be part of its state."""

        def spawn(actor: ActorT, body: Callable[..., Coroutine[Any, Any, object]], *args: object) -> Helper:
            return made.spawn(actor, partial(self._stepped(body), actor), *args)

        added: dict[str, Any] = {name: self._stepped_method(getattr(made, name)) for name in _CALLBACKS}
        added |= {"spawn": spawn, "__module__": made.__module__, "__qualname__": made.__qualname__}
        return type(made.__name__, (made,), added)

    def _stepped_method(self, callback: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Awaitable[T]]:
        @wraps(callback)
        def stepping(actor: Actor, *args: object) -> Awaitable[T]:
            coroutine = callback(actor, *args)
            return stepped(coroutine, lambda: self._suspends(actor, coroutine))

        return stepping

    def _stepped(self, body: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Awaitable[T]]:
        @wraps(body)
        def stepping(actor: Actor, *args: object) -> Awaitable[T]:
            coroutine = body(*args)
            return stepped(coroutine, lambda: self._suspends(actor, coroutine))

        return stepping

    def _suspends(self, actor: Actor, coroutine: Coroutine[Any, Any, object]) -> InjectedCrash | None:
        self._awaits += 1
        if self._awaits != self.number:
            return None
        self.happened = True
        self.where = describe_stack(coroutine)
        if self.harm == "crash":
            return InjectedCrash(f"at await {self.number}")
        actor.ref.kill()
        return None


def every_await(harm: Harm, limit: int = 1000) -> Iterator[CrashPoint]:
    """Make a crash point for the first await, then for the second, until one was never reached.

    Build the actors anew for each point and wrap them with `CrashPoint.into`.

    Raises:
        AssertionError: not even the first await was reached, so nothing has been tested; or `limit` awaits were.
    """
    for number in range(1, limit + 1):
        point = CrashPoint(number, harm)
        yield point
        if not point.happened:
            if number == 1:
                raise AssertionError("no await was reached: is a factory wrapped with `into`, and its actor used?")
            return
    raise AssertionError(f"there are more than {limit} awaits")
