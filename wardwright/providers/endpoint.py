"""The chat-completions endpoint asked over a transport: what all adapters share whose servers speak OpenAI's wire."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import wardwright
from wardwright.domain.chat import Completion
from wardwright.domain.stream import Frame
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.answer_stream import AnswerStream
from wardwright.providers.refusal import error_object_fault, keeping_secret, read_refusal
from wardwright.providers.transport import Response, Transport, fault, read_body
from wardwright.wire.openai import BadAnswer, UpstreamErrorObject, choice_count, parse_completion, upstream_chat_body
from wardwright.wire.rate_limits import parse_rate_limits
from wardwright.wire.stream_decoder import MAX_EVENT_BYTES, ChunkDecoder

MAX_ANSWER_BYTES = 64 * 1024 * 1024

_JSON = "application/json"
_EVENT_STREAM = "text/event-stream"
_USER_AGENT = f"wardwright/{wardwright.__version__}"

Credential = Callable[[], str | None]
"""Asked at every call, so that a rotated key needs no restart."""


def no_credential() -> str | None:
    """The credential of a provider that needs none."""
    return None


class ChatCompletions:
    """Asks one chat-completions endpoint for whole and streamed answers."""

    def __init__(
        self,
        transport: Transport,
        credential: Credential = no_credential,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._transport = transport
        self._credential = credential
        self._max_answer_bytes = max_answer_bytes
        self._max_event_bytes = max_event_bytes

    async def complete(self, base_url: str, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        credential = self._credential()
        with keeping_secret(credential):
            async with self._post(base_url, call, _JSON, credential) as response:
                await _check_accepted(response, call)
                _check_media_type(response, _JSON)
                body = await read_body(response, self._max_answer_bytes)
                return _completion(body, response.status)

    @asynccontextmanager
    async def stream(self, base_url: str, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`."""
        credential = self._credential()
        with keeping_secret(credential):
            async with self._post(base_url, call, _EVENT_STREAM, credential) as response:
                await _check_accepted(response, call)
                await self._check_streaming(response)
                decoder = ChunkDecoder(self._max_event_bytes)
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
        if credential:
            headers["authorization"] = f"Bearer {_checked(credential)}"
        body = upstream_chat_body(call.request, call.target.upstream_model)
        return self._transport.request("POST", f"{base_url}/chat/completions", headers=headers, body=body)

    async def _check_streaming(self, response: Response) -> None:
        """Raise unless the answer is an event stream; a JSON answer is read, for it may be an error that says more."""
        if _media_type(response) == _JSON:
            _completion(await read_body(response, self._max_answer_bytes), response.status)
            raise fault(
                "bad_response", "a stream was asked for, and a whole answer came: the target cannot stream", status=200
            )
        _check_media_type(response, _EVENT_STREAM)


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


def _check_media_type(response: Response, expected: str) -> None:
    """Raise unless the answer is what was asked for. A server that names no type at all gets the benefit of the doubt."""
    got = _media_type(response)
    if got not in ("", expected):
        message = f"expected {expected}, got {got[:80]}: is base_url the address of an OpenAI-compatible API?"
        raise fault("bad_response", message, status=response.status)


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _completion(body: bytes, status: int) -> Completion:
    try:
        return parse_completion(body)
    except UpstreamErrorObject as error:
        raise error_object_fault(error.error, status) from error
    except BadAnswer as error:
        raise fault("bad_response", f"the answer could not be read: {error}", status=status) from error


def _checked(credential: str) -> str:
    """The credential, once it is known to fit into a header; the complaint does not show it."""
    if credential.isascii() and credential.isprintable():
        return credential
    raise fault("auth", "the provider's credential holds characters that cannot be sent in a header")
