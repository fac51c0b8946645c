"""An OpenAI-compatible upstream that can misbehave in every way the gateway must survive. Real sockets, loopback only.

    with Upstream() as upstream:
        provider = OpenAICompatibleProvider(..., base_url=upstream.url)
        ...
        assert upstream.calls[0].model == "ok"

The model name in the request chooses the behaviour (`behaviours.py` lists them); suffixes tune it: `ok-n5` answers in 5 chunks, `-p10`
waits 10 ms before each chunk, `-d50` waits 50 ms before the headers. `500-once` answers 500 the first time and `ok` afterwards. A script
overrules the names for the calls to come: `upstream.script("reset", "ok")`. Whatever follows an `@` only tells models apart that behave
alike: `reset@1`.

One thread per connection and no event loop, so that it serves tests on any backend and synchronous ones alike. A test that must
not block its own loop waits in a worker thread: `await anyio.to_thread.run_sync(upstream.wait_for_hang_ups, 1)`.
"""

import re
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from tests.support import foreign, resuming  # noqa: F401 - add to the behaviours
from tests.support.behaviours import BEHAVIOURS, Behaviour
from tests.support.exchange import ANSWER, Call, ClientGone, Exchange, Tuning, answer_text, answer_words, error_body
from tests.support.readable import readable

__all__ = ["ANSWER", "BEHAVIOURS", "Call", "Upstream", "answer_text", "answer_words", "refusing_url", "silent_url"]

_SUFFIX = re.compile(r"-(n|p|d)(\d+)$")
_STATUS = re.compile(r"[345]\d\d$")


class Upstream:
    """The server. `calls` grows by one per request; counters may be read at any time.

    One that is not `listening` refuses connections until `listen` is called: nobody else can take its port meanwhile.
    """

    def __init__(self, *, listening: bool = True) -> None:
        self.calls: list[Call] = []
        self.connections = 0
        self.open_connections = 0
        self.hang_ups = 0
        self.answered = 0
        self.exchanges: list[Exchange] = []
        self._script: deque[str] = deque()
        self._served: Counter[str] = Counter()
        self._changed = threading.Condition()
        # Readable once its other end is closed: what ends every wait at once.
        self._stopping, self._running = socket.socketpair()
        self._held: list[socket.socket] = []
        self._is_holding = False
        self._threads: list[threading.Thread] = []
        self._live: set[socket.socket] = set()
        self._healed: set[str] = set()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._is_listening = listening
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        if self._is_listening:
            self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def listen(self) -> None:
        """Accept connections from now on."""
        self._listener.listen(1024)
        self._start(self._accept)

    def heal(self, model: str) -> None:
        """Have the model of this name behave well from now on."""
        self._healed.add(model)

    def script(self, *behaviours: str) -> None:
        """Behaviours for the next calls, whatever model they ask for."""
        self._script.extend(behaviours)

    @contextmanager
    def holding(self) -> Iterator[Callable[[], None]]:
        """Hold the answers of the behaviour `held` that begin within the block, until what is yielded is called; or until its end."""
        held, letting_go = socket.socketpair()
        self._held.append(held)
        self._is_holding = True
        try:
            yield letting_go.close  # which makes the other end readable
        finally:
            self._is_holding = False
            letting_go.close()

    def stop(self) -> None:
        """Stop serving and close every connection. Idempotent."""
        self._running.close()
        for connection in list(self._live):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes a thread whose client has stopped reading
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a connection of the test upstream did not end"
        self._listener.close()
        for held in self._held:
            held.close()
        self._stopping.close()

    def wait_for_hang_ups(self, count: int, timeout: float = 60.0) -> bool:
        """Wait until so many clients have left while they were being answered."""
        return self._wait_until(lambda: self.hang_ups >= count, timeout)

    def wait_for_calls(self, count: int, timeout: float = 60.0) -> bool:
        """Wait until so many requests have arrived."""
        return self._wait_until(lambda: len(self.calls) >= count, timeout)

    def wait_for_answers(self, count: int, timeout: float = 60.0) -> bool:
        """Wait until so many requests have been answered to the end."""
        return self._wait_until(lambda: self.answered >= count, timeout)

    def wait_for_open_connections(self, count: int, timeout: float = 60.0) -> bool:
        """Wait until exactly so many connections are open."""
        return self._wait_until(lambda: self.open_connections == count, timeout)

    def _wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._awaits(self._listener):
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        self._live.add(connection)
        self._count(open_connections=1)
        try:
            with connection:
                while self._serve_call(connection, number):
                    pass
        finally:
            self._live.discard(connection)
            self._count(open_connections=-1)

    def _serve_call(self, connection: socket.socket, number: int) -> bool:
        call = self._read_call(connection, number)
        if call is None:
            return False
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        behaviour, tuning = self._choose(call)
        exchange = Exchange(call, tuning, connection, self._stopping, self._held[-1] if self._is_holding else None)
        self.exchanges.append(exchange)
        try:
            behaviour(exchange)
        except ClientGone:
            if not exchange.stopped:
                self._count(hang_ups=1)
            return False
        self._count(answered=1)
        return exchange.keep_open

    def _choose(self, call: Call) -> tuple[Behaviour, Tuning]:
        asked = self._script.popleft() if self._script else call.model or "ok"
        name = "ok" if asked in self._healed else asked.partition("@")[0]
        tuning, suffixes = Tuning(), {}
        while name not in BEHAVIOURS and (match := _SUFFIX.search(name)):
            suffixes[match[1]] = int(match[2])
            name = name[: match.start()]
        tuning.chunks = suffixes.get("n", tuning.chunks)
        tuning.pause_s = suffixes.get("p", 0) / 1000
        tuning.delay_s = suffixes.get("d", 0) / 1000
        if name.endswith("-once"):
            self._served[asked] += 1
            name = name.removesuffix("-once") if self._served[asked] == 1 else "ok"
        if name not in BEHAVIOURS and _STATUS.match(name):
            return lambda exchange: exchange.whole(int(name), error_body(f"status {name}")), tuning
        return BEHAVIOURS.get(name, _unknown), tuning

    def _read_call(self, connection: socket.socket, number: int) -> Call | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._receive(connection)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            piece = self._receive(connection)
            if not piece:
                return None
            body += piece
        return Call(method, path, headers, body, number)

    def _receive(self, connection: socket.socket) -> bytes:
        try:
            return connection.recv(65536) if self._awaits(connection) else b""
        except OSError:
            return b""

    def _awaits(self, source: socket.socket) -> bool:
        """Wait until the socket has something; False when it is time to stop."""
        return self._stopping not in readable(source, self._stopping)

    def _count(self, *, open_connections: int = 0, hang_ups: int = 0, answered: int = 0) -> None:
        with self._changed:
            self.open_connections += open_connections
            self.hang_ups += hang_ups
            self.answered += answered
            self._changed.notify_all()


def _unknown(exchange: Exchange) -> None:
    body = error_body("The test upstream has no such behaviour.", type="invalid_request_error", code="model_not_found")
    exchange.whole(404, body)


def refusing_url() -> str:
    """A base URL at a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/v1"


@contextmanager
def silent_url() -> Iterator[str]:
    """A base URL whose port takes connection requests and never answers them: the way to a connect timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [_connecting(address) for _ in range(4)]
        try:
            yield f"http://127.0.0.1:{address[1]}/v1"
        finally:
            for connection in waiting:
                connection.close()


def _connecting(address: tuple[str, int]) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(address)
    return connection
