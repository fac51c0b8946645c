"""A chat request as the body of Ollama's `/api/chat`.

What Ollama says in its own way is translated; every other field goes on as it came, and Ollama leaves alone what it does not know.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from wardwright.domain.chat import ChatRequest
from wardwright.wire.conversation import (
    ResponseFormat,
    Settings,
    ToolCall,
    Turn,
    data_url,
    read_part,
    read_settings,
    read_turns,
    refuse,
)
from wardwright.wire.json_text import JSON_FAULTS

# What stands among the options under the same name.
_OPTIONS = ("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty")
_TRANSLATED = frozenset(
    {
        "model", "messages", "stream", "stream_options", "options", "tools", "tool_choice", "parallel_tool_calls",
        "response_format", "stop", "max_tokens", "max_completion_tokens", "n", "reasoning_effort", *_OPTIONS,
    }
)  # fmt: skip
_THINK: Mapping[str, object] = {"none": False, "minimal": "low", "xhigh": "high"}

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def ollama_chat_body(request: ChatRequest, upstream_model: str, context_window: int) -> bytes:
    """Render the body for a target.

    The context window is asked for: by itself Ollama runs a model with a small one and silently drops what does not fit.

    Raises: RequestError when the request asks for what Ollama cannot do.
    """
    settings = read_settings(request)
    _check(settings)
    fields: dict[str, object] = {name: value for name, value in request.fields.items() if name not in _TRANSLATED}
    fields["model"] = upstream_model
    fields["messages"] = list(_messages(read_turns(request)))
    fields["stream"] = request.stream
    fields["options"] = _options(request, settings, context_window)
    if settings.tools and settings.tool_choice != "none":
        fields["tools"] = request.fields["tools"]
    if settings.response_format is not None and (form := _form(settings.response_format)) is not None:
        fields["format"] = form
    if settings.reasoning_effort is not None and "think" not in fields:
        fields["think"] = _THINK.get(settings.reasoning_effort, settings.reasoning_effort)
    return _ENCODER.encode(fields)


def _check(settings: Settings) -> None:
    if settings.n is not None and settings.n > 1:
        refuse("n", "this target gives one answer to a request", "unsupported_parameter")
    if settings.tool_choice not in (None, "auto", "none"):
        refuse("tool_choice", "this target cannot be made to use a tool", "unsupported_parameter")
    if settings.logprobs:
        refuse("logprobs", "this target gives no log probabilities", "unsupported_parameter")


def _options(request: ChatRequest, settings: Settings, context_window: int) -> dict[str, object]:
    options: dict[str, object] = {"num_ctx": context_window}
    options |= {name: request.fields[name] for name in _OPTIONS if bytes(request.fields.get(name, b"null")) != b"null"}
    if settings.stops:
        options["stop"] = settings.stops
    if settings.output_limit is not None:
        options["num_predict"] = settings.output_limit
    own = request.fields.get("options")
    if own is not None:
        try:
            options |= _OBJECT.decode(own)
        except JSON_FAULTS:
            refuse("options", "expected an object", "invalid_request")
    return options


def _form(asked: ResponseFormat) -> object:
    match asked.type:
        case "json_object":
            return "json"
        case "json_schema" if asked.json_schema is not None:
            return asked.json_schema.schema
        case _:
            return None


def _messages(turns: Iterable[Turn]) -> Iterator[dict[str, object]]:
    tool_names: dict[str, str] = {}
    for number, turn in enumerate(turns):
        path = f"messages[{number}]"
        role = "system" if turn.role == "developer" else turn.role
        text, images = _content(turn, path)
        message: dict[str, object] = {"role": role, "content": text}
        if images:
            message["images"] = images
        if turn.reasoning_content:
            message["thinking"] = turn.reasoning_content
        if turn.tool_calls:
            tool_names |= {call.id: call.function.name for call in turn.tool_calls}
            message["tool_calls"] = [_call(call, f"{path}.tool_calls") for call in turn.tool_calls]
        if turn.tool_call_id is not None:
            message["tool_call_id"] = turn.tool_call_id
            message["tool_name"] = turn.name or tool_names.get(turn.tool_call_id, "")
        yield message


def _content(turn: Turn, path: str) -> tuple[str, list[str]]:
    """The text of a content, and its images as base64."""
    if not isinstance(turn.content, list):
        return turn.content or "", []
    texts, images = [], []
    for number, raw in enumerate(turn.content):
        place = f"{path}.content[{number}]"
        part = read_part(raw, place)
        match part.type:
            case "text":
                texts.append(part.text or "")
            case "image_url" if part.image_url is not None:
                url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
                images.append(_image(url, place))
            case _:
                refuse(place, f"this target takes text and images, got {part.type[:40]}", "unsupported_parameter")
    return "".join(texts), images


def _image(url: str, place: str) -> str:
    image = data_url(url)
    if image is None:
        refuse(place, "this target fetches no images: send it as a data: URL", "unsupported_parameter")
    return image[1]


def _call(call: ToolCall, place: str) -> dict[str, Any]:
    try:
        arguments = _OBJECT.decode(call.function.arguments or "{}")
    except JSON_FAULTS:
        refuse(f"{place}.function.arguments", "expected a JSON object", "invalid_request")
    return {"id": call.id, "function": {"name": call.function.name, "arguments": arguments}}
