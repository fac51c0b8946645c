"""The server's side on trio: lines over plain sockets, which are waited for only when they have to be."""

import socket
from contextlib import suppress

import trio
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext

from wardwright.edge.line import READ_AHEAD, Address, Line, address_of, is_hung_up

__all__ = ["WorkerContext", "open_line", "task_group"]


async def open_line(connection: socket.socket) -> Line:
    """The line of an accepted connection."""
    return TrioLine(connection)


def task_group() -> TaskGroup:
    """A group for the tasks of one connection."""
    return TaskGroup()


class TrioLine:
    """A line over a socket; what does not leave at once waits here, and its writer with it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._unsent = bytearray()
        self._sending = trio.Lock()
        self._is_closed = False
        self.client: Address | None = None
        self.server: Address | None = None
        with suppress(OSError):
            self.client = address_of(connection.getpeername())
            self.server = address_of(connection.getsockname())

    @property
    def unsent(self) -> int:
        """See `Line`."""
        return len(self._unsent)

    def has_hung_up(self) -> bool:
        """See `Line`."""
        return is_hung_up(self._socket)

    def has_unread(self) -> bool:
        """See `Line`. Whatever has come is in the socket."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    async def read(self) -> bytes:
        """See `Line`."""
        while not self._is_closed:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                return self._socket.recv(READ_AHEAD)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                break
        return b""

    async def write(self, data: bytes) -> None:
        """See `Line`."""
        if self._is_closed:
            raise ConnectionAbortedError("the connection is closed")
        if self._unsent:
            self._unsent += data
        else:
            self._unsent += data[self._send(data) :]
        if self._unsent:
            await self._send_the_rest()

    def half_close(self) -> None:
        """See `Line`."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `Line`. Only a write that was cancelled has left something unsent: its client takes nothing."""
        self.half_close()
        self.abort()

    def abort(self) -> None:
        """See `Line`."""
        if not self._is_closed:
            self._is_closed = True
            self._unsent.clear()
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def _send_the_rest(self) -> None:
        async with self._sending:
            while self._unsent:
                try:
                    await trio.lowlevel.wait_writable(self._socket)
                except trio.ClosedResourceError:
                    raise ConnectionAbortedError("the connection was closed") from None
                del self._unsent[: self._send(self._unsent)]
        if self._is_closed:
            raise ConnectionAbortedError("the connection was closed")

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.abort()
            raise ConnectionResetError("the client has gone") from error
