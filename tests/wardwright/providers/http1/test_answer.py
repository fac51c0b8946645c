import gc
import weakref
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wardwright.providers.http1.answer import SILENT_BYTES, AnswerParser

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LARGEST_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: %s\r\n\r\n"


def parsed(*reads: bytes, ends: bool = False) -> tuple[AnswerParser, bytes]:
    """An answer that came in these reads, and its body."""
    answer = AnswerParser()
    answer.begin()
    body = b""
    for read in reads:
        if answer.is_complete or answer.malformed is not None:
            break  # a connection would be closed, or its answer released, by now
        body += answer.feed(read)
    if ends:
        answer.end()
    return answer, body


def head_of(size: int) -> bytes:
    return LARGEST_HEAD % (b"y" * (size - len(LARGEST_HEAD) + 2))


def test_status_headers_in_lower_case_and_body_are_told() -> None:
    answer, body = parsed(b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nwait")

    assert (answer.status, answer.headers["retry-after"], body) == (429, "2", b"wait")
    assert answer.is_complete
    assert answer.may_follow


def test_all_chunks_of_a_read_come_as_one_piece() -> None:
    answer, body = parsed(CHUNKED + b"2\r\nab\r\n1;what=ever\r\nc\r\n0\r\n\r\n")

    assert body == b"abc"
    assert answer.is_complete


def test_answers_follow_one_another() -> None:
    answer, _ = parsed(OK)
    answer.begin()

    assert not answer.has_head
    assert answer.feed(b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno") == b"no"
    assert answer.status == 404


@pytest.mark.parametrize("status", [100, 102, 103])
def test_interim_answers_are_passed_over(status: int) -> None:
    interim = b"HTTP/1.1 %d Soon\r\nlink: </style>\r\n\r\n" % status
    answer, body = parsed(interim + interim, interim + OK)

    assert (answer.status, body) == (200, b"hi")
    assert "link" not in answer.headers
    assert answer.malformed is None


@pytest.mark.parametrize(
    "read",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname : value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nfolded: value\r\n more\r\n\r\n",
    ],
)
def test_what_is_no_answer_to_us_is_malformed_before_its_head(read: bytes) -> None:
    answer, _ = parsed(read)

    assert answer.malformed == "did not answer in HTTP/1.1"
    assert not answer.has_head
    assert not answer.may_follow


def test_a_bad_chunk_spoils_the_body_but_not_what_came_before_it() -> None:
    answer, body = parsed(CHUNKED + b"2\r\nab\r\nzz\r\ncd")

    assert body == b"ab"
    assert answer.has_head
    assert answer.malformed == "did not answer in HTTP/1.1"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_body_of_unknown_length_ends_with_the_connection(version: bytes) -> None:
    reads = b"HTTP/%s 200 OK\r\n\r\nas it" % version, b" comes"
    unfinished, _ = parsed(*reads)
    answer, body = parsed(*reads, ends=True)

    assert not unfinished.is_complete
    assert body == b"as it comes"
    assert answer.is_complete
    assert not answer.may_follow


@pytest.mark.parametrize("read", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1], CHUNKED, CHUNKED + b"2\r\nab\r\n0\r\n"])
def test_a_connection_that_ends_anywhere_else_completes_nothing(read: bytes) -> None:
    answer, _ = parsed(read, ends=True)

    assert not answer.is_complete


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n",
    ],
)
def test_nothing_follows_an_answer_after_which_the_peer_will_close(head: bytes) -> None:
    answer, body = parsed(head + b"hi")

    assert body == b"hi"
    assert answer.is_complete
    assert not answer.may_follow


