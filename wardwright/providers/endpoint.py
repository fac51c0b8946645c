"""An endpoint asked over a transport: what all adapters share, whatever their servers speak."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import wardwright
from wardwright.domain.chat import Completion
from wardwright.domain.errors import Failure, ProviderError, RequestError
from wardwright.domain.stream import Frame
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.answer_stream import AnswerStream
from wardwright.providers.refusal import error_object_fault, keeping_secret, read_refusal
from wardwright.providers.transport import Response, Transport, fault, read_body
from wardwright.wire.openai import BadAnswer, UpstreamErrorObject, choice_count
from wardwright.wire.rate_limits import parse_rate_limits
from wardwright.wire.stream_decoder import StreamDecoder

MAX_ANSWER_BYTES = 64 * 1024 * 1024

_JSON = "application/json"
_USER_AGENT = f"wardwright/{wardwright.__version__}"

Credential = Callable[[], str | None]
"""Asked at every call, so that a rotated key needs no restart."""


def no_credential() -> str | None:
    """The credential of a provider that needs none."""
    return None


class Dialect(Protocol):
    """How one kind of server is asked, and how its answers are read: as chat completions, whatever they were."""

    @property
    def api(self) -> str:
        """What the API is called, with its article: for who has the wrong address in the configuration."""
        ...

    @property
    def path(self) -> str:
        """What comes after the base URL."""
        ...

    @property
    def stream_type(self) -> str:
        """The media type of a streamed answer."""
        ...

    def headers(self, credential: str | None) -> Mapping[str, str]:
        """What this kind of server wants in the headers, the credential among it."""
        ...

    def body(self, call: UpstreamCall) -> bytes:
        """The request's body.

        Raises: RequestError when this kind of server has no way to do what is asked for.
        """
        ...

    def completion(self, body: bytes, call: UpstreamCall) -> Completion:
        """Read a whole answer. Raises: BadAnswer, and UpstreamErrorObject where it is an error."""
        ...

    def decoder(self, call: UpstreamCall) -> StreamDecoder:
        """What reads one streamed answer."""
        ...


class Endpoint:
    """Asks servers of one kind for whole and streamed answers."""

    def __init__(
        self,
        transport: Transport,
        dialect: Dialect,
        credential: Credential = no_credential,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._credential = credential
        self._max_answer_bytes = max_answer_bytes

    async def complete(self, base_url: str, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        credential = self._credential()
        with keeping_secret(credential):
            async with self._post(base_url, call, _JSON, credential) as response:
                await _check_accepted(response, call)
                self._check_media_type(response, _JSON)
                return self._completion(await read_body(response, self._max_answer_bytes), call, response.status)

    @asynccontextmanager
    async def stream(self, base_url: str, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`."""
        credential = self._credential()
        with keeping_secret(credential):
            async with self._post(base_url, call, self._dialect.stream_type, credential) as response:
                await _check_accepted(response, call)
                await self._check_streaming(response, call)
                decoder = self._dialect.decoder(call)
                answer = AnswerStream(response, decoder, expected_choices=choice_count(call.request))
                yield answer
                await answer.settle()

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._transport.aclose()

    def _post(
        self, base_url: str, call: UpstreamCall, accept: str, credential: str | None
    ) -> AbstractAsyncContextManager[Response]:
        headers = {
            "content-type": _JSON,
            "accept": accept,
            "user-agent": _USER_AGENT,
            "x-request-id": call.request_id,
        }
        if call.traceparent is not None:
            headers["traceparent"] = call.traceparent
        headers.update(self._dialect.headers(_checked(credential)))
        url = f"{base_url}{self._dialect.path}"
        return self._transport.request("POST", url, headers=headers, body=_body(self._dialect, call))

    async def _check_streaming(self, response: Response, call: UpstreamCall) -> None:
        """Raise unless the answer is a stream; a JSON answer is read, for it may be an error that says more."""
        if _media_type(response) == _JSON:
            self._completion(await read_body(response, self._max_answer_bytes), call, response.status)
            raise fault(
                "bad_response", "a stream was asked for, and a whole answer came: the target cannot stream", status=200
            )
        self._check_media_type(response, self._dialect.stream_type)

    def _check_media_type(self, response: Response, expected: str) -> None:
        """Raise unless the answer is what was asked for. A server that names no type at all gets the benefit of the doubt."""
        got = _media_type(response)
        if got not in ("", expected):
            message = f"expected {expected}, got {got[:80]}: is base_url the address of {self._dialect.api}?"
            raise fault("bad_response", message, status=response.status)

    def _completion(self, body: bytes, call: UpstreamCall, status: int) -> Completion:
        try:
            return self._dialect.completion(body, call)
        except UpstreamErrorObject as error:
            raise error_object_fault(error.error, status) from error
        except BadAnswer as error:
            raise fault("bad_response", f"the answer could not be read: {error}", status=status) from error


async def _check_accepted(response: Response, call: UpstreamCall) -> None:
    now = time.time()
    windows = parse_rate_limits(response.headers, now)
    if windows:
        call.hear(windows)
    if response.status >= 300:
        raise await read_refusal(response, now)
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        message = f"the answer came compressed ({encoding[:20]}) although that was not asked for"
        raise fault("bad_response", message, status=response.status)


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _body(dialect: Dialect, call: UpstreamCall) -> bytes:
    try:
        return dialect.body(call)
    except RequestError as error:
        said: dict[str, object] = {"message": error.message, "param": error.param, "code": error.code}
        raise ProviderError(Failure("invalid_request", error.message, code=error.code), upstream_error=said) from error


def _checked(credential: str | None) -> str | None:
    """The credential, once it is known to fit into a header; the complaint does not show it."""
    if credential is None or (credential.isascii() and credential.isprintable()):
        return credential
    raise fault("auth", "the provider's credential holds characters that cannot be sent in a header")
