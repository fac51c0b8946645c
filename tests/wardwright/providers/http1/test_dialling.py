import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.upstream import refusing_url, silent_url
from tests.wardwright.providers.raw_server import RawServer, make_certificate, tls_context
from wardwright.providers.http1 import dialling
from wardwright.providers.http1.dialling import Address, dial, families_in_turn, first_connected
from wardwright.providers.http1.request import Origin, parse_endpoint

PATIENCE_S = 60


def address_of(url: str) -> Address:
    port = urlsplit(url).port or 0
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)


def port_of(connected: socket.socket) -> int:
    with connected:
        port: int = connected.getpeername()[1]
        return port


async def first(*addresses: Address) -> socket.socket:
    async with asyncio.timeout(PATIENCE_S):
        return await first_connected(addresses)


def hang_up(connection: socket.socket) -> None:
    """A script that says nothing."""


def wait_for_hang_up(connection: socket.socket) -> None:
    """A script that says nothing and waits for the client to leave."""
    connection.recv(65536)


@pytest.fixture
def own_certificates(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    dialling.tls_context.cache_clear()
    yield
    dialling.tls_context.cache_clear()


def test_an_address_that_does_not_answer_holds_nobody_up(runner: asyncio.Runner) -> None:
    with silent_url() as silent, RawServer(hang_up) as server:
        connected = runner.run(first(address_of(silent), address_of(silent), address_of(server.url)))

        assert port_of(connected) == server.port


def test_an_address_that_refuses_gives_way_at_once(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "ATTEMPT_HEAD_START_S", 3600)
    with RawServer(hang_up) as server:
        connected = runner.run(first(address_of(refusing_url()), address_of(server.url)))

        assert port_of(connected) == server.port


def test_the_first_address_is_preferred(runner: asyncio.Runner) -> None:
    with RawServer(hang_up) as server, RawServer(hang_up) as other:
        for _ in range(5):
            connected = runner.run(first(address_of(server.url), address_of(other.url)))
            assert port_of(connected) == server.port

        assert other.connections == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_addresses_that_all_refuse_are_a_refusal(runner: asyncio.Runner, count: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        runner.run(first(*[address_of(refusing_url()) for _ in range(count)]))


def test_cancelled_attempts_leave_no_socket_behind(runner: asyncio.Runner) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(dialling.ATTEMPT_HEAD_START_S * 1.5):
                await first_connected([address_of(silent)] * 3)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with silent_url() as silent:
        runner.run(cancelled())  # an open socket would be a ResourceWarning, and that an error


@pytest.mark.parametrize(
    ("families", "turns"),
    [("66644", "64646"), ("46", "46"), ("644", "644"), ("4", "4"), ("66", "66"), ("466", "466")],
)
def test_families_take_turns_and_the_resolvers_choice_is_first(families: str, turns: str) -> None:
    def addresses(names: str) -> Sequence[Address]:
        kinds = {"4": socket.AF_INET, "6": socket.AF_INET6}
        return [(kinds[name], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("", 80)) for name in names]

    assert families_in_turn(addresses(families)) == addresses(turns)


def test_a_connection_does_not_delay_small_writes(runner: asyncio.Runner) -> None:
    async def no_delay() -> int:
        protocol = await dial(parse_endpoint(server.url).origin, Recorder)
        option: int = protocol.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await protocol.end()
        return option

    with RawServer(wait_for_hang_up) as server:
        assert runner.run(no_delay())


def test_plain_http_reads_no_certificates(runner: asyncio.Runner, own_certificates: None) -> None:
    async def connect() -> None:
        await (await dial(parse_endpoint(server.url).origin, Recorder)).end()

    with RawServer(wait_for_hang_up) as server:
        runner.run(connect())

    assert dialling.tls_context.cache_info().currsize == 0


def test_certificates_are_read_once(
    runner: asyncio.Runner, own_certificates: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect() -> None:
        for _ in range(2):
            protocol = await dial(parse_endpoint(server.url).origin, Recorder)
            assert protocol.tls.version() in ("TLSv1.2", "TLSv1.3")
            await protocol.end()

    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(wait_for_hang_up, tls=tls_context(certificate, key)) as server:
        runner.run(connect())

    assert dialling.tls_context.cache_info().misses == 1


def test_a_certificate_for_another_host_is_refused(
    runner: asyncio.Runner, own_certificates: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(dialling, "_look_up", looked_up)
    with RawServer(wait_for_hang_up, tls=tls_context(certificate, key)) as server, pytest.raises(ssl.SSLError):
        runner.run(dial(Origin("another.test", server.port, is_secure=True), Recorder))


def test_a_handshake_that_never_ends_can_be_cancelled(runner: asyncio.Runner, own_certificates: None) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await dial(Origin("127.0.0.1", server.port, is_secure=True), Recorder)

    def until_the_client_leaves(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass
        left.append(True)

    left: list[bool] = []
    with RawServer(until_the_client_leaves) as server:
        runner.run(cancelled())

    assert left


def test_an_unknown_name_is_told_as_such(runner: asyncio.Runner) -> None:
    with pytest.raises(socket.gaierror):
        runner.run(dial(Origin("host.invalid", 80, is_secure=False), Recorder))


class Recorder(asyncio.Protocol):
    """Tells of its connection."""

    def __init__(self) -> None:
        self._lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.socket: socket.socket = transport.get_extra_info("socket")
        self.tls: ssl.SSLObject = transport.get_extra_info("ssl_object")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set_result(None)

    async def end(self) -> None:
        self._transport.close()
        await self._lost


async def looked_up(origin: Origin) -> Sequence[Address]:
    """A resolver that sends everyone home."""
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", origin.port))]
