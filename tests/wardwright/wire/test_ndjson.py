from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.wire.ndjson import LineParser
from wardwright.wire.sse import EventTooLarge


def parse(*reads: bytes, max_line_bytes: int = 1000) -> list[bytes]:
    parser = LineParser(max_line_bytes)
    lines = [line for read in reads for line in parser.feed(read)]
    return [*lines, *parser.close()]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a\r", b"b\r"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"\n\r\n \t\na\n\n", [b"a"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [b"a", b"\xef\xbb\xbfb"]),
        (b"\xef\xbb\xbf", []),
        (b"", []),
    ],
)
def test_reads_lines_that_say_something(body: bytes, expected: list[bytes]) -> None:
    assert parse(body) == expected
    assert parse(*[body[i : i + 1] for i in range(len(body))]) == expected


@given(
    body=st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", b"\xef\xbb\xbf", b"bc"])),
    cuts=st.lists(st.integers(0, 100)),
)
def test_any_chunking_gives_the_same_lines(body: list[bytes], cuts: list[int]) -> None:
    joined = b"".join(body)
    places = sorted({0, len(joined), *(cut % (len(joined) + 1) for cut in cuts)})
    assert parse(*[joined[start:end] for start, end in pairwise(places)]) == parse(joined)


def test_a_line_leaves_with_the_read_that_completes_it() -> None:
    parser = LineParser()
    assert list(parser.feed(b"a")) == []
    assert list(parser.feed(b"\nb\nc")) == [b"a", b"b"]


@pytest.mark.parametrize("body", [b"x" * 101, b"x" * 101 + b"\n", b" " * 101])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_over_the_limit_is_refused_however_it_arrives(body: bytes, size: int) -> None:
    with pytest.raises(EventTooLarge):
        parse(*[body[i : i + size] for i in range(0, len(body), size)], max_line_bytes=100)


def test_what_came_before_a_line_over_the_limit_is_handed_on() -> None:
    lines = LineParser(100).feed(b"a\nb\n" + b"x" * 101)
    assert [next(lines), next(lines)] == [b"a", b"b"]
    with pytest.raises(EventTooLarge):
        next(lines)
