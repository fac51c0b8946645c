"""A client that stalls is let go: one that has to move and does not, over a line of which the test says how it moves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module

import anyio
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypercorn.config import Config

from supervisors.testing import settle
from wardwright.edge.connection import Connection, Service
from wardwright.edge.http import CLIENT, Message, Receive, Scope, Send
from wardwright.edge.line import Address
from wardwright.edge.plain_lane import OwnHeaders

pytestmark = pytest.mark.anyio

STALL_S = 60.0
TICK_S = 5.0
KEPT_ALIVE_S = 75.0
MOVES = 5000
"""More bytes than a client must move to be taken to be going on."""


class ScriptedLine:
    """A `Line` that the test feeds and drains."""

    client: Address | None = ("192.0.2.7", 1)
    server: Address | None = ("127.0.0.1", 2)

    def __init__(self) -> None:
        self.room = 10**9
        self.written = b""
        self.unsent = 0
        self.was_aborted = False
        self.was_closed = False
        self.is_hung_up = False
        self._pieces: list[bytes] = []
        self._change = anyio.Event()

    def give(self, data: bytes) -> None:
        """The client sends."""
        self._pieces.append(data)
        self._change.set()

    def drain(self, count: int) -> None:
        """The client takes."""
        self.unsent = max(0, self.unsent - count)
        self._change.set()

    def has_hung_up(self) -> bool:
        return self.is_hung_up

    def has_unread(self) -> bool:
        return bool(self._pieces)

    async def read(self) -> bytes:
        while not self._pieces and not self.was_aborted:
            await self._wait()
        return b"" if self.was_aborted else self._pieces.pop(0)

    async def write(self, data: bytes) -> None:
        self.written += data
        taken = min(len(data), self.room)
        self.room -= taken
        self.unsent += len(data) - taken
        while self.unsent:
            await self._wait()
            if self.was_aborted:
                raise ConnectionResetError

    def half_close(self) -> None: ...

    def close(self) -> None:
        self.was_closed = True

    def abort(self) -> None:
        self.was_aborted = True
        self._change.set()

    async def _wait(self) -> None:
        if self._change.is_set():
            self._change = anyio.Event()
        await self._change.wait()


class Served:
    """A connection with its line; what the application has received, and whether it was told that the client has gone."""

    def __init__(self) -> None:
        self.line = ScriptedLine()
        self.connection: Connection
        self.received: list[Message] = []
        self.was_told = False

    def told(self) -> None:
        self.was_told = True

    async def age(self, seconds: float) -> None:
        """Let time go by in ticks, as a server does."""
        for _ in range(int(seconds / TICK_S)):
            self.connection.age(TICK_S)
            await settle()


Answer = Callable[[Send], Awaitable[None]]


@asynccontextmanager
async def served(backend: str, answer: Answer) -> AsyncIterator[Served]:
    """A connection whose application reads the whole request and then does as `answer` says."""
    loop = import_module(f"wardwright.edge.on_{backend}")
    at = Served()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CLIENT].watch(at.told)
        while True:
            at.received.append(message := await receive())
            if not message.get("more_body"):
                break
        if message["type"] == "http.request":
            await answer(send)

    config = Config()
    config.errorlog = None
    at.connection = Connection(
        at.line, Service(app, config, loop.WorkerContext(None), loop.task_group, OwnHeaders(config), STALL_S)
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(at.connection.run)
        await settle()
        yield at
        tasks.cancel_scope.cancel()


async def never(_: Send) -> None:
    await anyio.sleep_forever()


async def at_length(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 1_000_000})


async def at_once(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def not_plain(head: bytes) -> bytes:
    """The same request, for Hypercorn to read."""
    return head.replace(b"Host: a", b"Host: a\r\nConnection: keep-alive, te")


@pytest.mark.parametrize(
    "begun", [HEAD, not_plain(HEAD), HEAD + b"x" * 999_999], ids=["head", "not-plain", "all-but-a-byte"]
)
async def test_a_request_whose_rest_does_not_come_ends_with_its_connection(
    anyio_backend_name: str, begun: bytes
) -> None:
    async with served(anyio_backend_name, never) as at:
        at.line.give(begun)
        await settle()
        await at.age(STALL_S - TICK_S)
        assert not at.was_told
        await at.age(2 * TICK_S)
        assert at.line.was_aborted
        assert at.received[-1]["type"] == "http.disconnect"


async def test_a_request_that_goes_on_coming_is_waited_for(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, never) as at:
        at.line.give(HEAD)
        for _ in range(10):
            await at.age(STALL_S)
            at.line.give(b"x" * MOVES)
            await settle()
        assert not at.line.was_aborted


async def test_a_request_that_comes_in_drops_is_not(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, never) as at:
        at.line.give(HEAD)
        for _ in range(20):
            await at.age(TICK_S)
            at.line.give(b"x")
            await settle()
        assert at.line.was_aborted


async def test_a_client_that_waits_for_its_answer_may_wait_as_long_as_that_takes(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, never) as at:
        at.line.give(WHOLE)
        await settle()
        await at.age(100 * STALL_S)
        assert not at.line.was_aborted
        assert not at.was_told


@pytest.mark.parametrize("asked", [WHOLE, not_plain(WHOLE)], ids=["plain", "not-plain"])
async def test_an_answer_that_is_not_taken_ends_with_its_connection(anyio_backend_name: str, asked: bytes) -> None:
    async with served(anyio_backend_name, at_length) as at:
        at.line.room = 100_000
        at.line.give(asked)
        await settle()
        assert at.line.unsent > 0
        await at.age(STALL_S + TICK_S)
        assert at.line.was_aborted
        await settle()
        assert at.was_told


async def test_an_answer_that_is_taken_slowly_is_waited_for(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, at_length) as at:
        at.line.room = 100_000
        at.line.give(WHOLE)
        await settle()
        while at.line.unsent:
            await at.age(STALL_S)
            assert not at.line.was_aborted
            at.line.drain(20 * MOVES)
            await settle()
        assert at.line.written.count(b"x") == 1_000_000


async def test_an_answer_that_is_taken_in_drops_is_not(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, at_length) as at:
        at.line.room = 100_000
        at.line.give(WHOLE)
        await settle()
        for _ in range(20):
            await at.age(TICK_S)
            at.line.drain(10)
            await settle()
        assert at.line.was_aborted


def http_2_client() -> h2.connection.H2Connection:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    return client


HTTP_2_HEAD = ((":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "a"))


async def test_a_client_of_http_2_that_opens_no_window_is_let_go(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, at_length) as at:
        client = http_2_client()
        client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.send_headers(1, HTTP_2_HEAD, end_stream=True)
        at.line.give(client.data_to_send())
        await settle()
        assert at.received, "the request has come"
        await at.age(STALL_S + TICK_S)
        assert at.line.was_aborted
        await settle()
        assert at.was_told


async def test_so_is_one_whose_request_never_ends_though_others_do(anyio_backend_name: str) -> None:
    async with served(anyio_backend_name, at_once) as at:
        client = http_2_client()
        client.send_headers(1, HTTP_2_HEAD)
        client.send_data(1, b"half of it")
        client.send_headers(3, HTTP_2_HEAD, end_stream=True)
        at.line.give(client.data_to_send())
        await settle()
        ended = [event for event in client.receive_data(at.line.written) if isinstance(event, h2.events.StreamEnded)]
        assert [event.stream_id for event in ended] == [3]
        await at.age(STALL_S + TICK_S)
        assert at.line.was_aborted
        await settle()
        assert at.received[-1]["type"] == "http.disconnect"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHos"], ids=["nothing", "half-a-head"])
async def test_a_connection_that_asks_nothing_is_closed_however_it_drips(anyio_backend_name: str, said: bytes) -> None:
    async with served(anyio_backend_name, never) as at:
        for drop in (said, *[b"t"] * 20 * bool(said)):
            if drop:
                at.line.give(drop)
            await settle()
            await at.age(TICK_S)
        if not said:
            await at.age(KEPT_ALIVE_S)
        assert at.line.was_closed
        assert not at.received


@pytest.mark.parametrize("asked", [WHOLE, not_plain(WHOLE)], ids=["plain", "not-plain"])
async def test_a_client_that_asked_ahead_and_left_is_missed_before_long(anyio_backend_name: str, asked: bytes) -> None:
    async with served(anyio_backend_name, never) as at:
        at.line.give(asked + b"GET /next")
        await settle()
        await at.age(TICK_S)
        assert not at.was_told
        at.line.is_hung_up = True
        await at.age(TICK_S)
        assert at.was_told
