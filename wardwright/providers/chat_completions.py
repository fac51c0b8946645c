"""The chat completions of OpenAI and its many relatives, as an endpoint is asked for them."""

from collections.abc import Mapping

from wardwright.domain.chat import Completion, PrefillStyle
from wardwright.ports.provider import UpstreamCall
from wardwright.wire.openai import parse_completion, upstream_chat_body
from wardwright.wire.stream_decoder import ChunkDecoder, StreamDecoder


class ChatCompletions:
    """The `Dialect` in which nothing has to be translated. `prefill` is how its servers are told to go on from the last message."""

    api = "an OpenAI-compatible API"
    path = "/chat/completions"
    stream_type = "text/event-stream"

    def __init__(self, prefill: PrefillStyle = "continue_final_message") -> None:
        self._prefill = prefill

    def headers(self, credential: str | None) -> Mapping[str, str]:
        """See `Dialect.headers`."""
        return bearer(credential)

    def body(self, call: UpstreamCall) -> bytes:
        """See `Dialect.body`."""
        return upstream_chat_body(
            call.request, call.target.upstream_model, self._prefill if call.is_continuation else None
        )

    def completion(self, body: bytes, call: UpstreamCall) -> Completion:
        """See `Dialect.completion`."""
        return parse_completion(body)

    def decoder(self, call: UpstreamCall) -> StreamDecoder:
        """See `Dialect.decoder`."""
        return ChunkDecoder()


def bearer(credential: str | None) -> Mapping[str, str]:
    """A credential as most servers want it."""
    return {"authorization": f"Bearer {credential}"} if credential else {}
