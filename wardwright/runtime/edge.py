"""The edge actor: it opens the door and closes it in order.

The HTTP server runs beside the tree, one generation per incarnation of this actor, all on the same listening socket. When the
actor dies its generation stops accepting and finishes what it has; the next incarnation accepts at once. So a crash of the edge
refuses nobody and cuts nothing: connections wait in the kernel's queue for the next generation.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from supervisors import Actor, ExitReason


class Generation(Protocol):
    """One running HTTP server on the shared listening socket."""

    async def serving(self) -> None:
        """Return when this server has ended. Raises: whatever ended it."""
        ...

    def retire(self) -> None:
        """Stop accepting; connections end with their next answer. Idempotent, never blocks."""
        ...


class EdgeClosed(Exception):
    """The HTTP server ended though nobody asked it to."""


class Edge(Actor):
    """Keeps one generation of the HTTP server accepting. `beside` runs along, for the streams of all generations."""

    def __init__(
        self,
        *,
        start: Callable[[], Generation],
        drain: Callable[[], Awaitable[None]],
        url: str,
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._start = start
        self._beside = beside
        self._drain = drain
        self._url = url
        self._generation: Generation | None = None

    async def init(self) -> None:
        """Start accepting."""
        self._generation = self._start()
        self.spawn(self._watch, self._generation)
        if self._beside is not None:
            self.spawn(self._beside)

    async def terminate(self, reason: ExitReason) -> None:
        """On an orderly stop: accept no more, then let live requests finish (or cut them with an error at the limit)."""
        if self._generation is not None:
            self._generation.retire()
        if reason.is_normal:
            await self._drain()

    def format_status(self) -> Mapping[str, object]:
        """Where the edge listens."""
        return {"url": self._url}

    async def _watch(self, generation: Generation) -> None:
        try:
            await generation.serving()
        finally:
            generation.retire()
        raise EdgeClosed("the HTTP server stopped by itself")
