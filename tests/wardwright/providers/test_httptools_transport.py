"""What the asyncio transport does beyond the promises of `Transport`, which `test_transport.py` proves."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from tests.support.upstream import Upstream, silent_url
from tests.wardwright.providers.raw_server import RawServer, answering, read_request
from wardwright.domain.errors import Failure, ProviderError
from wardwright.providers.httptools_transport import HttptoolsTransport, open_transport
from wardwright.providers.transport import TransportOptions, read_body

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
ENDLESS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"


@asynccontextmanager
async def opened(options: TransportOptions | None = None) -> AsyncIterator[HttptoolsTransport]:
    """A transport, closed at the end; nothing of it may be left running."""
    transport = open_transport(options or TransportOptions())
    try:
        yield transport
    finally:
        await transport.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def post(transport: HttptoolsTransport, url: str, body: bytes = b'{"model": "ok"}') -> bytes:
    async with transport.request("POST", f"{url}/x", headers={}, body=body) as response:
        return await read_body(response, 2**20)


async def failure_of(answer: Awaitable[object]) -> Failure:
    with pytest.raises(ProviderError) as caught:
        await answer
    return caught.value.failure


def test_a_connection_with_something_behind_the_answer_is_not_used_again(runner: asyncio.Runner) -> None:
    async def ask_twice() -> None:
        async with opened() as transport:
            assert [await post(transport, server.url) for _ in range(2)] == [b"hi"] * 2

    with RawServer(answering(OK + OK)) as server:
        runner.run(ask_twice())

        assert server.connections == 2


def test_a_server_that_speaks_first_is_a_bad_response(runner: asyncio.Runner) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.test ESMTP\r\n")
        connection.recv(65536)

    async def ask() -> None:
        async with opened() as transport:
            failure = await failure_of(post(transport, server.url))
            assert failure.failure_class == "bad_response"

    with RawServer(greet) as server:
        runner.run(ask())


def test_an_idle_connection_is_closed_when_its_time_is_over(runner: asyncio.Runner, upstream: Upstream) -> None:
    async def ask_and_wait() -> float:
        async with opened(TransportOptions(keepalive_s=0.3)) as transport:
            await post(transport, upstream.url)
            began = time.monotonic()
            assert await asyncio.to_thread(upstream.wait_for_open_connections, 0)
            return time.monotonic() - began

    assert runner.run(ask_and_wait()) >= 0.29


def test_closing_ends_the_requests_under_way(runner: asyncio.Runner, upstream: Upstream) -> None:
    async def close() -> None:
        transport = open_transport(TransportOptions(connect_timeout_s=30))
        asked = [(silent, "ok"), (upstream.url, "hang"), (upstream.url, "hang-after-headers")]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            failures = [
                tasks.create_task(failure_of(post(transport, url, b'{"model": "%s"}' % model.encode())))
                for url, model in asked
            ]
            assert await asyncio.to_thread(upstream.wait_for_calls, 2)
            await transport.aclose()
        classes = [failure.result().failure_class for failure in failures]
        assert classes[:2] == ["connect", "connect"]
        assert classes[2] in ("connect", "stream_broken")
        assert [failure.result().clock for failure in failures] == [None] * 3

    with silent_url() as silent:
        runner.run(close())


def test_a_closed_transport_refuses_further_requests(runner: asyncio.Runner, upstream: Upstream) -> None:
    async def ask() -> None:
        async with opened() as transport:
            await post(transport, upstream.url)
        failure = await failure_of(post(transport, upstream.url))
        assert failure.failure_class == "connect"
        assert "closed" in failure.message

    runner.run(ask())

    assert len(upstream.calls) == 1


def test_a_request_that_waits_for_room_gets_the_connection_that_comes_free(
    runner: asyncio.Runner, upstream: Upstream
) -> None:
    async def ask_many() -> None:
        async with opened(TransportOptions(max_connections=2)) as transport:
            await asyncio.gather(*[post(transport, upstream.url, b'{"model": "ok-d5"}') for _ in range(20)])

    runner.run(ask_many())

    assert len(upstream.calls) == 20
    assert upstream.connections == 2


def test_a_request_to_one_origin_gets_the_room_of_an_idle_connection_to_another(
    runner: asyncio.Runner, upstream: Upstream
) -> None:
    async def ask_both() -> None:
        async with opened(TransportOptions(max_connections=1)) as transport:
            for _ in range(3):
                await post(transport, upstream.url)
                assert await post(transport, other.url) == b"hi"

    with RawServer(answering(OK)) as other:
        runner.run(ask_both())

    assert len(upstream.calls) == 3


def test_room_goes_to_the_next_when_the_one_it_was_given_to_is_cancelled(
    runner: asyncio.Runner, upstream: Upstream
) -> None:
    async def ask_and_cancel() -> None:
        async with opened(TransportOptions(max_connections=1, connect_timeout_s=60)) as transport:
            async with transport.request("POST", f"{upstream.url}/x", headers={}, body=b'{"model": "ok"}') as response:
                await read_body(response, 2**20)
                first, second = (asyncio.create_task(post(transport, upstream.url)) for _ in range(2))
                await asyncio.sleep(0)  # both wait for room now
            first.cancel()  # leaving has given it to the first, who could not yet take it
            assert await second

    runner.run(ask_and_cancel())


def test_a_refused_connection_leaves_its_room_to_the_next(runner: asyncio.Runner, upstream: Upstream) -> None:
    async def ask() -> None:
        async with opened(TransportOptions(max_connections=1, connect_timeout_s=1)) as transport:
            failure = await failure_of(post(transport, silent))
            assert failure.clock == "connect"
            assert await post(transport, upstream.url)

    with silent_url() as silent:
        runner.run(ask())


def test_reading_on_after_the_exchange_is_a_broken_stream(runner: asyncio.Runner) -> None:
    async def read_late() -> None:
        async with opened() as transport:
            async with transport.request("GET", f"{server.url}/x", headers={}) as response:
                assert await anext(aiter(response)) == b"hi"
            failure = await failure_of(anext(aiter(response)))
            assert failure.failure_class == "stream_broken"

    with RawServer(answering(ENDLESS)) as server:
        runner.run(read_late())


def test_an_answer_before_the_whole_request_was_sent_is_read_and_the_connection_closed(runner: asyncio.Runner) -> None:
    def refuse_early(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        while connection.recv(1):
            pass  # never fast enough for what is still to come

    async def ask() -> None:
        async with opened() as transport:
            large = bytes(64 * 2**20)
            async with transport.request("POST", f"{server.url}/x", headers={}, body=large) as response:
                assert response.status == 413
                assert await read_body(response, 10) == b"no"

    with RawServer(refuse_early) as server:
        runner.run(ask())


def test_the_bytes_before_a_fault_are_handed_out_first(runner: asyncio.Runner) -> None:
    async def read() -> None:
        async with opened() as transport, transport.request("GET", f"{server.url}/x", headers={}) as response:
            assert await anext(aiter(response)) == b"hi"
            failure = await failure_of(anext(aiter(response)))
            assert failure.failure_class == "stream_broken"
            assert "HTTP/1.1" in failure.message

    with RawServer(answering(ENDLESS + b"not a chunk\r\n")) as server:
        runner.run(read())


def test_a_request_is_one_write(runner: asyncio.Runner) -> None:
    """Two writes would be two segments, and two system calls."""
    received: list[bytes] = []

    def note(connection: socket.socket) -> None:
        received.append(connection.recv(65536))
        connection.sendall(OK)
        read_request(connection)

    async def ask() -> None:
        async with opened() as transport:
            await post(transport, server.url)

    with RawServer(note) as server:
        runner.run(ask())

    assert received[0].endswith(b'\r\n\r\n{"model": "ok"}')
