"""A provider that answers from a script: what demonstrations and tests of routing stand on. It asks no model and says so.

Deterministic: the n-th call that succeeds gets the n-th output, around and around, whatever was asked. Its token counts are
estimates and marked as such.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count, cycle

import anyio
import msgspec

from wardwright.domain.chat import Completion, Usage
from wardwright.domain.errors import Failure, ProviderError
from wardwright.domain.stream import Frame, UsageReport
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.wire.openai import parse_chunk, parse_completion

DEMO_OUTPUT = "This is a demo answer: it comes from a script inside Wardwright, and no language model was asked."

_CHARACTERS_PER_TOKEN = 4


class ScriptedFailure(msgspec.Struct, frozen=True):
    """How one call shall fail: before it answers anything, or, when streamed, after so many chunks."""

    failure: Failure
    after_chunks: int = 0


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
        self._clock = clock
        self._numbers = count(1)

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
        usage = _estimate(call, text)
        message = {"role": "assistant", "content": text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = {**self._head(call, "chat.completion"), "choices": choices, "usage": _usage_fields(usage)}
        completion = parse_completion(msgspec.json.encode(body))
        return msgspec.structs.replace(completion, usage=usage)

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`: one word per frame."""
        failure = next(self._failures, None)
        if failure is not None and failure.after_chunks == 0:
            raise ProviderError(failure.failure)
        text = next(self._outputs)
        yield _Answer(self._frames(call, text), self._chunk_delay_s, failure)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""

    def _head(self, call: UpstreamCall, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-canned-{next(self._numbers)}",
            "object": kind,
            "created": int(self._clock()),
            "model": call.target.upstream_model,
        }

    def _frames(self, call: UpstreamCall, text: str) -> Iterator[Frame]:
        head = self._head(call, "chat.completion.chunk")
        yield _choice_frame(head, {"role": "assistant", "content": ""})
        for word in _words(text):
            yield _choice_frame(head, {"content": word})
        yield _choice_frame(head, {}, "stop")
        usage = _estimate(call, text)
        frame = parse_chunk(msgspec.json.encode({**head, "choices": [], "usage": _usage_fields(usage)}))
        yield msgspec.structs.replace(frame, events=(UsageReport(usage),))


class _Answer:
    """The frames of one canned answer, each a batch of its own."""

    def __init__(self, frames: Iterator[Frame], delay_s: float, failure: ScriptedFailure | None) -> None:
        self._frames = frames
        self._delay_s = delay_s
        self._failure = failure
        self._sent = 0

    def __aiter__(self) -> "_Answer":
        return self

    async def __anext__(self) -> Sequence[Frame]:
        if self._failure is not None and self._sent >= self._failure.after_chunks:
            raise ProviderError(self._failure.failure)
        frame = next(self._frames, None)
        if frame is None:
            raise StopAsyncIteration
        await anyio.sleep(self._delay_s if self._sent else 0)
        self._sent += 1
        return (frame,)


def _words(text: str) -> Iterator[str]:
    """Pieces of the text, one word each with the white space before it, that join to the text again."""
    begin = 0
    for position in range(1, len(text)):
        if text[position].isspace() and not text[position - 1].isspace():
            yield text[begin:position]
            begin = position
    if text:
        yield text[begin:]


def _choice_frame(head: Mapping[str, object], delta: Mapping[str, object], finish_reason: str | None = None) -> Frame:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return parse_chunk(msgspec.json.encode({**head, "choices": [choice]}))


def _estimate(call: UpstreamCall, text: str) -> Usage:
    prompt = sum(len(raw) for raw in (bytes(call.request.fields.get("messages", b"")),))
    return Usage(_tokens(prompt), _tokens(len(text)), source="estimated")


def _usage_fields(usage: Usage) -> dict[str, int]:
    total = usage.prompt_tokens + usage.completion_tokens
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)
