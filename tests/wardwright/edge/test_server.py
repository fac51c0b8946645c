"""The HTTP server: generations on one listening socket, and what clients can do to it, by the wall clock."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from starlette.routing import Route, Router

from wardwright.edge.app import ErrorBoundary
from wardwright.edge.http import Receive, Scope, Send, send_body
from wardwright.edge.server import CannotBind, HttpServer, bind


class Site:
    """Answers with the path. `/wait` does when it may, `/endless` never ends, `/refuse` answers without reading the body."""

    def __init__(self) -> None:
        self.may_answer = anyio.Event()
        self.asked = anyio.Event()
        self.was_cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/endless":
            await self._send_for_ever(send)
        if path == "/wait":
            self.asked.set()
            await self.may_answer.wait()
        if path != "/refuse":
            while (await receive())["more_body"]:
                pass
        await send_body(send, 413 if path == "/refuse" else 200, path.encode(), content_type="text/plain")

    async def _send_for_ever(self, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                self.asked.set()
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
                await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            self.was_cancelled = True
            raise


class Listening:
    """A server on a socket of its own, and clients of it."""

    def __init__(self, server: HttpServer, listener: socket.socket, site: Site) -> None:
        self.server = server
        self.site = site
        self.port: int = listener.getsockname()[1]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Browser"]:
        """A client with a connection of its own."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            yield Browser(stream)

    async def get(self, path: str) -> str:
        """The body that a fresh connection gets."""
        async with self.connected() as browser:
            return (await browser.get(path)).body


@dataclass
class Answer:
    """A head in lower case, and a body of the length it names."""

    head: str
    body: str


