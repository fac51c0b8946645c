"""One call to the test upstream, and the means to answer it well or badly."""

import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.readable import readable

ANSWER = "The quick brown fox jumps over the lazy dog and goes on to find the way home again."


@dataclass(frozen=True)
class Call:
    """One request as it arrived. `connection` numbers the connections in the order they were accepted."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.json["model"]) if self.body else ""

    @property
    def wants_stream(self) -> bool:
        """Whether a streamed answer was asked for."""
        return bool(self.json.get("stream"))


class ClientGone(Exception):
    """The client hung up while it was being answered."""


@dataclass
class Tuning:
    """The suffixes of a model name."""

    chunks: int = 3
    pause_s: float = 0.0
    delay_s: float = 0.0


@dataclass
class Exchange:
    """One call being answered: what behaviours write with. Every write raises `ClientGone` when the client has left."""

    call: Call
    tuning: Tuning
    connection: socket.socket
    stopping: socket.socket
    held: socket.socket | None = None
    keep_open: bool = True
    sent_bytes: int = 0

    @property
    def stopped(self) -> bool:
        """Whether the test is over."""
        return bool(readable(self.stopping, timeout=0))

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise ClientGone from error
        self.sent_bytes += len(data)

    def head(self, status: int, **headers: str) -> None:
        """A status line and headers; `content_type` becomes `content-type`."""
        lines = [
            f"HTTP/1.1 {status} Whatever",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def whole(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        """A complete answer of known length, in one write."""
        fields = {"content-type": content_type, "content-length": str(len(body)), **headers}
        lines = [
            f"HTTP/1.1 {status} Whatever",
            *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items()),
        ]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def begin_stream(self, content_type: str = "text/event-stream", **headers: str) -> None:
        """The headers of a chunked answer."""
        self.head(200, content_type=content_type, transfer_encoding="chunked", **headers)

    def piece(self, data: bytes) -> None:
        """One HTTP chunk."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, payload: object) -> None:
        """One server-sent event in an HTTP chunk of its own."""
        self.pause(self.tuning.pause_s)
        self.piece(b"data: %s\n\n" % (payload if isinstance(payload, bytes) else json.dumps(payload).encode()))

    def end_stream(self) -> None:
        """The end of a chunked answer."""
        self.send(b"0\r\n\r\n")

    def words(self) -> None:
        """As many content events as the call's tuning wants, the role in the first."""
        for number, word in enumerate(answer_words(self.tuning.chunks)):
            self.event(chunk({"role": "assistant", "content": word} if number == 0 else {"content": word}))

    def finish(self) -> None:
        """The event that ends the answer's only choice."""
        self.event(chunk({}, finish_reason="stop"))

    def usage(self) -> None:
        """The usage event, when the call asked for one."""
        if (self.call.json.get("stream_options") or {}).get("include_usage"):
            self.event({**chunk({}), "choices": [], "usage": usage(self.tuning.chunks)})

    def done(self) -> None:
        """The last event and the end of the body, in one write as busy servers do."""
        self.send(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def pause(self, seconds: float) -> None:
        """Wait, but notice a client that leaves meanwhile."""
        if seconds and self._wait(time.monotonic() + seconds):
            raise ClientGone

    def hold(self) -> None:
        """Do nothing until the client hangs up (or the test is over)."""
        self._wait(None)
        raise ClientGone

    def wait_until_let_go(self) -> None:
        """Wait for as long as the test holds answers, but notice a client that leaves meanwhile."""
        if self.held is not None and self._wait(None, self.held):
            raise ClientGone

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close after this call."""
        self.keep_open = False

    def _wait(self, until: float | None, *ends: socket.socket) -> bool:
        """Wait until then or for one of these ends, or for ever; True when there is no point in going on."""
        left = None if until is None else max(0.0, until - time.monotonic())
        ready = readable(self.connection, self.stopping, *ends, timeout=left)
        if ready == [self.connection] and _has_data(self.connection):
            raise AssertionError("the client sent more before it had its answer")
        return not set(ready) <= set(ends)


def _has_data(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def answer_words(count: int) -> list[str]:
    """The words of the standard answer, as the stream brings them."""
    words = ANSWER.split(" ")
    return [words[n % len(words)] + (" " if n + 1 < count else "") for n in range(count)]


def answer_text(count: int = 3) -> str:
    """The standard answer of a call with so many chunks, streamed or whole."""
    return "".join(answer_words(count))


def usage(completion_tokens: int) -> dict[str, int]:
    """The token counts the upstream reports."""
    return {"prompt_tokens": 7, "completion_tokens": completion_tokens, "total_tokens": 7 + completion_tokens}


def chunk(delta: Mapping[str, object], *, finish_reason: str | None = None, index: int = 0) -> dict[str, Any]:
    """A chat completion chunk with one choice."""
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "upstream-model",
        "choices": [{"index": index, "delta": dict(delta), "finish_reason": finish_reason}],
    }


def completion(text: str, completion_tokens: int) -> dict[str, object]:
    """A whole chat completion."""
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "upstream-model",
        "system_fingerprint": "fp_upstream",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(completion_tokens),
    }


def error_body(message: str, *, type: str = "server_error", code: str | None = None) -> bytes:
    """An OpenAI error envelope."""
    return json.dumps({"error": {"message": message, "type": type, "param": None, "code": code}}).encode()