def test_http_1_0_may_be_kept_alive() -> None:
    answer, _ = parsed(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi")

    assert answer.may_follow


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_are_complete_with_their_head(status: int) -> None:
    answer, body = parsed(b"HTTP/1.1 %d Nothing\r\n\r\n" % status)

    assert answer.is_complete
    assert body == b""


@pytest.mark.parametrize("surplus", [b"H", b"x", b"0", OK])
def test_nothing_follows_an_answer_with_something_behind_it(surplus: bytes) -> None:
    answer, body = parsed(OK + surplus)

    assert body == b"hi"
    assert (answer.status, answer.malformed) == (200, None)
    assert answer.is_complete
    assert not answer.may_follow


def test_bytes_when_no_answer_is_due_are_malformed() -> None:
    idle = AnswerParser()

    assert idle.feed(OK) == b""
    assert idle.malformed == "sent bytes that nobody had asked for"


@pytest.mark.parametrize("reads", [1, 2, 1000])
def test_a_head_may_be_as_large_as_the_limit_and_no_larger(reads: int) -> None:
    for size, fits in ((SILENT_BYTES, True), (SILENT_BYTES + 1, False)):
        data = head_of(size) + b"hi"
        step = -(-len(data) // reads)
        answer, body = parsed(*(data[at : at + step] for at in range(0, len(data), step)))

        assert answer.has_head == fits
        assert body == (b"hi" if fits else b"")
        assert (answer.malformed is None) == fits


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\n"])
def test_a_head_that_never_ends_is_malformed(beginning: bytes) -> None:
    answer, _ = parsed(beginning, *[b"y" * 4096] * 17)

    assert answer.malformed == f"sent headers larger than {SILENT_BYTES} bytes"


def test_interim_answers_that_never_end_are_malformed() -> None:
    answer, _ = parsed(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 3000)

    assert answer.malformed is not None


@pytest.mark.parametrize("beginning", [b"0\r\nx: ", b"2;"])
def test_a_trailer_or_chunk_extension_that_never_ends_is_malformed(beginning: bytes) -> None:
    answer, _ = parsed(CHUNKED + b"2\r\nab\r\n", beginning, *[b"y" * 4096] * 17)

    assert answer.malformed is not None
    assert not answer.is_complete


def test_a_long_body_in_small_chunks_is_not_silence() -> None:
    answer, body = parsed(CHUNKED, *[b"1\r\na\r\n"] * (SILENT_BYTES // 4), b"0\r\n\r\n")

    assert len(body) == SILENT_BYTES // 4
    assert answer.is_complete


def test_a_large_head_leaves_the_body_its_own_allowance() -> None:
    head = CHUNKED[:-2] + b"x: %s\r\n\r\n" % (b"y" * (SILENT_BYTES - len(CHUNKED) - 10))
    answer, body = parsed(head, b"2;%s" % (b"e" * 100), b"\r\nab\r\n0\r\n\r\n")

    assert body == b"ab"
    assert answer.is_complete


def test_each_answer_has_an_allowance_of_its_own() -> None:
    trailer = b"x: %s\r\n\r\n" % (b"y" * (SILENT_BYTES // 2))
    answer, _ = parsed(CHUNKED, b"0\r\n", trailer)
    answer.begin()

    answer.feed(head_of(SILENT_BYTES))

    assert answer.has_head


def test_trailers_do_not_change_the_headers() -> None:
    answer, _ = parsed(CHUNKED + b"0\r\nx-late: 1\r\n\r\n")

    assert "x-late" not in answer.headers
    answer.begin()
    answer.feed(OK)
    assert "x-late" not in answer.headers


def test_a_parser_is_let_go_with_its_connection() -> None:
    answer, _ = parsed(OK)
    gone = weakref.ref(answer)

    del answer
    gc.collect()

    assert gone() is None


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """The bytes of an answer, in order or not."""
    status = draw(st.sampled_from([200, 204, 404, 500]))
    fields = draw(st.lists(st.sampled_from([b"x-a: 1", b"X-B:2", b"connection: close", b"bad header"]), max_size=3))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    framing = draw(st.sampled_from(["length", "chunked", "end"]))
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    body = b"".join(pieces)
    if framing == "length":
        fields.append(b"content-length: %d" % len(body))
    elif framing == "chunked":
        fields.append(b"transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        body += draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nx-t: 1\r\n\r\n", b"zz\r\n", b""]))
    head = b"\r\n".join([b"HTTP/1.1 %d Whatever" % status, *fields, b"", b""])
    return interim + head + body


def outcome(reads: Sequence[bytes]) -> tuple[object, ...]:
    answer, body = parsed(*reads, ends=True)
    return (
        answer.has_head,
        answer.status,
        answer.headers,
        body,
        answer.is_complete,
        answer.malformed,
    )


@settings(deadline=None)  # the machine may be busy
@given(data=answers(), cuts=st.lists(st.integers(0, 600)))
@example(data=OK + b"surplus", cuts=[len(OK)])
def test_however_an_answer_is_cut_into_reads_the_outcome_is_the_same(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reads = [data[begin:end] for begin, end in pairwise(edges)]

    assert outcome(reads) == outcome([data])
    assert outcome([bytes([byte]) for byte in data]) == outcome([data])
