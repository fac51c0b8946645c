from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.wire.sse import DONE, DONE_PAYLOAD, PING, EventTooLarge, SseEvent, SseParser, render_event


def parse(*reads: bytes, max_event_bytes: int = 1000) -> list[bytes | SseEvent]:
    parser = SseParser(max_event_bytes)
    events = [event for read in reads for event in parser.feed(read)]
    return [*events, *parser.close()]


def model_parse(body: bytes) -> list[bytes | SseEvent]:
    """The event-stream standard, read line by line from the whole body; with the one liberty that the end ends an event."""
    lines = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events: list[bytes | SseEvent] = []
    data: list[bytes] = []
    name = ""
    for line in [*lines, b""]:
        if line:
            field, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value.decode(errors="replace")
            continue
        if data:
            joined = b"\n".join(data)
            events.append(SseEvent(name, joined) if name else joined)
        data, name = [], ""
    return events


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\ndata\ndata: b\n\n", [b"a\n\nb"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": a comment\n\ndata: a\n: another\n\n", [b"a"]),
        (b"id: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [SseEvent("error", b"a"), b"b"]),
        (b"event: lost\n\ndata: b\n\n", [b"b"]),
        (b"data: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:\n\n", [b""]),
        (b"data: a\n", [b"a"]),
        (b"data: a", [b"a"]),
        (b"data: [DONE]\n\n", [DONE_PAYLOAD]),
        (b"\n\n", []),
        (b"", []),
    ],
)
def test_reads_what_the_standard_says(body: bytes, expected: list[bytes | SseEvent]) -> None:
    assert parse(body) == expected
    assert parse(*[body[i : i + 1] for i in range(len(body))]) == expected


LINES = st.sampled_from(
    [
        b"data: one",
        b"data:two",
        b"data: ",
        b"data",
        b"event: error",
        b"event:",
        b": ping",
        b"id: 1",
        b"nonsense",
        b"",
        b"",
        "data: wörld 🌍".encode(),
        b"data: \xff",
        b"\xef\xbb\xbfdata: x",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(lines=st.lists(st.tuples(LINES, ENDS)), tail=LINES, cuts=st.lists(st.integers(0, 200)))
def test_any_chunking_gives_the_same_events(lines: list[tuple[bytes, bytes]], tail: bytes, cuts: list[int]) -> None:
    body = b"".join(line + end for line, end in lines) + tail
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    reads = [body[start:end] for start, end in pairwise(places)]
    assert parse(*reads) == model_parse(body)


@given(events=st.lists(st.binary(max_size=20).map(lambda data: data.hex().encode())), reads=st.integers(1, 40))
def test_reads_of_whole_events_and_of_parts_mix(events: list[bytes], reads: int) -> None:
    body = b"".join(map(render_event, events))
    assert parse(*[body[i : i + reads] for i in range(0, len(body), reads)]) == events


def test_a_carriage_return_at_the_end_of_a_read_does_not_hold_its_event_back() -> None:
    parser = SseParser()
    assert list(parser.feed(b"data: a\r\n\r")) == [b"a"]
    assert list(parser.feed(b"\ndata: b\n\n")) == [b"b"]


def test_an_event_leaves_with_the_read_that_completes_it() -> None:
    parser = SseParser()
    assert list(parser.feed(b"data: a\n")) == []
    assert list(parser.feed(b"\nda")) == [b"a"]
    assert list(parser.feed(b"ta: b\n\n")) == [b"b"]


@pytest.mark.parametrize(
    "body",
    [
        b"data: " + b"x" * 100 + b"\n\n",
        b"data: " + b"x" * 100,
        b"x" * 101,
        b": " + b"x" * 100 + b"\n",
        b"data: 1234\n" * 20,
        b"data:\n" * 101,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_over_the_limit_is_refused_however_it_arrives(body: bytes, size: int) -> None:
    with pytest.raises(EventTooLarge):
        parse(*[body[i : i + size] for i in range(0, len(body), size)], max_event_bytes=100)


def test_what_came_before_an_event_over_the_limit_is_handed_on() -> None:
    events = iter(SseParser(100).feed(b"data: a\r\n\r\ndata: b\n\ndata: " + b"x" * 100 + b"\n\n"))
    assert [next(events), next(events)] == [b"a", b"b"]
    with pytest.raises(EventTooLarge):
        next(events)


def test_the_limit_is_of_one_event_and_not_of_a_read() -> None:
    assert len(parse(b"data: 12345678\n\n" * 100, max_event_bytes=100)) == 100


def test_renders_events_that_parse_back() -> None:
    assert render_event(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert render_event(b"a\nb") == b"data: a\ndata: b\n\n"
    assert parse(render_event(b"a\r\nb\rc") + PING + DONE) == [b"a\nb\nc", DONE_PAYLOAD]
