"""Clients in threads: streams that run while something is broken on purpose, and what each of them saw."""

import json
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.acceptance.daemon import Daemon


@dataclass
class Seen:
    """What one client saw of one request."""

    status: int = 0
    receipt_id: str = ""
    done: bool = False
    error: dict[str, Any] | None = None
    broken: str = ""
    text: str = ""
    content_type: str = ""
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_well_formed(self) -> bool:
        """A whole answer, or exactly one error the client can read: never a silently cut answer."""
        return not self.broken and (self.done != (self.error is not None))


def read_stream(daemon: Daemon, seen: Seen, *, model: str = "test-model", prompt: str = "hello", **fields: Any) -> Seen:
    """Make one streamed request and note everything of it."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}], **fields}
    try:
        with daemon.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
            seen.status = answer.status_code
            seen.receipt_id = answer.headers.get("x-wardwright-receipt-id", "")
            seen.content_type = answer.headers.get("content-type", "")
            if answer.status_code != 200:
                answer.read()
                seen.error = answer.json()["error"]
                return seen
            note_lines(answer.iter_lines(), seen)
    except (httpx2.TransportError, ValueError) as error:
        seen.broken = f"{type(error).__name__}: {error}"
    finally:
        seen.started.set()
        seen.ended.set()
    return seen


def send_chat(daemon: Daemon, *, stream: bool) -> socket.socket:
    """Send a chat request on a bare socket, which can leave as rudely as it likes."""
    host, port = daemon.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "test-model", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


@contextmanager
def streams(daemon: Daemon, count: int, **fields: Any) -> Iterator[list[Seen]]:
    """`count` streams at once, all of them begun; on leaving they have all ended."""
    seen = [Seen() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        running: list[Future[Seen]] = [pool.submit(read_stream, daemon, one, **fields) for one in seen]
        for one in seen:
            assert one.started.wait(60)
        yield seen
        for future in running:
            future.result(60)


def note_lines(lines: Iterable[str], seen: Seen) -> None:
    """Note what a stream's lines say."""
    for line in lines:
        if line.startswith("data: "):
            seen.started.set()
            _note(line.removeprefix("data: "), seen)


def _note(payload: str, seen: Seen) -> None:
    if payload == "[DONE]":
        seen.done = True
        return
    event = json.loads(payload)
    if "error" in event:
        seen.error = event["error"]
        return
    for choice in event["choices"]:
        seen.text += choice["delta"].get("content") or ""
