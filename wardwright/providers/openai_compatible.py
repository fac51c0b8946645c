"""The provider adapter for every server that speaks OpenAI's chat completions at a known base URL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from wardwright.domain.chat import Completion
from wardwright.domain.stream import Frame
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.providers.chat_completions import MAX_ANSWER_BYTES, ChatCompletions, Credential, no_credential
from wardwright.providers.transport import Transport


class OpenAICompatibleProvider:
    """`Provider` for one base URL. Owns its transport.

    Args:
        base_url: what comes before `/chat/completions`, version path included.
        credential: asked for the bearer token at every call; None sends none.

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
    ) -> None:
        self._info = info
        self._base_url = _checked_base_url(base_url)
        self._completions = ChatCompletions(transport, credential, max_answer_bytes=max_answer_bytes)

    @property
    def info(self) -> ProviderInfo:
        """See `Provider.info`."""
        return self._info

    async def complete(self, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        return await self._completions.complete(self._base_url, call)

    def stream(self, call: UpstreamCall) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`."""
        return self._completions.stream(self._base_url, call)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        await self._completions.aclose()


def _checked_base_url(base_url: str) -> str:
    """The base URL without its last slash. User-info is refused: it would travel as a credential that nobody declared."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not base_url.isascii():
        raise ValueError("base_url: expected an http or https URL in ASCII, such as https://api.example.com/v1")
    if "@" in parts.netloc:
        raise ValueError("base_url: expected a URL without user and password; declare a credential instead")
    if parts.query or parts.fragment:
        raise ValueError("base_url: expected a URL without query and fragment")
    return base_url.rstrip("/")
