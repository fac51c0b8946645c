"""What a chat request has to do with tools, told from its `tool_choice`, its `tools` and its messages.

The latest calls count, and only until the assistant has answered: what follows an answer is about other things. A beginning of an answer
at the end of the messages is none yet. Nothing is refused here. What cannot be read or is too large states nothing, and neither does a name
or an id that could not be stored or shown safely (`storable`). Of arguments, results and schemas nothing is even decoded.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from wardwright.domain.chat import ChatRequest, Message
from wardwright.domain.tools import (
    MOST_NAMED,
    ToolConfidence,
    ToolContext,
    ToolIdentity,
    ToolSource,
    storable,
    storable_names,
)

T = TypeVar("T")

MOST_CALLS = 1_000  # of one message, that a result's own is looked for among
MOST_READ = 2**22  # bytes of tools, or of the calls of one message: 0.15 s for the worst that there may be

_FIELDS = frozenset({"tools", "tool_choice", "functions", "function_call"})


class _Named(msgspec.Struct):
    name: str | None = None


class _Mention(msgspec.Struct):
    """A tool that is offered, chosen or called: all of them are written alike."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    function: _Named | None = None
    custom: _Named | None = None


# What msgspec may raise for JSON that was read before, but not into these types.
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MENTIONS = msgspec.json.Decoder(list[_Mention] | None)
_CHOICE = msgspec.json.Decoder(_Mention | str | None)
_FUNCTIONS = msgspec.json.Decoder(list[_Named] | None)
_FUNCTION_CHOICE = msgspec.json.Decoder(_Named | str | None)
_TEXT = msgspec.json.Decoder(str | None)


def tool_context(request: ChatRequest) -> ToolContext | None:
    """Tell what a request has to do with tools; None when nothing. Purity: pure."""
    calls, result = _unanswered(request.messages)
    if not calls and result is None and _FIELDS.isdisjoint(request.fields):
        return None  # as nearly every request, which must not pay for the others
    offered, chosen = _offered(request), _chosen(request)
    if not (calls or offered or chosen or result):
        return None
    answered = None if result is None else storable(_read(result.tool_call_id, _TEXT))
    call = _call_of(calls, answered)
    primary, confidence = _primary(chosen, call, offered, has_result=result is not None)
    return ToolContext(
        phase="planning" if result is None else "result_interpretation",
        confidence=confidence,
        primary_tool=primary,
        available_tools=storable_names(map(_name_of, offered[:MOST_NAMED])),
        available_count=len(offered),
        tool_call_id=answered or (None if call is None else storable(call.id)),
        result_status=None if result is None else "unknown",
    )


def _unanswered(messages: Sequence[Message]) -> tuple[Sequence[_Mention], Message | None]:
    """The latest calls and the latest result that no answer of the assistant follows. Looks no further back than to that answer."""
    result: Message | None = None
    for message in reversed(messages):
        if message.role in ("tool", "function"):
            result = result or message
        elif message.role == "assistant":
            calls = _read(message.tool_calls, _MENTIONS) or ()
            if calls or message is not messages[-1]:
                return calls, result
    return (), result


def _offered(request: ChatRequest) -> Sequence[_Mention]:
    """The tools that may be called; `functions` in the way of before there were tools."""
    fields = request.fields
    if "functions" not in fields:
        return _read(fields.get("tools"), _MENTIONS) or ()
    functions = _read(fields["functions"], _FUNCTIONS) or ()
    return [*(_read(fields.get("tools"), _MENTIONS) or ()), *(_Mention(function=one) for one in functions)]


def _chosen(request: ChatRequest) -> ToolIdentity | None:
    """The one tool that must be called; None when the model may choose."""
    choice: _Mention | str | None = _read(request.fields.get("tool_choice"), _CHOICE)
    if not isinstance(choice, _Mention):
        function = _read(request.fields.get("function_call"), _FUNCTION_CHOICE)
        choice = _Mention(function=function) if isinstance(function, _Named) else None
    return None if choice is None else _identity(choice, _explicit_name(choice), "tool_choice")


def _call_of(calls: Sequence[_Mention], answered: str | None) -> _Mention | None:
    """The call of that id, or else the last one."""
    if answered is not None:
        for call in reversed(calls[-MOST_CALLS:]):
            if storable(call.id) == answered:
                return call
    return calls[-1] if calls else None


def _primary(
    chosen: ToolIdentity | None, call: _Mention | None, offered: Sequence[_Mention], *, has_result: bool
) -> tuple[ToolIdentity | None, ToolConfidence]:
    """The tool that a request is about, and how well that is known."""
    if chosen is None and call is not None:
        chosen = _identity(call, _explicit_name(call), "assistant_tool_call")
    if chosen is not None:
        return chosen, "exact"
    only = _identity(offered[0], _name_of(offered[0]), "declared_tool") if len(offered) == 1 else None
    if has_result:
        return only, "inferred"
    return only, "ambiguous" if only is None else "declared"


def _identity(mention: _Mention, name: str | None, source: ToolSource) -> ToolIdentity | None:
    namespace = "openai.tool" if mention.function is None else "openai.function"
    return None if name is None else ToolIdentity(namespace, name, source)


def _explicit_name(mention: _Mention) -> str | None:
    return storable((mention.function or mention.custom or mention).name)


def _name_of(offered: _Mention) -> str | None:
    """The name of a tool that is offered. A tool of the provider's own has none but its type."""
    name = _explicit_name(offered)
    return storable(offered.type) if name is None and offered.type != "function" else name


def _read(raw: msgspec.Raw | None, decoder: msgspec.json.Decoder[T]) -> T | None:
    if raw is None or len(raw) > MOST_READ:
        return None
    try:
        return decoder.decode(raw)
    except _FAULTS:
        return None
