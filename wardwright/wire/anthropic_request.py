"""A chat request as the body of Anthropic's Messages API.

What the API says in its own way is translated. It refuses fields that it does not know, so those of OpenAI's that it has no word for are
left out; every other field goes on as it came, since only a caller who means this API would send it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from wardwright.domain.chat import ChatRequest
from wardwright.wire.anthropic_chunks import REASONING_FORMAT
from wardwright.wire.conversation import (
    ContentPart,
    ReasoningDetail,
    Settings,
    ToolCall,
    ToolChoice,
    Turn,
    data_url,
    read_part,
    read_settings,
    read_turns,
    refuse,
)
from wardwright.wire.json_text import JSON_FAULTS

Block = dict[str, Any]

_HIGHEST_TEMPERATURE = 1.0
_TRANSLATED = frozenset(
    {
        "model", "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "temperature", "tools", "tool_choice",
        "parallel_tool_calls", "response_format", "n", "user", "safety_identifier", "metadata",
    }
)  # fmt: skip
_UNKNOWN_THERE = frozenset(
    {
        "stream_options", "frequency_penalty", "presence_penalty", "logit_bias", "seed", "store", "prediction", "verbosity",
        "reasoning_effort", "modalities", "prompt_cache_key", "prompt_cache_retention", "web_search_options", "logprobs",
        "top_logprobs",
    }
)  # fmt: skip
_SERVICE_TIERS = (b'"auto"', b'"standard_only"')

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def message_body(request: ChatRequest, upstream_model: str, default_max_tokens: int) -> bytes:
    """Render the body for a target.

    Args: default_max_tokens: the longest answer where the caller sets no limit, which the API insists on.

    Raises: RequestError when the request asks for what the API cannot do.
    """
    settings = read_settings(request)
    _check(request, settings)
    left_out = _TRANSLATED | _UNKNOWN_THERE
    fields: dict[str, object] = {name: value for name, value in request.fields.items() if name not in left_out}
    if bytes(request.fields.get("service_tier", b"")) not in _SERVICE_TIERS:
        fields.pop("service_tier", None)
    system, messages = _conversation(read_turns(request))
    fields["model"] = upstream_model
    fields["max_tokens"] = settings.output_limit or default_max_tokens
    fields["stream"] = request.stream
    if system:
        fields["system"] = system
    fields["messages"] = messages
    if settings.stops:
        fields["stop_sequences"] = settings.stops
    if settings.temperature is not None:
        fields["temperature"] = min(settings.temperature, _HIGHEST_TEMPERATURE)
    if settings.tools:
        fields["tools"] = [_tool(tool) for tool in settings.tools]
        if (choice := _tool_choice(settings)) is not None:
            fields["tool_choice"] = choice
    if user := settings.safety_identifier or settings.user:
        fields["metadata"] = {"user_id": user}
    if (output := _output_config(request, settings)) is not None:
        fields["output_config"] = output
    return _ENCODER.encode(fields)


def _check(request: ChatRequest, settings: Settings) -> None:
    if settings.n is not None and settings.n > 1:
        refuse("n", "this target gives one answer to a request", "unsupported_parameter")
    if settings.logprobs:
        refuse("logprobs", "this target gives no log probabilities", "unsupported_parameter")
    if settings.response_format is not None and settings.response_format.type == "json_object":
        refuse("response_format", "this target wants a json_schema", "unsupported_parameter")
    for name in ("functions", "function_call", "audio"):
        if bytes(request.fields.get(name, b"null")) != b"null":
            refuse(name, "this target does not have it", "unsupported_parameter")


def _output_config(request: ChatRequest, settings: Settings) -> object:
    """How the answer shall be, the caller's own words for it included; None when nothing is said."""
    asked = settings.response_format
    if asked is None or asked.json_schema is None:
        return request.fields.get("output_config")
    try:
        own = _OBJECT.decode(request.fields.get("output_config", b"{}"))
    except JSON_FAULTS:
        refuse("output_config", "expected an object", "invalid_request")
    return {**own, "format": {"type": "json_schema", "schema": asked.json_schema.schema}}


def _tool(tool: Mapping[str, Any]) -> object:
    """A function as a tool; a tool of another type is one of the API's own, and goes on as it came."""
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, dict):
        return tool
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    kept = {name: function[name] for name in ("name", "description", "strict") if function.get(name) is not None}
    marked = {"cache_control": tool["cache_control"]} if "cache_control" in tool else {}
    return {**kept, "input_schema": parameters, **marked}


