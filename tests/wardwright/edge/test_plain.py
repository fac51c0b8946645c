"""Plain HTTP is HTTP: h11, which everything else goes through, takes what is taken there, and reads what is answered."""

from collections.abc import Sequence

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.edge.plain import PlainAnswer, read_plain

USUAL = [
    (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8791\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
        b"Content-Type: application/json\r\nContent-Length: 4\r\n\r\nbody"
    ),
    (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8791\r\nAccept-Encoding: gzip, deflate\r\n"
        b"Connection: keep-alive\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 3.54.0\r\nX-Stainless-Lang: python\r\n"
        b"Authorization: Bearer sk-\xc3\xa9\r\nContent-Length: 0\r\n\r\n"
    ),
    b"GET /v1/receipts?limit=5&model=%22 HTTP/1.1\r\nhost:a\r\nx-empty:\r\nx-spaced: \t b \tc\t \r\n\r\n",
    b"DELETE /admin/model-api-keys/k HTTP/1.1\r\nHost: [::1]:8791\r\n\r\n",
]
UNUSUAL = {
    "no request at all": b"",
    "a head that comes in pieces": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method of its own": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a proxy's target": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is no path": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a control character": b"GET /\x07 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a line before the request": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nX: a\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\nab",
    "two lengths in one": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
    "a signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "a length in other digits": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\na",
    "an endless length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\na",
    "no length where one is named": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\na",
    "a body in chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a body in chunks and of a length": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "an expectation": b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a last request": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "a connection of many words": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, TE\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
    "a control character in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "one bare line feed": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a head that ends in bare line feeds": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "more than a head is long": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("data", USUAL)
def test_what_clients_usually_send_is_plain(data: bytes) -> None:
    assert_h11_agrees(data)


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL)
def test_nothing_else_is(data: bytes) -> None:
    assert read_plain(data) is None


def assert_h11_agrees(data: bytes) -> None:
    request = read_plain(data)
    assert request is not None
    engine = h11.Connection(h11.SERVER)
    engine.receive_data(data)
    event = engine.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target, event.http_version) == (request.method.encode(), request.target, b"1.1")
    assert [(name, value) for name, value in event.headers] == request.headers
    assert not engine.they_are_waiting_for_100_continue
    body = b""
    while isinstance(event := engine.next_event(), h11.Data):
        body += event.data
    behind = data[request.end :]
    assert body == behind[: request.length]
    if len(behind) < request.length:
        assert event is h11.NEED_DATA
    else:
        assert isinstance(event, h11.EndOfMessage)
        assert engine.trailing_data[0] == behind[request.length :]
        assert engine.their_state is h11.DONE, "the connection may be used again"


PIECES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"HEAD /%20 HTTP/1.1\r\n", b"GET /\xff HTTP/1.1\r\n", b"PUT / HTTP/1.0\r\n"),
        *(b"host: a\r\n", b"Host:b\r\n", b"content-length: 3\r\n", b"Content-Length: 0003\r\n", b"content-length: 3 \r\n"),
        *(b"content-length: 3,3\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"connection: Keep-Alive\r\n"),
        *(b"expect: 100-continue\r\n", b"upgrade: h2c\r\n", b"x: \xe9\x80 y\t\r\n", b"x:\x0b\r\n", b"y-~: z\r\n", b"z z: z\r\n", b" fold\r\n"),
        *(b"\r\n", b"\n", b"\r", b"abc", b" ", b":", b"\x00", b"0\r\n\r\n"),
    ]
)  # fmt: skip


@given(st.sampled_from([b"", b"POST /v1 HTTP/1.1\r\nhost: a\r\n"]), st.lists(PIECES, max_size=8), st.binary(max_size=4))
def test_h11_reads_every_plain_request_alike(beginning: bytes, pieces: list[bytes], end: bytes) -> None:
    data = beginning + b"".join(pieces) + end
    if read_plain(data) is not None:
        assert_h11_agrees(data)


@given(
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    status=st.sampled_from([200, 204, 304, 404, 503]),
    headers=st.lists(st.tuples(st.from_regex(rb"x-[a-z]{1,5}", fullmatch=True), st.from_regex(rb"[!-~]{0,9}", fullmatch=True)), max_size=3),
    parts=st.lists(st.binary(max_size=30), min_size=1, max_size=4),
    names_length=st.booleans(),
)  # fmt: skip
def test_a_client_reads_what_was_answered(
    method: str, status: int, headers: list[tuple[bytes, bytes]], parts: Sequence[bytes], names_length: bool
) -> None:
    body = b"".join(parts)
    if names_length:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    answer = PlainAnswer(method)
    sent = answer.head(status, headers) + b"".join(answer.body(part, is_last=False) for part in parts)
    sent += answer.body(b"", is_last=True)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(sent)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    assert (head.status_code, list(head.headers)[: len(headers)]) == (status, headers)
    received = b""
    while isinstance(event := client.next_event(), h11.Data):
        received += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert received == (b"" if method == "HEAD" or status in (204, 304) else body)
    assert client.trailing_data[0] == b""
    assert client.their_state is h11.DONE


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\x00b"),
        (b"x: y\r\nz", b"a"),
        (b"", b"a"),
        (b"x y", b"a"),
        (b"content-length", b"five"),
        (b"content-length", b"-1"),
    ],
)
def test_no_header_can_be_smuggled_into_an_answer(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="an answer"):
        PlainAnswer("GET").head(200, [(b"content-type", b"text/plain"), header])


@pytest.mark.parametrize(("parts", "length"), [([b"abc"], 2), ([b"ab", b"c"], 2), ([b"ab"], 3), ([b""], 1)])
def test_a_body_is_as_long_as_its_head_says(parts: list[bytes], length: int) -> None:
    answer = PlainAnswer("GET")
    answer.head(200, [(b"content-length", b"%d" % length)])
    *first, last = parts
    with pytest.raises(ValueError, match="not as long"):  # noqa: PT012 - which part is the one too many differs
        for part in first:
            answer.body(part, is_last=False)
        answer.body(last, is_last=True)
