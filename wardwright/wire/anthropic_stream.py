"""The streamed answer of Anthropic's Messages API: bytes to frames, each frame one event with its fields verbatim.

A message is one choice. Its content comes in blocks, each begun, filled by deltas and stopped under its own index; a delta means
something only together with the block it goes to, so reading needs to know the open blocks. What the vocabulary has no word for (a
signature, a citation, a block that a server tool filled, an event of a later version of the API) is a frame without events.

Usage is cumulative: each report overrules the one before it, and a count it leaves out is still the earlier one.
"""

from collections.abc import Iterable, Iterator, Mapping
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
from wardwright.wire.sse import SseEvent, SseParser
from wardwright.wire.stream_decoder import MAX_EVENT_BYTES

# What each reason to stop is called in the gateway's vocabulary, which is OpenAI's.
FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_Index = Annotated[int, msgspec.Meta(ge=0, le=9999)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Usage(msgspec.Struct):
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    cache_read_input_tokens: _Tokens | None = None
    cache_creation_input_tokens: _Tokens | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    role: str | None = None
    usage: _Usage | None = None


class _MessageStart(msgspec.Struct):
    message: _Message


class _Block(msgspec.Struct):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    citations: list[msgspec.Raw] | None = None
    input: msgspec.Raw = msgspec.Raw()


class _BlockStart(msgspec.Struct):
    index: _Index
    content_block: _Block


class _Delta(msgspec.Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None


class _BlockDelta(msgspec.Struct):
    index: _Index
    delta: _Delta


class _BlockStop(msgspec.Struct):
    index: _Index


class _Stop(msgspec.Struct):
    stop_reason: str | None = None


class _MessageDelta(msgspec.Struct):
    delta: _Stop
    usage: _Usage | None = None


class _OpenBlock:
    """What must be known of a block while it is open. `call` is the number of the tool call that it is, None for any other block."""

    def __init__(self, call: int | None) -> None:
        self.call = call
        self.has_arguments = False
        self.is_whole = False


_NO_SPACE = str.maketrans("", "", " \t\r\n")

_FIELDS = msgspec.json.Decoder(Fields)
_TYPE = msgspec.json.Decoder(str)
_MESSAGE_START = msgspec.json.Decoder(_MessageStart)
_BLOCK_START = msgspec.json.Decoder(_BlockStart)
_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)
_BLOCK_STOP = msgspec.json.Decoder(_BlockStop)
_MESSAGE_DELTA = msgspec.json.Decoder(_MessageDelta)


class MessageDecoder:
    """`StreamDecoder` of one streamed message. Its frames are those of Anthropic's own wire."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.done = False
        self._parser = SseParser(max_event_bytes)
        self._has_begun = False
        self._blocks: dict[int, _OpenBlock] = {}
        self._calls = 0
        self._usage = _Usage()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """See `StreamDecoder.feed`."""
        return self._frames(self._parser.feed(data))

    def close(self) -> Iterator[Frame]:
        """See `StreamDecoder.close`."""
        return self._frames(self._parser.close())

    def _frames(self, events: Iterable[bytes | SseEvent]) -> Iterator[Frame]:
        for event in () if self.done else events:
            payload = event if isinstance(event, bytes) else event.data
            if isinstance(event, SseEvent) and event.event == "error":
                raise UpstreamErrorObject(parse_error(payload))
            if payload:
                yield self.read(payload)
            if self.done:
                return

    def read(self, data: bytes) -> Frame:
        """Read one event. Raises: BadAnswer, UpstreamErrorObject."""
        try:
            check_utf8(data)
            fields = _FIELDS.decode(data)
            kind = _TYPE.decode(fields.get("type", b'""'))
            if kind == "error":
                raise UpstreamErrorObject(parse_error(data))
            return Frame(fields, tuple(self._events(kind, data)))
        except JSON_FAULTS as error:
            raise BadAnswer(f"this is not the Messages API's: {find_fault(error, data)}") from None

    def _events(self, kind: str, data: bytes) -> Iterator[StreamEvent]:
        match kind:
            case "message_start":
                yield from self._begin(_MESSAGE_START.decode(data).message)
            case "content_block_start":
                start = _BLOCK_START.decode(data)
                yield from self._open(start.index, start.content_block)
            case "content_block_delta":
                delta = _BLOCK_DELTA.decode(data)
                yield from _delta_events(self._block(delta.index), delta.delta)
            case "content_block_stop":
                yield from self._stop(_BLOCK_STOP.decode(data).index)
            case "message_delta":
                yield from self._end(_MESSAGE_DELTA.decode(data))
            case "message_stop":
                self.done = True
            case _:
                pass  # a ping, or an event that this version does not know

    def _begin(self, message: _Message) -> Iterator[StreamEvent]:
        if self._has_begun:
            raise BadAnswer("the stream could not be followed: message_start came twice")
        self._has_begun = True
        self._count(message.usage)
        yield Start(0, message.role or "assistant")

    def _open(self, index: int, block: _Block) -> Iterator[StreamEvent]:
        if not self._has_begun:
            raise BadAnswer("the stream could not be followed: content came before message_start")
        if index in self._blocks:
            raise BadAnswer(f"the stream could not be followed: block {index} began twice")
        opened = self._blocks[index] = _OpenBlock(None)
        match block.type:
            case "tool_use":
                if not block.name:
                    raise BadAnswer("the stream could not be followed: a tool call names no tool")
                opened.call = self._calls
                self._calls += 1
                yield ToolCallStart(0, opened.call, block.id or "", block.name)
                if arguments := _whole_arguments(block.input):
                    opened.is_whole = opened.has_arguments = True
                    yield ToolArguments(0, opened.call, arguments)
            case "thinking" if block.thinking:
                yield Reasoning(0, block.thinking)
            case "text" if block.text:
                yield Text(0, block.text)
            case _:
                pass

    def _block(self, index: int) -> _OpenBlock:
        block = self._blocks.get(index)
        if block is None:
            raise BadAnswer(f"the stream could not be followed: block {index} is not open")
        return block

    def _stop(self, index: int) -> Iterator[StreamEvent]:
        """Close a block. A call of which no arguments came has none, and a client wants to read JSON all the same."""
        block = self._block(index)
        del self._blocks[index]
        if block.call is not None and not block.has_arguments:
            yield ToolArguments(0, block.call, "{}")

    def _end(self, message: _MessageDelta) -> Iterator[StreamEvent]:
        self._count(message.usage)
        if message.delta.stop_reason:
            yield Finish(0, FINISH_REASONS.get(message.delta.stop_reason, "stop"))
        if message.usage is not None and (usage := _usage(self._usage)):
            yield UsageReport(usage)

    def _count(self, report: _Usage | None) -> None:
        if report is not None:
            counted = {name: count for name, count in msgspec.structs.asdict(report).items() if count is not None}
            self._usage = msgspec.structs.replace(self._usage, **counted)


def _delta_events(block: _OpenBlock, delta: _Delta) -> Iterator[StreamEvent]:
    match delta.type:
        case "text_delta" if delta.text:
            yield Text(0, delta.text)
        case "thinking_delta" if delta.thinking:
            yield Reasoning(0, delta.thinking)
        case "input_json_delta" if delta.partial_json and block.call is not None:
            if block.is_whole:
                raise BadAnswer(
                    "the stream could not be followed: the arguments of a tool call came whole, and again in pieces"
                )
            block.has_arguments = True
            yield ToolArguments(0, block.call, delta.partial_json)
        case _:
            pass


def _whole_arguments(raw: msgspec.Raw) -> str:
    """The arguments that a block began with, empty for none. The API itself always sends them in pieces; servers like it may not."""
    text = bytes(raw).decode()
    return "" if text.translate(_NO_SPACE) in ("", "{}", "null") else text


def _usage(counted: _Usage) -> Usage | None:
    """What the counts mean: the provider counts what it read from its cache, and what it wrote to it, apart from the rest."""
    if counted.input_tokens is None or counted.output_tokens is None:
        return None
    cached = counted.cache_read_input_tokens or 0
    prompt = counted.input_tokens + cached + (counted.cache_creation_input_tokens or 0)
    return Usage(prompt, counted.output_tokens, cached_prompt_tokens=cached)
