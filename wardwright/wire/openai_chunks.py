"""Chunks of a chat completion made from the frames of another wire.

A chunk that is made here is one that `openai_stream` reads to the same events, so that everything after it (rules, the receipt, the
client) cannot tell where the answer came from. It keeps what OpenAI's clients rely on: one id, time and model in all chunks, the role
first, a tool call's id and name once and in front of its arguments, the finish reason in a chunk of its own, usage in the last one.

What a wire has and the chat completion has no field for goes on in fields of its own, as `Extras`.
"""

from collections.abc import Callable, Iterator

import msgspec

from wardwright.domain.chat import Usage
from wardwright.domain.stream import (
    Finish,
    Frame,
    Reasoning,
    Start,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.wire.stream_decoder import StreamDecoder

# Providers refuse ids of tool calls over 40 characters, and a conversation may go on at any of them.
_OF_ANSWER_ID = 24

_NULL = msgspec.Raw(b"null")
_NO_CHOICES = msgspec.Raw(b"[]")


class AnswerHead(msgspec.Struct, frozen=True):
    """What everything of one answer is called, at what time (Unix) and by which model it was made."""

    id: str
    model: str
    created: int

    def fields(self, kind: str) -> dict[str, object]:
        """The fields that an object of this kind begins with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def call_id(self, call: int) -> str:
        """An id for a tool call that came without: clients answer a call by its id."""
        return f"call_{self.id[-_OF_ANSWER_ID:]}_{call}"


class Extras(msgspec.Struct, frozen=True):
    """What of a foreign frame has no event: fields to add to the delta and beside it, and the answer's id at the provider."""

    delta: dict[str, object] = {}
    choice: dict[str, object] = {}
    answer_id: str | None = None


_NOTHING = Extras()


def no_extras(_: Frame) -> Extras:
    """The extras of a wire that has none."""
    return _NOTHING


class ChunkWriter:
    """Writes one answer.

    Args:
        head: what all chunks have; the provider's own id takes the place of this one once it is known.
        extras_of: reads what a frame of the foreign wire has beside its events.
    """

    def __init__(self, head: AnswerHead, extras_of: Callable[[Frame], Extras] = no_extras) -> None:
        self._answer = head
        self._extras_of = extras_of
        self._head = {name: _raw(value) for name, value in head.fields("chat.completion.chunk").items()}

    def write(self, frame: Frame) -> Iterator[Frame]:
        """Yield the chunks that say what a frame says: none for a frame that says nothing a client of this wire knows."""
        extras = self._extras_of(frame)
        if extras.answer_id is not None:
            self._head["id"] = _raw(extras.answer_id)
        content = tuple(self._named(event) for event in frame.events if not isinstance(event, Finish | UsageReport))
        if content or extras.delta:
            yield self._chunk(_delta(content) | extras.delta, None, {}, content)
        for event in frame.events:
            if isinstance(event, Finish):
                yield self._chunk({}, event.reason, extras.choice, (event,))
            elif isinstance(event, UsageReport):
                yield Frame({**self._head, "choices": _NO_CHOICES, "usage": _raw(usage_fields(event.usage))}, (event,))

    def _named(self, event: StreamEvent) -> StreamEvent:
        if isinstance(event, ToolCallStart) and not event.id:
            return msgspec.structs.replace(event, id=self._answer.call_id(event.call))
        return event

    def _chunk(
        self,
        delta: dict[str, object],
        finish_reason: str | None,
        beside: dict[str, object],
        events: tuple[StreamEvent, ...],
    ) -> Frame:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **beside}
        return Frame({**self._head, "choices": _raw([choice]), "usage": _NULL}, events)


class ChunksOf:
    """A `StreamDecoder` that gives the frames of another one as chunks."""

    def __init__(self, decoder: StreamDecoder, writer: ChunkWriter) -> None:
        self._decoder = decoder
        self._writer = writer

    @property
    def done(self) -> bool:
        """See `StreamDecoder.done`."""
        return self._decoder.done

    def feed(self, data: bytes) -> Iterator[Frame]:
        """See `StreamDecoder.feed`."""
        return self._written(self._decoder.feed(data))

    def close(self) -> Iterator[Frame]:
        """See `StreamDecoder.close`."""
        return self._written(self._decoder.close())

    def _written(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield from self._writer.write(frame)


def _delta(events: tuple[StreamEvent, ...]) -> dict[str, object]:
    """What the content of a frame is as a delta. Foreign wires have one choice; its number is not looked at."""
    delta: dict[str, object] = {}
    calls: dict[int, dict[str, object]] = {}
    for event in events:
        match event:
            case Start():
                delta |= {"role": event.role, "content": ""}
            case Text():
                delta["content"] = f"{delta.get('content', '')}{event.text}"
            case Reasoning():
                delta["reasoning_content"] = f"{delta.get('reasoning_content', '')}{event.text}"
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                calls[event.call] = {"index": event.call, "id": event.id, "type": "function", "function": function}
            case ToolArguments():
                call = calls.setdefault(event.call, {"index": event.call, "function": {}})
                call["function"] = {**_fields(call["function"]), "arguments": event.text}
            case _:
                pass
    if calls:
        delta["tool_calls"] = list(calls.values())
    return delta


def _fields(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def usage_fields(usage: Usage) -> dict[str, object]:
    """Token counts as a chat completion has them."""
    total = usage.prompt_tokens + usage.completion_tokens
    fields: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": total,
    }
    if usage.cached_prompt_tokens:
        fields["prompt_tokens_details"] = {"cached_tokens": usage.cached_prompt_tokens}
    return fields


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
