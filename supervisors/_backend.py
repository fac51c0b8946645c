"""The two things the library needs from an event loop: a clock, and a way for one task to sleep until it is woken.

`anyio.Event` does the second everywhere. On asyncio a bare future does it in a third of the time, on trio its own way
of parking a task in two thirds, and a call is two such waits. So there are two tiny waiters behind one factory.
"""

import asyncio
import sys
from collections.abc import Callable, Generator
from contextvars import Context, ContextVar
from typing import Any, Protocol

import anyio

library_name: ContextVar[str | None] | None
try:
    from sniffio import current_async_library_cvar
except ImportError:  # then anyio does not ask it either
    library_name = None
else:
    library_name = current_async_library_cvar


class Waiter(Protocol):
    """A place for exactly one task to wait at, once."""

    def wake(self) -> None:
        """Let the waiting task go on; a second wake is nothing."""

    def __await__(self) -> Generator[object, None, object]: ...


class Backend:
    """What was found out about the running event loop, once per System."""

    __slots__ = ("_blank", "cancelled", "current_task", "new_scope", "new_waiter", "now")

    def __init__(
        self,
        now: Callable[[], float],
        new_waiter: Callable[[], Waiter],
        cancelled: type[BaseException],
        library: str | None,
        current_task: Callable[[], Any],
    ) -> None:
        self.now = now
        self.current_task = current_task
        self.new_waiter = new_waiter
        self.cancelled = cancelled
        # the class behind `anyio.CancelScope`, which finds it out anew for each scope, and initialises that twice
        self.new_scope: Callable[[], anyio.CancelScope] = type(anyio.CancelScope())
        self._blank = Context()
        if library is not None and library_name is not None:
            self._blank.run(library_name.set, library)

    def new_context(self) -> Context:
        """Make a context which remembers nothing but the name of the event loop's library.

        Without that name every anyio primitive has to find it out anew, which costs more than the primitive.
        """
        return self._blank.copy()


def detect_backend() -> Backend:
    """Describe the event loop this code runs in."""
    cancelled = anyio.get_cancelled_exc_class()
    if cancelled is not asyncio.CancelledError:
        trio: Any = sys.modules["trio"]  # imported by whoever runs it; who does not should not pay for it
        low = trio.lowlevel
        return Backend(low.current_clock().current_time, _parking(low), cancelled, None, low.current_task)
    loop = asyncio.get_running_loop()

    def new_waiter() -> Waiter:
        return _FutureWaiter(loop.create_future())

    return Backend(loop.time, new_waiter, cancelled, "asyncio", asyncio.current_task)


class _FutureWaiter:
    __slots__ = ("_future",)

    def __init__(self, future: "asyncio.Future[None]") -> None:
        self._future = future

    def wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def __await__(self) -> Generator[object, None, object]:
        return self._future.__await__()


def _parking(lowlevel: Any) -> Callable[[], Waiter]:
    """Make the class of trio's waiters; here and not in the module, because trio may not be imported."""
    current_task, reschedule = lowlevel.current_task, lowlevel.reschedule
    wait_rescheduled, let_go = lowlevel.wait_task_rescheduled, lowlevel.Abort.SUCCEEDED

    class ParkedTask:
        __slots__ = ("_task", "_woken")

        def __init__(self) -> None:
            self._task: Any = None
            self._woken = False

        def wake(self) -> None:
            if not self._woken:
                self._woken = True
                if self._task is not None:
                    reschedule(self._task)

        def __await__(self) -> Generator[object, None, object]:
            if self._woken:
                return _nothing()
            self._task = current_task()
            waiting: Generator[object, None, object] = wait_rescheduled(self._cancelled).__await__()
            return waiting

        def _cancelled(self, raise_cancel: object) -> Any:
            self._task = None
            return let_go

    return ParkedTask


def _nothing() -> Generator[object, None, None]:
    yield from ()
