"""A provider that answers from a script: what demonstrations and tests of routing stand on. It asks no model and says so.

Deterministic: the n-th call that succeeds gets the n-th output, around and around, whatever was asked.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle

import anyio

from wardwright.domain.chat import Completion
from wardwright.domain.errors import ProviderError
from wardwright.domain.stream import Frame
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.providers.scripted import Recital, Scribe, ScriptedFailure, estimated, words

DEMO_OUTPUT = "This is a demo answer: it comes from a script inside Wardwright, and no language model was asked."


class CannedProvider:
    """`Provider` that answers from `outputs`, cycling, and first fails as `failures` says: one entry per call, None succeeds."""

    def __init__(
        self,
        provider_id: str,
        outputs: Sequence[str] = (DEMO_OUTPUT,),
        *,
        chunk_delay_s: float = 0.0,
        failures: Sequence[ScriptedFailure | None] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not outputs:
            raise ValueError("outputs: expected at least one text, got none")
        self._info = ProviderInfo(id=provider_id, kind="canned", demo=True)
        self._outputs = cycle(outputs)
        self._chunk_delay_s = chunk_delay_s
        self._failures = iter(failures)
        self._scribe = Scribe("canned", clock)

    @property
    def info(self) -> ProviderInfo:
        """See `Provider.info`; always marked as a demo."""
        return self._info

    async def complete(self, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        failure = next(self._failures, None)
        if failure is not None:
            raise ProviderError(failure.failure)
        await anyio.sleep(self._chunk_delay_s)
        text = next(self._outputs)
        return self._scribe.whole(call, text, estimated(call, text))

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`: one word per frame."""
        failure = next(self._failures, None)
        if failure is not None and failure.after_chunks == 0:
            raise ProviderError(failure.failure)
        text = next(self._outputs)
        yield Recital(self._scribe.frames(call, words(text), estimated(call, text)), self._chunk_delay_s, failure)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""


__all__ = ["DEMO_OUTPUT", "CannedProvider", "ScriptedFailure"]
