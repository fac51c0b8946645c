"""The provider adapter for Ollama's own API.

Ollama also speaks OpenAI's chat completions; its own API takes the context window that a model shall run with, and says what it
counted.
"""

import time
from collections.abc import Callable, Mapping

from wardwright.domain.chat import Completion
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.providers.chat_completions import bearer
from wardwright.providers.endpoint import MAX_ANSWER_BYTES, Credential, Endpoint, no_credential
from wardwright.providers.remote import RemoteProvider
from wardwright.providers.transport import Transport
from wardwright.wire.errors import BadAnswer
from wardwright.wire.ollama_request import ollama_chat_body
from wardwright.wire.ollama_stream import ChatLineDecoder
from wardwright.wire.openai_chunks import AnswerHead, ChunksOf, ChunkWriter
from wardwright.wire.openai_completion import write_completion
from wardwright.wire.stream_decoder import StreamDecoder


class OllamaChat:
    """The `Dialect` of `/api/chat`."""

    api = "an Ollama"
    path = "/api/chat"
    stream_type = "application/x-ndjson"

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def headers(self, credential: str | None) -> Mapping[str, str]:
        """See `Dialect.headers`. An Ollama on this machine wants no credential; one behind a proxy or in the cloud does."""
        return bearer(credential)

    def body(self, call: UpstreamCall) -> bytes:
        """See `Dialect.body`."""
        return ollama_chat_body(call.request, call.target.upstream_model, call.target.context_window)

    def completion(self, body: bytes, call: UpstreamCall) -> Completion:
        """See `Dialect.completion`."""
        decoder = ChatLineDecoder()
        frame = decoder.read(body)
        if not decoder.done:
            raise BadAnswer("the answer is not done")
        return write_completion(frame.events, self._head(call))

    def decoder(self, call: UpstreamCall) -> StreamDecoder:
        """See `Dialect.decoder`."""
        return ChunksOf(ChatLineDecoder(), ChunkWriter(self._head(call)))

    def _head(self, call: UpstreamCall) -> AnswerHead:
        return AnswerHead(f"chatcmpl-{call.request_id}", call.target.upstream_model, int(self._clock()))


class OllamaProvider(RemoteProvider):
    """`Provider` for one Ollama. Owns its transport.

    Args: base_url: what comes before `/api/chat`; the `/v1` of its OpenAI-compatible API may be left on.

    Raises: ValueError for a base URL that is not plain http or https.
    """

    def __init__(
        self,
        info: ProviderInfo,
        transport: Transport,
        base_url: str,
        credential: Credential = no_credential,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        endpoint = Endpoint(transport, OllamaChat(clock), credential, max_answer_bytes=max_answer_bytes)
        super().__init__(info, endpoint, base_url.rstrip("/").removesuffix("/v1"))
