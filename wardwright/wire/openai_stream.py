"""The streamed chat completion: an upstream event's data to a `Frame`, and a frame to the bytes for the client.

A frame keeps its fields verbatim; its events are read beside them. Reading is per event and knows no history: what follows from
the order of events (a missing role, a repeated start, whether the answer is whole) is `stream_shape`'s.
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from wardwright.domain.chat import Fields, Part
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
from wardwright.wire.errors import BadAnswer
from wardwright.wire.json_text import JSON_FAULTS, check_utf8, find_fault
from wardwright.wire.openai_answer import joined_text, raise_error_object, read_usage

# What keeps an index apart from an attack on whoever keeps a table of them.
_Index = Annotated[int, msgspec.Meta(ge=0, le=9999)]


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class _ToolCall(msgspec.Struct):
    index: _Index | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Audio(msgspec.Struct):
    transcript: str | None = None


class _Delta(msgspec.Struct):
    role: str | None = None
    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: object = None  # a string from some servers, an object of their own from others
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: _Audio | None = None
    reasoning_details: object = None


class _Choice(msgspec.Struct):
    index: _Index | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: object = None
    token_ids: object = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None


_FIELDS = msgspec.json.Decoder(Fields)
_CHUNK = msgspec.json.Decoder(_Chunk)
_ENCODER = msgspec.json.Encoder()


def parse_chunk(data: bytes) -> Frame:
    """Read the data of one upstream event.

    Raises:
        UpstreamErrorObject: the event is an error object.
        BadAnswer: the event is not a chat-completion chunk.
    """
    try:
        check_utf8(data)
        fields = _FIELDS.decode(data)
        if "error" in fields or "choices" not in fields:
            raise_error_object(fields)
        chunk = _CHUNK.decode(data)
    except JSON_FAULTS as error:
        raise BadAnswer(f"an event of the stream is not a chat-completion chunk: {find_fault(error, data)}") from None
    events: list[StreamEvent] = []
    has_echoes = False
    for position, choice in enumerate(chunk.choices or ()):
        index = position if choice.index is None else choice.index
        if choice.delta is not None:
            events.extend(_delta_events(index, choice.delta))
            has_echoes = has_echoes or _has_echoes(choice.delta)
        has_echoes = has_echoes or choice.logprobs is not None or choice.token_ids is not None
        if choice.finish_reason:
            events.append(Finish(index, choice.finish_reason))
    if "usage" in fields and (usage := read_usage(fields)):
        events.append(UsageReport(usage))
    return Frame(fields, tuple(events), has_echoes)


def render_chunk(frame: Frame, *, model: str, include_usage: bool) -> bytes | None:
    """Render a frame as one event for the client: the public model name, and everything else as the provider sent it.

    Without `include_usage` (the client did not ask) usage is left out, and a chunk that carries nothing else is None.
    """
    fields: dict[str, object] = {**frame.fields, "model": model}
    if not include_usage and "usage" in fields:
        if _is_usage_alone(frame.fields):
            return None
        del fields["usage"]
    payload = _ENCODER.encode(fields)
    if b"\n" in payload or b"\r" in payload:
        # Line ends can stand only between JSON tokens, where a blank is as good; one line is what every client understands.
        payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"data: " + payload + b"\n\n"


def _delta_events(choice: int, delta: _Delta) -> Iterator[StreamEvent]:
    if delta.role:
        yield Start(choice, delta.role)
    reasoning = delta.reasoning_content or delta.reasoning  # some servers send the same text under both names
    if reasoning and isinstance(reasoning, str):
        yield Reasoning(choice, reasoning)
    # A refusal is text the client shows like any other, and so is what it hears: no rule may be blind to it.
    content = joined_text(delta.content) + ("" if delta.audio is None else delta.audio.transcript or "")
    if text := content + (delta.refusal or ""):
        yield Text(choice, text, is_refusal=not content)
    for position, call in enumerate(delta.tool_calls or ()):
        index = position if call.index is None else call.index
        yield from _call_events(choice, index, call.id, call.function)
        if call.custom is not None:
            yield from _custom_events(choice, index, call.id, call.custom)
    if delta.function_call is not None:
        yield from _call_events(choice, 0, None, delta.function_call)


def _has_echoes(delta: _Delta) -> bool:
    """Whether there may be text in a delta that no event has."""
    return (
        delta.audio is not None
        or delta.reasoning_details is not None
        or isinstance(delta.content, list)
        or (delta.reasoning is not None and not isinstance(delta.reasoning, str))
    )


def _call_events(choice: int, call: int, call_id: str | None, function: _Function | None) -> Iterator[StreamEvent]:
    """Read a tool-call delta. Only the first delta of a call names its function; some servers repeat the id on every one."""
    if function is None:
        return
    if function.name:
        yield ToolCallStart(choice, call, call_id or "", function.name)
    if function.arguments:
        yield ToolArguments(choice, call, function.arguments)


def _custom_events(choice: int, call: int, call_id: str | None, custom: _Custom) -> Iterator[StreamEvent]:
    """Read the same of a custom tool, which takes any text."""
    if custom.name:
        yield ToolCallStart(choice, call, call_id or "", custom.name)
    if custom.input:
        yield ToolArguments(choice, call, custom.input, is_json=False)


def _is_usage_alone(fields: Fields) -> bool:
    choices = bytes(fields.get("choices", b"null"))
    return bytes(fields["usage"]) != b"null" and choices.translate(None, b" \t\r\n") in (b"[]", b"null")
