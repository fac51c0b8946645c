"""The plain lane: what an application is told, and what leaves for its client, one request after the other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest
from hypercorn.config import Config

from supervisors.testing import settle
from wardwright.edge.http import CLIENT, Endpoint, Message, Receive, Scope, Send, send_body
from wardwright.edge.inbox import Inbox
from wardwright.edge.line import Address
from wardwright.edge.plain_lane import OwnHeaders, PlainLane

pytestmark = pytest.mark.anyio

GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: h\r\n\r\n"


def post(body: bytes, *, length: int | None = None) -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body) if length is None else length,
        body,
    )


class Ended(Exception):
    """The application's own."""


class Connection:
    """What a lane takes for its connection, for its server, and for what runs its application."""

    def __init__(self, app: Endpoint, tasks: anyio.abc.TaskGroup) -> None:
        self.app = app
        self.config = Config()
        self.config.include_date_header = self.config.include_server_header = False
        self.own_headers = OwnHeaders(self.config)
        self.client: Address | None = ("127.0.0.1", 5)
        self.server: Address | None = ("127.0.0.1", 80)
        self.sent: list[bytes] = []
        self.begun = self.concluded = 0
        self.is_over = False
        self.lane = PlainLane(self, self, self)
        self._tasks = tasks

    def begin(self) -> None:
        self.begun += 1

    def admit(self, scope: Scope) -> Inbox:
        inbox = scope[CLIENT] = Inbox()
        return inbox

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        async def run() -> None:
            try:
                await function(*args)
            except (Ended, ValueError):
                pass

        self._tasks.start_soon(run)

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def conclude(self, data: bytes, *, is_last: bool) -> None:
        self.concluded += 1
        self.is_over = is_last
        if data:
            self.sent.append(data)


@asynccontextmanager
async def lane(app: Endpoint) -> AsyncIterator[Connection]:
    async with anyio.create_task_group() as tasks:
        yield Connection(app, tasks)
        tasks.cancel_scope.cancel()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body."""
    body, is_whole = b"", False
    while not is_whole:
        message = await receive()
        body, is_whole = body + message["body"], not message["more_body"]
    await send_body(send, 200, body, content_type="text/plain")


async def test_a_request_is_told_as_asgi_tells_it() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with lane(app) as at:
        assert await at.lane.take(GET) == b""
        await settle()
    [scope] = scopes
    assert {name: scope[name] for name in ("type", "http_version", "method", "path", "raw_path", "query_string")} == {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=d",
    }
    assert (scope["client"], scope["server"], scope["headers"]) == (at.client, at.server, [(b"host", b"h")])


async def test_an_answer_leaves_in_one_piece() -> None:
    async with lane(echo) as at:
        await at.lane.take(post(b"hello"))
        await settle()
        assert at.sent == [b"HTTP/1.1 200 \r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"]
        assert (at.begun, at.concluded, at.is_over) == (1, 1, False)


async def test_a_body_may_come_in_pieces() -> None:
    async with lane(echo) as at:
        for piece in (post(b"he", length=5), b"l", b"lo"):
            assert await at.lane.take(piece) == b""
        await settle()
        assert at.sent[0].endswith(b"\r\n\r\nhello")


async def test_requests_that_come_together_are_served_in_turn() -> None:
    async with lane(echo) as at:
        assert await at.lane.take(post(b"a") + post(b"b") + post(b"c", length=2)) == b""
        assert [answer[-1:] for answer in at.sent] == [b"a", b"b"]
        await at.lane.take(b"d" + GET)
        await settle()
        assert [answer[-1:] for answer in at.sent] == [b"a", b"b", b"d", b"\n"]


async def test_the_first_thing_that_is_not_plain_is_handed_back_in_its_turn() -> None:
    odd = b"GET / HTTP/1.0\r\n\r\n"
    async with lane(echo) as at:
        assert await at.lane.take(post(b"a") + odd + GET) == odd + GET
        assert at.concluded == 1
        assert await at.lane.take(odd) == odd


async def test_an_answer_to_half_a_request_is_the_last() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, 413, b"no", content_type="text/plain")

    async with lane(refuse) as at:
        await at.lane.take(post(b"half", length=8))
        await settle()
        assert b"connection: close\r\n" in at.sent[0]
        assert at.is_over


async def test_what_comes_behind_the_last_answer_is_nobodys() -> None:
    async with lane(echo) as at:
        at.config.keep_alive_max_requests = 0
        assert await at.lane.take(post(b"a") + post(b"b")) == b""
        await settle()
        assert at.concluded == 1
        assert b"connection: close\r\n" in at.sent[0]


async def test_a_stream_leaves_part_by_part() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with lane(stream) as at:
        await at.lane.take(GET)
        await settle()
        assert at.sent == [
            b"HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
            b"3\r\ntwo\r\n0\r\n\r\n",
        ]


async def test_the_application_hears_that_its_client_has_gone() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CLIENT].watch(lambda: heard.append({"watched": True}))
        heard.extend([await receive(), await receive()])

    async with lane(app) as at:
        at.lane.lose()
        await at.lane.take(post(b"half", length=8))
        await settle()
        at.lane.lose()
        await settle()
    assert heard == [
        {"watched": True},
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_fails_leaves_no_client_waiting(begun: bool) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if begun:
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
        raise Ended

    async with lane(fail) as at:
        await at.lane.take(GET)
        await settle()
        assert at.is_over
        assert b"".join(at.sent).startswith(b"HTTP/1.1 200" if begun else b"HTTP/1.1 500")
        assert not at.sent[-1].endswith(b"0\r\n\r\n"), "a client must see that this was not all"


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"a body without a head"}],
        [
            {"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]},
            {"type": "http.response.body"},
        ],
        [
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]},
            {"type": "http.response.body", "body": b"too long"},
        ],
    ],
)
async def test_an_answer_that_cannot_be_sent_is_an_error_of_the_servers(messages: list[Message]) -> None:
    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with lane(wrong) as at:
        await at.lane.take(GET)
        await settle()
        assert at.sent == [b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]


async def test_nothing_follows_the_end_of_an_answer() -> None:
    async def talkative(scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, 200, b"all", content_type="text/plain")
        await send({"type": "http.response.body", "body": b"and more"})

    async with lane(talkative) as at:
        await at.lane.take(GET)
        await settle()
        assert (len(at.sent), at.concluded, at.is_over) == (1, 1, False)


def test_every_answer_carries_the_date_of_its_second() -> None:
    headers = OwnHeaders(Config())
    assert b"date" in dict(headers())
    assert headers() is headers() or headers() is headers(), "made once a second"
