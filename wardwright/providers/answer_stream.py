"""A streamed chat completion, from the bytes of an event stream to batches of frames.

When an answer is over, in the order of certainty:

* `[DONE]`, or the end of the body, once every begun choice has its finish reason;
* every expected choice has its finish reason and nothing follows within `TRAILER_GRACE_S`. Usage comes after the finish reason,
  so it is waited for; a server that sends neither usage nor `[DONE]` nor the end of the body costs its caller this grace, once,
  and after all of its content has been handed on.

Anything else is a broken stream, and what cannot be read is a bad answer. Frames that came before a fault in the same read are
handed on first: the fault is raised by the next step.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Self

import anyio

from wardwright.domain.errors import ProviderError
from wardwright.domain.stream import Frame
from wardwright.providers.refusal import error_object_fault
from wardwright.providers.transport import Response, fault
from wardwright.wire.openai import BadAnswer, StreamShape, UpstreamErrorObject, parse_chunk
from wardwright.wire.sse import DONE_PAYLOAD, EventTooLarge, SseEvent, SseParser

TRAILER_GRACE_S = 0.5
LINGER_S = 0.05


class AnswerStream:
    """The frames of one answer: an async iterator of batches, each what one read of the connection brought."""

    def __init__(self, response: Response, *, expected_choices: int, max_event_bytes: int) -> None:
        self._response = response
        self._parser = SseParser(max_event_bytes)
        self._shape = StreamShape(expected_choices)
        self._grace_left = TRAILER_GRACE_S
        self._fault: ProviderError | None = None
        self._over = False
        self._exhausted = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Frame]:
        while self._fault is None and not self._over:
            data = await (self._receive_trailer() if self._shape.complete else self._receive())
            frames = self._take(data)
            if frames:
                return frames
        if self._fault is not None:
            raise self._fault
        raise StopAsyncIteration

    async def settle(self) -> None:
        """Give a complete answer's body a moment to end, so that its connection can serve again; never read on for long."""
        if self._over and self._fault is None and not self._exhausted:
            with anyio.move_on_after(LINGER_S), suppress(ProviderError):
                async for _ in self._response:
                    pass

    async def _receive(self) -> bytes | None:
        try:
            return await self._response.__anext__()
        except StopAsyncIteration:
            self._exhausted = True
            return None

    async def _receive_trailer(self) -> bytes | None:
        """Like `_receive`, for an answer that lacks nothing: neither silence nor a connection that breaks can spoil it now.

        Only the time spent waiting here uses up the grace: what a slow reader of ours left in the buffer is not late.
        """
        began = anyio.current_time()
        with anyio.move_on_after(self._grace_left):
            try:
                data = await self._receive()
            except ProviderError:
                self._exhausted = True
                return None
            self._grace_left -= anyio.current_time() - began
            return data
        self._exhausted = True
        return None

    def _take(self, data: bytes | None) -> list[Frame]:
        """The frames that came with a read, None where nothing more will come; notes when the answer is over or at fault."""
        frames: list[Frame] = []
        try:
            events = self._parser.close() if data is None else self._parser.feed(data)
            self._collect(events, frames)
        except UpstreamErrorObject as error:
            self._fault = error_object_fault(error.error, self._response.status)
        except (BadAnswer, EventTooLarge) as error:
            # The last event of a body that lacks its blank line was cut, not badly made.
            self._fault = None if data is None else self._bad(str(error))
        self._over = self._over or data is None
        if self._over and self._fault is None and not self._shape.may_end:
            self._fault = self._broken()
        return frames

    def _collect(self, events: Iterable[bytes | SseEvent], frames: list[Frame]) -> None:
        for event in events:
            payload = event if isinstance(event, bytes) else event.data
            if payload == DONE_PAYLOAD:
                self._over = True
                return
            if payload:
                frames.extend(self._shape.observe(parse_chunk(payload)))

    def _broken(self) -> ProviderError:
        return fault(
            "stream_broken", "the stream ended before the answer had a finish reason", status=self._response.status
        )

    def _bad(self, what: str) -> ProviderError:
        return fault("bad_response", f"the stream could not be read: {what}", status=self._response.status)
