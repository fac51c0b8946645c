"""What is captured of one request whose model says `capture = "full_session"`: what was asked, and what of the answer was released.

Both are redacted here, before anything else sees them: the receipt, and so its store, every sink and every export, never have more. Of
an answer nothing is captured that policy had not let go.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from wardwright.domain.chat import ChatRequest, Completion, Fields
from wardwright.domain.route import ModelDefinition
from wardwright.domain.stream import Finish, Frame, Reasoning, StreamEvent, Text, ToolArguments, ToolCallStart
from wardwright.policy.redacted_json import LARGEST, redacted_value
from wardwright.policy.redaction import marker, redactor_of
from wardwright.policy.utf8 import utf8_size
from wardwright.receipts.events import ContentCaptured, ContentPart
from wardwright.wire.openai_whole import read_events, read_finishes

# Who asked is the receipt's caller, and nothing of the content.
_OF_THE_CALLER = frozenset({"user", "metadata", "safety_identifier"})


class ContentBook:
    """Takes note of one request and its answer."""

    def __init__(self, definition: ModelDefinition, request: ChatRequest) -> None:
        self._redactor = redactor_of(definition.redaction)
        self._request = request
        self._answer = _Answer()

    def asked(self) -> ContentCaptured:
        """The fields of the request. Those that say who asked are left out."""
        return self._captured("request", _decoded(self._request.fields))

    def released(self, frames: Sequence[Frame]) -> None:
        """Take note of frames that are sent to the client."""
        self._answer.take(event for frame in frames for event in frame.events)

    def answered(self, completion: Completion | None, tail: Sequence[Frame]) -> ContentCaptured:
        """The answer as far as it was released, with what of it is still to be given. It has no choices when nothing was."""
        self.released(tail)
        if completion is not None:
            try:
                self._answer.take([*read_events(completion), *read_finishes(completion)])
            except msgspec.DecodeError:  # of another form than the wire has: it is given as it came, and kept so
                return self._captured("answer", _decoded(completion.fields))
        return self._captured("answer", self._answer.as_json(), self._answer.cut_bytes)

    def _captured(self, part: ContentPart, value: Mapping[str, Any], cut_bytes: int = 0) -> ContentCaptured:
        redacted = redacted_value(self._redactor, value)
        content = msgspec.Raw(msgspec.json.encode(redacted.value))
        return ContentCaptured(part, redacted.counts, redacted.cut_bytes + cut_bytes, content)


def _decoded(fields: Fields) -> dict[str, Any]:
    return {name: _value(raw) for name, raw in fields.items() if name not in _OF_THE_CALLER}


def _value(raw: msgspec.Raw) -> Any:
    """The value of a field, which nobody has looked into so far. What cannot be read cannot be redacted, and is not kept."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return marker("unreadable")


class _Answer:
    """The texts of an answer put together, so that what came in pieces is redacted as one. Far behind what is kept they are only counted."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._left = 2 * LARGEST
        self.cut_bytes = 0

    def take(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            match event:
                case Text(choice, text):
                    self._add(self._choice(choice).text, text)
                case Reasoning(choice, text):
                    self._add(self._choice(choice).reasoning, text)
                case ToolCallStart(choice, call, call_id, name):
                    self._choice(choice).calls[call] = _Call(call_id, name)
                case ToolArguments(choice, call, text):
                    self._add(self._choice(choice).calls.setdefault(call, _Call()).arguments, text)
                case Finish(choice, reason):
                    self._choice(choice).finish_reason = reason
                case _:
                    pass

    def as_json(self) -> dict[str, Any]:
        """The choices, each with what it has."""
        return {"choices": [choice.as_json(index) for index, choice in sorted(self._choices.items())]}

    def _choice(self, index: int) -> "_Choice":
        return self._choices.setdefault(index, _Choice())

    def _add(self, where: list[str], text: str) -> None:
        size = utf8_size(text)
        if self._left > 0:
            where.append(text)
            self._left -= size
        else:
            self.cut_bytes += size


class _Call:
    def __init__(self, call_id: str = "", name: str = "") -> None:
        self._id = call_id
        self._name = name
        self.arguments: list[str] = []

    def as_json(self) -> dict[str, Any]:
        return {"id": self._id, "name": self._name, "arguments": "".join(self.arguments)}


class _Choice:
    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.finish_reason: str | None = None

    def as_json(self, index: int) -> dict[str, Any]:
        made = {
            "index": index,
            "text": "".join(self.text),
            "reasoning": "".join(self.reasoning),
            "tool_calls": [call.as_json() for _, call in sorted(self.calls.items())],
            "finish_reason": self.finish_reason,
        }
        return {name: value for name, value in made.items() if name == "index" or value}
