"""The streamed answer of Ollama's `/api/chat`: bytes to frames, each frame one line of JSON with its fields verbatim.

Every line is a piece of the one message, the last one marked `done`, with the reason and the counts. Tool calls come whole, their
arguments as an object; many versions give them no id.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from wardwright.domain.chat import Fields, Usage
from wardwright.domain.stream import (
    Finish,
    Frame,
    Reasoning,
    Start,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject, parse_error
from wardwright.wire.json_text import JSON_FAULTS, check_utf8, find_fault
from wardwright.wire.ndjson import LineParser
from wardwright.wire.stream_decoder import MAX_EVENT_BYTES

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Function(msgspec.Struct):
    name: _Name
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    role: str | None = None
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: _Tokens | None = None
    eval_count: _Tokens | None = None


_FIELDS = msgspec.json.Decoder(Fields)
_LINE = msgspec.json.Decoder(_Line)
_TEXT = msgspec.json.Decoder(str)


class ChatLineDecoder:
    """`StreamDecoder` of one streamed chat. Its frames are those of Ollama's own wire."""

    def __init__(self, max_line_bytes: int = MAX_EVENT_BYTES) -> None:
        self.done = False
        self._parser = LineParser(max_line_bytes)
        self._has_begun = False
        self._calls = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """See `StreamDecoder.feed`."""
        return self._frames(self._parser.feed(data))

    def close(self) -> Iterator[Frame]:
        """See `StreamDecoder.close`."""
        return self._frames(self._parser.close())

    def _frames(self, lines: Iterable[bytes]) -> Iterator[Frame]:
        for line in () if self.done else lines:
            yield self.read(line)
            if self.done:
                return

    def read(self, data: bytes) -> Frame:
        """Read one line, or a whole answer, which is one line that is done. Raises: what `feed` raises."""
        try:
            check_utf8(data)
            fields = _FIELDS.decode(data)
            if bytes(fields.get("error", b"null")) not in (b"null", b'""'):
                raise UpstreamErrorObject(parse_error(data))
            line = _LINE.decode(data)
        except JSON_FAULTS as error:
            raise BadAnswer(f"the line is not a chat answer: {find_fault(error, data)}") from None
        if line.message is None and not line.done:
            raise BadAnswer("the line is not a chat answer: message: required, but missing")
        self.done = line.done
        return Frame(fields, tuple(self._events(line)))

    def _events(self, line: _Line) -> Iterator[StreamEvent]:
        message = line.message or _Message()
        if not self._has_begun:
            self._has_begun = True
            yield Start(0, message.role or "assistant")
        if message.thinking:
            yield Reasoning(0, message.thinking)
        if message.content:
            yield Text(0, message.content)
        for call in message.tool_calls or ():
            yield ToolCallStart(0, self._calls, call.id or "", call.function.name)
            yield ToolArguments(0, self._calls, _arguments(call.function.arguments))
            self._calls += 1
        if line.done:
            yield Finish(0, self._finish_reason(line))
            if usage := _usage(line):
                yield UsageReport(usage)

    def _finish_reason(self, line: _Line) -> str:
        if line.done_reason == "length":
            return "length"
        return "tool_calls" if self._calls else "stop"


def _arguments(raw: msgspec.Raw) -> str:
    """The arguments as JSON text, as they came. Some servers in Ollama's likeness send that text in a string."""
    text = bytes(raw).decode()
    if text.startswith('"'):
        text = _TEXT.decode(raw)
    return "{}" if text in ("", "null") else text


def _usage(line: _Line) -> Usage | None:
    """The counts of the last line. A count of nothing is left out there, as of a prompt that was all in the cache."""
    if line.prompt_eval_count is None and line.eval_count is None:
        return None
    return Usage(line.prompt_eval_count or 0, line.eval_count or 0)