class Browser:
    """One connection that is used again and again."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream

    async def get(self, path: str) -> Answer:
        await self.ask(path)
        return await self.answer()

    async def ask(self, path: str, *headers: str, method: str = "GET") -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        await self.stream.send("\r\n".join(lines).encode())

    async def answer(self) -> Answer:
        received = BufferedByteReceiveStream(self.stream)
        head = (await received.receive_until(b"\r\n\r\n", 10_000)).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return Answer(head, (await received.receive_exactly(length)).decode())

    async def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        rest = b""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                rest += await self.stream.receive()
        return rest


@asynccontextmanager
async def listening(backend: str) -> AsyncIterator[Listening]:
    listener, site = bind("127.0.0.1", 0), Site()
    app = ErrorBoundary(Router([Route("/{path:path}", site, methods=["GET", "POST"])]))
    with listener, anyio.fail_after(60):
        async with anyio.create_task_group() as host:
            yield Listening(HttpServer(app, listener, host, backend=backend), listener, site)
            host.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.real_time
class TestGenerations:
    async def test_one_serves_until_it_is_retired(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at:
            generation = at.server.start()
            assert await at.get("/a") == "/a"
            generation.retire()
            generation.retire()
            await generation.serving()

    async def test_the_next_takes_over_while_the_one_before_finishes_what_it_has(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at:
            first = at.server.start()
            async with at.connected() as slow:
                await slow.ask("/wait")
                await at.site.asked.wait()
                first.retire()
                at.server.start()
                assert await at.get("/b") == "/b"
                at.site.may_answer.set()
                assert (await slow.answer()).body == "/wait"
                assert await slow.rest() == b""
            await first.serving()

    async def test_a_retired_one_serves_its_connections_once_more_and_says_that_this_was_it(
        self, anyio_backend_name: str
    ) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as browser:
            first = at.server.start()
            assert "connection:" not in (await browser.get("/a")).head
            first.retire()
            last = await browser.get("/b")
            assert last.body == "/b"
            assert "connection: close" in last.head
            assert await browser.rest() == b""
            await first.serving()

    async def test_no_connection_is_dropped_between_two_generations(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at:
            bodies: list[str] = []

            async def ask(number: int) -> None:
                bodies.append(await at.get(f"/{number}"))

            async with anyio.create_task_group() as tasks:
                generation = at.server.start()
                for number in range(60):
                    tasks.start_soon(ask, number)
                    if number % 3 == 0:
                        generation.retire()
                        generation = at.server.start()
                    await anyio.lowlevel.checkpoint()
        assert sorted(bodies) == sorted(f"/{number}" for number in range(60))

    async def test_between_two_generations_connections_wait(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at:
            first = at.server.start()
            assert await at.get("/a") == "/a"
            first.retire()
            await first.serving()
            bodies: list[str] = []

            async def ask() -> None:
                bodies.append(await at.get("/b"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await anyio.sleep(0.05)
                assert bodies == []
                at.server.start()
        assert bodies == ["/b"]

    async def test_whoever_watches_hears_what_ended_it(self, anyio_backend_name: str) -> None:
        with socket.socket() as not_listening:
            not_listening.setblocking(False)
            async with anyio.create_task_group() as host:
                generation = HttpServer(Site(), not_listening, host, backend=anyio_backend_name).start()
                with pytest.raises(OSError, match="Invalid argument"):
                    await generation.serving()


@pytest.mark.anyio
@pytest.mark.real_time
class TestStopping:
    async def test_idle_connections_end_at_once_and_the_others_after_their_answers(
        self, anyio_backend_name: str
    ) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as idle, at.connected() as busy:
            generation = at.server.start()
            await idle.get("/a")
            await busy.get("/a")
            await busy.ask("/wait")
            await at.site.asked.wait()
            generation.retire()
            at.server.leave()
            assert await idle.rest() == b""
            at.site.may_answer.set()
            assert (await busy.answer()).body == "/wait"
            assert await busy.rest() == b""
            await generation.serving()

    async def test_a_connection_that_was_just_opened_may_still_ask(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as fresh, at.connected() as silent:
            generation = at.server.start()
            await at.get("/a")  # in the queue behind both
            generation.retire()
            at.server.leave()
            assert (await fresh.get("/b")).body == "/b"
            assert await silent.rest() == b"", "one that asks nothing is not waited for long"
            await generation.serving()

    async def test_a_client_that_reads_nothing_keeps_nobody(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as stalled:
            at.server.start()
            await stalled.ask("/endless")
            await at.site.asked.wait()
            await anyio.sleep(0.05)
        assert at.site.was_cancelled


@pytest.mark.anyio
@pytest.mark.real_time
class TestClients:
    @pytest.mark.parametrize(
        "rubbish",
        [
            b"\x16\x03\x01\x00\xa5 this is TLS",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: %\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAAA\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000,
        ],
    )
    async def test_one_that_talks_rubbish_ends_its_own_connection_and_no_other(
        self, anyio_backend_name: str, rubbish: bytes
    ) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as neighbour:
            at.server.start()
            await neighbour.ask("/wait")
            await at.site.asked.wait()
            async with at.connected() as odd:
                with suppress(anyio.BrokenResourceError, OSError):  # it may have been shown the door already
                    await odd.stream.send(rubbish)
                    await odd.stream.send_eof()
                await odd.rest()
            at.site.may_answer.set()
            assert (await neighbour.answer()).body == "/wait"

    async def test_one_that_goes_on_behind_its_last_request_is_let_go(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as hasty:
            generation = at.server.start()
            await hasty.ask("/a", "Connection: close")
            await hasty.ask("/b")
            await hasty.rest()
            generation.retire()
            at.server.leave()
            await generation.serving()

    async def test_one_that_asks_ahead_is_answered_in_order(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as hasty:
            at.server.start()
            for path in ("/a", "/b", "/c"):
                await hasty.ask(path, *(["Connection: close"] if path == "/c" else []))
            bodies = [answer.partition(b"\r\n\r\n")[2] for answer in (await hasty.rest()).split(b"HTTP/1.1")[1:]]
            assert bodies == [b"/a", b"/b", b"/c"]

    async def test_one_that_is_refused_while_it_sends_can_read_the_refusal(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as eager:
            at.server.start()
            await eager.ask("/refuse", "Content-Length: 30000000", method="POST")
            for _ in range(30):
                await eager.stream.send(b"x" * 1_000_000)
            refusal = await eager.answer()
            assert refusal.body == "/refuse"
            assert "connection: close" in refusal.head, "or it would ask its next question here"

    async def test_one_that_leaves_is_news_to_the_application(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at:
            generation = at.server.start()
            async with at.connected() as browser:
                await browser.ask("/endless")
                await at.site.asked.wait()
            # whatever is sent to a client that has gone goes nowhere and hurts nobody
            assert await at.get("/a") == "/a"
            generation.retire()

    async def test_websockets_are_told_that_there_are_none(self, anyio_backend_name: str) -> None:
        async with listening(anyio_backend_name) as at, at.connected() as browser:
            at.server.start()
            key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
            await browser.ask("/a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
            answer = await browser.answer()
            assert "http/1.1 404" in answer.head
            assert json.loads(answer.body)["error"]["code"] == "not_found"


class TestBinding:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_any_free_port_will_do(self, host: str) -> None:
        try:
            listener = bind(host, 0)
        except CannotBind as refused:
            pytest.skip(f"this machine has no {host}: {refused}")
        with listener:
            assert listener.getsockname()[1] > 0
            assert not listener.getblocking()

    def test_an_address_that_is_taken_is_named_with_the_reason(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(CannotBind, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
                bind("127.0.0.1", port)

    def test_so_is_one_that_is_not_this_machines(self) -> None:
        with pytest.raises(CannotBind, match=r"cannot listen on 203\.0\.113\.7:0: Cannot assign"):
            bind("203.0.113.7", 0)

    def test_and_a_name_that_nobody_knows(self) -> None:
        with pytest.raises(CannotBind) as caught:
            bind("::no-address", 0)
        assert "Unknown error" not in str(caught.value)
        assert str(caught.value).startswith("cannot listen on ::no-address:0: ")
