"""The promises of `Transport`, proven for each implementation on the event loop it serves."""

import socket
from pathlib import Path
from threading import Event

import anyio
import pytest
from anyio import to_thread

from tests.support.upstream import Upstream, refusing_url, silent_url
from tests.wardwright.providers.raw_server import RawServer, answering, make_certificate, read_request, tls_context
from wardwright.domain.errors import ProviderError
from wardwright.providers import httpcore2_transport
from wardwright.providers.http1 import dialling
from wardwright.providers.transport import Transport, TransportOptions, make_transport, read_body

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


async def post(transport: Transport, url: str, model: str = "ok", *, stream: bool = False) -> bytes:
    """Ask the test upstream and read its whole answer."""
    async with transport.request("POST", f"{url}/x", headers={}, body=request_body(model, stream=stream)) as response:
        return await read_body(response, 2**20)


def request_body(model: str, *, stream: bool = True) -> bytes:
    return b'{"model": "%s", "stream": %s}' % (model.encode(), b"true" if stream else b"false")


async def test_status_headers_and_body_of_an_answer_arrive(upstream: Upstream, transport: Transport) -> None:
    async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("429-seconds")) as response:
        body = await read_body(response, 1000)

    assert response.status == 429
    assert response.headers.get("retry-after") == "2"
    assert b"Rate limit reached" in body


async def test_a_get_request_is_sent_without_a_body(upstream: Upstream, transport: Transport) -> None:
    upstream.script("404")

    async with transport.request("GET", f"{upstream.url}/models", headers={"accept": "application/json"}) as response:
        assert response.status == 404

    assert (upstream.calls[0].method, upstream.calls[0].path, upstream.calls[0].body) == ("GET", "/v1/models", b"")


async def test_only_the_given_headers_and_those_of_http_itself_are_sent(
    upstream: Upstream, transport: Transport
) -> None:
    given = {"content-type": "application/json", "authorization": "Bearer own", "x-request-id": "r", "user-agent": "w"}

    async with transport.request("POST", f"{upstream.url}/x", headers=given, body=request_body("ok")) as response:
        await read_body(response, 10_000)

    sent = dict(upstream.calls[0].headers)
    assert sent.pop("host") == f"127.0.0.1:{upstream.port}"
    assert sent.pop("content-length") == str(len(request_body("ok")))
    assert sent.pop("accept-encoding") == "identity"
    assert sent == given


@pytest.mark.parametrize("header", ["cookie", "api-key", "proxy-authorization", "Authorization"])
async def test_a_header_that_is_not_allowed_is_refused(upstream: Upstream, transport: Transport, header: str) -> None:
    with pytest.raises(ValueError, match=header):
        transport.request("POST", f"{upstream.url}/x", headers={header: "secret"}, body=b"{}")


async def test_cookies_are_not_kept(upstream: Upstream, transport: Transport) -> None:
    await post(transport, upstream.url, "cookie")
    await post(transport, upstream.url)

    assert "cookie" not in upstream.calls[1].headers


async def test_a_redirect_is_handed_out_and_not_followed(upstream: Upstream, transport: Transport) -> None:
    async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("redirect")) as response:
        assert response.status == 302

    assert len(upstream.calls) == 1


async def test_proxies_of_the_environment_are_not_used(
    upstream: Upstream, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", refusing_url())
    monkeypatch.setenv("http_proxy", refusing_url())

    assert await post(transport, upstream.url)


async def test_the_first_bytes_are_handed_out_before_the_rest_exists(upstream: Upstream, transport: Transport) -> None:
    # `stall` sends its words and then nothing, ever: a transport that fills a buffer first would never return.
    with anyio.fail_after(60):
        async with transport.request(
            "POST", f"{upstream.url}/x", headers={}, body=request_body("stall-n1")
        ) as response:
            assert b"The" in await anext(aiter(response))


async def test_every_byte_of_a_large_body_arrives_in_order(upstream: Upstream, transport: Transport) -> None:
    text = await post(transport, upstream.url, "ok-n2000", stream=True)

    assert text.count(b"chat.completion.chunk") == 2001
    assert text.endswith(b"data: [DONE]\n\n")


async def test_a_large_request_body_is_sent_whole(upstream: Upstream, transport: Transport) -> None:
    body = b'{"model": "ok", "padding": "%s"}' % (b"x" * 3_000_000)

    async with transport.request("POST", f"{upstream.url}/x", headers={}, body=body) as response:
        await read_body(response, 10_000)

    assert upstream.calls[0].body == body


async def test_a_body_larger_than_the_limit_is_a_bad_response(upstream: Upstream, transport: Transport) -> None:
    with pytest.raises(ProviderError) as caught:
        async with transport.request(
            "POST", f"{upstream.url}/x", headers={}, body=request_body("oversize")
        ) as response:
            await read_body(response, 100_000)

    assert caught.value.failure.failure_class == "bad_response"
    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_a_connection_is_used_again_once_its_answer_was_read(upstream: Upstream, transport: Transport) -> None:
    for _ in range(3):
        await post(transport, upstream.url)

    assert [call.connection for call in upstream.calls] == [1, 1, 1]


async def test_leaving_an_answer_early_closes_its_connection(upstream: Upstream, transport: Transport) -> None:
    async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("stall")) as response:
        await anext(aiter(response))

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_cancelling_the_wait_for_headers_closes_the_connection(upstream: Upstream, transport: Transport) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post, transport, upstream.url, "hang")
        assert await to_thread.run_sync(upstream.wait_for_calls, 1)
        tasks.cancel_scope.cancel()

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_cancelling_the_wait_for_the_body_closes_the_connection(upstream: Upstream, transport: Transport) -> None:
    began = anyio.Event()

    async def read() -> None:
        async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("stall")) as response:
            async for _ in response:
                began.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await began.wait()
        tasks.cancel_scope.cancel()

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_a_body_that_always_has_more_is_left_all_the_same(upstream: Upstream, transport: Transport) -> None:
    async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("flood")) as response:
        reads = 0
        with anyio.CancelScope() as scope:
            async for _ in response:
                sum(range(20_000))  # meanwhile more comes
                scope.cancel()
                reads += 1
        assert scope.cancelled_caught
        assert reads < 100


