"""A streamed answer, from the bytes of a response to batches of frames.

When an answer is over, in the order of certainty:

* the provider's last word (`[DONE]` or what stands for it on its wire), or the end of the body, once every begun choice has its finish reason;
* every expected choice has its finish reason and nothing follows within `TRAILER_GRACE_S`. Usage comes after the finish reason,
  so it is waited for; a server that sends neither usage nor a last word nor the end of the body costs its caller this grace, once,
  and after all of its content has been handed on.

Anything else is a broken stream, and what cannot be read is a bad answer. Frames that came before a fault in the same read are
handed on first: the fault is raised by the next step.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Self

import anyio

from wardwright.domain.errors import ProviderError
from wardwright.domain.stream import Frame
from wardwright.providers.refusal import error_object_fault
from wardwright.providers.transport import Response, fault
from wardwright.wire.openai import BadAnswer, StreamShape, UpstreamErrorObject
from wardwright.wire.sse import EventTooLarge
from wardwright.wire.stream_decoder import StreamDecoder

TRAILER_GRACE_S = 0.5
LINGER_S = 0.05


class AnswerStream:
    """The frames of one answer: an async iterator of batches, each what one read of the connection brought.

    Args: decoder: reads the provider's wire and gives chunks of a chat completion.
    """

    def __init__(self, response: Response, decoder: StreamDecoder, *, expected_choices: int = 1) -> None:
        self._response = response
        self._decoder = decoder
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
            for frame in self._decoder.close() if data is None else self._decoder.feed(data):
                frames.extend(self._shape.observe(frame))
        except UpstreamErrorObject as error:
            self._fault = error_object_fault(error.error, self._response.status)
        except (BadAnswer, EventTooLarge) as error:
            # The last event of a body that lacks its blank line was cut, not badly made.
            self._fault = None if data is None else self._bad(str(error))
        self._over = data is None or self._decoder.done
        if self._over and self._fault is None and not self._shape.may_end:
            self._fault = self._broken()
        return frames

    def _broken(self) -> ProviderError:
        return fault(
            "stream_broken", "the stream ended before the answer had a finish reason", status=self._response.status
        )

    def _bad(self, what: str) -> ProviderError:
        return fault("bad_response", f"the stream could not be read: {what}", status=self._response.status)
