"""The HTTP transport providers stand on: one protocol, one implementation per async backend.

What every transport promises, whichever library does the work (`tests/wardwright/providers/test_transport.py` proves it):

* A body is handed out as it arrives: the first bytes are never held back to fill a buffer.
* Who reads a body can be cancelled, before long, even when there is always more to be read at once.
* Leaving `request(...)` before the end of the body, cancellation included, closes that connection at once. Only a connection
  whose answer was read to its end is used again.
* Nothing is sent but the given headers, those allowed by `ALLOWED_HEADERS`, and what HTTP itself needs. No cookies are kept, no
  redirect is followed, no proxy or credential is taken from the environment, nothing is decompressed.
* Every fault is a `ProviderError`. A connection that fails before the first byte of the answer, a reused one that the peer had
  closed meanwhile included, is of class `connect`: the provider answered nothing, so the same target may be asked again.
* The connect timeout bounds name look-up, TCP and TLS, and is a `timeout` by its clock. Every other clock is the caller's, who cancels.
"""

import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

import msgspec
import sniffio

from wardwright.domain.errors import Clock, Failure, FailureClass, ProviderError

ALLOWED_HEADERS = frozenset(
    {
        "accept", "authorization", "content-type", "traceparent", "user-agent", "x-request-id",
        "anthropic-version", "x-api-key",
    }
)  # fmt: skip
"""All that may travel upstream: a caller's own credentials and cookies have no way through."""

_ADAPTERS = {
    "asyncio": "wardwright.providers.httptools_transport",
    "trio": "wardwright.providers.httpcore2_transport",
}


class TransportOptions(msgspec.Struct, frozen=True):
    """Limits of one transport. `keepalive_s` is how long an idle connection is kept for the next request."""

    connect_timeout_s: float = 5.0
    keepalive_s: float = 15.0
    max_connections: int = 4096


class Response(Protocol):
    """An answer whose body is still arriving: iterate it for the bytes each read of the connection brought."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, to be looked up in lower case."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...


class Transport(Protocol):
    """Sends requests to providers. Made inside the event loop it serves; safe for concurrent use."""

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> AbstractAsyncContextManager[Response]:
        """Send one request; entering waits for the answer's headers.

        Raises: ProviderError on entering and while iterating the body; ValueError for a header that is not allowed.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        ...


class _Adapter(Protocol):
    """What a module of `_ADAPTERS` offers."""

    def open_transport(self, options: TransportOptions) -> Transport:
        """Open a transport on the running event loop."""
        ...


def make_transport(options: TransportOptions | None = None) -> Transport:
    """The transport for the running backend.

    Its module is imported here by name, not above: a process pays only for the one HTTP library that its backend needs.
    """
    adapter = importlib.import_module(_ADAPTERS[sniffio.current_async_library()])
    return cast("_Adapter", adapter).open_transport(options or TransportOptions())


async def read_body(response: Response, limit: int) -> bytes:
    """The whole body, at most `limit` bytes of it.

    Raises: ProviderError of class `bad_response` when there is more.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in response:
        size += len(piece)
        if size > limit:
            raise fault("bad_response", f"the provider's answer is larger than {limit} bytes", status=response.status)
        pieces.append(piece)
    return b"".join(pieces)


def checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The same headers, once it is known that all of them may travel upstream."""
    if not ALLOWED_HEADERS.issuperset(headers):
        refused = sorted(set(headers) - ALLOWED_HEADERS)
        raise ValueError(f"headers that must not be sent upstream: {', '.join(refused)}")
    return headers


def fault(
    failure_class: FailureClass, message: str, *, status: int | None = None, clock: Clock | None = None
) -> ProviderError:
    """A provider error made in one line."""
    return ProviderError(Failure(failure_class=failure_class, message=message, status=status, clock=clock))
