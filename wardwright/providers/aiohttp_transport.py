"""The transport for asyncio, with or without uvloop: aiohttp.

Of the clients measured it costs a quarter of the CPU per request of the next general one, and the upstream client is the
largest cost of a gateway.
"""

from collections.abc import Mapping
from io import BytesIO
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from wardwright.domain.errors import ProviderError
from wardwright.providers.transport import Response, TransportOptions, checked_headers, fault

# Everything aiohttp would add on its own account beyond `host` and `content-length`; the answer shall come uncompressed.
_UNWANTED_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_IDENTITY = {"accept-encoding": "identity"}

_LARGE_BODY = 2**20

_FAULTS = (aiohttp.ClientError, http_exceptions.HttpProcessingError, OSError)


def open_transport(options: TransportOptions) -> "AiohttpTransport":
    """Open a transport on the running asyncio event loop."""
    return AiohttpTransport(options)


class AiohttpTransport:
    """`Transport` on an aiohttp session. aiohttp sets TCP_NODELAY itself."""

    def __init__(self, options: TransportOptions) -> None:
        # aiohttp's `connect` clock runs over look-up, TCP, TLS and the wait for a free connection: exactly the promise.
        timeout = aiohttp.ClientTimeout(
            total=None, connect=options.connect_timeout_s, sock_connect=None, sock_read=None
        )
        self._options = options
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=options.max_connections, keepalive_timeout=options.keepalive_s),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNWANTED_HEADERS,
            headers=_IDENTITY,
            auto_decompress=False,
            trust_env=False,
        )
        self._urls: dict[str, URL] = {}

    def request(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> "_Exchange":
        """See `Transport.request`."""
        return _Exchange(self._session, method, self._parsed(url), checked_headers(headers), body)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._session.close()

    def _parsed(self, url: str) -> URL:
        # A provider asks few URLs, again and again; parsing one costs a tenth of a request.
        if url not in self._urls:
            self._urls[url] = URL(url)
        return self._urls[url]


class _Exchange:
    """One request and its answer; the connection lives no longer than the `async with`."""

    def __init__(
        self, session: aiohttp.ClientSession, method: str, url: URL, headers: Mapping[str, str], body: bytes
    ) -> None:
        self._session = session
        self._method = method
        self._url = url
        self._headers = headers
        self._body = body
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Response:
        try:
            self._response = await self._session.request(
                self._method, self._url, data=_payload(self._body), headers=self._headers, allow_redirects=False
            )
        except _FAULTS as error:
            raise _refusal(error, self._url) from error
        return _AiohttpResponse(self._response)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is not None:
            # After the end of the body the connection is back in the pool already and this does nothing.
            self._response.close()


class _AiohttpResponse:
    """`Response` on aiohttp's."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content
        self._break: ProviderError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._break is not None:
            raise self._break
        try:
            data = await self._content.readany()
        except _FAULTS as error:
            self._break = _break(error, self.status)
            data = self._received_before_the_break()
            if not data:
                raise self._break from error
        if not data:
            raise StopAsyncIteration
        return data

    def _received_before_the_break(self) -> bytes:
        """What aiohttp had received but would not give out any more: a broken connection's last words may end the answer."""
        self._content.set_exception(None)  # type: ignore[arg-type]  # the public way to lift one
        return self._content.read_nowait()


def _payload(body: bytes) -> bytes | BytesIO | None:
    """The body as aiohttp wants it: from a large one it takes pieces, so that the loop can serve others between them."""
    return BytesIO(body) if len(body) > _LARGE_BODY else body or None


def _refusal(error: Exception, url: URL) -> ProviderError:
    """What a failure before the answer's headers means. The first row that fits decides."""
    where = f"{url.host}:{url.port}"
    match error:
        case aiohttp.ConnectionTimeoutError():
            return fault("connect", f"no connection to {where} within the connect timeout", clock="connect")
        case aiohttp.ClientConnectorDNSError():
            return fault("connect", f"the host name of {where} could not be looked up")
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return fault("connect", f"no secure connection to {where}: its TLS certificate or handshake was refused")
        case aiohttp.ClientConnectorError():
            return fault("connect", f"could not connect to {where}: {error.os_error.strerror or 'refused'}")
        case aiohttp.ClientResponseError() | http_exceptions.HttpProcessingError():
            return fault("bad_response", f"{where} did not answer in HTTP/1.1")
        case aiohttp.ClientConnectionError() | OSError():
            return fault("connect", f"the connection to {where} was reset before headers")
        case _:
            return fault("bad_response", f"the exchange with {where} failed: {type(error).__name__}")


def _break(error: Exception, status: int) -> ProviderError:
    """What a failure inside the body means: always a broken stream, since part of the answer may have been handed on."""
    return fault("stream_broken", f"the connection broke inside the answer: {type(error).__name__}", status=status)
