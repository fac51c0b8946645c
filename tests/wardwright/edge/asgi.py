"""The application without a server: requests as ASGI says them, answers as it takes them, on the stage of virtual time."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from tests.wardwright.runtime.stage import Stage, stage
from wardwright.edge.app import EdgeOptions, ErrorBoundary, build_app
from wardwright.edge.http import CLIENT, Message, Scope
from wardwright.edge.inline import InlineOptions
from wardwright.ports.provider import Provider
from wardwright.runtime.catalog_desk import CatalogDesk
from wardwright.runtime.decision_desk import DecisionDesk
from wardwright.runtime.event_desk import EventDesk
from wardwright.runtime.sink_desk import SinkDesk
from wardwright.runtime.transient import TransientBoard
from wardwright.runtime.versions import Versions

NOT_ALLOWED = InlineOptions()
LOOPBACK = ("127.0.0.1", 50000)
ELSEWHERE = ("192.0.2.7", 50000)


class Client:
    """One request and what came back. Refuses whatever a server would refuse: two heads, a body before one, more after the end.

    `on_send` is called before each message is taken; it may raise.
    """

    def __init__(self, *body: bytes, on_send: Callable[[Message], None] | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.is_complete = False
        self._body = list(body)
        self._on_send = on_send
        self._gone = anyio.Event()
        self._on_gone: Callable[[], object] | None = None

    def leave(self) -> None:
        """Close the connection."""
        self._gone.set()
        self._tell()

    def watch(self, on_gone: Callable[[], object]) -> None:
        self._on_gone = on_gone
        if self._gone.is_set():
            self._tell()

    def unwatch(self) -> None:
        self._on_gone = None

    def _tell(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    async def receive(self) -> Message:
        if self._body:
            chunk = self._body.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._body)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await checkpoint()
        assert not self.is_complete, f"after the end of an answer: {message}"
        if self._on_send is not None:
            self._on_send(message)
        if message["type"] == "http.response.start":
            assert not self.status, "an answer has one head"
            self.status = message["status"]
            self._keep_headers(message["headers"])
        else:
            assert self.status, "a body before its head"
            self.chunks.append(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
        await checkpoint()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of the server-sent events; what is not JSON stays text."""
        data = [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]
        return [json.loads(text) if text.startswith("{") else text for text in data]

    def _keep_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            assert isinstance(name, bytes)
            assert isinstance(value, bytes)
            assert name == name.lower(), "ASGI wants names in lower case"
            assert name.decode() not in self.headers, f"{name!r} is sent twice"
            self.headers[name.decode()] = value.decode("latin-1")


class Site:
    """An application before a running gateway."""

    def __init__(self, app: ErrorBoundary, on: Stage) -> None:
        self.app = app
        self.on = on

    async def request(
        self,
        method: str,
        path: str,
        *,
        client: Client | None = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        peer: tuple[str, int] | None = LOOPBACK,
    ) -> Client:
        """Make a request and return when the application is done with it."""
        client = client or Client(b"")
        scope = http_scope(method, path, headers=headers, query=query, peer=peer)
        await self.app({**scope, CLIENT: client}, client.receive, client.send)
        return client

    async def get(self, path: str, **options: Any) -> Client:
        return await self.request("GET", path, **options)

    async def chat(
        self, client: Client | None = None, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> Client:
        """Ask the model; fields are added to the body."""
        body = {"model": "test-model", "messages": [{"role": "user", "content": "hi"}], **fields}
        client = client or Client()
        client._body.append(json.dumps(body).encode())
        return await self.request("POST", "/v1/chat/completions", client=client, headers=headers)


def http_scope(
    method: str = "GET",
    path: str = "/",
    *,
    headers: Mapping[str, str] | None = None,
    query: str = "",
    peer: tuple[str, int] | None = LOOPBACK,
) -> Scope:
    """What a server says of a request."""
    sent = {"host": "localhost:8791", **(headers or {})}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        "client": peer,
        "server": ("127.0.0.1", 8791),
    }


@asynccontextmanager
async def site(
    *providers: Provider,
    admin_token: str | None = None,
    max_body_bytes: int = 10_000,
    inline: InlineOptions = NOT_ALLOWED,
    ping_s: float = 0.0,
    **options: Any,
) -> AsyncIterator[Site]:
    """Serve on the stage; `options` are the stage's."""
    async with stage(*providers, **options) as on:
        board, versions = on.boards.catalog, Versions(on.boards.control, TransientBoard())
        desk = CatalogDesk(on.system, board=board, versions=versions)
        decisions = DecisionDesk(
            on.gateway.sessions, board=board, versions=versions, facts=on.gateway.facts, opening=on.gateway.opening
        )
        app = build_app(
            on.gateway,
            on.view,
            desk,
            decisions,
            EventDesk(on.system, on.bus),
            SinkDesk(on.system, on.boards.sinks, now=lambda: 0.0),
            on.metrics,
            options=EdgeOptions(admin_token=admin_token, max_body_bytes=max_body_bytes, ping_s=ping_s, inline=inline),
        )
        yield Site(app, on)
