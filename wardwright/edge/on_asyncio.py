"""The server's side on asyncio and uvloop: lines over transports, without streams and tasks between."""

import asyncio
import socket

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext

from wardwright.edge.line import FLUSH_S, READ_AHEAD, Address, Line, address_of, is_hung_up

__all__ = ["WorkerContext", "open_line", "task_group"]


async def open_line(connection: socket.socket) -> Line:
    """The line of an accepted connection."""
    loop = asyncio.get_running_loop()
    _, line = await loop.connect_accepted_socket(lambda: AsyncioLine(loop), connection)
    return line


def task_group() -> TaskGroup:
    """A group for the tasks of one connection."""
    return TaskGroup(asyncio.get_running_loop())


class AsyncioLine(asyncio.Protocol):
    """A line over a transport of the loop, which buffers what does not leave at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._unread = bytearray()
        self._is_at_end = False
        self._is_lost = False
        self._is_full = False
        self._reader: asyncio.Future[None] | None = None
        self._flushing: asyncio.TimerHandle | None = None
        self._writers: list[asyncio.Future[None]] = []
        self.client: Address | None = None
        self.server: Address | None = None

    @property
    def unsent(self) -> int:
        """See `Line`."""
        return self._transport.get_write_buffer_size()

    def has_hung_up(self) -> bool:
        """See `Line`."""
        return self._is_at_end or is_hung_up(self._transport.get_extra_info("socket"))

    def has_unread(self) -> bool:
        """See `Line`."""
        return bool(self._unread)

    async def read(self) -> bytes:
        """See `Line`."""
        while not self._unread:
            if self._is_at_end:
                return b""
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if len(self._unread) <= READ_AHEAD:
            data = bytes(self._unread)
            self._unread.clear()
            return data
        data = bytes(self._unread[:READ_AHEAD])
        del self._unread[:READ_AHEAD]
        if len(self._unread) <= READ_AHEAD and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """See `Line`."""
        if self._transport.is_closing():
            raise ConnectionAbortedError("the connection is closed")
        self._transport.write(data)
        if self._is_full:
            await self._room()

    def half_close(self) -> None:
        """See `Line`."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """See `Line`."""
        if not self._transport.is_closing():
            self._transport.close()
            self._flushing = self._loop.call_later(FLUSH_S, self._transport.abort)

    def abort(self) -> None:
        """See `Line`."""
        self._transport.abort()

    async def _room(self) -> None:
        writer = self._loop.create_future()
        self._writers.append(writer)
        try:
            await writer
        finally:
            self._writers.remove(writer)
        if self._is_lost:
            raise ConnectionResetError("the client has gone")

    # --- what the loop calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = transport  # type: ignore[assignment] # a stream's, by the way it was made
        self.client = address_of(transport.get_extra_info("peername"))
        self.server = address_of(transport.get_extra_info("sockname"))

    def data_received(self, data: bytes) -> None:
        """Keep it for the reader; one that is far behind stops its client."""
        self._unread += data
        if len(self._unread) > READ_AHEAD:
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """The client sends no more; what is being written may still leave."""
        self._is_at_end = True
        self._wake_reader()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is no more."""
        self._is_at_end = self._is_lost = True
        if self._flushing is not None:
            self._flushing.cancel()
        self._wake_reader()
        self._wake_writers()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._is_full = False
        self._wake_writers()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writers(self) -> None:
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
