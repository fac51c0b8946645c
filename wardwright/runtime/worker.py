"""A thread of an actor's own for work that blocks: one piece after the other, handed over as cheaply as can be.

`anyio.to_thread` looks for a free thread, takes a permit and copies the context for each piece, which costs more than a small write to
a file. Who hands over thousands of pieces a second keeps a thread instead.
"""

import weakref
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

import anyio
from anyio.lowlevel import current_token

T = TypeVar("T")

_Orders = SimpleQueue["Order[Any] | None"]


class Worker:
    """The thread. It begins with the first piece of work and ends with its owner, who must be in one event loop's thread.

    One that is not patient any more leaves the thread to itself when it is cancelled: for whoever ends for good, and can bear that a
    piece of work goes on beside whatever comes next.
    """

    def __init__(self, name: str) -> None:
        self.is_patient = True
        self._name = name
        self._orders: _Orders = SimpleQueue()
        self._post: Callable[[Callable[[], object]], object] | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Have the thread call a function.

        Raises: whatever it raises.
        Cancellation: cancel point; the function runs to its end before the cancellation goes on, or beside it if patience is at an end.
        """
        order = Order(function, anyio.Event(), self._post or self._begin())
        self._orders.put(order)
        try:
            await order.done.wait()
        except anyio.get_cancelled_exc_class():
            if self.is_patient:
                with anyio.CancelScope(shield=True):
                    await order.done.wait()
            raise
        return order.result()

    def post(self, function: Callable[[], object]) -> None:
        """Have the thread call a function after what it has to do already; whatever comes of it. For who has used it before."""
        self._orders.put(Order(function, anyio.Event(), _tell_nobody))

    def _begin(self) -> Callable[[Callable[[], object]], object]:
        loop: Any = current_token().native_token
        post: Callable[[Callable[[], object]], object]
        post = self._post = loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
        Thread(target=_work, args=(self._orders,), name=self._name, daemon=True).start()
        weakref.finalize(self, self._orders.put, None)
        return post


class Order(Generic[T]):
    """One piece of work: `done` is set, in the event loop, when it has been carried out."""

    def __init__(
        self, function: Callable[[], T], done: anyio.Event, post: Callable[[Callable[[], object]], object]
    ) -> None:
        self.done = done
        self._function = function
        self._post = post
        self._value: Any = None
        self._error: BaseException | None = None

    def carry_out(self) -> None:
        """Do it; in the thread."""
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the work was asked for
            self._error = error
        self._post(self.done.set)

    def result(self) -> T:
        """What came of it. Raises: what the function raised."""
        error, self._error = self._error, None  # or exception, traceback and order would hold each other
        if error is not None:
            raise error
        value: T = self._value
        return value


def _tell_nobody(done: Callable[[], object]) -> None:
    """For work of which nobody waits to hear."""


def _work(orders: _Orders) -> None:
    while (order := orders.get()) is not None:
        order.carry_out()
        del order  # nothing is kept while there is nothing to do
