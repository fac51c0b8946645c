import json

import pytest

from tests.support.streams import read
from wardwright.domain.chat import Usage
from wardwright.domain.stream import Finish, Start, StreamEvent, ToolArguments, UsageReport
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject
from wardwright.wire.ollama_stream import ChatLineDecoder


def line(message: object = None, **fields: object) -> bytes:
    return (
        json.dumps({"model": "m", "message": message or {"role": "assistant", "content": ""}, **fields}).encode()
        + b"\n"
    )


def call(arguments: object) -> bytes:
    return line({"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]})


def events_of(*lines: bytes) -> list[StreamEvent]:
    """The events after the first, which begins the choice."""
    frames, fault = read(ChatLineDecoder(), lines)
    assert fault is None
    first, *events = [event for frame in frames for event in frame.events]
    assert first == Start(0, "assistant")
    return events


@pytest.mark.parametrize(
    ("reason", "finish_reason"), [("stop", "stop"), ("length", "length"), ("load", "stop"), (None, "stop")]
)
def test_a_reason_is_told_in_our_words(reason: str | None, finish_reason: str) -> None:
    assert events_of(line(done=True, done_reason=reason)) == [Finish(0, finish_reason)]


def test_after_a_tool_call_the_reason_is_the_call_unless_the_answer_was_cut() -> None:
    assert events_of(call({}), line(done=True, done_reason="stop"))[-1] == Finish(0, "tool_calls")
    assert events_of(call({}), line(done=True, done_reason="length"))[-1] == Finish(0, "length")


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_eval_count": 3, "eval_count": 4}, Usage(3, 4)),
        ({"eval_count": 4}, Usage(0, 4)),
        ({"prompt_eval_count": 3}, Usage(3, 0)),
    ],
)
def test_counts_are_of_the_last_line(counts: dict[str, int], usage: Usage) -> None:
    assert events_of(line(done=True, **counts))[-1] == UsageReport(usage)
    assert UsageReport(usage) not in events_of(line(**counts), line(done=True))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"a": [1, 2.0]}, '{"a": [1, 2.0]}'), ('{"a":1}', '{"a":1}'), ({}, "{}"), (None, "{}"), ("", "{}")],
)
def test_arguments_are_handed_on_as_they_came(arguments: object, text: str) -> None:
    assert events_of(call(arguments))[-1] == ToolArguments(0, 0, text)


def test_nothing_is_read_after_the_last_line() -> None:
    decoder = ChatLineDecoder()
    assert len(list(decoder.feed(line(done=True) + b"nonsense\n"))) == 1
    assert decoder.done
    assert list(decoder.feed(b"nonsense\n")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"model":"m","response":"of /api/generate","done":false}\n',
        b'{"message":{"content":5}}\n',
        b'{"message":{"tool_calls":[{"function":{}}]}}\n',
        b'{"message":{"tool_calls":[{"function":{"name":""}}]}}\n',
        b'{"message":{},"eval_count":-1}\n',
        b'{"message":{},"done":"true"}\n',
        b'{"message":{},"x":"\xff"}\n',
        b'{"message":{},"x":' + b"[" * 100_000 + b"\n",
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":"\\ud800"}}]}}\n',
    ],
)
def test_anything_else_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer, match="not a chat answer"):
        list(ChatLineDecoder().feed(data))


@pytest.mark.parametrize("data", [b'{"error":"down"}\n', b'{"error":{"message":"down"}}\n'])
def test_an_error_is_carried_out(data: bytes) -> None:
    with pytest.raises(UpstreamErrorObject) as caught:
        list(ChatLineDecoder().feed(line() + data))
    assert caught.value.error.message == "down"