def _tool_choice(settings: Settings) -> dict[str, object] | None:
    chosen: dict[str, object] | None
    match settings.tool_choice:
        case None:
            chosen = None
        case "auto" | "none" as word:
            chosen = {"type": word}
        case "required":
            chosen = {"type": "any"}
        case ToolChoice(function=named) if named is not None:
            chosen = {"type": "tool", "name": named.name}
        case _:
            refuse("tool_choice", 'expected "auto", "none", "required" or a function', "invalid_request")
    if settings.parallel_tool_calls is False and chosen != {"type": "none"}:
        chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    return chosen


def _conversation(turns: Iterable[Turn]) -> tuple[list[Block], list[dict[str, object]]]:
    """The system's blocks, and the messages: what follows under the same role is one message, as results of tools have to be."""
    system: list[Block] = []
    messages: list[tuple[str, list[Block]]] = []
    for number, turn in enumerate(turns):
        path = f"messages[{number}]"
        if turn.role in ("system", "developer"):
            system += _blocks(turn, path)
            continue
        role, blocks = _message(turn, path)
        if messages and messages[-1][0] == role:
            messages[-1][1].extend(blocks)
        elif blocks:
            messages.append((role, blocks))
    return system, [{"role": role, "content": blocks} for role, blocks in messages]


def _message(turn: Turn, path: str) -> tuple[Literal["user", "assistant"], list[Block]]:
    if turn.role == "user":
        return "user", _blocks(turn, path)
    if turn.role == "tool":
        result: Block = {"type": "tool_result", "tool_use_id": turn.tool_call_id or ""}
        return "user", [{**result, "content": _blocks(turn, path)}]
    if turn.role != "assistant":
        refuse(f"{path}.role", f"this target has no such role, got {turn.role[:40]}", "unsupported_parameter")
    calls = (_call(call, f"{path}.tool_calls") for call in turn.tool_calls or ())
    return "assistant", [*_thinking(turn.reasoning_details or ()), *_blocks(turn, path), *calls]


def _thinking(details: Iterable[ReasoningDetail]) -> Iterator[Block]:
    """Thinking as it was received: only what is signed or encrypted is taken back, and only from where it came."""
    blocks: dict[tuple[str, int | None], Block] = {}
    for detail in details:
        # Clients that put the pieces of a stream together by adding up texts do so with the format too.
        if not (detail.format or REASONING_FORMAT).startswith(REASONING_FORMAT):
            continue
        key = (detail.type, detail.index)
        if detail.type == "reasoning.encrypted":
            blocks[key] = {"type": "redacted_thinking", "data": detail.data}
        elif detail.type == "reasoning.text":
            block = blocks.setdefault(key, {"type": "thinking", "thinking": "", "signature": ""})
            block["thinking"] += detail.text or ""
            block["signature"] = detail.signature or block["signature"]
    return (block for block in blocks.values() if block.get("signature") or block.get("data"))


def _blocks(turn: Turn, path: str) -> list[Block]:
    """The blocks of a content. Empty text, which the API refuses, says nothing and is none."""
    if not isinstance(turn.content, list):
        return [{"type": "text", "text": turn.content}] if turn.content else []
    places = (f"{path}.content[{number}]" for number in range(len(turn.content)))
    made = (_block(raw, place) for raw, place in zip(turn.content, places, strict=True))
    return [block for block in made if block.get("type") != "text" or block.get("text")]


def _block(raw: Mapping[str, Any], place: str) -> Block:
    part = read_part(dict(raw), place)
    match part.type:
        case "text":
            block: Block = {"type": "text", "text": part.text or ""}
        case "image_url" if part.image_url is not None:
            url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
            block = {"type": "image", "source": _source(url)}
        case "file":
            block = _document(part, place)
        case "input_audio" | "image_url":
            refuse(place, f"this target does not take it, got {part.type}", "unsupported_parameter")
        case _:
            return dict(raw)  # a block of the API's own
    return block if part.cache_control is None else {**block, "cache_control": part.cache_control}


def _document(part: ContentPart, place: str) -> Block:
    held = data_url(part.file.file_data) if part.file is not None and part.file.file_data else None
    if part.file is None or held is None:
        refuse(place, "this target takes a file as a data: URL alone", "unsupported_parameter")
    block: Block = {"type": "document", "source": {"type": "base64", "media_type": held[0], "data": held[1]}}
    return {**block, "title": part.file.filename} if part.file.filename else block


def _source(url: str) -> dict[str, str]:
    held = data_url(url)
    return {"type": "url", "url": url} if held is None else {"type": "base64", "media_type": held[0], "data": held[1]}


def _call(call: ToolCall, place: str) -> Block:
    try:
        arguments = _OBJECT.decode(call.function.arguments or "{}")
    except JSON_FAULTS:
        refuse(f"{place}.function.arguments", "expected a JSON object", "invalid_request")
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": arguments}
