"""Scripted providers for whole runs."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import msgspec

from wardwright.domain.chat import Completion
from wardwright.domain.errors import Failure
from wardwright.domain.stream import Frame
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import CannedProvider, ScriptedFailure
from wardwright.wire.openai import parse_chunk, parse_completion

Piece = str | dict[str, Any]

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


class Scripted(Watched):
    """Answers each call with the next list of pieces, the last again and again; says how many calls it holds.

    A piece is text, or else what a message has besides its text.
    """

    def __init__(self, name: str, *answers: Sequence[Piece], delay_s: float = 0.0, failures: Any = ()) -> None:
        super().__init__(name, failures=failures)
        self._answers = list(answers)
        self._delay_s = delay_s
        self.open_calls = 0
        self.pieces_taken = 0

    async def complete(self, call: UpstreamCall) -> Completion:
        await super().complete(call)
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        for piece in self._next():
            message |= {"content": message["content"] + piece} if isinstance(piece, str) else piece
        return parse_completion(
            msgspec.json.encode({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        )

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        async with super().stream(call):
            self.open_calls += 1
            try:
                async with aclosing(self._pieces_of(self._next())) as batches:
                    yield batches
            finally:
                self.open_calls -= 1

    def _next(self) -> Sequence[Piece]:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def _pieces_of(self, pieces: Sequence[Piece]) -> AsyncGenerator[Sequence[Frame], None]:
        yield (chunk({"role": "assistant", "content": ""}),)
        for piece in pieces:
            await anyio.sleep(self._delay_s)
            self.pieces_taken += 1
            yield (chunk({"content": piece} if isinstance(piece, str) else piece),)
        yield (chunk({}, "stop"),)


class Played(Watched):
    """Answers every call with the same frames, each in a read of its own."""

    def __init__(self, name: str, *frames: Frame) -> None:
        super().__init__(name)
        self._frames = frames

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        async with super().stream(call), aclosing(self._reads()) as batches:
            yield batches

    async def _reads(self) -> AsyncGenerator[Sequence[Frame], None]:
        for frame in self._frames:
            yield (frame,)


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


def chunk(delta: dict[str, Any], finish: str | None = None, *, index: int = 0) -> Frame:
    """A chunk of one choice."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return parse_chunk(msgspec.json.encode({"id": "c", "choices": [choice]}))
