"""From the bytes of one streamed answer to frames: the one thing that every provider's wire has its own of."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from wardwright.domain.stream import Frame
from wardwright.wire.errors import UpstreamErrorObject, parse_error
from wardwright.wire.openai_stream import parse_chunk
from wardwright.wire.sse import DONE_PAYLOAD, SseEvent, SseParser

MAX_EVENT_BYTES = 8 * 1024 * 1024


class StreamDecoder(Protocol):
    """Reads one answer, incrementally, and holds no more of it than one event. One that has raised is of no further use.

    Frames that came before a fault in the same read are yielded before it is raised.
    """

    @property
    def done(self) -> bool:
        """Whether the provider said its last word. What comes after it is not read."""
        ...

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that a read completed.

        Raises:
            UpstreamErrorObject: the provider sent an error instead of more of its answer.
            BadAnswer: an event is not one of this wire.
            EventTooLarge: an event is longer than may be held.
        """
        ...

    def close(self) -> Iterator[Frame]:
        """Yield the frame that the end of the body left unfinished, if it was all there.

        Raises: what `feed` raises; a bad event was perhaps only cut.
        """
        ...


class ChunkDecoder:
    """`StreamDecoder` of the streamed chat completion, as OpenAI and its many relatives send it."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.done = False
        self._parser = SseParser(max_event_bytes)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """See `StreamDecoder.feed`."""
        return self._frames(self._parser.feed(data))

    def close(self) -> Iterator[Frame]:
        """See `StreamDecoder.close`."""
        return self._frames(self._parser.close())

    def _frames(self, events: Iterable[bytes | SseEvent]) -> Iterator[Frame]:
        for event in () if self.done else events:
            payload = event if isinstance(event, bytes) else event.data
            if payload.startswith(DONE_PAYLOAD):
                self.done = True
                return
            if isinstance(event, SseEvent) and event.event == "error":
                # Some servers name the event and send the error bare, without the envelope that tells it from a chunk.
                raise UpstreamErrorObject(parse_error(payload))
            if payload:
                yield parse_chunk(payload)
