"""A connection to a server of NATS, for code that waits.

The client library knows asyncio alone. It has an event loop of its own here, which runs while something is asked: that works in any thread
and under any event loop of the host. Nobody answers the server between batches, so a connection that has been idle for long is to be made
anew.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from wardwright.ports.sink import SinkUnavailable
from wardwright.sinks.nats_access import Access
from wardwright.sinks.tls import REFUSES_OURS, context_of, tls_fault

_OVERLAP = 10_065  # JetStream's code for a new stream with a subject of another

_T = TypeVar("_T")

# Whenever a server ends a connection by TLS, asyncio warns of how the client library reads from it, which has no consequence.
logging.getLogger("asyncio").addFilter(lambda record: "eof_received" not in record.getMessage())


class Link:
    """A connection, to any of some servers, and the event loop that it lives in. `where` is what people are told of the other end.

    Raises SinkUnavailable when what the servers are to be shown is not there.
    """

    def __init__(
        self, servers: list[str], access: Access, environ: Mapping[str, str], *, timeout_s: float, where: str
    ) -> None:
        self._servers = servers
        self._options: dict[str, Any] = dict(access.words(environ))
        self._credentials = access.credentials(environ)
        if any(server.startswith("tls:") for server in servers):
            self._options |= {"tls": context_of(access.tls, environ), "tls_handshake_first": access.tls_first}
        self._timeout_s = timeout_s
        self._where = where
        self._access = access
        self._loop = asyncio.new_event_loop()
        self._client = _Client()
        self.jetstream = self._client.jetstream(timeout=timeout_s)
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._last_told: Exception | None = None
        self._used_at = time.monotonic()

    @property
    def idle_s(self) -> float:
        """For how long nothing was done here."""
        return time.monotonic() - self._used_at

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, headers included."""
        return self._client.max_payload

    def run(self, doing: Coroutine[Any, Any, _T]) -> _T:
        """Do something, within the time that is allowed. Raises: SinkUnavailable."""
        try:
            return self._loop.run_until_complete(asyncio.wait_for(doing, self._timeout_s))
        except TimeoutError as error:
            # A server says what we may not do, and leaves the question open.
            cause = self._words_of(self._last_told) if self._last_told else f"no answer within {self._timeout_s:g} s"
            raise SinkUnavailable(f"{self._where}: {cause}") from error
        except (NatsError, OSError) as error:
            told = self._last_told if isinstance(error, NoServersError) else None
            raise SinkUnavailable(f"{self._where}: {self._words_of(told or error)}") from error
        finally:
            self._used_at = time.monotonic()

    async def connect(self) -> None:
        """Connect once; a connection that is lost is not made again by itself."""
        if self._credentials is not None:
            key, jwt = self._credentials
            self._client.use_nkey(key.public)
            self._options |= {"signature_cb": key.sign, "user_jwt_cb": None if jwt is None else jwt.encode}
        await self._client.connect(
            servers=self._servers,
            name="wardwright",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # before a server is left out: with 0 a dead one is tried for ever
            reconnect_time_wait=0,
            connect_timeout=max(1, round(self._timeout_s)),
            error_cb=self._told,
            closed_cb=self._closed,
            **self._options,
        )

    async def all_of(self, asking: Iterable[Awaitable[_T]]) -> list[_T | BaseException]:
        """Ask for many things at once; each may end in an error. Raises: SinkUnavailable when the connection ends before they do."""
        waits = asyncio.gather(*asking, return_exceptions=True)
        await asyncio.wait((waits, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not waits.done():
            waits.cancel()
            raise SinkUnavailable(f"{self._where}: the connection was lost")
        return await waits

    def close(self) -> None:
        """Close the connection and the loop, whatever state they are in."""
        try:
            self.run(self._client.close())
        except SinkUnavailable:
            pass  # it is given up either way
        finally:
            _end(self._loop)

    async def _told(self, error: Exception) -> None:
        """Errors that the library tells of beside those it raises: the causes of these."""
        self._last_told = error

    async def _closed(self) -> None:
        if not self._lost.done():
            self._lost.set_result(None)

    @property
    def _is_new_over_tls(self) -> bool:
        """Whether there is no connection yet, and is to be one by TLS."""
        return "tls" in self._options and not self._client.is_connected

    def _words_of(self, error: Exception) -> str:
        words = str(error).removeprefix("nats: ").strip("'")
        match error:
            case ssl.SSLError():
                return tls_fault(error)
            case ConnectionResetError() | BrokenPipeError() if self._is_new_over_tls:
                # What it says of our certificate comes after its handshake, and is lost when we have spoken by then.
                return f"it hung up, as when {REFUSES_OURS}"
            case NoStreamResponseError():
                return "no stream takes the subject"
            case ServiceUnavailableError(description=description):
                return f"it has no JetStream for us, which is for the server's configuration to turn on{f' ({description})' if description else ''}"
            case APIError(err_code=code) if code == _OVERLAP:
                return "another stream takes the subject: subject or stream is to be another"
            case APIError(description=description):
                return description or type(error).__name__
            case NatsError() if "expecting INFO" in words and self._is_new_over_tls:
                return "it hung up without a word, as when it waits for TLS first, which is for tls_first to say"
            case NatsError() if words.lower().startswith("authorization violation"):
                return f"{self._access.advice()} ({words})"
            case _:
                return words or type(error).__name__


class _Client(Client):
    """The library's client, put right in what touches TLS.

    It takes the server's word for whether there is any: here `tls://` means it, before a secret is sent. And what fails on the way to a
    connection it would wait for when it closes: the stream under a handshake that failed is never told of its end.
    """

    def use_nkey(self, public: str) -> None:
        """Name the key that signs: the library does so itself only by a package that has no wheel."""
        self._public_nkey = public

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except (OSError, TimeoutError, asyncio.CancelledError):
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()  # type: ignore[no-untyped-call]
            raise

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls":
            if not info.get("tls_required") and not info.get("tls_available"):
                raise NatsError("it offers no TLS, which tls:// asks for")
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop, and what is still about to be done in it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()
