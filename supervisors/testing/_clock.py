"""Virtual time on both backends, and an order of tasks which can be had again.

Rules:
- Time passes only when nothing can run. Whoever reads the clock twice without a wait in between reads the same.
- Whatever a test needs of the event loop's inside is here; the rest of the library asks for nothing of the kind.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, TypeVarTuple

import anyio
from trio._core import _run as trio_scheduler
from trio.testing import MockClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_OWN_FILES = 1
"""The loop's self-pipe, which is registered always."""

_SHUFFLE = "_ALLOW_DETERMINISTIC_SCHEDULING"
"""Trio's own switch for tests: sort the tasks that are ready, then shuffle them."""


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


def run_virtual(
    scenario: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    backend: Literal["asyncio", "trio"] = "asyncio",
    seed: int | None = None,
) -> T:
    """Run an async function to its end in virtual time, on an event loop of its own.

    Args:
        scenario: what to run.
        args: its arguments.
        backend: the event loop's library.
        seed: where the order of tasks comes from, as `seeded_scheduling` has it.
    """
    name, options = virtual_asyncio() if backend == "asyncio" else virtual_trio()
    if seed is None:
        return anyio.run(scenario, *args, backend=name, backend_options=options)
    with seeded_scheduling(seed):
        return anyio.run(scenario, *args, backend=name, backend_options=options)


@contextmanager
def seeded_scheduling(seed: int) -> Iterator[None]:
    """Have trio shuffle the tasks which are ready at the same moment, in an order that the seed alone decides.

    Each seed is another schedule and each can be had again. On asyncio nothing changes: there the order is fixed.
    """
    source = trio_scheduler._r
    before, shuffled = source.getstate(), getattr(trio_scheduler, _SHUFFLE)
    setattr(trio_scheduler, _SHUFFLE, True)
    source.seed(seed)
    try:
        yield
    finally:
        setattr(trio_scheduler, _SHUFFLE, shuffled)
        source.setstate(before)


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
