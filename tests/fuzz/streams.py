"""What must hold for the stream decoders, whatever bytes come: one check, for the fuzzer and for all that it ever found."""

import pickle
from collections.abc import Iterator

from tests.support.streams import FIXTURES, WIRES, decoder_of, load, read
from wardwright.domain.stream import Frame
from wardwright.wire.openai_stream import parse_chunk, render_chunk
from wardwright.wire.stream_decoder import StreamDecoder

# What the first bytes of an input choose; the rest of it is the stream.
_HEAD = 4
_LARGEST_BOUND = 1024
# What a decoder is apart from what it holds, written down.
_EMPTY_DECODER = 2000


class Violation(AssertionError):
    """The decoders broke a promise."""


def check(data: bytes) -> None:
    """Read one input as a stream. Raises: Violation, or whatever the decoders should not have raised."""
    if len(data) < _HEAD:
        return
    wire = WIRES[data[0] % len(WIRES)]
    bound = data[1] * 4 if data[1] % 2 else 1 << 20
    body = data[_HEAD:]
    whole = read(decoder_of(wire, bound), [body])
    if read(_Watched(decoder_of(wire, bound), bound), _cut(body, data[2], data[3])) != whole:
        raise Violation("the frames depend on how the bytes were cut")
    for frame in whole[0]:
        _check_read_back(frame)


def seeds() -> list[bytes]:
    """Inputs to begin with: every fixture, whole and with little to be held."""
    heads = [b"\x00\x07\x0d", b"\x01\x00\x05"]
    return [
        bytes([WIRES.index(fixture.wire)]) + head + fixture.body for fixture in map(load, FIXTURES) for head in heads
    ]


class _Watched:
    """A decoder that is weighed after every read."""

    def __init__(self, decoder: StreamDecoder, bound: int) -> None:
        self._decoder = decoder
        self._bound = bound

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> Iterator[Frame]:
        yield from self._decoder.feed(data)
        held = len(pickle.dumps(self._decoder))
        if held > 2 * self._bound + len(data) + _EMPTY_DECODER:
            raise Violation(f"{held} bytes are held, where {self._bound} may be")

    def close(self) -> Iterator[Frame]:
        return self._decoder.close()


def _cut(body: bytes, first: int, then: int) -> list[bytes]:
    """The body in pieces of two lengths in turn."""
    pieces, place, length = [], 0, first % 64 + 1
    while place < len(body):
        pieces.append(body[place : place + length])
        place += length
        length = (then if len(pieces) % 2 else first) % 64 + 1
    return pieces


def _check_read_back(frame: Frame) -> None:
    rendered = render_chunk(frame, model="public", include_usage=True)
    if rendered is None or parse_chunk(rendered.removeprefix(b"data: ").rstrip(b"\n")).events != frame.events:
        raise Violation("a chunk does not read back to the events it was made of")
