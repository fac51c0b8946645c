"""What holds for the decoders of every wire, whatever comes: the same frames however the bytes are cut, one of three faults at most,
and no more memory than was granted."""

import json
import pickle
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.streams import FIXTURES, WIRES, Wire, decoder_of, load, native_decoder, read
from wardwright.domain.stream import Frame, Text
from wardwright.wire.errors import UpstreamErrorObject
from wardwright.wire.openai_stream import parse_chunk, render_chunk
from wardwright.wire.sse import EventTooLarge
from wardwright.wire.stream_decoder import ChunkDecoder, StreamDecoder

every_wire = pytest.mark.parametrize("wire", WIRES)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
IDS = st.sampled_from(["", "call_a", "toolu_b"])
NAMES = st.sampled_from(["weather", "t\u00edme"])
INDEXES = st.sampled_from([0, 0, 0, 1, 2])
COUNTS = st.integers(0, 1000)


def fields(**of: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """Some of these fields."""
    return st.fixed_dictionaries({}, optional=of)


def chunks() -> st.SearchStrategy[dict[str, object]]:
    function = fields(name=NAMES, arguments=TEXTS)
    calls = st.lists(fields(index=INDEXES, id=IDS, function=function), max_size=2)
    delta = fields(role=st.just("assistant"), content=TEXTS, reasoning_content=TEXTS, refusal=TEXTS, tool_calls=calls)
    choice = fields(index=INDEXES, delta=delta, finish_reason=st.sampled_from([None, "stop", "length"]))
    usage = st.fixed_dictionaries({"prompt_tokens": COUNTS, "completion_tokens": COUNTS})
    return st.fixed_dictionaries({"choices": st.lists(choice, max_size=2)}, optional={"usage": usage, "x": TEXTS})


def message_events() -> st.SearchStrategy[dict[str, object]]:
    usage = fields(input_tokens=COUNTS, output_tokens=COUNTS, cache_read_input_tokens=COUNTS)
    types = st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use"])
    block = st.fixed_dictionaries({"type": types}, optional={"id": IDS, "name": NAMES, "data": TEXTS, "text": TEXTS})
    deltas = st.sampled_from(["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"])
    delta = st.fixed_dictionaries(
        {"type": deltas},
        optional={
            "text": TEXTS,
            "thinking": TEXTS,
            "signature": TEXTS,
            "partial_json": TEXTS,
            "citation": fields(x=TEXTS),
        },
    )
    reason = fields(stop_reason=st.sampled_from([None, "end_turn", "tool_use"]))
    of_type: Mapping[str, Mapping[str, st.SearchStrategy[object]]] = {
        "message_start": {"message": fields(id=IDS, usage=usage)},
        "content_block_start": {"index": INDEXES, "content_block": block},
        "content_block_delta": {"index": INDEXES, "delta": delta},
        "content_block_stop": {"index": INDEXES},
        "message_delta": {"delta": reason, "usage": usage},
        "message_stop": {},
        "ping": {},
    }
    return st.one_of([st.fixed_dictionaries({"type": st.just(name), **of}) for name, of in of_type.items()])


def message_streams() -> st.SearchStrategy[list[dict[str, object]]]:
    """Events in any order, more often than not with a beginning that lets more of them be followed."""
    begun: list[dict[str, object]] = [
        {"type": "message_start", "message": {"id": "msg_1"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "thinking"}},
    ]
    events = st.lists(message_events(), max_size=6)
    return st.builds(lambda start, then: begun[:start] + then, st.integers(0, 3), events)


def lines() -> st.SearchStrategy[dict[str, object]]:
    function = st.fixed_dictionaries({"name": NAMES}, optional={"arguments": fields(x=TEXTS) | TEXTS})
    calls = st.lists(st.fixed_dictionaries({"function": function}, optional={"id": IDS}), max_size=2)
    message = fields(role=st.just("assistant"), content=TEXTS, thinking=TEXTS, tool_calls=calls)
    last = fields(done=st.booleans(), done_reason=st.sampled_from(["stop", "length"]), eval_count=COUNTS)
    return st.builds(lambda said, end: {"message": said, **end}, message, last)


STREAMS: dict[Wire, st.SearchStrategy[list[dict[str, object]]]] = {
    "openai": st.lists(chunks(), max_size=6),
    "anthropic": message_streams(),
    "ollama": st.lists(lines(), max_size=6),
}


@st.composite
def bodies(draw: st.DrawFn, wire: Wire) -> bytes:
    """A stream of a wire as some server may write it, and sometimes with a piece cut out, doubled or replaced by garbage."""
    events = [json.dumps(event, ensure_ascii=False) for event in draw(STREAMS[wire])]
    if wire == "ollama":
        ends = [draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n"])) for _ in events]
        body = "".join(f"{event}{end}" for event, end in zip(events, ends, strict=True)).encode()
    else:
        end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
        before = [draw(st.sampled_from(["", ": ping\n\n", "event: x\n", "id: 1\n", "data:\n", "\n"])) for _ in events]
        body = "".join(f"{extra}data: {event}\n\n" for extra, event in zip(before, events, strict=True)).encode()
        body = (body + (b"data: [DONE]\n\n" if draw(st.booleans()) else b"")).replace(b"\n", end)
    if draw(st.booleans()):
        start, stop = sorted((draw(st.integers(0, len(body))), draw(st.integers(0, len(body)))))
        instead = draw(st.sampled_from([b"", body[start:stop] * 2, b"\n", b"\r", b"\xff", b"\xef\xbb\xbf", b"data:"]))
        body = body[:start] + instead + body[stop:]
    return body


def streams(wire: Wire) -> st.SearchStrategy[bytes]:
    return bodies(wire) | st.binary(max_size=60)


CUTS = st.lists(st.integers(0, 10_000), max_size=12)
BOUNDS = st.integers(0, 300)


def cut(body: bytes, at: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in at)})
    return [body[start:end] for start, end in pairwise(places)]


