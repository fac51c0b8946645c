"""A server for sinks to send to: real sockets, answers by a function of the test, and it can be stopped and started at one address."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request as it came in; names of headers are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """What is answered to it."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}


class Receiver:
    """Answers what `answer` says, on a port of its own that it keeps over `stop` and `start`. Stopping cuts every connection."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self._port = 0
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = _Server(self, self._port)
        self._port = self._server.server_port

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end()


@contextmanager
def receiving(answer: Callable[[Asked], Reply]) -> Iterator[Receiver]:
    receiver = Receiver(answer)
    try:
        yield receiver
    finally:
        receiver.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, receiver: Receiver, port: int) -> None:
        self.receiver = receiver
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in self._connections:
            with suppress(OSError):  # it was closed before
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together, or the other end waits 40 ms for the second
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.receiver.answer(Asked(self.command, self.path, headers, body))
        with suppress(ConnectionError):  # the one who asked may have gone
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    do_POST = do_PUT = do_GET

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # cut by `end`
            super().handle_one_request()

    def finish(self) -> None:
        with suppress(ConnectionError):  # what is left to be written has nobody to read it
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass
