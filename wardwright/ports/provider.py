"""The provider port: one call to one concrete model, whole or streamed."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from wardwright.domain.chat import ChatRequest, Completion
from wardwright.domain.limits import RateWindow
from wardwright.domain.route import Target
from wardwright.domain.stream import Frame


class ProviderInfo(msgspec.Struct, frozen=True):
    """What operators may know of a provider. `base_url` is without user-info and query; a credential is only ever named by source."""

    id: str
    kind: str
    base_url: str | None = None
    credential_source: str = "none"
    demo: bool = False


def unheard(windows: Sequence[RateWindow]) -> None:
    """Let what a provider says of its limits go by."""


class UpstreamCall(msgspec.Struct, frozen=True):
    """One attempt: the request as the caller sent it and the target that shall answer it.

    With `is_continuation` the last message of the request is the beginning of the answer, which the target shall go on from.
    `request_id` is sent upstream so that both sides' logs can be joined, `traceparent` (W3C Trace Context) so that a trace the caller
    began goes on at the provider. `hear` is told the limits that the provider states beside its answer, be it a refusal.
    """

    target: Target
    request: ChatRequest
    request_id: str
    traceparent: str | None = None
    hear: Callable[[Sequence[RateWindow]], None] = unheard
    is_continuation: bool = False


class Provider(Protocol):
    """An adapter to one provider. Safe for concurrent use; owned by one provider actor, which closes it.

    Timeouts for first token, idle gap and total time are the caller's to watch (it cancels); an adapter watches only its
    connect timeout. Cancellation closes the upstream connection before it propagates; a stream that always has more can be
    cancelled all the same.
    """

    @property
    def info(self) -> ProviderInfo:
        """What operators may know of this provider."""
        ...

    async def complete(self, call: UpstreamCall) -> Completion:
        """Ask for a whole answer.

        Raises: ProviderError with the failure class of whatever went wrong.
        """
        ...

    def stream(self, call: UpstreamCall) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Frame]]]:
        """Ask for a streamed answer: batches of frames, each batch what one read of the connection brought.

        Entering raises ProviderError when the provider refuses before its first byte. Iterating raises ProviderError with class
        `stream_broken` (or `bad_response`, or what an error object inside the stream means) when the stream ends without every
        begun choice having finished, or cannot be understood. It ends normally as soon as the answer is known to be complete.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        ...
