"""Scripted providers for whole runs."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from wardwright.domain.chat import Completion
from wardwright.domain.errors import Failure
from wardwright.domain.stream import Frame
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import CannedProvider, ScriptedFailure

REFUSED = Failure("connect", "nobody listens")
BROKEN = Failure("stream_broken", "the stream was cut")


class Watched(CannedProvider):
    """A canned provider that keeps its calls; `on_call` looks around at the beginning of each, and may raise."""

    def __init__(
        self,
        name: str = "first",
        text: str = "one two three",
        *,
        failures: Sequence[ScriptedFailure | None] = (),
        chunk_delay_s: float = 0.0,
        on_call: Callable[[UpstreamCall], None] | None = None,
    ) -> None:
        super().__init__(name, [text], failures=failures, chunk_delay_s=chunk_delay_s)
        self.calls: list[UpstreamCall] = []
        self._on_call = on_call

    async def complete(self, call: UpstreamCall) -> Completion:
        self._note(call)
        return await super().complete(call)

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        self._note(call)
        async with super().stream(call) as batches:
            yield batches

    def _note(self, call: UpstreamCall) -> None:
        self.calls.append(call)
        if self._on_call is not None:
            self._on_call(call)


class Hanging(CannedProvider):
    """Never answers; says how many calls it holds."""

    def __init__(self, name: str = "first") -> None:
        super().__init__(name)
        self.open_calls = 0
        self.calls = 0

    async def complete(self, call: UpstreamCall) -> Completion:
        async with self._holding():
            await anyio.sleep_forever()
        raise AssertionError

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        async with self._holding(), super().stream(call):
            yield self._silence()

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        self.calls += 1
        self.open_calls += 1
        try:
            yield
        finally:
            self.open_calls -= 1

    async def _silence(self) -> AsyncIterator[Sequence[Frame]]:
        await anyio.sleep_forever()
        yield ()


def failing(name: str, failure: Failure, *, times: int = 1000, after_chunks: int = 0) -> Watched:
    """A provider that fails so many calls."""
    return Watched(name, failures=[ScriptedFailure(failure, after_chunks)] * times)