async def test_a_cancelled_exchange_leaves_the_transport_usable(upstream: Upstream, transport: Transport) -> None:
    with anyio.move_on_after(0.05):
        await post(transport, upstream.url, "hang")

    assert await post(transport, upstream.url)


async def test_a_refused_connection_is_a_connect_failure(transport: Transport) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(transport, refusing_url())

    assert caught.value.failure.failure_class == "connect"
    assert caught.value.failure.clock is None


async def test_an_unknown_host_is_a_connect_failure(transport: Transport) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(transport, "http://host.invalid/v1")

    assert caught.value.failure.failure_class == "connect"


async def test_a_connection_that_does_not_come_about_fails_by_the_connect_clock(anyio_backend: object) -> None:
    transport = make_transport(TransportOptions(connect_timeout_s=0.1))
    with silent_url() as url, pytest.raises(ProviderError) as caught, anyio.fail_after(60):
        await post(transport, url)

    await transport.aclose()
    assert (caught.value.failure.failure_class, caught.value.failure.clock) == ("timeout", "connect")


@pytest.mark.parametrize("behaviour", ["close", "reset", "cut-headers"])
async def test_a_connection_that_ends_before_headers_is_a_connect_failure(
    upstream: Upstream, transport: Transport, behaviour: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(transport, upstream.url, behaviour)

    assert caught.value.failure.failure_class == "connect"
    assert "reset before headers" in caught.value.failure.message


@pytest.mark.parametrize("behaviour", ["close", "reset"])
async def test_a_kept_connection_that_the_peer_ends_unused_is_a_connect_failure(
    upstream: Upstream, transport: Transport, behaviour: str
) -> None:
    await post(transport, upstream.url)
    with pytest.raises(ProviderError) as caught:
        await post(transport, upstream.url, behaviour)

    assert [call.connection for call in upstream.calls] == [1, 1]
    assert caught.value.failure.failure_class == "connect"
    assert "reset before headers" in caught.value.failure.message


async def test_an_answer_that_is_not_http_is_a_bad_response(upstream: Upstream, transport: Transport) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(transport, upstream.url, "not-http")

    assert caught.value.failure.failure_class == "bad_response"


async def test_an_untrusted_certificate_is_a_connect_failure(transport: Transport, tmp_path: Path) -> None:
    server_side = tls_context(*make_certificate(tmp_path))
    with RawServer(answering(OK), tls=server_side) as server, pytest.raises(ProviderError) as caught:
        await post(transport, server.url)

    assert caught.value.failure.failure_class == "connect"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_that_breaks_off_is_a_broken_stream(
    upstream: Upstream, transport: Transport, stream: bool
) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(transport, upstream.url, "cut", stream=stream)

    assert caught.value.failure.failure_class == "stream_broken"
    assert caught.value.failure.status == 200


async def test_a_reset_inside_the_body_is_a_broken_stream(upstream: Upstream, transport: Transport) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(transport, upstream.url, "reset-mid-stream", stream=True)

    assert caught.value.failure.failure_class == "stream_broken"


async def test_what_arrived_before_a_break_is_handed_out_first(upstream: Upstream, transport: Transport) -> None:
    pieces: list[bytes] = []

    async def read_late() -> None:
        async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("cut")) as response:
            # The upstream has closed before the first read: the words and the break are found together.
            assert await to_thread.run_sync(upstream.wait_for_open_connections, 0)
            async for piece in response:
                pieces.append(piece)

    with pytest.raises(ProviderError):
        await read_late()

    assert b"".join(pieces).count(b"\n\n") == 3


