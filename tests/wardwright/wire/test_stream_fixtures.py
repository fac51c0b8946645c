"""The language-neutral stream fixtures, read as a provider would and however the network cuts them."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from tests.support.streams import FIXTURES, ExpectedError, Fixture, decoder_of, load, native_decoder, read
from wardwright.domain.stream import Frame
from wardwright.wire.openai import BadAnswer, StreamShape, UpstreamErrorObject
from wardwright.wire.openai_stream import parse_chunk, render_chunk

every_fixture = pytest.mark.parametrize(
    "fixture", [pytest.param(load(path), id=f"{path.parent.name}-{path.stem}") for path in FIXTURES]
)


class Reading:
    """What came of reading a stream."""

    def __init__(self, fixture: Fixture) -> None:
        self.shape = StreamShape(fixture.expected_choices)
        self.frames: list[Frame] = []
        self.error: ExpectedError | None = None
        self._decoder = decoder_of(fixture.wire)

    @property
    def done(self) -> bool:
        return self._decoder.done

    def read(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self._take(self._decoder.feed(piece))
            try:
                self._take(self._decoder.close())
            except BadAnswer as error:
                if isinstance(error, UpstreamErrorObject):
                    raise  # any other bad last event was cut
        except UpstreamErrorObject as error:
            found = error.error
            self.error = ExpectedError(found.message, found.type, found.code, found.param)

    def _take(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.frames += self.shape.observe(frame)


def test_there_are_fixtures_of_every_wire() -> None:
    assert {path.parent.name for path in FIXTURES} == {"streams", "anthropic", "ollama"}
    assert len(FIXTURES) >= 40


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1000, 100_000])
@every_fixture
def test_a_stream_means_what_its_fixture_says(fixture: Fixture, size: int) -> None:
    body = fixture.body
    reading = Reading(fixture)
    reading.read(body[i : i + size] for i in range(0, len(body), size))
    shape = reading.shape
    assert [list(frame.events) for frame in reading.frames] == fixture.frames
    assert reading.done == fixture.done
    assert reading.error == fixture.error
    assert (shape.complete, shape.may_end) == (fixture.complete, fixture.may_end)
    assert shape.finish_reasons == fixture.finish_reasons
    assert shape.usage == fixture.usage
    assert {
        "text": shape.text_bytes,
        "reasoning": shape.reasoning_bytes,
        "tool": shape.tool_bytes,
    } == fixture.byte_counts


@every_fixture
def test_a_stream_cut_at_any_byte_is_the_same_stream(fixture: Fixture) -> None:
    body = fixture.body
    whole = read(decoder_of(fixture.wire), [body])
    for cut in range(1, len(body)):
        assert read(decoder_of(fixture.wire), [body[:cut], body[cut:]]) == whole, f"cut before byte {cut}"


@pytest.mark.parametrize("path", [path for path in FIXTURES if load(path).wire != "openai"], ids=lambda path: path.stem)
def test_a_foreign_stream_becomes_the_chunks_its_fixture_says(path: Path) -> None:
    fixture = load(path)
    reading = Reading(fixture)
    reading.read([fixture.body])
    assert fixture.chunks == [_shown(frame) for frame in reading.frames]


@every_fixture
def test_chunks_read_back_to_the_events_they_were_made_of(fixture: Fixture) -> None:
    frames, _ = read(decoder_of(fixture.wire), [fixture.body])
    for frame in frames:
        rendered = render_chunk(frame, model="public", include_usage=True)
        assert rendered is not None
        assert parse_chunk(rendered.removeprefix(b"data: ").rstrip()).events == frame.events


@every_fixture
def test_a_frame_has_every_field_of_its_event_as_it_came(fixture: Fixture) -> None:
    frames, _ = read(native_decoder(fixture.wire), [fixture.body])
    body = fixture.body.replace(b"\ndata: ", b"\n")  # as the parser joins data that came over several lines
    for frame in frames:
        for name, value in frame.fields.items():
            assert msgspec.json.encode(name) in body
            assert bytes(value) in body


def _shown(frame: Frame) -> dict[str, object]:
    """A chunk without what all chunks share and fixtures leave out."""
    fields = msgspec.json.decode(msgspec.json.encode(frame.fields))
    hidden = {"object", "created", "model"} | ({"usage"} if fields["usage"] is None else set())
    return {name: value for name, value in fields.items() if name not in hidden}
