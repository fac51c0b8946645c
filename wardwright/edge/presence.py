"""Noticing that a client has left, without a task for every request.

ASGI tells of a departure only to somebody who waits in `receive`. A task for that costs more than the rest of a short request, so one
is started only for requests that outlast `_NOTICE_AFTER_S`; a client that leaves earlier is noticed then.
"""

from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.abc

from wardwright.edge.http import Receive

_NOTICE_AFTER_S = 0.1


class Alarm(Protocol):
    """A call in the future that can be called off."""

    def cancel(self) -> object:
        """Call it off; nothing happens when it has been made."""
        ...


class Presence:
    """Makes watches. Their tasks run in `tasks`, which outlives every request; `call_after` is the runtime's timer."""

    def __init__(self, tasks: anyio.abc.TaskGroup, call_after: Callable[[float, Callable[[], object]], Alarm]) -> None:
        self._tasks = tasks
        self._call_after = call_after

    def watch(self, receive: Receive) -> "ClientWatch":
        """A watch over the client of one request whose body has been read."""
        return ClientWatch(receive, self._tasks, self._call_after)


class ClientWatch:
    """Watches one client between `start` and `stop`."""

    __slots__ = ("_alarm", "_call_after", "_on_gone", "_receive", "_scope", "_tasks")

    def __init__(
        self,
        receive: Receive,
        tasks: anyio.abc.TaskGroup,
        call_after: Callable[[float, Callable[[], object]], Alarm],
    ) -> None:
        self._receive = receive
        self._tasks = tasks
        self._call_after = call_after
        self._alarm: Alarm | None = None
        self._scope: anyio.CancelScope | None = None
        self._on_gone: Callable[[], None] | None = None

    def start(self, on_gone: Callable[[], None]) -> None:
        """Have `on_gone` called, once, when the client leaves before `stop`."""
        self._on_gone = on_gone
        self._alarm = self._call_after(_NOTICE_AFTER_S, self._begin)

    def stop(self) -> None:
        """Stop watching. Idempotent."""
        self._on_gone = None
        if self._alarm is not None:
            self._alarm.cancel()
        if self._scope is not None:
            self._scope.cancel()

    def _begin(self) -> None:
        self._scope = anyio.CancelScope()
        self._tasks.start_soon(self._wait, self._scope, name="client watch")

    async def _wait(self, scope: anyio.CancelScope) -> None:
        with scope:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            if self._on_gone is not None:
                self._on_gone()
