"""What the tests of the asyncio client stand on: asyncio in virtual time, and a socket's place taken by a list.

The client knows no other event loop, so its tests do not run on trio; what a provider may rely on is proven on every loop by
`test_transport.py`.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from supervisors.testing import VirtualClockLoop
from wardwright.providers.http1.connection import Connection, read_buffer
from wardwright.providers.http1.request import Origin

P = ParamSpec("P")

ORIGIN = Origin("provider.test", 80, is_secure=False)


def on_asyncio(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on asyncio in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(main())

    return run


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; the test plays the peer, by way of the connection's callbacks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.is_paused = False
        self._connection = connection
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        self._is_closing = True
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)


def open_connection() -> tuple[Connection, MemoryTransport]:
    """A connection that has just been made."""
    connection = Connection(ORIGIN, lambda lost: None, read_buffer())
    transport = MemoryTransport(connection)
    connection.connection_made(transport)
    return connection, transport
