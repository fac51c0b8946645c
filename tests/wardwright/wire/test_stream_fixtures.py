"""The language-neutral stream fixtures, read as a provider would and however the network cuts them."""

from pathlib import Path

import msgspec
import pytest

from wardwright.domain.chat import Usage
from wardwright.domain.stream import Frame, StreamEvent
from wardwright.wire.openai import StreamShape, UpstreamErrorObject, parse_chunk
from wardwright.wire.sse import DONE_PAYLOAD, SseParser

FOLDER = Path(__file__).parents[3] / "contracts" / "fixtures" / "streams"
FIXTURES = sorted(FOLDER.glob("*.json"))


class ExpectedError(msgspec.Struct, frozen=True):
    message: str
    type: str | None
    code: str | None
    param: str | None


class Fixture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
    bytes: dict[str, int]


class Reading:
    """What came of reading a stream."""

    def __init__(self, fixture: Fixture) -> None:
        self.shape = StreamShape(fixture.expected_choices)
        self.frames: list[Frame] = []
        self.done = False
        self.error: ExpectedError | None = None

    def read(self, pieces: list[bytes]) -> None:
        parser = SseParser()
        events = [event for piece in pieces for event in parser.feed(piece)] + parser.close()
        for event in events:
            payload = event if isinstance(event, bytes) else event.data
            if payload == DONE_PAYLOAD:
                self.done = True
                return
            try:
                self.frames += self.shape.observe(parse_chunk(payload))
            except UpstreamErrorObject as error:
                found = error.error
                self.error = ExpectedError(found.message, found.type, found.code, found.param)
                return


def test_there_are_fixtures() -> None:
    assert len(FIXTURES) >= 10


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1000, 100_000])
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_stream_means_what_its_fixture_says(path: Path, size: int) -> None:
    fixture = msgspec.json.decode(path.read_bytes(), type=Fixture)
    body = "".join(fixture.stream).encode()
    reading = Reading(fixture)
    reading.read([body[i : i + size] for i in range(0, len(body), size)])
    shape = reading.shape
    assert [list(frame.events) for frame in reading.frames] == fixture.frames
    assert reading.done == fixture.done
    assert reading.error == fixture.error
    assert (shape.complete, shape.may_end) == (fixture.complete, fixture.may_end)
    assert shape.finish_reasons == fixture.finish_reasons
    assert shape.usage == fixture.usage
    assert {"text": shape.text_bytes, "reasoning": shape.reasoning_bytes, "tool": shape.tool_bytes} == fixture.bytes