async def test_many_requests_share_a_transport(upstream: Upstream, transport: Transport) -> None:
    answers: list[bytes] = []

    async def ask(number: int) -> None:
        answers.append(await post(transport, upstream.url, f"ok-n{number}-d20"))

    async with anyio.create_task_group() as tasks:
        for number in range(1, 65):
            tasks.start_soon(ask, number)

    assert len(answers) == 64
    assert len(set(answers)) == 64


async def test_a_full_pool_fails_by_the_connect_clock(upstream: Upstream, anyio_backend: object) -> None:
    transport = make_transport(TransportOptions(connect_timeout_s=2, max_connections=1))

    async with transport.request("POST", f"{upstream.url}/x", headers={}, body=request_body("stall")):
        with pytest.raises(ProviderError) as caught:
            await post(transport, upstream.url)

    assert (caught.value.failure.failure_class, caught.value.failure.clock) == ("timeout", "connect")
    await transport.aclose()


async def test_closing_closes_idle_connections_and_may_be_repeated(upstream: Upstream, transport: Transport) -> None:
    await post(transport, upstream.url)

    await transport.aclose()
    await transport.aclose()

    assert await to_thread.run_sync(upstream.wait_for_open_connections, 0)


async def test_small_writes_are_not_delayed(upstream: Upstream, transport: Transport) -> None:
    # Without TCP_NODELAY a request in two writes waits some 40 ms for the peer's delayed acknowledgement.
    times = []
    for _ in range(20):
        began = anyio.current_time()
        await post(transport, upstream.url)
        times.append(anyio.current_time() - began)

    assert min(times) < 0.03


async def test_a_trusted_server_is_asked_over_tls(
    anyio_backend: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    _forget_certificates()
    transport = make_transport()
    with RawServer(answering(OK), tls=tls_context(certificate, key)) as server:
        answers = [await post(transport, server.url) for _ in range(3)]
        await transport.aclose()
    _forget_certificates()

    assert answers == [b"hi"] * 3
    assert server.connections == 1


async def test_a_server_is_asked_over_ipv6(transport: Transport) -> None:
    with RawServer(answering(OK), host="::1") as server:
        assert await post(transport, server.url) == b"hi"


async def test_interim_answers_are_passed_over(transport: Transport) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </style>\r\n\r\n"
    with RawServer(answering(interim + interim + OK)) as server:
        async with transport.request("POST", f"{server.url}/x", headers={}, body=b"{}") as response:
            assert await read_body(response, 10) == b"hi"

    assert response.status == 200
    assert "link" not in response.headers


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_body_of_unknown_length_ends_with_its_connection(transport: Transport, version: str) -> None:
    answer = f"HTTP/{version} 200 OK\r\n\r\nas it comes".encode()
    with RawServer(answering(answer, closes=True)) as server:
        assert [await post(transport, server.url) for _ in range(2)] == [b"as it comes"] * 2

    assert server.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n",
    ],
)
async def test_a_connection_the_server_will_close_is_not_used_again(transport: Transport, head: str) -> None:
    with RawServer(answering(head.encode() + b"hi")) as server:
        assert [await post(transport, server.url) for _ in range(2)] == [b"hi"] * 2

    assert server.connections == 2


async def test_a_kept_connection_that_the_server_has_closed_is_not_used(transport: Transport) -> None:
    closed = Event()

    def answer_and_close(connection: socket.socket) -> None:
        closed.clear()
        read_request(connection)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with RawServer(answer_and_close) as server:
        for _ in range(5):
            assert await post(transport, server.url) == b"hi"
            assert await to_thread.run_sync(closed.wait, 10)

    assert server.connections == 5


async def test_headers_without_end_are_a_bad_response(transport: Transport) -> None:
    def pour(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x-filler: %s\r\n" % (b"y" * 1000))

    with RawServer(pour) as server, anyio.fail_after(60), pytest.raises(ProviderError) as caught:
        await post(transport, server.url)

    assert caught.value.failure.failure_class == "bad_response"


async def test_a_slow_reader_holds_the_server_back_and_misses_nothing(transport: Transport) -> None:
    total, stalled = 24 * 2**20, Event()

    def pour(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        left = memoryview(bytes(range(256)) * (total // 256))
        connection.settimeout(0.3)
        while left:
            try:
                left = left[connection.send(left) :]
            except TimeoutError:
                stalled.set()

    with RawServer(pour) as server:
        async with transport.request("POST", f"{server.url}/x", headers={}, body=b"{}") as response:
            assert await to_thread.run_sync(stalled.wait, 60)
            pieces = [piece async for piece in response]

    assert max(map(len, pieces)) < 2**20
    assert b"".join(pieces) == bytes(range(256)) * (total // 256)


async def test_cancelling_the_wait_for_a_connection_leaves_the_transport_usable(
    upstream: Upstream, transport: Transport
) -> None:
    with silent_url() as silent:
        with anyio.move_on_after(0.1):
            await post(transport, silent)

    assert await post(transport, upstream.url)


def _forget_certificates() -> None:
    """Each transport keeps the certificates that its process has read."""
    dialling.tls_context.cache_clear()
    httpcore2_transport.tls_context.cache_clear()
