"""The provider adapter for Anthropic's Messages API."""

import time
from collections.abc import Callable, Mapping

from wardwright.domain.chat import Completion
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.providers.endpoint import MAX_ANSWER_BYTES, Credential, Endpoint, no_credential
from wardwright.providers.remote import RemoteProvider
from wardwright.providers.transport import Transport
from wardwright.wire.anthropic_answer import parse_message
from wardwright.wire.anthropic_chunks import message_extras
from wardwright.wire.anthropic_request import message_body
from wardwright.wire.anthropic_stream import MessageDecoder
from wardwright.wire.openai_chunks import AnswerHead, ChunksOf, ChunkWriter
from wardwright.wire.stream_decoder import StreamDecoder

API_VERSION = "2023-06-01"


class Messages:
    """The `Dialect` of `/v1/messages`."""

    api = "Anthropic's Messages API"
    path = "/v1/messages"
    stream_type = "text/event-stream"

    def __init__(self, default_max_tokens: int, clock: Callable[[], float]) -> None:
        self._default_max_tokens = default_max_tokens
        self._clock = clock

    def headers(self, credential: str | None) -> Mapping[str, str]:
        """See `Dialect.headers`."""
        version = {"anthropic-version": API_VERSION}
        return {**version, "x-api-key": credential} if credential else version

    def body(self, call: UpstreamCall) -> bytes:
        """See `Dialect.body`."""
        return message_body(call.request, call.target.upstream_model, self._default_max_tokens)

    def completion(self, body: bytes, call: UpstreamCall) -> Completion:
        """See `Dialect.completion`."""
        return parse_message(body, self._head(call))

    def decoder(self, call: UpstreamCall) -> StreamDecoder:
        """See `Dialect.decoder`."""
        return ChunksOf(MessageDecoder(), ChunkWriter(self._head(call), message_extras))

    def _head(self, call: UpstreamCall) -> AnswerHead:
        return AnswerHead(f"chatcmpl-{call.request_id}", call.target.upstream_model, int(self._clock()))


class AnthropicProvider(RemoteProvider):
    """`Provider` for the Messages API at one base URL. Owns its transport.

    Args:
        base_url: what comes before `/v1/messages`; the `/v1` may be left on.
        default_max_tokens: the longest answer where the caller sets no limit, which the API insists on.

    Raises: ValueError for a base URL that is not plain http or https.
    """

    def __init__(
        self,
        info: ProviderInfo,
        transport: Transport,
        base_url: str,
        credential: Credential = no_credential,
        *,
        default_max_tokens: int,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        dialect = Messages(default_max_tokens, clock)
        endpoint = Endpoint(transport, dialect, credential, max_answer_bytes=max_answer_bytes)
        super().__init__(info, endpoint, base_url.rstrip("/").removesuffix("/v1"))
