"""Tools for testing actors: virtual time on both backends, `settle`, and a recorder of events.

In virtual time the clock stands still while anything can run, and jumps to the next deadline when nothing can. A test
that waits an hour takes a millisecond, and a timeout fires only when the thing it guards is really stuck.

Virtual time knows nothing of threads, sockets or processes: to the clock they look like nothing happening. Tests that
use those belong in real time. (On asyncio the clock does wait while a socket is registered, but a thread is invisible.)
"""

import asyncio
import selectors
from typing import Any, TypeVar

import anyio
from trio.testing import MockClock

from supervisors.events import Event

EventT = TypeVar("EventT")

_OWN_FILES = 1
"""The loop's self-pipe, which is registered always."""


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose clock jumps to the next timer when nothing is left to do.

    Use it as `loop_factory`: `anyio.run(main, backend_options={"loop_factory": VirtualClockLoop})`.
    """

    def __init__(self) -> None:
        self._virtual_now = 0.0
        self._idle_waiters: list[asyncio.Future[None]] = []
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Read the virtual clock."""
        return self._virtual_now

    def jump(self, seconds: float) -> None:
        """Advance the clock."""
        self._virtual_now += seconds

    async def wait_idle(self) -> None:
        """Sleep until nothing else can run, without letting the clock jump."""
        waiter = self.create_future()
        self._idle_waiters.append(waiter)
        await waiter

    def wake_idle_waiters(self) -> bool:
        """Wake those who wait for idleness; False when nobody does."""
        waiters, self._idle_waiters = self._idle_waiters, []
        woken = [waiter for waiter in waiters if not waiter.done()]
        for waiter in woken:
            waiter.set_result(None)
        return bool(woken)


class _JumpingSelector(selectors.DefaultSelector):
    """Asked to wait for the next timer, it jumps there instead, unless a socket might have something to say."""

    def __init__(self, loop: VirtualClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Report what is ready now; failing that, let time pass."""
        ready = super().select(0)
        if ready or timeout == 0 or self._loop.wake_idle_waiters():
            return ready
        if timeout is None or len(self.get_map()) > _OWN_FILES:
            ready = super().select(timeout)
        if timeout is not None and not ready:
            self._loop.jump(timeout)
        return ready


def virtual_asyncio() -> tuple[str, dict[str, Any]]:
    """Describe asyncio in virtual time, as an `anyio_backend` value."""
    return "asyncio", {"loop_factory": VirtualClockLoop}


def virtual_trio() -> tuple[str, dict[str, Any]]:
    """Describe trio in virtual time, as an `anyio_backend` value; made anew for every run."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


async def settle() -> None:
    """Let everything run that can, until all tasks wait; virtual time does not pass.

    Cancellation: cancel point.
    """
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualClockLoop):
            await loop.wait_idle()
            return
    await anyio.wait_all_tasks_blocked()


class EventLog:
    """An observer which keeps every event: `System(..., on_event=log)`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def __len__(self) -> int:
        return len(self.events)

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Pick the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def clear(self) -> None:
        """Forget what happened so far."""
        self.events.clear()
