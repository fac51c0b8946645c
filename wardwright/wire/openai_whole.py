"""The texts of a whole chat completion: read as the events that a stream would have had, and put back changed."""

from collections.abc import Iterator, Mapping

import msgspec

from wardwright.domain.chat import Completion, Fields, Part
from wardwright.domain.policy import Channel
from wardwright.domain.stream import Finish, Place, Reasoning, StreamEvent, Text, ToolArguments, ToolCallStart
from wardwright.wire.openai_answer import joined_text


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class _ToolCall(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Audio(msgspec.Struct):
    transcript: str | None = None


class _Message(msgspec.Struct):
    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: object = None  # a string from some servers, an object of their own from others
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    audio: _Audio | None = None


class _Choice(msgspec.Struct):
    message: _Message
    index: int | None = None
    finish_reason: str | None = None


_NULL = msgspec.Raw(b"null")
_CHOICES = msgspec.json.Decoder(list[_Choice])
_RAW_CHOICES = msgspec.json.Decoder(list[Fields])
_FIELDS = msgspec.json.Decoder(Fields)
_RAW_CALLS = msgspec.json.Decoder(list[Fields] | None)


def read_events(completion: Completion) -> tuple[StreamEvent, ...]:
    """Read the texts of an answer, each in one piece.

    Raises: msgspec.DecodeError when a text is not where this wire has it, so that nobody could read it.
    """
    return tuple(
        event
        for position, choice in enumerate(_CHOICES.decode(completion.fields["choices"]))
        for event in _events(position if choice.index is None else choice.index, choice.message)
    )


def read_finishes(completion: Completion) -> tuple[Finish, ...]:
    """Read how the choices of an answer ended. Raises: as `read_events`."""
    return tuple(
        Finish(position if choice.index is None else choice.index, choice.finish_reason)
        for position, choice in enumerate(_CHOICES.decode(completion.fields["choices"]))
        if choice.finish_reason
    )


def with_texts(completion: Completion, changed: Mapping[Place, str]) -> Completion:
    """Make an answer again with other texts; what repeats them in another form goes. Purity: pure."""
    if not changed:
        return completion
    choices = _RAW_CHOICES.decode(completion.fields["choices"])
    for position, choice in enumerate(choices):
        index = msgspec.json.decode(choice["index"]) if "index" in choice else None
        mine = {
            (p.channel, p.call): text
            for p, text in changed.items()
            if p.choice == (position if index is None else index)
        }
        if mine:
            choice["message"] = _raw(_changed(_FIELDS.decode(choice["message"]), mine))
            choice.pop("logprobs", None)
            choice.pop("token_ids", None)
    return msgspec.structs.replace(completion, fields={**completion.fields, "choices": _raw(choices)})


def _events(index: int, message: _Message) -> Iterator[StreamEvent]:
    reasoning = message.reasoning_content or message.reasoning
    if reasoning and isinstance(reasoning, str):
        yield Reasoning(index, reasoning)
    content = joined_text(message.content) + ("" if message.audio is None else message.audio.transcript or "")
    if text := content + (message.refusal or ""):
        yield Text(index, text, is_refusal=not content)
    calls = list(message.tool_calls or ())
    if message.function_call is not None:
        calls.append(_ToolCall(function=message.function_call))
    for number, call in enumerate(calls):
        if call.function is not None:
            yield ToolCallStart(index, number, call.id or "", call.function.name or "")
            if call.function.arguments:
                yield ToolArguments(index, number, call.function.arguments)
        elif call.custom is not None:
            yield ToolCallStart(index, number, call.id or "", call.custom.name or "")
            if call.custom.input:
                yield ToolArguments(index, number, call.custom.input, is_json=False)


def _changed(message: Fields, texts: Mapping[tuple[Channel, int], str]) -> Fields:
    text, reasoning = texts.get(("text", 0)), texts.get(("reasoning", 0))
    if text is not None:
        has_refusal = not _is_empty(message.get("refusal"))
        if has_refusal and _is_empty(message.get("content")):
            message["refusal"] = _raw(text)
        else:
            message |= {"content": _raw(text), **({"refusal": _NULL} if has_refusal else {})}
        message.pop("audio", None)  # it says what was said before
    if reasoning is not None:
        message |= {key: _raw(reasoning) for key in ("reasoning", "reasoning_content") if _is_string(message.get(key))}
        message.pop("reasoning_details", None)
    calls = _RAW_CALLS.decode(message.get("tool_calls", _NULL)) or []
    for number, call in enumerate(calls):
        arguments = texts.get(("tool_arguments", number))
        if arguments is not None and "custom" in call:
            call["custom"] = _raw({**_FIELDS.decode(call["custom"]), "input": arguments})
        elif arguments is not None:
            call["function"] = _raw({**_FIELDS.decode(call["function"]), "arguments": arguments})
    if calls:
        message["tool_calls"] = _raw(calls)
    arguments = texts.get(("tool_arguments", len(calls)))
    if arguments is not None:
        message["function_call"] = _raw({**_FIELDS.decode(message["function_call"]), "arguments": arguments})
    return message


def _is_empty(value: msgspec.Raw | None) -> bool:
    return value is None or bytes(value) in (b"null", b'""', b"[]")


def _is_string(value: msgspec.Raw | None) -> bool:
    return value is not None and bytes(value).startswith(b'"')


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
