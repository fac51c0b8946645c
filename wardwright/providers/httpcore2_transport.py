"""The transport for trio: httpcore2, the pool beneath httpx2, whose client would keep cookies and add headers of its own."""

import functools
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpcore2

from wardwright.domain.errors import ProviderError
from wardwright.providers.transport import Response, TransportOptions, checked_headers, fault

_FAULTS = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError)


def open_transport(options: TransportOptions) -> "Httpcore2Transport":
    """Open a transport on the running event loop."""
    return Httpcore2Transport(options)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The system's certificates. Reading them takes a tenth of a second: done once, for all providers."""
    return ssl.create_default_context()


class Httpcore2Transport:
    """`Transport` on httpcore2's connection pool. Trio sets TCP_NODELAY itself."""

    def __init__(self, options: TransportOptions) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls_context(),
            max_connections=options.max_connections,
            max_keepalive_connections=options.max_connections,
            keepalive_expiry=options.keepalive_s,
        )
        self._urls: dict[str, httpcore2.URL] = {}
        # No read or write clock: those are the caller's. Waiting for a free connection counts as connecting.
        connect = options.connect_timeout_s
        self._extensions = {"timeout": {"connect": connect, "pool": connect, "read": None, "write": None}}

    def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> "_Exchange":
        """See `Transport.request`."""
        parsed = self._parsed(url)
        sent = [("host", _authority(parsed)), ("accept-encoding", "identity"), *checked_headers(headers).items()]
        if body:
            sent.append(("content-length", str(len(body))))
        request = httpcore2.Request(method, parsed, headers=sent, content=body, extensions=self._extensions)
        return _Exchange(self._pool, request)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._pool.aclose()

    def _parsed(self, url: str) -> httpcore2.URL:
        # A provider asks few URLs, again and again.
        if url not in self._urls:
            self._urls[url] = httpcore2.URL(url)
        return self._urls[url]


class _Exchange:
    """One request and its answer; the connection lives no longer than the `async with`."""

    def __init__(self, pool: httpcore2.AsyncConnectionPool, request: httpcore2.Request) -> None:
        self._pool = pool
        self._request = request
        self._raw: httpcore2.Response | None = None
        self._response: _Httpcore2Response | None = None

    async def __aenter__(self) -> Response:
        try:
            self._raw = await self._pool.handle_async_request(self._request)
        except _FAULTS as error:
            raise _refusal(error, self._request.url) from error
        self._response = _Httpcore2Response(self._raw)
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._raw is not None and self._response is not None:
            # Both are shielded from cancellation by httpcore2. The connection is closed unless the body was read to its end.
            await self._response.aclose()
            await self._raw.aclose()


class _Httpcore2Response:
    """`Response` on httpcore2's."""

    def __init__(self, response: httpcore2.Response) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
        }
        self._pieces = response.aiter_stream()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except _FAULTS as error:
            raise _break(error, self.status) from error

    async def aclose(self) -> None:
        """Unwind the generator here and now instead of leaving it to the garbage collector."""
        await self._pieces.aclose()


def _authority(url: httpcore2.URL) -> str:
    """The `host` header: the port is named only where it is not the scheme's own."""
    host = url.host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    return host if url.port is None else f"{host}:{url.port}"


def _refusal(error: Exception, url: httpcore2.URL) -> ProviderError:
    """What a failure before the answer's headers means. The first row that fits decides."""
    where = f"{url.host.decode('ascii')}:{url.origin.port}"
    match error:
        case httpcore2.ConnectTimeout() | httpcore2.PoolTimeout():
            return fault("timeout", f"no connection to {where} within the connect timeout", clock="connect")
        case httpcore2.ConnectError():
            return fault("connect", f"could not connect to {where}: {error}")
        case httpcore2.RemoteProtocolError() if "without sending a response" not in str(error):
            return fault("bad_response", f"{where} did not answer in HTTP/1.1")
        case httpcore2.NetworkError() | httpcore2.RemoteProtocolError():
            return fault("connect", f"the connection to {where} was reset before headers")
        case _:
            return fault("bad_response", f"the exchange with {where} failed: {type(error).__name__}")


def _break(error: Exception, status: int) -> ProviderError:
    """What a failure inside the body means: always a broken stream, since part of the answer may have been handed on."""
    return fault("stream_broken", f"the connection broke inside the answer: {type(error).__name__}", status=status)
