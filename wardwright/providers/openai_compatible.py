"""The provider adapter for every server that speaks OpenAI's chat completions at a known base URL."""

from wardwright.domain.chat import PrefillStyle
from wardwright.ports.provider import ProviderInfo
from wardwright.providers.chat_completions import ChatCompletions
from wardwright.providers.endpoint import MAX_ANSWER_BYTES, Credential, Endpoint, no_credential
from wardwright.providers.remote import RemoteProvider
from wardwright.providers.transport import Transport


class OpenAICompatibleProvider(RemoteProvider):
    """`Provider` for one base URL. Owns its transport.

    Args:
        base_url: what comes before `/chat/completions`, version path included.
        credential: asked for the bearer token at every call; None sends none.
        prefill: how the server is told to go on from the last message.

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
        prefill: PrefillStyle = "continue_final_message",
    ) -> None:
        endpoint = Endpoint(transport, ChatCompletions(prefill), credential, max_answer_bytes=max_answer_bytes)
        super().__init__(info, endpoint, base_url)