@every_wire
@given(data=st.data(), cuts=CUTS)
def test_any_chunking_gives_the_same_frames_and_the_same_fault(
    wire: Wire, data: st.DataObject, cuts: list[int]
) -> None:
    body = data.draw(streams(wire))
    assert read(decoder_of(wire), cut(body, cuts)) == read(decoder_of(wire), [body])


@every_wire
@given(data=st.data(), cuts=CUTS, bound=BOUNDS)
def test_so_it_does_when_little_may_be_held(wire: Wire, data: st.DataObject, cuts: list[int], bound: int) -> None:
    body = data.draw(streams(wire))
    assert read(decoder_of(wire, bound), cut(body, cuts)) == read(decoder_of(wire, bound), [body])


@every_wire
@given(data=st.data())
def test_chunks_read_back_to_the_events_they_were_made_of(wire: Wire, data: st.DataObject) -> None:
    frames, _ = read(decoder_of(wire), [data.draw(streams(wire))])
    for frame in frames:
        assert read_back(frame).events == frame.events


def read_back(frame: Frame) -> Frame:
    rendered = render_chunk(frame, model="public", include_usage=True)
    assert rendered is not None
    return parse_chunk(rendered.removeprefix(b"data: ").rstrip(b"\n"))


ENDLESS: dict[str, tuple[Wire, bytes]] = {
    "a line": ("openai", b"x"),
    "a comment": ("openai", b": "),
    "a data line": ("openai", b"data: x"),
    "data lines": ("openai", b"data: x\n"),
    "empty data lines": ("anthropic", b"data\n"),
    "an event name": ("anthropic", b"event: x"),
    "white space": ("ollama", b" "),
    "JSON": ("ollama", b"["),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_refused_before_it_fills_memory(name: str) -> None:
    wire, piece = ENDLESS[name]
    decoder = decoder_of(wire, 1000)
    with pytest.raises(EventTooLarge):
        feed_endlessly(decoder, piece)
    assert held_bytes(decoder) < 3000


def feed_endlessly(decoder: StreamDecoder, piece: bytes) -> None:
    for _ in range(1100):
        list(decoder.feed(piece))


FLOODS: dict[str, tuple[Wire, bytes]] = {
    "comments": ("openai", b": ping\n\n"),
    "names without data": ("openai", b"event: x\n\n"),
    "fields nobody knows": ("openai", b"id: 1\nretry: 2\nx: 3\n"),
    "chunks": ("openai", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'),
    "pings": ("anthropic", b'event: ping\ndata: {"type":"ping"}\n\n'),
    "blank lines": ("ollama", b"\n"),
    "lines": ("ollama", b'{"message":{"content":"x"}}\n'),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_small_things_leaves_nothing_behind(name: str) -> None:
    wire, piece = FLOODS[name]
    decoder = decoder_of(wire, 1000)
    list(decoder.feed(piece))
    before = held_bytes(decoder)
    for _ in range(2000):
        list(decoder.feed(piece))
    assert held_bytes(decoder) <= before + 100


def test_blocks_that_begin_without_end_keep_little_each_and_cannot_be_many() -> None:
    decoder = native_decoder("anthropic", 100_000)
    list(decoder.feed(b'data: {"type":"message_start","message":{}}\n\n'))
    for index in range(100):
        block = {"type": "tool_use", "id": "t" * 10_000, "name": "f", "input": {"x": "y" * 10_000}}
        start = {"type": "content_block_start", "index": index, "content_block": block}
        list(decoder.feed(b"data: " + json.dumps(start).encode() + b"\n\n"))
    assert held_bytes(decoder) < 20_000


def held_bytes(decoder: object) -> int:
    """How much a decoder holds: all that it is, written down."""
    return len(pickle.dumps(decoder))


def test_done_may_be_followed_by_blanks_and_by_nothing_that_counts() -> None:
    decoder = ChunkDecoder(100)
    frames = list(decoder.feed(b'data: {"choices":[]}\n\ndata: [DONE] \n\ndata: nonsense\n\n' + b"x" * 200))
    assert len(frames) == 1
    assert decoder.done
    assert list(decoder.feed(b"x" * 200)) == []
    assert list(decoder.close()) == []


@pytest.mark.parametrize("payload", ['{"code":"dead","message":"down"}', '{"error":{"code":"dead","message":"down"}}'])
def test_an_event_named_error_is_one(payload: str) -> None:
    with pytest.raises(UpstreamErrorObject) as caught:
        list(ChunkDecoder().feed(f"event: error\ndata: {payload}\n\n".encode()))
    assert (caught.value.error.message, caught.value.error.code) == ("down", "dead")


def test_frames_before_a_fault_in_the_same_read_are_handed_on() -> None:
    frames = ChunkDecoder().feed(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: nonsense\n\n')
    assert next(frames).events == (Text(0, "a"),)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_stream_that_is_cut_short_anywhere_ends_in_a_bad_answer_at_most(path: Path) -> None:
    fixture = load(path)
    whole, _ = read(decoder_of(fixture.wire), [fixture.body])
    for length in range(len(fixture.body)):
        frames, fault = read(decoder_of(fixture.wire), [fixture.body[:length]])
        assert frames == whole[: len(frames)]
        assert fault in (None, "bad answer") or str(fault).startswith("error: ")
