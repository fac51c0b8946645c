"""HTTP to a far side, as sinks speak it: one connection that is kept, waits that are bounded, and every failure that may pass a SinkUnavailable.

What the far side says to a request it will never take (400, 413, 422) is an answer for the sink to judge. So are all of 2xx. A redirect is
none: whoever moved the far side changes the configuration.
"""

import math
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

from wardwright.ports.sink import SinkUnavailable
from wardwright.sinks.tls import REFUSES_OURS, TlsFiles, context_of, tls_fault
from wardwright.wire.retry_after import parse_retry_after

_JUDGED = (400, 413, 422)
_LARGEST_ANSWER = 16 * 1024 * 1024


class Answer(NamedTuple):
    """What the far side answered: the status and the whole body."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the request was taken."""
        return 200 <= self.status < 300


class FarSide:
    """A server that is asked by path. `headers_env` names the variable that holds the value of a header; they are read when it is opened.

    With `hides_path` what people are shown of its address ends before the path, and the address is asked as it stands.
    """

    def __init__(
        self,
        url: str,
        *,
        headers_env: Mapping[str, str],
        environ: Mapping[str, str],
        timeout_s: float,
        tls: TlsFiles = TlsFiles(),  # noqa: B008 - a tuple of nothing
        hides_path: bool = False,
    ) -> None:
        self.where = _without_query(url, hides_path=hides_path)
        self._url = url if hides_path else url.rstrip("/")
        self._headers_env = headers_env
        self._environ = environ
        self._timeout_s = timeout_s
        self._tls = tls
        self._client: httpx2.Client | None = None
        self._gives_up_at = math.inf

    def open(self) -> None:
        """Make ready; nothing is sent yet. Raises: SinkUnavailable when a variable is not set or can be no header, or a file is of no use."""
        headers = {name: self._value_of(variable) for name, variable in self._headers_env.items()}
        self._client = httpx2.Client(
            headers=headers,
            timeout=self._timeout_s,
            trust_env=False,
            verify=context_of(self._tls, self._environ) if self._url.startswith("https:") else _trusting_nobody(),
            limits=httpx2.Limits(max_connections=1),
        )

    def allow(self, requests: int) -> None:
        """From now on give up when it has taken as long as so many requests may, however many there are."""
        self._gives_up_at = time.monotonic() + requests * self._timeout_s

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body. Raises: SinkUnavailable."""
        return self._ask("POST", path, content=body, headers=headers)

    def get(self, path: str) -> Answer:
        """Ask for something. Raises: SinkUnavailable."""
        return self._ask("GET", path, content=None, headers={})

    def _ask(self, method: str, path: str, *, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._client is None:
            raise SinkUnavailable(f"{self.where} is not open")
        if time.monotonic() > self._gives_up_at:
            raise SinkUnavailable(f"{self.where} takes too long over a batch")
        with (
            self._faults(),
            self._client.stream(method, self._url + path, content=content, headers=headers) as response,
        ):
            answer = Answer(response.status_code, self._read(response))
        if answer.is_success or answer.status in _JUDGED:
            return answer
        waits = parse_retry_after(response.headers, time.time())
        raise SinkUnavailable(f"{self.where} answers HTTP {answer.status}", retry_after_s=waits)

    def _read(self, response: httpx2.Response) -> bytes:
        """The body: a far side that sends it without end, or drop by drop, is given up."""
        deadline, body = time.monotonic() + self._timeout_s, bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _LARGEST_ANSWER or time.monotonic() > deadline:
                raise SinkUnavailable(f"{self.where} does not come to the end of an answer")
        return bytes(body)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise SinkUnavailable(f"{self.where} did not answer within {self._timeout_s:g} s") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            # What it says of our certificate comes after its handshake, and may be lost when we have spoken by then.
            is_guess = self._url.startswith("https:") and _has_hung_up(error)
            hint = f", as when {REFUSES_OURS}" if is_guess else ""
            raise SinkUnavailable(f"{self.where} did not answer: {_why(error)}{hint}") from error

    def _value_of(self, variable: str) -> str:
        value = self._environ.get(variable, "").strip()
        if not value:
            raise SinkUnavailable(f"the variable {variable} is not set, which {self.where} is to be shown")
        if not value.isascii() or not value.isprintable():
            raise SinkUnavailable(f"the variable {variable} has characters that no header may have")
        return value


def _why(error: BaseException) -> str:
    """What is wrong with TLS, or what the system says of a fault where it was the system's, else its name: other words of the client may have a path in them."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return tls_fault(cause)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return type(error).__name__


def _has_hung_up(error: BaseException) -> bool:
    ends = (httpx2.RemoteProtocolError, ConnectionResetError, BrokenPipeError)
    return any(isinstance(cause, ends) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


@cache
def _trusting_nobody() -> ssl.SSLContext:
    """For plain HTTP, where there is nothing to check."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _without_query(url: str, *, hides_path: bool) -> str:
    """The address for people: without user-info, and without a query, which may be a credential, as some paths are."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}{'' if hides_path else split.path}"
