"""Hypercorn behind its adapter: generations on one listening socket, by the wall clock."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import pytest
from hypercorn.config import Config
from starlette.routing import Route, Router

from wardwright.edge.app import ErrorBoundary
from wardwright.edge.http import Endpoint, Receive, Scope, Send, send_body
from wardwright.edge.server import CannotBind, HttpServer, HypercornGeneration, bind


class Echo:
    """Answers with the path; `/slow` takes its time."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await anyio.sleep(0.2)
        await send_body(send, 200, scope["path"].encode(), content_type="text/plain")


APP = ErrorBoundary(Router([Route("/{path:path}", Echo())]))


class Listening:
    """A server on a socket of its own."""

    def __init__(self, server: HttpServer, listener: socket.socket) -> None:
        self.server = server
        self.port: int = listener.getsockname()[1]

    async def get(self, path: str) -> str:
        """The body that a fresh connection gets."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            await stream.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            async for chunk in stream:
                answer += chunk
        return answer.decode().partition("\r\n\r\n")[2]

    async def get_at_last(self, path: str) -> str:
        """Ask until there is an answer: a connection that is accepted in the moment of a retirement is closed without one."""
        while True:
            with suppress(anyio.BrokenResourceError):
                body = await self.get(path)
                if body:
                    return body


@asynccontextmanager
async def listening(backend: str) -> AsyncIterator[Listening]:
    listener = bind("127.0.0.1", 0)
    with listener, anyio.fail_after(20):
        async with anyio.create_task_group() as host:
            yield Listening(HttpServer(APP, listener, host, backend=backend), listener)
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
            assert await at.get("/a") == "/a"
            bodies: list[str] = []

            async def ask_slowly() -> None:
                bodies.append(await at.get("/slow"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask_slowly)
                await anyio.sleep(0.1)
                first.retire()
                at.server.start()
                bodies.append(await at.get_at_last("/b"))
            await first.serving()
        assert bodies == ["/b", "/slow"]

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

    async def test_whoever_watches_hears_what_ended_it(self) -> None:
        async def break_down(app: Endpoint, config: Config, **_: object) -> None:
            raise OSError("accept failed")

        generation = HypercornGeneration()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(generation.run, break_down, APP, Config())
            with pytest.raises(OSError, match="accept failed"):
                await generation.serving()


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
