"""What a request has to do with tools: names, ids and how they are known, never an argument or a result."""

from typing import Literal

import msgspec

ToolPhase = Literal["planning", "result_interpretation"]
ToolSource = Literal["tool_choice", "assistant_tool_call", "declared_tool"]
ToolConfidence = Literal["exact", "inferred", "declared", "ambiguous"]
ToolResultStatus = Literal["unknown"]


class ToolIdentity(msgspec.Struct, frozen=True):
    """A tool, and where in the request it was named. The namespace of a function is `openai.function`, of any other `openai.tool`."""

    namespace: str
    name: str
    source: ToolSource


class ToolContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request has to do with tools, as its caller stated it; nothing here was checked.

    `phase`: tools may be called, or the result of a call is there to be made something of. `primary_tool` is the one that the request
    is about, null when it is not clear which. `available_tools` names the first of the `available_count` tools that may be called.
    `tool_call_id` is the latest call that the assistant has not gone on from. `result_status` is there when a result is: a chat request
    has no way to say how a call went.
    """

    phase: ToolPhase
    confidence: ToolConfidence
    primary_tool: ToolIdentity | None = None
    available_tools: tuple[str, ...] = ()
    available_count: int = 0
    tool_call_id: str | None = None
    result_status: ToolResultStatus | None = None
