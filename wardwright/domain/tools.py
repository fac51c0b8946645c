"""What a request or an answer has to do with tools: names, ids and how they are known, never an argument or a result."""

from collections.abc import Iterable
from itertools import islice
from typing import Literal

import msgspec

MOST_NAMED = 64  # tools of one request or answer
LONGEST_NAME = 256  # bytes, as for the ids of callers

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


def storable(name: str | None) -> str | None:
    """A name or an id without the spaces around it; None when it states nothing, or could not be stored or shown safely. Purity: pure.

    It is not cut: it would be another's then.
    """
    name = "" if name is None else name.strip()
    return name if name and name.isprintable() and len(name.encode()) <= LONGEST_NAME else None


def storable_names(names: Iterable[str | None]) -> tuple[str, ...]:
    """Those that can be stored, each once, no more than `MOST_NAMED`. Purity: pure."""
    found = dict.fromkeys(one for name in names if (one := storable(name)) is not None)
    return tuple(islice(found, MOST_NAMED))
