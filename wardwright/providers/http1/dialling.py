"""Opening a connection: name look-up, TCP over whichever of the host's addresses answers first, TLS."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from wardwright.providers.http1.request import Origin

ATTEMPT_HEAD_START_S = 0.25
"""How long an address has before the next is tried beside it (RFC 8305): a host may have an IPv6 address and no way there."""

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)
Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates. Reading them takes a tenth of a second: done once, by the first who needs them."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def dial(origin: Origin, make_protocol: Callable[[], ProtocolT]) -> ProtocolT:
    """Open a connection and hand it to a new protocol.

    Raises: OSError, of which `socket.gaierror` and `ssl.SSLError` are kinds.
    Cancellation: cancel point; on cancel, whatever was opened is closed.
    """
    loop = asyncio.get_running_loop()
    connected = await first_connected(await _look_up(origin))
    _, protocol = await loop.create_connection(
        make_protocol,
        sock=connected,
        ssl=tls_context() if origin.is_secure else None,
        server_hostname=origin.host if origin.is_secure else None,
    )
    return protocol


async def first_connected(addresses: Sequence[Address]) -> socket.socket:
    """A socket connected to the first address that answers; each later one is tried after a failure or a head start.

    Raises: OSError, the first address's, when none answers.
    """
    if len(addresses) == 1:
        return await _connected(addresses[0])
    untried = families_in_turn(addresses)
    attempts: list[asyncio.Task[socket.socket]] = []
    try:
        while (winner := _succeeded(attempts)) is None:
            if untried:
                attempts.append(asyncio.create_task(_connected(untried.pop(0))))
            running = [attempt for attempt in attempts if not attempt.done()]
            if running:
                head_start = ATTEMPT_HEAD_START_S if untried else None
                await asyncio.wait(running, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            elif not untried:
                return attempts[0].result()
        attempts.remove(winner)
        return winner.result()
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_discard)


async def _look_up(origin: Origin) -> Sequence[Address]:
    try:
        return socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)


async def _connected(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, where)
    except BaseException:
        opened.close()
        raise
    return opened


def families_in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The addresses, the resolver's first choice first, then IPv6 and IPv4 in turn."""
    preferred = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    turns = [address for pair in zip(preferred, other, strict=False) for address in pair]
    return turns + preferred[len(other) :] + other[len(preferred) :]


def _succeeded(attempts: Sequence[asyncio.Task[socket.socket]]) -> asyncio.Task[socket.socket] | None:
    return next((attempt for attempt in attempts if attempt.done() and attempt.exception() is None), None)


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    """Close what an attempt that lost has opened after all."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
