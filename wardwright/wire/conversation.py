"""The messages and settings of a chat request, as far as translating them to another wire needs them.

What is read here is what OpenAI's clients send. A message that cannot be read is the caller's fault, said with its place.
"""

from typing import Any, Literal, NoReturn

import msgspec

from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError
from wardwright.wire.json_text import JSON_FAULTS, find_fault


class Function(msgspec.Struct):
    """The function of a tool call; the arguments are JSON in a string."""

    name: str
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """A tool call that an earlier answer made."""

    function: Function
    id: str = ""


class ReasoningDetail(msgspec.Struct):
    """A piece of reasoning in the form of `reasoning_details`."""

    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None
    index: int | None = None


class ImageUrl(msgspec.Struct):
    """Where an image is; `data:` URLs hold it."""

    url: str


class Document(msgspec.Struct):
    """A file in a message, as a `data:` URL."""

    file_data: str | None = None
    filename: str | None = None


class ContentPart(msgspec.Struct):
    """One part of a message's content. Parts of other types than these stay what they are."""

    type: str = "text"
    text: str | None = None
    image_url: ImageUrl | str | None = None
    file: Document | None = None
    cache_control: Any = None


class Turn(msgspec.Struct):
    """One message."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None


class JsonSchema(msgspec.Struct):
    """The schema that an answer is asked to keep."""

    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct):
    """The form that an answer is asked to have."""

    type: str = "text"
    json_schema: JsonSchema | None = None


class NamedFunction(msgspec.Struct):
    """A function by its name."""

    name: str


class ToolChoice(msgspec.Struct):
    """The one tool that must be used."""

    type: str = "function"
    function: NamedFunction | None = None


class Settings(msgspec.Struct):
    """What a request asks for beside its messages, where foreign wires say it in another way."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    safety_identifier: str | None = None

    @property
    def output_limit(self) -> int | None:
        """The most tokens that the answer may have."""
        return self.max_completion_tokens or self.max_tokens or None

    @property
    def stops(self) -> list[str]:
        """The texts to stop at."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


_TURNS = msgspec.json.Decoder(list[Turn])
_ENCODER = msgspec.json.Encoder()


def read_turns(request: ChatRequest) -> list[Turn]:
    """Read the messages. Raises: RequestError."""
    raw = request.fields["messages"]
    try:
        return _TURNS.decode(raw)
    except JSON_FAULTS as error:
        fault = find_fault(error, bytes(raw))
        path = f"messages{fault.path}" if fault.path else "messages"
        raise RequestError(f"{path}: {fault.problem}", param=path) from None


def read_settings(request: ChatRequest) -> Settings:
    """Read the settings. Raises: RequestError."""
    raw = _ENCODER.encode({name: request.fields[name] for name in _NAMES if name in request.fields})
    try:
        return _SETTINGS.decode(raw)
    except JSON_FAULTS as error:
        fault = find_fault(error, raw)
        raise RequestError(f"{fault}", param=fault.path) from None


def read_part(part: dict[str, Any], path: str) -> ContentPart:
    """Read one part of a content. Raises: RequestError."""
    try:
        return msgspec.convert(part, ContentPart)
    except msgspec.ValidationError as error:
        raise RequestError(f"{path}: {find_fault(error, b'')}", param=path) from None


def data_url(url: str) -> tuple[str, str] | None:
    """The media type and the base64 text of a `data:` URL; None for any other."""
    scheme, _, rest = url.partition(":")
    head, comma, data = rest.partition(",")
    if scheme != "data" or not comma or not head.endswith(";base64"):
        return None
    return head.removesuffix(";base64").partition(";")[0] or "text/plain", data


def refuse(param: str, what: str, kind: Literal["unsupported_parameter", "invalid_request"]) -> NoReturn:
    """Refuse what a wire has no way to say, or what cannot be said in any. Raises: RequestError."""
    raise RequestError(f"{param}: {what}", param=param, code=kind)


_NAMES = tuple(field.encode_name for field in msgspec.structs.fields(Settings))
_SETTINGS = msgspec.json.Decoder(Settings)
