"""An upstream that never has enough: every stream goes on for as long as somebody takes it.

`python -m tests.benchmarks.flood` listens on a free loopback port and says which in one line of JSON. What it sends ahead of its
reader is kept small, so that what is taken from it is in the reader's hands, or in the system's.
"""

import asyncio
import re
import socket
from contextlib import suppress

import uvloop

from tests.benchmarks.answers import stream_writes
from tests.benchmarks.processes import announce

_BACKLOG = 4096
_AHEAD = 16 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _piece() -> bytes:
    """A hundred events of an answer, as one HTTP chunk."""
    events = b"".join(stream_writes("mock-n102", include_usage=False)[:-2])
    return b"%x\r\n%b\r\n" % (len(events), events)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)
    writer.transport.set_write_buffer_limits(0)
    piece = _piece()
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(_HEAD)
        while True:
            writer.write(piece)
            await writer.drain()


async def main() -> None:
    """Serve until the process is told to stop."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        server = await asyncio.start_server(_serve, sock=listener)
        announce(*listener.getsockname()[:2])
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
