"""Small pieces every endpoint shares: typed ASGI, reading a bounded body, sending JSON and errors."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from wardwright.domain.errors import RequestError, RequestTooLarge, UnsupportedMediaType
from wardwright.edge.errors import ErrorAnswer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
"""The headers of an answer that is a stream of events."""

_JSON = b"application/json"
_LENGTH_DIGITS = 20  # a longer number is no length of anything, and Python refuses to read the longest


class Client(Protocol):
    """The other end of a request, as our server adds it to the scope under `CLIENT`."""

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Have `on_gone`, which never blocks, called when the client leaves; at once when it has. Called once at most."""
        ...

    def unwatch(self) -> None:
        """Call nobody. Idempotent."""
        ...


CLIENT = "wardwright.client"


class ClientGone(Exception):
    """The client left before its request was complete; there is nobody to answer."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first request header of that lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def headers_of(scope: Scope) -> dict[str, str]:
    """Request headers by lower-case name; of a repeated one the first counts.

    Names of people and things are sent in UTF-8 today, and must be the same here as in a body; what is none is taken for Latin-1.
    """
    first_counts = reversed(scope["headers"])
    return {key.decode("latin-1"): value.decode() if value.isascii() else _text(value) for key, value in first_counts}


async def read_json_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """The whole body of a request that must be JSON.

    Raises: UnsupportedMediaType, RequestTooLarge, ClientGone.
    """
    named: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of a name counts
    content_type = named.get(b"content-type") or _JSON
    if content_type != _JSON and content_type.partition(b";")[0].strip().lower() != _JSON:
        shown = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        raise UnsupportedMediaType(f"the body must be application/json, not {shown}")
    encoding = named.get(b"content-encoding")
    if encoding and encoding.strip().lower() != b"identity":
        shown = encoding.strip().lower().decode("latin-1")
        raise UnsupportedMediaType(f"the body must be sent as it is, not in the encoding {shown}")
    announced = named.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > _LENGTH_DIGITS or int(announced) > limit):
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunk = message.get("body", b"")
        if chunk:
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def send_body(send: Send, status: int, body: bytes, *, content_type: str, headers: Headers = ()) -> None:
    """A whole answer in one go."""
    await send({"type": "http.response.start", "status": status, "headers": _encoded(content_type, len(body), headers)})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, payload: object, *, status: int = 200, headers: Headers = ()) -> None:
    """Any value msgspec can encode; what it cannot is shown as text."""
    body = msgspec.json.encode(payload, enc_hook=str)
    await send_body(send, status, body, content_type="application/json", headers=headers)


async def send_error(
    send: Send, answer: ErrorAnswer, *, wardwright: Mapping[str, object] | None = None, headers: Headers = ()
) -> None:
    """An error answer with its envelope."""
    body = answer.render(wardwright)
    await send_body(send, answer.status, body, content_type="application/json", headers=(*answer.headers, *headers))


def query_parameters(scope: Scope) -> dict[str, str]:
    """Query parameters by name; of a repeated one the last counts. Raises: RequestError when not UTF-8."""
    return dict(query_pairs(scope))


def query_pairs(scope: Scope) -> list[tuple[str, str]]:
    """Query parameters in their order. Raises: RequestError when not UTF-8."""
    try:
        return parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestError("the query string is not valid UTF-8") from error


def _encoded(content_type: str, length: int, headers: Headers) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", content_type.encode("ascii")),
        (b"content-length", str(length).encode("ascii")),
        *[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
    ]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body is larger than the {limit} bytes this server accepts ([server] max_body_bytes)")
