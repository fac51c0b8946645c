"""The upstream of the benchmark: a model server that costs a few microseconds per request, so that the gateway is what is seen.

`python -m tests.benchmarks.upstream` listens on a free loopback port and says which in one line of JSON. Speaks just enough
HTTP/1.1: keep-alive, bodies of known length, chunked answers. `answers` tells what it says.
"""

import asyncio
import re
from functools import cache
from http import HTTPStatus
from typing import cast

import msgspec
import uvloop

from tests.benchmarks.answers import Asked, behaviour_of, completion, parse_asked, stream_writes
from tests.benchmarks.processes import announce

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_STREAM_END = b"0\r\n\r\n"


class UpstreamProtocol(asyncio.Protocol):
    """One connection. Answers one request at a time; what arrives meanwhile waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are registered nowhere

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        self._answer_next()

    def _answer_next(self) -> None:
        while self._timer is None and (body := self._take_request()) is not None:
            self._answer(body)

    def _take_request(self) -> bytes | None:
        """The body of the next whole request; None while there is none."""
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return None
        length = _LENGTH.search(self._received, 0, head_end)
        begin = head_end + len(_HEAD_END)
        end = begin + (int(length[1]) if length else 0)
        if len(self._received) < end:
            return None
        body, self._received = self._received[begin:end], self._received[end:]
        return body

    def _answer(self, body: bytes) -> None:
        try:
            asked = parse_asked(body)
            behaviour = behaviour_of(asked.model)
        except (msgspec.DecodeError, ValueError) as error:
            message = msgspec.json.encode({"error": {"message": str(error), "type": "invalid_request_error"}})
            self._write(_whole(HTTPStatus.BAD_REQUEST, message))
            return
        if behaviour.delay_s:
            self._timer = self._loop.call_later(behaviour.delay_s, self._begin, asked)
        else:
            self._begin(asked)

    def _begin(self, asked: Asked) -> None:
        self._timer = None
        pace_s = behaviour_of(asked.model).pace_s
        if not asked.stream:
            self._write(_whole(HTTPStatus.OK, completion(asked.model)))
        elif not pace_s:
            self._write(_burst(asked.model, include_usage=asked.wants_usage))
        else:
            writes = _framed(asked.model, include_usage=asked.wants_usage)
            self._tick(writes, 0, self._loop.time(), pace_s)
            return
        self._answer_next()

    def _tick(self, writes: tuple[bytes, ...], position: int, began: float, pace_s: float) -> None:
        """Write what is due, on a fixed schedule: a late tick does not delay the ones after it."""
        self._write(writes[position])
        position += 1
        if position < len(writes):
            due = began + position * pace_s
            self._timer = self._loop.call_at(due, self._tick, writes, position, began, pace_s)
        else:
            self._timer = None
            self._answer_next()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


@cache
def _framed(model: str, *, include_usage: bool) -> tuple[bytes, ...]:
    """The writes of a paced stream, the head of the answer in the first and its end in the last."""
    first, *others = (b"%x\r\n%b\r\n" % (len(w), w) for w in stream_writes(model, include_usage=include_usage))
    *middle, last = others
    return (_STREAM_HEAD + first, *middle, last + _STREAM_END)


@cache
def _burst(model: str, *, include_usage: bool) -> bytes:
    return b"".join(_framed(model, include_usage=include_usage))


@cache
def _whole(status: HTTPStatus, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve() -> None:
    """Answer until the process is told to stop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: UpstreamProtocol(loop), "127.0.0.1", 0, backlog=1024)
    announce(*server.sockets[0].getsockname()[:2])
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
