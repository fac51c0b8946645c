"""A provider at a known base URL, whatever its server speaks."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from wardwright.domain.chat import Completion
from wardwright.domain.stream import Frame
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.providers.endpoint import Endpoint


class RemoteProvider:
    """`Provider` for one base URL. Owns its endpoint, and so the transport.

    Raises: ValueError for a base URL that is not plain http or https.
    """

    def __init__(self, info: ProviderInfo, endpoint: Endpoint, base_url: str) -> None:
        self._info = info
        self._base_url = _checked_base_url(base_url)
        self._endpoint = endpoint

    @property
    def info(self) -> ProviderInfo:
        """See `Provider.info`."""
        return self._info

    async def complete(self, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        return await self._endpoint.complete(self._base_url, call)

    def stream(self, call: UpstreamCall) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`."""
        return self._endpoint.stream(self._base_url, call)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        await self._endpoint.aclose()


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
