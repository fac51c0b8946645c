"""The form that a chat-completions request asks its answer to have, and the functions that it offers."""

from typing import TypeVar

import msgspec

from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError
from wardwright.domain.structured import AskedFormat, DeclaredTool
from wardwright.wire.json_text import JSON_FAULTS, find_fault


class _JsonSchema(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw(b"true")
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str | None = None
    json_schema: _JsonSchema | None = None


class _Function(msgspec.Struct):
    name: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"null")
    strict: bool | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


T = TypeVar("T")

_NULL = msgspec.Raw(b"null")
_FORMAT = msgspec.json.Decoder(_Format | None)
_TOOLS = msgspec.json.Decoder(list[_Tool] | None)
_FUNCTIONS = msgspec.json.Decoder(list[_Function] | None)


def asked_format(request: ChatRequest) -> AskedFormat | None:
    """Read `response_format`; None when it asks for no form that this gateway knows. Purity: pure.

    Raises: RequestError when it cannot be read.
    """
    asked = _read(request, "response_format", _FORMAT)
    if asked is None:
        return None
    if asked.type == "json_object":
        return AskedFormat("json_object", strict=True)
    if asked.type != "json_schema" or asked.json_schema is None:
        return None
    return AskedFormat("json_schema", strict=bool(asked.json_schema.strict), schema=_text(asked.json_schema.schema))


def declared_tools(request: ChatRequest) -> tuple[DeclaredTool, ...]:
    """Read the functions that a request offers; one without parameters takes any. Purity: pure.

    Raises: RequestError when they cannot be read.
    """
    tools = [tool.function for tool in _read(request, "tools", _TOOLS) or () if tool.function is not None]
    functions = [*tools, *(_read(request, "functions", _FUNCTIONS) or ())]
    return tuple(DeclaredTool(f.name, strict=bool(f.strict), schema=_text(f.parameters)) for f in functions)


def _read(request: ChatRequest, field: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
    raw = request.fields.get(field)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except JSON_FAULTS as error:
        fault = find_fault(error, bytes(raw))
        path = f"{field}.{fault.path}" if fault.path else field
        raise RequestError(f"{path}: {fault.problem}", param=path) from None


def _text(raw: msgspec.Raw) -> str:
    """A schema's JSON; nothing is a schema that accepts everything."""
    return "true" if raw == _NULL else bytes(raw).decode()
