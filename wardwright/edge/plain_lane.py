"""The plain lane of a connection: one plain request after the other, each served as an ASGI application expects."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import unquote

import anyio
from hypercorn.config import Config

from wardwright.edge.http import Endpoint, Message, Scope
from wardwright.edge.inbox import Inbox
from wardwright.edge.line import Address
from wardwright.edge.plain import PlainAnswer, PlainRequest, read_plain

_FAILED = b"HTTP/1.1 500 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Host(Protocol):
    """The connection that the lane is a part of."""

    @property
    def client(self) -> Address | None:
        """The other end's address."""
        ...

    @property
    def server(self) -> Address | None:
        """This end's address."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the last answer has been given."""
        ...

    def begin(self) -> None:
        """A request has begun."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a part of its answer."""
        ...

    async def conclude(self, data: bytes, *, is_last: bool) -> None:
        """Send the end of its answer, and after the last answer of all end the connection."""
        ...


class Requests(Protocol):
    """What runs the application for each request."""

    def admit(self, scope: Scope) -> Inbox:
        """Where the messages of the next request are put."""
        ...

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task."""
        ...


class Service(Protocol):
    """What the connections of one server share."""

    @property
    def app(self) -> Endpoint:
        """The application."""
        ...

    @property
    def config(self) -> Config:
        """Hypercorn's configuration."""
        ...

    @property
    def own_headers(self) -> "OwnHeaders":
        """What the server adds to every answer."""
        ...


class OwnHeaders:
    """The headers that Hypercorn adds to every answer, the date among them; made once a second."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._made_at = 0
        self._headers: list[tuple[bytes, bytes]] = []

    def __call__(self) -> list[tuple[bytes, bytes]]:
        """The headers as of now."""
        now = int(time.time())
        if now != self._made_at:
            self._made_at, self._headers = now, self._config.response_headers("h11")
        return self._headers


class PlainLane:
    """Serves the plain requests of one connection in turn."""

    def __init__(self, host: Host, requests: Requests, service: Service) -> None:
        self._host = host
        self._requests = requests
        self._service = service
        self._exchange: Exchange | None = None
        self._served = 0

    async def take(self, data: bytes) -> bytes:
        """Take in what was read. Returns: what is no plain request, and came where the next one would begin.

        A client that asks ahead waits: its next request is looked at when the one before it was answered.
        """
        while data:
            exchange = self._exchange
            if exchange is None:
                request = read_plain(data)
                if request is None:
                    return data
                exchange = self._begin(request)
                data = await exchange.take(data[request.end :])
            else:
                data = await exchange.take(data)
            if data:
                await exchange.wait_answered()
                if self._host.is_over:
                    return b""
        return data

    def lose(self) -> None:
        """The client has gone: tell the application, if it serves a request."""
        if self._exchange is not None:
            self._exchange.lose()

    def _begin(self, request: PlainRequest) -> "Exchange":
        path, _, query = request.target.partition(b"?")
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": request.method,
            "scheme": "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": self._service.config.root_path,
            "headers": request.headers,
            "client": self._host.client,
            "server": self._host.server,
            "state": {},
            "extensions": {},
        }
        exchange = self._exchange = Exchange(request, self._requests.admit(scope), self, self._host)
        self._served += 1
        self._host.begin()
        self._requests.spawn(_serve, self._service.app, scope, exchange)
        return exchange

    # --- what exchanges say -------------------------------------------------------------------------------------------

    @property
    def is_last(self) -> bool:
        """Whether no further request is taken after the present one."""
        return self._served > self._service.config.keep_alive_max_requests

    def own_headers(self) -> list[tuple[bytes, bytes]]:
        """What the server adds to every answer."""
        return self._service.own_headers()

    def conclude(self) -> None:
        """The present request has been answered."""
        self._exchange = None


class Exchange:
    """One plain request and its answer.

    An answer to half a request is the connection's last, and says so: where the next request would begin nobody could tell.
    """

    def __init__(self, request: PlainRequest, inbox: Inbox, lane: PlainLane, host: Host) -> None:
        self.inbox = inbox
        self._lane = lane
        self._host = host
        self._answer = PlainAnswer(request.method)
        self._to_come = request.length
        self._has_arrived = False
        self._head: Message | None = None
        self._is_begun = False
        self._is_last = False
        self._is_answered = False
        self._answered: anyio.Event | None = None

    # --- the request --------------------------------------------------------------------------------------------------

    async def take(self, data: bytes) -> bytes:
        """Take in more of the body. Returns: what comes behind it."""
        if self._to_come or not self._has_arrived:
            self._has_arrived = True
            piece, data = data[: self._to_come], data[self._to_come :]
            self._to_come -= len(piece)
            await self.inbox.put({"type": "http.request", "body": piece, "more_body": self._to_come > 0})
        return data

    async def wait_answered(self) -> None:
        """Return when the answer has been given."""
        if not self._is_answered:
            self._answered = anyio.Event()
            await self._answered.wait()

    def lose(self) -> None:
        """The client has gone."""
        self.inbox.close()

    # --- the answer ---------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take a message of the application. A head leaves together with what follows it.

        Raises: ValueError: what it makes of the answer cannot be sent.
        """
        if self._is_answered:
            raise ValueError("an answer went on behind its end")
        if message["type"] == "http.response.start":
            self._head = message
            return
        is_end = not message.get("more_body", False)
        data = message.get("body", b"")
        if self._is_begun:
            data = self._answer.body(data, is_last=is_end)
        else:
            data = self._render_head() + self._answer.body(data, is_last=is_end)
            self._is_begun = True
        if is_end:
            await self._conclude(data)
        elif data:
            await self._host.send(data)

    async def end(self) -> None:
        """The application has ended. An answer that it has not is cut short; one that it has not begun is an error."""
        if self._is_answered:
            return
        self._is_last = True
        await self._conclude(b"" if self._is_begun else _FAILED)

    def _render_head(self) -> bytes:
        if self._head is None:
            raise ValueError("an answer began without a head")
        headers = [*self._head["headers"], *self._lane.own_headers()]
        if self._lane.is_last or not self.inbox.is_whole:
            self._is_last = True
            headers.append((b"connection", b"close"))
        return self._answer.head(self._head["status"], headers)

    async def _conclude(self, data: bytes) -> None:
        self._is_answered = True
        self.inbox.close()
        self._lane.conclude()
        try:
            await self._host.conclude(data, is_last=self._is_last)
        finally:
            if self._answered is not None:
                self._answered.set()


async def _serve(app: Endpoint, scope: Scope, exchange: Exchange) -> None:
    try:
        await app(scope, exchange.inbox.receive, exchange.send)
    finally:
        await exchange.end()
