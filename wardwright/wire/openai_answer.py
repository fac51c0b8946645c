"""The whole (unary) chat completion: a provider's body to a `Completion`, and back to the body for the client."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from wardwright.domain.chat import Completion, Fields, Part, Usage
from wardwright.domain.tools import storable_names
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject, error_of
from wardwright.wire.json_text import JSON_FAULTS, check_utf8, find_fault


class _Message(msgspec.Struct):
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct):
    name: str | None = None


class _Call(msgspec.Struct):
    function: _Named | None = None
    custom: _Named | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


_Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Tokens | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    prompt_tokens_details: _PromptDetails | None = None


_FIELDS = msgspec.json.Decoder(Fields)
_ANSWER = msgspec.json.Decoder(_Answer)
_USAGE = msgspec.json.Decoder(_Usage)
_CALLS = msgspec.json.Decoder(list[_Call] | None)
_ANYTHING = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


def parse_completion(body: bytes) -> Completion:
    """Read a provider's whole answer. A choice without a finish reason adds none.

    Raises:
        UpstreamErrorObject: the body is an error, whatever status it came with.
        BadAnswer: the body is not a chat completion.
    """
    try:
        check_utf8(body)
        fields = _FIELDS.decode(body)
        raise_error_object(fields)
        answer = _ANSWER.decode(body)
    except JSON_FAULTS as error:
        raise BadAnswer(f"the answer is not a chat completion: {find_fault(error, body)}") from None
    if not answer.choices:
        raise BadAnswer("the answer is not a chat completion: choices: expected at least one choice, got an empty list")
    return Completion(
        fields=fields,
        finish_reasons=tuple(choice.finish_reason for choice in answer.choices if choice.finish_reason),
        usage=read_usage(fields),
        text_bytes=sum(_text_bytes(choice.message) for choice in answer.choices),
        called_tools=_called_tools(answer.choices) if b'"tool_calls"' in body else (),
    )


def render_completion(completion: Completion, *, model: str, extra: Mapping[str, object]) -> bytes:
    """Render a whole answer for the client: the provider's fields, the public model name, and the gateway's `extra` fields."""
    return _ENCODER.encode({**completion.fields, "model": model, **extra})


def raise_error_object(fields: Fields) -> None:
    """Raise UpstreamErrorObject when the fields are an error's: a truthy `error`, or `"object": "error"`."""
    error = fields.get("error")
    if error is None and bytes(fields.get("object", b"")) != b'"error"':
        return
    if error is not None and not _ANYTHING.decode(error):
        return
    raise UpstreamErrorObject(error_of({name: _ANYTHING.decode(value) for name, value in fields.items()}))


def read_usage(fields: Fields) -> Usage | None:
    """Read the reported token counts; None when there are none that can be read, for a count is never invented."""
    raw = fields.get("usage")
    if raw is None:
        return None
    try:
        usage = _USAGE.decode(raw)
    except JSON_FAULTS:
        return None
    details = usage.prompt_tokens_details
    cached = 0 if details is None else details.cached_tokens or 0
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached_prompt_tokens=cached)


def joined_text(content: str | list[Part] | None) -> str:
    """Join the text of a content, which some providers send in parts."""
    if isinstance(content, list):
        return "".join(part.text or "" for part in content)
    return content or ""


def utf8_length(text: str) -> int:
    """Count the bytes a text takes on the wire."""
    return len(text) if text.isascii() else len(text.encode())


def _called_tools(choices: Sequence[_Choice]) -> tuple[str, ...]:
    """The names of the tools that are called, as far as they can be read."""
    names: list[str | None] = []
    for choice in choices:
        try:
            calls = _CALLS.decode(choice.message.tool_calls or b"null") or ()
        except JSON_FAULTS:
            continue
        names += [named.name for call in calls if (named := call.function or call.custom) is not None]
    return storable_names(names)


def _text_bytes(message: _Message) -> int:
    return utf8_length(joined_text(message.content)) + utf8_length(message.refusal or "")
