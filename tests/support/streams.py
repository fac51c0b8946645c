"""Streams as providers send them, and what reads them: the language-neutral fixtures and one decoder for each wire."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from wardwright.domain.chat import Usage
from wardwright.domain.stream import Frame, StreamEvent
from wardwright.wire.anthropic_chunks import message_extras
from wardwright.wire.anthropic_stream import MessageDecoder
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject
from wardwright.wire.ollama_stream import ChatLineDecoder
from wardwright.wire.openai_chunks import AnswerHead, ChunksOf, ChunkWriter, no_extras
from wardwright.wire.sse import EventTooLarge
from wardwright.wire.stream_decoder import MAX_EVENT_BYTES, ChunkDecoder, StreamDecoder

Wire = Literal["openai", "anthropic", "ollama"]
WIRES: tuple[Wire, ...] = ("openai", "anthropic", "ollama")

FOLDER = Path(__file__).parents[2] / "contracts" / "fixtures" / "streams"
FIXTURES = sorted(FOLDER.rglob("*.json"))


class ExpectedError(msgspec.Struct, frozen=True):
    """An error object that breaks a stream."""

    message: str
    type: str | None
    code: str | None
    param: str | None


class Fixture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream and what it means; the README beside the fixtures explains the keys."""

    description: str
    expected_choices: int
    stream: list[str]
    frames: list[list[StreamEvent]]
    done: bool
    complete: bool
    may_end: bool
    error: ExpectedError | None
    finish_reasons: tuple[str, ...]
    usage: Usage | None
    byte_counts: dict[str, int] = msgspec.field(name="bytes")
    wire: Wire = "openai"
    chunks: list[dict[str, object]] | None = None

    @property
    def body(self) -> bytes:
        """What the provider sends."""
        return "".join(self.stream).encode()


def load(path: Path) -> Fixture:
    """Read a fixture."""
    return msgspec.json.decode(path.read_bytes(), type=Fixture)


def native_decoder(wire: Wire, max_event_bytes: int = MAX_EVENT_BYTES) -> StreamDecoder:
    """What reads a wire and gives its own frames."""
    decoders: dict[Wire, type[ChunkDecoder | MessageDecoder | ChatLineDecoder]] = {
        "openai": ChunkDecoder,
        "anthropic": MessageDecoder,
        "ollama": ChatLineDecoder,
    }
    return decoders[wire](max_event_bytes)


def decoder_of(wire: Wire, max_event_bytes: int = MAX_EVENT_BYTES) -> StreamDecoder:
    """What reads a wire and gives chunks of a chat completion."""
    decoder = native_decoder(wire, max_event_bytes)
    if wire == "openai":
        return decoder
    head = AnswerHead("chatcmpl-A1", "up-1", 1760000000)
    return ChunksOf(decoder, ChunkWriter(head, message_extras if wire == "anthropic" else no_extras))


def read(decoder: StreamDecoder, pieces: Iterable[bytes]) -> tuple[list[Frame], str | None]:
    """The frames of a stream that comes in these pieces, and the fault it ended with: by kind, for words may tell of bytes."""
    frames: list[Frame] = []
    fault = None
    try:
        for piece in pieces:
            frames.extend(decoder.feed(piece))
        frames.extend(decoder.close())
    except UpstreamErrorObject as error:
        fault = f"error: {error}"
    except BadAnswer:
        fault = "bad answer"
    except EventTooLarge:
        fault = "too large"
    return frames, fault
