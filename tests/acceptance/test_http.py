"""HTTP/1.1 at the socket: every request that h11 refuses the daemon refuses, and none is taken for two.

h11 is the oracle. The daemon's own reading of plain requests must not differ from it, nor may anything change with what a
connection has been used for before.
"""

import socket
from collections.abc import Iterator
from itertools import pairwise

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.conftest import gateway_config
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

CHAT = b"/v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
HIDDEN = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
"""What an attacker would have the next client's request begin with."""

REQUESTS = {
    "both a length and chunks": b"POST " + CHAT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, then a length": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths that differ": b"POST " + CHAT + b"Content-Length: 2\r\nContent-Length: 70\r\n\r\n{}" + HIDDEN,
    "two lengths alike": b"POST " + CHAT + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths in one line": b"POST " + CHAT + b"Content-Length: 2, 70\r\n\r\n{}" + HIDDEN,
    "a signed length": b"POST " + CHAT + b"Content-Length: +2\r\n\r\n{}",
    "a length in hex": b"POST " + CHAT + b"Content-Length: 0x2\r\n\r\n{}",
    "an endless length": b"POST " + CHAT + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "a space before the colon": b"POST " + CHAT + b"Content-Length : 2\r\n\r\n{}",
    "an encoding that nobody knows": b"POST " + CHAT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST " + CHAT + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks with a trailer": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    "a chunk of no size": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk of a signed size": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk of an endless size": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n{}\r\n",
    "a chunk that is longer than it says": b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 9\r\n\r\n",
    "a fold before any header": b"GET /livez HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: a\n\n",
    "one bare line feed": b"GET /livez HTTP/1.1\r\nHost: a\nContent-Length: 41\r\n\r\n" + HIDDEN,
    "a bare carriage return": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 9\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a header without a colon": b"GET /livez HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "a name with a space": b"GET /livez HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
    "a zero in a value": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\nX: a\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a head of 20 KB": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "an endless head": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000,
    "a target with a space": b"GET /livez /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "a version that nobody knows": b"GET /livez HTTP/3.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "HTTP/1.0": b"GET /livez HTTP/1.0\r\n\r\n",
    "an expectation": b"POST " + CHAT + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "a length without digits": b"POST " + CHAT + b"Content-Length:\r\n\r\n{}",
    "plain": b"POST " + CHAT + b"Content-Length: 2\r\n\r\n{}",
}


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = gateway_config(shared_upstream, "ok", backend=backend)
    with run_daemon(tmp_path_factory.mktemp("daemon"), config) as running:
        yield running


@pytest.mark.parametrize(
    "before",
    [b"", GET, b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\r\nX: b\r\n\r\n"],
    ids=["first", "after plain", "after h11"],
)
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_the_daemon_takes_what_h11_takes_and_nothing_else(daemon: Daemon, before: bytes, request_: bytes) -> None:
    """Each case is followed by a request that says it is the last: a connection that goes on must answer that one, and only that."""
    expected = verdicts(before + request_ + LAST)
    assert [kind(answer) for answer in answers(daemon, before + request_ + LAST)] == expected


def test_a_head_has_no_body(daemon: Daemon) -> None:
    [answer] = answers(daemon, LAST.replace(b"GET", b"HEAD"), method=b"HEAD")
    assert answer[0] == 200
    assert answer[1] == b""


def test_an_expectation_is_answered_before_the_body_comes(daemon: Daemon) -> None:
    with connected(daemon) as client:
        client.sendall(b"POST " + CHAT + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{}")
        assert rest(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("cut", [1, 20, 60, -1])
def test_a_request_may_come_in_two_pieces(daemon: Daemon, cut: int) -> None:
    whole = b"POST " + CHAT + b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\n{}"
    with connected(daemon) as client:
        client.sendall(whole[:cut])
        client.sendall(whole[cut:] + LAST)
        assert [status for status, _ in read_answers(rest(client), [b"POST", b"GET"])] == [400, 200]


SEVERAL = st.lists(
    st.sampled_from(
        [
            (GET, 200),
            (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\r\nX: b\r\n\r\n", 200),
            (b"POST " + CHAT + b"Content-Length: 2\r\n\r\n{}", 400),
            (b"POST " + CHAT + b"Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc", 415),
            (b"POST " + CHAT + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 400),
            (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ]
    ),
    max_size=5,
)


@settings(max_examples=10, deadline=None)
@given(several=SEVERAL, cuts=st.lists(st.integers(1, 600), max_size=4))
def test_however_requests_come_each_is_answered_in_its_turn(
    daemon: Daemon, several: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    data = b"".join(request for request, _ in several) + LAST
    with connected(daemon) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in pairwise([0, *sorted(cuts), len(data)]):
            client.sendall(data[begin:end])
        statuses = [status for status, _ in read_answers(rest(client), [b"GET"] * 9)]
    # a request that is not read to its end is the last one of its connection
    assert statuses == [*(status for _, status in several), 200][: len(statuses)]
    assert len(statuses) == len(several) + 1 or statuses[-1] == 415


Answer = tuple[int, bytes]


def kind(answer: Answer) -> str:
    """`refused` is what a protocol says that could not read; everything else an application has said."""
    status, body = answer
    return "refused" if status >= 400 and not body else "served"


def verdicts(data: bytes) -> list[str]:
    """What h11 makes of the bytes of one connection, looking at what follows a request before that is answered."""
    engine = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
    engine.receive_data(data)
    found: list[str] = []
    is_whole = False
    try:
        while True:
            event = engine.next_event()
            is_whole = is_whole or isinstance(event, h11.EndOfMessage)
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                if not is_whole:
                    return found
                found.append("served")
                engine.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                engine.send(h11.EndOfMessage())
                if engine.our_state is h11.MUST_CLOSE:
                    return found
                engine.start_next_cycle()
                is_whole = False
    except h11.RemoteProtocolError:
        return [*found, "refused"]


def connected(daemon: Daemon) -> socket.socket:
    host, _, port = daemon.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def answers(daemon: Daemon, data: bytes, *, method: bytes = b"GET") -> list[Answer]:
    """Send bytes and read until the daemon ends the connection."""
    with connected(daemon) as client:
        client.sendall(data)
        return read_answers(rest(client), [method] * 9)


def rest(client: socket.socket) -> bytes:
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def read_answers(data: bytes, methods: list[bytes]) -> list[Answer]:
    """The final answers in the bytes that a client has received."""
    found: list[Answer] = []
    while data:
        client = h11.Connection(h11.CLIENT)
        client.send(
            h11.Request(method=methods[len(found)], target="/", headers=[("host", "a"), ("content-length", "0")])
        )
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        client.receive_data(b"")
        while isinstance(head := client.next_event(), h11.InformationalResponse):
            pass
        assert isinstance(head, h11.Response), head
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        found.append((head.status_code, body))
        data = client.trailing_data[0]
    return found
