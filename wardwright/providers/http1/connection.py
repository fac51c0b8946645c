"""One connection to a provider: asyncio's callbacks on one side, the exchange that has it on the other.

Its invariants:

* `connection_lost` is the only end. Whoever wants it closed calls `abort`; the event loop then reports the loss, once.
* A byte that comes when no answer is due closes it: what is kept for the next request is silent and open.
* What was received is handed out before a fault is noticed, by whoever takes it first and asks for faults afterwards.
* At most one reader waits at a time, on the future of `arrival`.
* It holds no more than `HIGH_WATER` bytes and one read that nobody has taken, and hands out no more than a read's worth at a time.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from wardwright.providers.http1.answer import AnswerParser
from wardwright.providers.http1.request import Origin

READ_AT_MOST = 32 * 1024
HIGH_WATER = 32 * 1024


def read_buffer() -> memoryview:
    """Room for one read: what comes is taken out at once, so the connections of a pool can share it."""
    return memoryview(bytearray(READ_AT_MOST))


class Connection(asyncio.BufferedProtocol):
    """A connection; `answer` tells how far the answer to the last request has come."""

    def __init__(self, origin: Origin, on_lost: Callable[["Connection"], None], buffer: memoryview) -> None:
        self.origin = origin
        self.answer = AnswerParser()
        self.idle_since = 0.0
        self.is_open = False
        self.is_lost = False
        self._on_lost = on_lost
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._received: list[bytes] = []
        self._held_bytes = 0
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_reusable(self) -> bool:
        """Whether the last answer was read to its end and the next request may follow it."""
        answer = self.answer
        return (
            answer.is_complete
            and answer.may_follow
            and self.is_open
            and not self._received
            and not self._transport.get_write_buffer_size()
        )

    def send(self, request: bytes) -> None:
        """Send a request. Its answer begins to fill `answer`."""
        self.answer.begin()
        if self.is_open:
            self._transport.write(request)

    def take(self) -> bytes:
        """What has arrived of the body since the last call, perhaps nothing; of more than `READ_AT_MOST` the beginning."""
        received = self._received
        if not received:
            return b""
        if self._held_bytes <= READ_AT_MOST:
            data = received[0] if len(received) == 1 else b"".join(received)
            received.clear()
        else:
            data = self._first_part()
        self._held_bytes -= len(data)
        if self._is_paused and self.is_open and self._held_bytes <= HIGH_WATER:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def arrival(self) -> asyncio.Future[None]:
        """Done when something has happened: a read, or the loss. Ask only while it is not lost."""
        self._waiter = self._loop.create_future()
        return self._waiter

    def abort(self) -> None:
        """Close at once, whatever is still to be sent or received. Idempotent."""
        if self.is_open:
            self.is_open = False
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.take_in(self._buffer[:nbytes])

    def take_in(self, data: bytes | memoryview) -> None:
        """Take in what one read has brought."""
        if not self.is_open:
            return  # what a TLS layer still had in hand when we closed
        body = self.answer.feed(data)
        if body:
            self._hold(body)
        if self.answer.malformed is not None:
            self.abort()
        self._wake()

    def eof_received(self) -> None:
        """See `asyncio.BufferedProtocol`. Whatever is still to be sent will find no reader."""
        self.answer.end()
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.is_open = False
        self.is_lost = True
        self._on_lost(self)
        self._wake()

    def _first_part(self) -> bytes:
        """Take the first of several reads, as many as make no more than one together."""
        received, size, count = self._received, 0, 0
        while count < len(received) and (count == 0 or size + len(received[count]) <= READ_AT_MOST):
            size += len(received[count])
            count += 1
        data = b"".join(received[:count])
        del received[:count]
        return data

    def _hold(self, body: bytes) -> None:
        self._received.append(body)
        self._held_bytes += len(body)
        if self._held_bytes > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
