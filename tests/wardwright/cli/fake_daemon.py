"""A stand-in for a daemon's HTTP surface: real sockets, answers as a test lays them down, and a record of what was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, object] | Callable[[Mapping[str, str]], tuple[int, object]]


class Asked(NamedTuple):
    """One request as it came in: the path as it was on the wire, still percent-encoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None


class FakeDaemon:
    """Answers by method and path; anything else is a 404 in the daemon's error envelope. A `bytes` body goes out as it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], Answer] = {}

    def lay(self, method: str, path: str, answer: Answer) -> None:
        self._answers[method, path] = answer

    def take(self, asked: Asked) -> tuple[int, object]:
        self.asked.append(asked)
        answer = self._answers.get((asked.method, asked.path), error_answer(404, "there is nothing here", "not_found"))
        return answer(asked.query) if callable(answer) else answer


def error_answer(status: int, message: str, code: str) -> tuple[int, object]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


@contextmanager
def run_fake_daemon() -> Iterator[FakeDaemon]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(sent) if sent else None
            asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body)
            status, answer = daemon.take(asked)
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            with suppress(ConnectionError):  # the one who asked may have gone
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        daemon = FakeDaemon(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()
