"""The chat-completions request: from a client's body to a `ChatRequest`, and from there to the body sent upstream.

The body is read twice in C and never rebuilt: once into raw top-level fields, which travel on verbatim, and once into the few
values the gateway must understand. What it does not understand it neither checks nor changes.
"""

from typing import Annotated

import msgspec

from wardwright.domain.chat import ChatRequest, Fields, Message, Part, PrefillStyle
from wardwright.domain.errors import RequestError
from wardwright.wire.json_text import JSON_FAULTS, check_utf8, find_fault

_ABSENT = msgspec.Raw()
_NULL = msgspec.Raw(b"null")
_EMPTY = (b"", b"null")
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# Beyond this a JSON number is no longer exact for most readers, and no token count comes near it.
_Count = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class _Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    tool_calls: msgspec.Raw = _ABSENT
    tool_call_id: msgspec.Raw = _ABSENT


class _Named(msgspec.Struct):
    role: object = None
    name: object = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str | None = None


class _Known(msgspec.Struct):
    """What the gateway reads of a body."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: _Count | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    max_output_tokens: _Count | None = None
    tools: list[msgspec.Raw] | None = None
    functions: list[msgspec.Raw] | None = None
    response_format: _ResponseFormat | None = None
    metadata: object = None
    user: str | None = None


_HINTS = {
    "model": "; name one of the models listed at /v1/models",
    "messages": "; send at least one message",
}

_FIELDS = msgspec.json.Decoder(Fields)
_KNOWN = msgspec.json.Decoder(_Known)
_COUNT = msgspec.json.Decoder(_Count | None)
_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])
_NAMED = msgspec.json.Decoder(_Named)
_ENCODER = msgspec.json.Encoder()


def parse_chat_request(body: bytes) -> ChatRequest:
    """Read a client's chat-completions body.

    Raises: RequestError, whose `param` is the path of the field to mend, or None when the body as a whole is not JSON.
    """
    try:
        check_utf8(body)
        fields = _FIELDS.decode(body)
        known = _KNOWN.decode(body)
    except JSON_FAULTS as error:
        raise _request_error(error, body) from None
    if not known.model.strip():
        raise _refused("model", "expected a name, got an empty string")
    if not known.messages:
        raise _refused("messages", "expected a list of messages, got an empty list")
    return ChatRequest(
        model=known.model,
        messages=tuple(map(_message, known.messages)),
        fields=fields,
        stream=bool(known.stream),
        include_usage=bool(known.stream_options and known.stream_options.include_usage),
        output_budget=_output_budget(known),
        needs=_needs(known),
        metadata=known.metadata if isinstance(known.metadata, dict) else {},
        user=known.user,
    )


def upstream_chat_body(request: ChatRequest, upstream_model: str, prefill: PrefillStyle | None = None) -> bytes:
    """Render the body for a target: the caller's own fields, with the target's model name put in.

    A stream is always asked to report its usage; `render_chunk` hides it from a client that did not ask.

    Args: prefill: how the target is told that the last message is the beginning of its answer; None when it is not.

    Raises: RequestError when `stream_options` cannot be read.
    """
    fields: dict[str, object] = {**request.fields, "model": upstream_model}
    if prefill == "continue_final_message":
        fields["continue_final_message"], fields["add_generation_prompt"] = True, False
    elif prefill == "prefix":
        *before, last = _MESSAGES.decode(request.fields["messages"])
        marked: dict[str, object] = {**_FIELDS.decode(last), "prefix": True}
        fields["messages"] = [*before, marked]
    if request.stream:
        fields["stream_options"] = {**_stream_options(request.fields), "include_usage": True}
    return _ENCODER.encode(fields)


def with_system_message(request: ChatRequest, name: str, content: str, *, replacing: bool = False) -> ChatRequest:
    """Put a system message behind all messages of a request; `replacing` takes the last one of that name away. Purity: pure."""
    raw_messages, messages = _MESSAGES.decode(request.fields["messages"]), list(request.messages)
    if replacing:
        said_before = [place for place, raw in enumerate(raw_messages) if _NAMED.decode(raw) == _Named("system", name)]
        for place in said_before[-1:]:
            del raw_messages[place], messages[place]
    said = {"role": "system", "name": name, "content": content}
    raw = msgspec.Raw(_ENCODER.encode([*raw_messages, said]))
    return msgspec.structs.replace(
        request,
        messages=(*messages, Message("system", content)),
        fields={**request.fields, "messages": raw},
    )


def with_beginning(request: ChatRequest, text: str, tokens: int) -> ChatRequest:
    """Put the beginning of an answer behind all messages of a request, and take its tokens off the limit of the answer. Purity: pure.

    A caller's own beginning of the answer stays in front of it.
    """
    *before, last = _MESSAGES.decode(request.fields["messages"])
    said = request.messages[-1]
    message: dict[str, object] = {"role": "assistant", "content": text}
    if said.role == "assistant" and isinstance(said.content, str) and said.tool_calls is None:
        message = {**_FIELDS.decode(last), "content": said.content + text}
        messages = (*request.messages[:-1], Message("assistant", said.content + text))
    else:
        before.append(last)
        messages = (*request.messages, Message("assistant", text))
    limits: Fields = {}
    for name in _LIMITS:
        asked = _COUNT.decode(request.fields.get(name, _NULL))
        if asked is not None and asked > 0:
            limits[name] = msgspec.Raw(_ENCODER.encode(max(1, asked - tokens)))
    budget = request.output_budget
    return msgspec.structs.replace(
        request,
        messages=messages,
        fields={**request.fields, **limits, "messages": msgspec.Raw(_ENCODER.encode([*before, message]))},
        output_budget=None if budget is None else max(1, budget - tokens),
    )


def choice_count(request: ChatRequest) -> int:
    """Count the choices the caller asked for (`n`)."""
    raw = request.fields.get("n")
    return max(1, _COUNT.decode(raw) or 1) if raw is not None else 1


def _stream_options(fields: Fields) -> Fields:
    raw = fields.get("stream_options")
    if raw is None or bytes(raw) in _EMPTY:
        return {}
    try:
        return _FIELDS.decode(raw)
    except JSON_FAULTS as error:
        fault = find_fault(error, bytes(raw))
        raise RequestError(f"stream_options: {fault.problem}", param="stream_options") from None


def _request_error(error: Exception, body: bytes) -> RequestError:
    fault = find_fault(error, body)
    if fault.path is None:
        expected_object = fault.problem.startswith("expected")
        whole = f"the request body: {fault}" if expected_object else f"the request body {fault}"
        return RequestError(f"{whole}; send one JSON object", param=None)
    return _refused(fault.path, fault.problem)


def _refused(path: str, problem: str) -> RequestError:
    return RequestError(f"{path}: {problem}{_HINTS.get(path, '')}", param=path)


def _message(message: _Message) -> Message:
    calls = message.tool_calls
    stated = None if bytes(calls) in _EMPTY else calls
    if message.role != "tool" or bytes(message.tool_call_id) in _EMPTY:
        return Message(message.role, message.content, stated)
    return Message(message.role, message.content, stated, message.tool_call_id)


def _output_budget(known: _Known) -> int | None:
    """Return the largest limit asked for. Some clients say "no limit" with 0 or -1: that is the provider's to understand."""
    asked = (known.max_tokens or 0, known.max_completion_tokens or 0, known.max_output_tokens or 0)
    return max(asked) if max(asked) > 0 else None


def _needs(known: _Known) -> frozenset[str]:
    needs = []
    if known.tools or known.functions:
        needs.append("tools")
    if known.response_format is not None and known.response_format.type == "json_schema":
        needs.append("json_schema")
    if any(_has_image(message) for message in known.messages):
        needs.append("vision")
    return frozenset(needs)


def _has_image(message: _Message) -> bool:
    return isinstance(message.content, list) and any(part.type == "image_url" for part in message.content)
