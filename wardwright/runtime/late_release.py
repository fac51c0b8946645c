"""Text that has been held for as long as it may, and leaves for that: when its time comes, whatever the provider does meanwhile."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from supervisors import Callback, System


class LateRelease:
    """An alarm beside a stream that is being read. As a context manager it is the turn of whoever looks at what is held.

    Args:
        due: when the text that is held longest has been held for as long as it may; None when nothing is held.
        open_overdue: lets go of it, and returns whether the stream is to be read on.
    """

    def __init__(
        self, system: System, due: Callable[[], float | None], open_overdue: Callable[[], Awaitable[bool]]
    ) -> None:
        self._system = system
        self._due = due
        self._open_overdue = open_overdue
        self._turn = anyio.Lock()
        self._rang = anyio.Event()
        self._alarm: Callback | None = None

    async def __aenter__(self) -> None:
        await self._turn.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._set_alarm()
        self._turn.release()

    async def watch(self) -> None:
        """Let go of text at its time, until nothing more may leave."""
        while True:
            await self._rang.wait()
            self._rang = anyio.Event()
            async with self:
                if not await self._open_overdue():
                    return

    def stop(self) -> None:
        """Ring no more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _set_alarm(self) -> None:
        self.stop()
        due = self._due()
        if due is not None:
            self._alarm = self._system.call_after(due - self._system.now(), lambda: self._rang.set())


@asynccontextmanager
async def beside(late: LateRelease) -> AsyncIterator[LateRelease]:
    """Have an alarm watch beside what is done; when it finds that nothing more may leave, that is broken off.

    Cancellation: cancel point. What is raised inside comes out as it was.
    """
    try:
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await late.watch()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            try:
                yield late
            finally:
                late.stop()
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
