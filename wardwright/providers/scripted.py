"""Answers that come from a script: what the canned provider and those of test artifacts have in common, and the latter.

They ask no model and say so. Their token counts are estimates and marked as such.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count

import anyio
import msgspec

from wardwright.config.inline import Script
from wardwright.domain.chat import Completion, Usage
from wardwright.domain.errors import Failure, ProviderError
from wardwright.domain.stream import Frame, UsageReport
from wardwright.planner.estimate import estimate_tokens
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.wire.openai import parse_chunk, parse_completion

_CHARACTERS_PER_TOKEN = 4
_REMEMBERED = 1024


class ScriptedFailure(msgspec.Struct, frozen=True):
    """How one call shall fail: before it answers anything, or, when streamed, after so many frames."""

    failure: Failure
    after_chunks: int = 0


class Scribe:
    """Writes texts down as answers in OpenAI's shape, and numbers them."""

    def __init__(self, name: str, clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._clock = clock
        self._numbers = count(1)

    def whole(self, call: UpstreamCall, text: str, usage: Usage) -> Completion:
        """A whole answer."""
        message = {"role": "assistant", "content": text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = {**self._head(call, "chat.completion"), "choices": choices, "usage": _usage_fields(usage)}
        completion = parse_completion(msgspec.json.encode(body))
        return msgspec.structs.replace(completion, usage=usage)

    def frames(self, call: UpstreamCall, pieces: Iterable[str], usage: Usage) -> Iterator[Frame]:
        """A streamed answer: the role, a frame for each piece, the finish, the usage."""
        head = self._head(call, "chat.completion.chunk")
        yield _choice_frame(head, {"role": "assistant", "content": ""})
        for piece in pieces:
            yield _choice_frame(head, {"content": piece})
        yield _choice_frame(head, {}, "stop")
        frame = parse_chunk(msgspec.json.encode({**head, "choices": [], "usage": _usage_fields(usage)}))
        yield msgspec.structs.replace(frame, events=(UsageReport(usage),))

    def _head(self, call: UpstreamCall, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{self._name}-{next(self._numbers)}",
            "object": kind,
            "created": int(self._clock()),
            "model": call.target.upstream_model,
        }


class Recital:
    """The frames of one scripted answer, each a batch of its own, with a pause before each but the first."""

    def __init__(self, frames: Iterator[Frame], delay_s: float, failure: ScriptedFailure | None) -> None:
        self._frames = frames
        self._delay_s = delay_s
        self._failure = failure
        self._sent = 0

    def __aiter__(self) -> "Recital":
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


class MockProvider:
    """`Provider` that says where a request was routed."""

    def __init__(self, provider_id: str) -> None:
        self._info = ProviderInfo(provider_id, "mock", base_url=f"mock://{provider_id}", demo=True)
        self._scribe = Scribe("mock")

    @property
    def info(self) -> ProviderInfo:
        """See `Provider.info`; always marked as a demo."""
        return self._info

    async def complete(self, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        text = _mock_text(call)
        return self._scribe.whole(call, text, estimated(call, text))

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`: one word per frame."""
        text = _mock_text(call)
        yield Recital(self._scribe.frames(call, words(text), estimated(call, text)), 0.0, None)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""


class SequenceProvider:
    """`Provider` that answers from scripts, by upstream model: the n-th call of one request gets the n-th entry of its script."""

    def __init__(self, provider_id: str, scripts: Mapping[str, Script]) -> None:
        self._info = ProviderInfo(provider_id, "canned_sequence", demo=True)
        self._scripts = scripts
        self._scribe = Scribe("sequence")
        self._calls: OrderedDict[tuple[str, str], int] = OrderedDict()

    @property
    def info(self) -> ProviderInfo:
        """See `Provider.info`; always marked as a demo."""
        return self._info

    async def complete(self, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        script, number = self._script(call), self._number(call)
        await anyio.sleep(script.delay_ms / 1000)
        text = _output(script, number)
        if text is None:
            text = "".join(_chunks(script, number))
        return self._scribe.whole(call, text, estimated(call, text))

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`: one frame per chunk of the script."""
        script, number = self._script(call), self._number(call)
        chunks = _chunks(script, number)
        failure = None
        if script.stream_error is not None:
            failure = ScriptedFailure(Failure("stream_broken", script.stream_error), after_chunks=1 + len(chunks))
        usage = estimated(call, "".join(chunks))
        yield Recital(self._scribe.frames(call, chunks, usage), script.delay_ms / 1000, failure)

    async def aclose(self) -> None:
        """See `Provider.aclose`."""

    def _script(self, call: UpstreamCall) -> Script:
        script = self._scripts.get(call.target.upstream_model)
        if script is None:
            raise ProviderError(Failure("invalid_request", f"no script for {call.target.upstream_model!r}", status=404))
        return script

    def _number(self, call: UpstreamCall) -> int:
        """How many calls of this request have come here before; remembered for the requests seen last."""
        key = (call.request_id, call.target.upstream_model)
        number = self._calls.pop(key, 0)
        self._calls[key] = number + 1
        if len(self._calls) > _REMEMBERED:
            self._calls.popitem(last=False)
        return number


def estimated(call: UpstreamCall, text: str) -> Usage:
    """The token counts of an answer as the gateway would guess them."""
    prompt = estimate_tokens(call.request.messages, call.request.fields.get("tools"))
    return Usage(prompt, -(-len(text) // _CHARACTERS_PER_TOKEN), source="estimated")


def words(text: str) -> Iterator[str]:
    """Pieces of the text, one word each with the white space before it, that join to the text again."""
    begin = 0
    for position in range(1, len(text)):
        if text[position].isspace() and not text[position - 1].isspace():
            yield text[begin:position]
            begin = position
    if text:
        yield text[begin:]


def _mock_text(call: UpstreamCall) -> str:
    tokens = estimate_tokens(call.request.messages, call.request.fields.get("tools"))
    return f"Mock Wardwright response routed to {call.target.id}. Estimated prompt tokens: {tokens}."


def _output(script: Script, number: int) -> str | None:
    if not script.outputs:
        return None
    return script.outputs[min(number, len(script.outputs) - 1)]


def _chunks(script: Script, number: int) -> tuple[str, ...]:
    if number < len(script.attempt_chunks):
        return script.attempt_chunks[number]
    if script.stream_chunks is not None:
        return script.stream_chunks
    output = _output(script, number)
    return () if output is None else (output,)


def _choice_frame(head: Mapping[str, object], delta: Mapping[str, object], finish_reason: str | None = None) -> Frame:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return parse_chunk(msgspec.json.encode({**head, "choices": [choice]}))


def _usage_fields(usage: Usage) -> dict[str, int]:
    total = usage.prompt_tokens + usage.completion_tokens
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}
