"""The connections of one transport: those in use, those kept for the next request, and the wait when there are too many.

Its invariants:

* `max_connections` bounds the connections being opened, in use and kept, taken together.
* Every kept connection is open and silent; one that the peer closes is never handed out.
* The sweep is due no later than the oldest kept connection's time is over, so that `take` reads no clock.
"""

import asyncio
import socket
import ssl
from collections import deque

from wardwright.domain.errors import ProviderError
from wardwright.providers.http1.connection import Connection, read_buffer
from wardwright.providers.http1.dialling import dial
from wardwright.providers.http1.request import Origin
from wardwright.providers.transport import TransportOptions, fault


class ConnectionPool:
    """Hands out connections: `take` a kept one, or `connect`; either way `release` it afterwards."""

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._buffer = read_buffer()
        self._open: set[Connection] = set()
        self._dialling = 0
        # By origin, the one used last at the end: it is taken first, so that those too many grow old.
        self._kept: dict[Origin, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._clocks: set[asyncio.Timeout] = set()
        self._is_closed = False
        self._emptied = asyncio.Event()

    def take(self, origin: Origin) -> Connection | None:
        """A kept connection, if there is one."""
        kept = self._kept.get(origin)
        while kept:
            connection = kept.pop()
            if connection.is_open:
                return connection
        return None

    async def connect(self, origin: Origin) -> Connection:
        """A new connection, or one that comes free while waiting for the room to open it.

        Raises: ProviderError of class `connect`.
        Cancellation: cancel point; on cancel, whatever was opened is closed.
        """
        if self._is_closed:
            raise _closed(origin)
        clock = asyncio.timeout(self._options.connect_timeout_s)
        self._clocks.add(clock)
        try:
            async with clock:
                return await self._wait_or_dial(origin)
        except OSError as error:
            if self._is_closed:
                raise _closed(origin) from error
            raise _refusal(error, origin, is_late=clock.expired()) from error
        finally:
            self._clocks.discard(clock)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        if self._is_closed or not connection.is_reusable:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._kept.setdefault(connection.origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._options.keepalive_s, self._sweep)
        self._wake_waiter()

    async def aclose(self) -> None:
        """Close every connection, the ones in use and the ones being opened included. Idempotent."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._open):
            connection.abort()
        for clock in self._clocks:
            if not clock.expired():
                clock.reschedule(self._loop.time())
        if self._open or self._dialling:
            await self._emptied.wait()

    async def _wait_or_dial(self, origin: Origin) -> Connection:
        while len(self._open) + self._dialling >= self._options.max_connections:
            self._close_oldest_kept()
            await self._room()
            connection = self.take(origin)
            if connection is not None:
                return connection
        self._dialling += 1
        try:
            connection = await dial(origin, lambda: Connection(origin, self._forget, self._buffer))
            if connection.is_open:
                self._open.add(connection)
            return connection
        finally:
            self._dialling -= 1
            self._note_room()

    async def _room(self) -> None:
        """Wait for a connection that comes free or closes. Another request may be faster: look, and wait again."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._wake_waiter()  # the news was for whoever still waits
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def _close_oldest_kept(self) -> None:
        kept = [connection for connections in self._kept.values() for connection in connections if connection.is_open]
        if kept:
            min(kept, key=lambda connection: connection.idle_since).abort()

    def _sweep(self) -> None:
        """Close what has been kept too long, forget what the peer closed, and come again for the oldest of the others."""
        now = self._loop.time()
        oldest = now
        for origin, connections in list(self._kept.items()):
            for connection in connections:
                if now - connection.idle_since >= self._options.keepalive_s:
                    connection.abort()
            self._kept[origin] = [connection for connection in connections if connection.is_open]
            if self._kept[origin]:
                oldest = min(oldest, self._kept[origin][0].idle_since)
            else:
                del self._kept[origin]
        self._sweeper = self._loop.call_at(oldest + self._options.keepalive_s, self._sweep) if self._kept else None

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._note_room()

    def _note_room(self) -> None:
        self._wake_waiter()
        if self._is_closed and not self._open and not self._dialling:
            self._emptied.set()

    def _wake_waiter(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _closed(origin: Origin) -> ProviderError:
    return fault("connect", f"the transport to {origin} was closed")


def _refusal(error: OSError, origin: Origin, *, is_late: bool) -> ProviderError:
    """What a connection that did not come about means. The first row that fits decides."""
    match error:
        case TimeoutError() if is_late:
            return fault("timeout", f"no connection to {origin} within the connect timeout", clock="connect")
        case socket.gaierror():
            return fault("connect", f"the host name of {origin} could not be looked up")
        case ssl.SSLError():
            return fault("connect", f"no secure connection to {origin}: its TLS certificate or handshake was refused")
        case _:
            return fault("connect", f"could not connect to {origin}: {error.strerror or 'refused'}")
