import json

import pytest

from tests.support.streams import read
from wardwright.domain.chat import Usage
from wardwright.domain.stream import (
    Finish,
    Frame,
    Reasoning,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.wire.anthropic_stream import MessageDecoder
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject


def event(type: str, **fields: object) -> bytes:
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()


def begun(**usage: object) -> bytes:
    return event("message_start", message={"id": "msg_1", "role": "assistant", "usage": usage})


def block(type: str, **fields: object) -> bytes:
    return event("content_block_start", index=0, content_block={"type": type, **fields})


def delta(type: str, **fields: object) -> bytes:
    return event("content_block_delta", index=0, delta={"type": type, **fields})


def ended(reason: str | None, **usage: object) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


STOPPED = event("content_block_stop", index=0)


def frames_of(*events: bytes) -> list[Frame]:
    """The frames after the first, which begins the message."""
    frames, fault = read(MessageDecoder(), [begun(), *events])
    assert fault is None
    return frames[1:]


def events_of(*events: bytes) -> list[StreamEvent]:
    return [event for frame in frames_of(*events) for event in frame.events]


def complaint(*events: bytes) -> str:
    decoder = MessageDecoder()
    with pytest.raises(BadAnswer) as caught:
        list(decoder.feed(b"".join(events)))
    assert not isinstance(caught.value, UpstreamErrorObject)
    return str(caught.value)


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("a_reason_of_next_year", "stop"),
    ],
)
def test_a_reason_to_stop_is_told_in_our_words(reason: str, finish_reason: str) -> None:
    assert events_of(ended(reason)) == [Finish(0, finish_reason)]


def test_without_a_reason_nothing_has_ended() -> None:
    assert events_of(ended(None)) == []


def test_the_last_count_of_each_kind_counts() -> None:
    start = begun(input_tokens=10, output_tokens=1, cache_read_input_tokens=5, cache_creation_input_tokens=3)
    frames, _ = read(
        MessageDecoder(), [start, ended(None, output_tokens=7), ended("end_turn", output_tokens=9, input_tokens=11)]
    )
    assert frames[-1].events == (Finish(0, "stop"), UsageReport(Usage(19, 9, cached_prompt_tokens=5)))


def test_a_count_that_never_came_is_not_invented() -> None:
    assert events_of(ended("end_turn", output_tokens=9)) == [Finish(0, "stop")]


def test_text_and_thinking_may_come_with_the_start_of_their_block() -> None:
    assert events_of(block("text", text="a"), delta("text_delta", text="b")) == [Text(0, "a"), Text(0, "b")]
    assert events_of(block("thinking", thinking="a")) == [Reasoning(0, "a")]


def test_a_call_that_took_no_arguments_has_an_empty_object_of_them() -> None:
    call = block("tool_use", id="t", name="now", input={})
    assert events_of(call, delta("input_json_delta", partial_json=""), STOPPED) == [
        ToolCallStart(0, 0, "t", "now"),
        ToolArguments(0, 0, "{}"),
    ]


def test_arguments_may_come_whole_but_not_twice() -> None:
    call = block("tool_use", id="t", name="now", input={"zone": "CET"})
    assert events_of(call, STOPPED) == [ToolCallStart(0, 0, "t", "now"), ToolArguments(0, 0, '{"zone": "CET"}')]
    assert "came whole, and again" in complaint(begun(), call, delta("input_json_delta", partial_json="{"))


def test_an_index_may_be_used_again_once_its_block_is_closed() -> None:
    call = block("tool_use", id="t", name="now", input={})
    starts = [event for event in events_of(call, STOPPED, call, STOPPED) if isinstance(event, ToolCallStart)]
    assert [start.call for start in starts] == [0, 1]


def test_nothing_is_read_after_the_message_stopped() -> None:
    decoder = MessageDecoder()
    frames = list(decoder.feed(begun() + event("message_stop") + b"data: nonsense\n\n"))
    assert len(frames) == 2
    assert decoder.done
    assert list(decoder.feed(b"data: nonsense\n\n")) == []
    assert list(decoder.close()) == []


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([block("text", text="")], "before message_start"),
        ([begun(), begun()], "message_start came twice"),
        ([begun(), delta("text_delta", text="a")], "block 0 is not open"),
        ([begun(), block("tool_use", id="t", name="")], "names no tool"),
        ([begun(), STOPPED], "block 0 is not open"),
        ([begun(), block("text"), block("text")], "block 0 began twice"),
        ([begun(), block("text"), STOPPED, delta("text_delta", text="a")], "block 0 is not open"),
    ],
)
def test_a_stream_out_of_order_cannot_be_followed(events: list[bytes], words: str) -> None:
    assert words in complaint(*events)


@pytest.mark.parametrize(
    "data",
    [
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b'data: {"type":5}\n\n',
        b'data: {"type":"message_start"}\n\n',
        b'data: {"type":"message_start","message":{"usage":{"input_tokens":-1}}}\n\n',
        b'data: {"type":"content_block_start","index":-1,"content_block":{"type":"text"}}\n\n',
        b'data: {"type":"content_block_start","index":10000,"content_block":{"type":"text"}}\n\n',
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","signature":1}}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":5}}\n\n',
        b'data: {"type":"message_delta","delta":{"stop_reason":[]}}\n\n',
        b'data: {"type":"ping","x":"\xff"}\n\n',
        b'data: {"type":"ping","x":' + b"[" * 100_000 + b"\n\n",
    ],
)
def test_what_is_no_event_of_the_api_is_a_bad_answer(data: bytes) -> None:
    assert "not the Messages API's" in complaint(data)


@pytest.mark.parametrize(
    "data",
    [
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"down"}}\n\n',
        b'data: {"type":"error","error":{"type":"api_error","message":"down"}}\n\n',
        b'event: error\ndata: {"type":"api_error","message":"down"}\n\n',
    ],
)
def test_an_error_is_carried_out_whatever_names_it(data: bytes) -> None:
    with pytest.raises(UpstreamErrorObject) as caught:
        list(MessageDecoder().feed(begun() + data))
    assert (caught.value.error.message, caught.value.error.type) == ("down", "api_error")
