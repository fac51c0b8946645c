"""A whole chat completion made from the events of another wire's whole answer."""

from collections.abc import Iterable, Mapping

import msgspec

from wardwright.domain.chat import Completion
from wardwright.domain.stream import (
    Finish,
    Reasoning,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.wire.openai_answer import parse_completion
from wardwright.wire.openai_chunks import AnswerHead, usage_fields

_ENCODER = msgspec.json.Encoder()


def write_completion(
    events: Iterable[StreamEvent],
    head: AnswerHead,
    *,
    message: Mapping[str, object] | None = None,
    choice: Mapping[str, object] | None = None,
) -> Completion:
    """Write an answer of one choice.

    Args:
        message: what the answer has and the events do not say, as fields of the message.
        choice: the same, as fields beside the message.
    """
    text: list[str] = []
    reasoning: list[str] = []
    arguments: dict[int, list[str]] = {}
    calls: dict[int, ToolCallStart] = {}
    fields: dict[str, object] = {**head.fields("chat.completion")}
    finish_reason = None
    for event in events:
        match event:
            case Text():
                text.append(event.text)
            case Reasoning():
                reasoning.append(event.text)
            case ToolCallStart():
                calls[event.call] = event
            case ToolArguments():
                arguments.setdefault(event.call, []).append(event.text)
            case Finish():
                finish_reason = event.reason
            case UsageReport():
                fields["usage"] = usage_fields(event.usage)
            case _:
                pass
    said: dict[str, object] = {"role": "assistant", "content": "".join(text) if text or not calls else None}
    if reasoning:
        said["reasoning_content"] = "".join(reasoning)
    if calls:
        said["tool_calls"] = [
            {
                "id": call.id or head.call_id(index),
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(arguments.get(index, ()))},
            }
            for index, call in calls.items()
        ]
    answered = {"index": 0, "message": {**said, **(message or {})}, "finish_reason": finish_reason, **(choice or {})}
    return parse_completion(_ENCODER.encode({**fields, "choices": [answered]}))
