"""Chunks of a chat completion made again with other text: when a rule changed it, or lets only a part of it go.

What a chunk says besides its text stays: ids, indexes, roles, fields nobody here knows. What repeats the text in another form goes
with it: log probabilities name every token, `reasoning_details` holds the reasoning again.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from wardwright.domain.chat import Fields
from wardwright.domain.policy import Channel
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
from wardwright.wire.openai_echoes import without_echoes

__all__ = [
    "carrying",
    "choice_of",
    "likeness",
    "split",
    "with_arguments",
    "with_text",
    "without_echoes",
    "without_roles",
]

# What chunks of one answer share.
_SHARED = ("id", "object", "created", "model", "system_fingerprint", "service_tier")

_TEXT_KEYS = ("content", "refusal", "audio")
_REASONING_KEYS = ("reasoning_content", "reasoning", "reasoning_details")
_TOOL_KEYS = ("tool_calls", "function_call")
_NULL = msgspec.Raw(b"null")

_Choice = dict[str, msgspec.Raw]
_CHOICES = msgspec.json.Decoder(list[_Choice] | None)
_FIELDS = msgspec.json.Decoder(Fields | None)
_CALLS = msgspec.json.Decoder(list[Fields] | None)
_ANYTHING = msgspec.json.Decoder()


def with_text(frame: Frame, channel: Channel, choice: int, text: str) -> Frame:
    """Make a chunk again whose text of one choice and channel is another. Purity: pure."""
    choices = _choices(frame)
    for entry in _of_choice(choices, choice):
        delta = _delta(entry)
        if channel == "text":
            keys = [name for name in _TEXT_KEYS if _is_text(delta, name)] or ["content"]
            delta.update({name: _put(delta, name, "") for name in keys})
            delta[keys[0]] = _put(delta, keys[0], text)
        else:
            keys = [name for name in _REASONING_KEYS[:2] if _is_text(delta, name)]
            delta.update({name: _raw(text) for name in keys})
            delta.pop("reasoning_details", None)
        entry["delta"] = _raw(delta)
        entry.pop("logprobs", None)
        entry.pop("token_ids", None)
    kind = Text if channel == "text" else Reasoning
    others: list[StreamEvent] = []
    for event in frame.events:
        if not (isinstance(event, kind) and event.choice == choice):
            others.append(event)
        elif text:
            others.append(msgspec.structs.replace(event, text=text))
    return Frame({**frame.fields, "choices": _raw(choices)}, tuple(others))


def carrying(frame: Frame, channel: Channel, choice: int, text: str, *, as_it_came: bool) -> Frame:
    """Make a chunk in the likeness of another that carries nothing but text of one choice and channel. Purity: pure.

    Args: as_it_came: the text is the rest of that other chunk's own, so that its log probabilities may go along.
    """
    key = _text_key(frame, channel, choice)
    made: dict[str, Any] = {"index": choice, "delta": {key: _put({}, key, text)}, "finish_reason": None}
    for entry in _of_choice(_choices(frame), choice):
        if as_it_came and channel == "text" and "logprobs" in entry:
            made["logprobs"] = entry["logprobs"]
    event = Text(choice, text, is_refusal=key == "refusal") if channel == "text" else Reasoning(choice, text)
    return Frame(likeness(frame, [made]), (event,))


def with_arguments(frame: Frame, choice: int, arguments: Mapping[int, str]) -> Frame:
    """Make a chunk again in which the named tool calls of one choice have other arguments. Purity: pure."""
    choices = _choices(frame)
    for entry in _of_choice(choices, choice):
        delta = _delta(entry)
        calls = _CALLS.decode(delta.get("tool_calls", _NULL)) or []
        for position, call in enumerate(calls):
            text = arguments.get(_index(call, position))
            function = _FIELDS.decode(call.get("function", _NULL))
            if text is not None and function is not None:
                call["function"] = _raw({**function, "arguments": text})
            custom = _FIELDS.decode(call.get("custom", _NULL))
            if text is not None and custom is not None:
                call["custom"] = _raw({**custom, "input": text})
        if calls:
            delta["tool_calls"] = _raw(calls)
        function = _FIELDS.decode(delta.get("function_call", _NULL))
        if function is not None and 0 in arguments:
            delta["function_call"] = _raw({**function, "arguments": arguments[0]})
        entry["delta"] = _raw(delta)
    return Frame({**frame.fields, "choices": _raw(choices)}, tuple(_with_arguments(frame.events, choice, arguments)))


def split(frame: Frame) -> tuple[Frame, ...]:
    """Part a chunk so that each has content of one choice and one channel only, in the order in which it is read. Purity: pure.

    The first part of a choice begins it, its last part ends it, and the very last one has the usage.
    """
    parts: list[tuple[_Choice, tuple[StreamEvent, ...]]] = []
    for position, entry in enumerate(_choices(frame)):
        parts += _parts_of(entry, _index(entry, position), frame.events)
    if len(parts) < 2:
        return (frame,)
    without_usage = {**frame.fields, "usage": _NULL} if "usage" in frame.fields else frame.fields
    reports = tuple(event for event in frame.events if isinstance(event, UsageReport))
    *earlier, (last, events) = parts
    return (
        *(Frame({**without_usage, "choices": _raw([choice])}, said) for choice, said in earlier),
        Frame({**frame.fields, "choices": _raw([last])}, (*events, *reports)),
    )


def choice_of(frame: Frame) -> int | None:
    """The index of a chunk's first choice; None when it has none. Purity: pure."""
    return next((_index(entry, 0) for entry in _choices(frame)), None)


def likeness(frame: Frame, choices: object) -> Fields:
    """The fields of a chunk of the same answer with other choices, and without usage. Purity: pure."""
    fields = {name: frame.fields[name] for name in _SHARED if name in frame.fields}
    fields["choices"] = _raw(choices)
    if "usage" in frame.fields:
        fields["usage"] = _NULL
    return fields


def without_roles(choices: msgspec.Raw, places: Container[int] | None = None) -> msgspec.Raw:
    """A chunk's choices without the roles in their deltas: of all of them, or of those at some places. Purity: pure."""
    entries = _CHOICES.decode(choices) or []
    for place, entry in enumerate(entries):
        delta = _delta(entry)
        if "role" in delta and (places is None or place in places):
            entry["delta"] = _raw({name: value for name, value in delta.items() if name != "role"})
    return _raw(entries)


def _parts_of(
    entry: _Choice, index: int, events: tuple[StreamEvent, ...]
) -> Iterator[tuple[_Choice, tuple[StreamEvent, ...]]]:
    """Part one choice by channel."""
    delta = _delta(entry)
    groups = [keys for keys in (_REASONING_KEYS, _TEXT_KEYS, _TOOL_KEYS) if any(_says(delta, key) for key in keys)]
    said_apart = {key for keys in groups for key in keys}
    others = {key: value for key, value in delta.items() if key not in said_apart}
    for number, keys in enumerate(groups or [()]):
        is_first, is_last = number == 0, number >= len(groups) - 1
        has_logprobs = keys == _TEXT_KEYS or (is_first and _TEXT_KEYS not in groups)
        said = {**(others if is_first else {}), **{key: delta[key] for key in keys if key in delta}}
        choice = {key: value for key, value in entry.items() if key != "logprobs" or has_logprobs}
        choice |= {"index": _raw(index), "delta": _raw(said)}
        if not is_last:
            choice["finish_reason"] = _NULL
        yield choice, tuple(_events_of(events, index, keys, is_first=is_first, is_last=is_last))


def _events_of(
    events: Iterable[StreamEvent], choice: int, keys: tuple[str, ...], *, is_first: bool, is_last: bool
) -> Iterator[StreamEvent]:
    for event in events:
        if isinstance(event, UsageReport) or event.choice != choice:
            continue
        match event:
            case Start():
                belongs = is_first
            case Finish():
                belongs = is_last
            case Text():
                belongs = keys == _TEXT_KEYS
            case Reasoning():
                belongs = keys == _REASONING_KEYS
            case ToolCallStart() | ToolArguments():
                belongs = keys == _TOOL_KEYS
        if belongs:
            yield event


def _with_arguments(events: Iterable[StreamEvent], choice: int, arguments: Mapping[int, str]) -> Iterator[StreamEvent]:
    waiting = dict(arguments)
    for event in events:
        if isinstance(event, ToolArguments) and event.choice == choice and event.call in arguments:
            continue
        yield event
        if isinstance(event, ToolCallStart) and event.choice == choice and waiting.get(event.call):
            yield ToolArguments(choice, event.call, waiting.pop(event.call))
    for call, text in waiting.items():
        if text and any(isinstance(event, ToolArguments) and event.call == call for event in events):
            yield ToolArguments(choice, call, text)


def _text_key(frame: Frame, channel: Channel, choice: int) -> str:
    """Under which key a chunk has its text of a channel."""
    for entry in _of_choice(_choices(frame), choice):
        delta = _delta(entry)
        keys = _TEXT_KEYS if channel == "text" else _REASONING_KEYS[:2]
        for key in keys:
            if _is_text(delta, key):
                return key
    return "content" if channel == "text" else "reasoning_content"


def _choices(frame: Frame) -> list[_Choice]:
    return _CHOICES.decode(frame.fields.get("choices", _NULL)) or []


def _of_choice(choices: Iterable[_Choice], index: int) -> Iterator[_Choice]:
    return (entry for position, entry in enumerate(choices) if _index(entry, position) == index)


def _index(entry: Fields, position: int) -> int:
    index = _ANYTHING.decode(entry["index"]) if "index" in entry else None
    return index if isinstance(index, int) else position


def _delta(entry: _Choice) -> Fields:
    return _FIELDS.decode(entry.get("delta", _NULL)) or {}


def _is_text(delta: Fields, key: str) -> bool:
    """Whether a delta has text under a key, be it in parts."""
    value = _ANYTHING.decode(delta[key]) if key in delta else None
    if key == "audio":
        return isinstance(value, dict) and bool(value.get("transcript"))
    return (isinstance(value, str) and value != "") or (key == "content" and isinstance(value, list))


def _put(delta: Fields, key: str, text: str) -> msgspec.Raw:
    """What a delta has under a key once it has another text there."""
    if key != "audio":
        return _raw(text)
    audio = _FIELDS.decode(delta.get(key, _NULL)) or {}
    return _raw({**{name: value for name, value in audio.items() if name != "data"}, "transcript": text})


def _says(delta: Fields, key: str) -> bool:
    return key in delta and bytes(delta[key]) not in (b"null", b'""', b"[]")


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
