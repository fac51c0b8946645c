import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.chat import Usage
from wardwright.domain.stream import (
    Finish,
    Reasoning,
    Start,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject
from wardwright.wire.openai_stream import parse_chunk, render_chunk

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def chunk(delta: object = None, finish_reason: str | None = None, **fields: object) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish_reason}
    return json.dumps({"id": "c", "created": 1, "model": "up", "choices": [choice], **fields}).encode()


def call(**fields: object) -> dict[str, object]:
    return {"tool_calls": [fields]}


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (chunk({"role": "assistant", "content": ""}), [Start(0, "assistant")]),
        (chunk({"content": "a"}), [Text(0, "a")]),
        (chunk({"content": "a", "refusal": None}), [Text(0, "a")]),
        (chunk({"content": [{"type": "text", "text": "a"}, {"type": "thinking"}]}), [Text(0, "a")]),
        (chunk({"refusal": "no"}), [Text(0, "no", is_refusal=True)]),
        (chunk({"role": "assistant", "content": "a"}, "stop"), [Start(0), Text(0, "a"), Finish(0, "stop")]),
        (chunk({"reasoning_content": "r"}), [Reasoning(0, "r")]),
        (chunk({"reasoning": "r"}), [Reasoning(0, "r")]),
        (chunk({"reasoning": "r", "reasoning_content": "r"}), [Reasoning(0, "r")]),
        (chunk({"reasoning": {"effort": 1}}), []),
        (chunk(call(index=2, id="x", function={"name": "f", "arguments": ""})), [ToolCallStart(0, 2, "x", "f")]),
        (
            chunk(call(index=0, id="x", function={"name": "f", "arguments": "{}"})),
            [ToolCallStart(0, 0, "x", "f"), ToolArguments(0, 0, "{}")],
        ),
        (chunk(call(index=1, id="x", function={"name": "", "arguments": "{"})), [ToolArguments(0, 1, "{")]),
        (chunk(call(id="x", function={"name": "f"})), [ToolCallStart(0, 0, "x", "f")]),
        (chunk(call(index=0, custom={})), []),
        (
            chunk({"function_call": {"name": "f", "arguments": "{"}}),
            [ToolCallStart(0, 0, "", "f"), ToolArguments(0, 0, "{")],
        ),
        (chunk({}, "length"), [Finish(0, "length")]),
        (chunk({}, ""), []),
        (chunk({"content": "a"}, usage=USAGE), [Text(0, "a"), UsageReport(Usage(3, 4))]),
        (chunk({"content": "a"}, usage=None), [Text(0, "a")]),
        (chunk({"content": "a"}, obfuscation="zzz"), [Text(0, "a")]),
        (chunk(choices=[], usage=USAGE), [UsageReport(Usage(3, 4))]),
        (chunk(choices=[], prompt_filter_results=[]), []),
        (chunk(choices=None), []),
        (chunk(choices=[{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]), [Text(0, "a"), Text(1, "b")]),
        (chunk(choices=[{"index": 4, "delta": None, "finish_reason": "stop"}]), [Finish(4, "stop")]),
        (chunk({"content": "a"}, error=None), [Text(0, "a")]),
        (b'{"type":"ping"}', []),
    ],
)
def test_reads_the_events_of_a_chunk(data: bytes, events: list[StreamEvent]) -> None:
    assert parse_chunk(data).events == tuple(events)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"[DONE]"',
        chunk(choices={}),
        chunk(choices=["a"]),
        chunk({"content": 5}),
        chunk(call(index=-1)),
        chunk(call(index=10**6)),
        b'{"choices":[],"x":"\xff"}',
        b'{"choices":[],"x":' + b"[" * 100_000,
    ],
)
def test_anything_else_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer, match="not a chat-completion chunk") as caught:
        parse_chunk(data)
    assert not isinstance(caught.value, UpstreamErrorObject)


@pytest.mark.parametrize(
    ("data", "message", "code"),
    [
        (b'{"error":{"message":"down","code":"c","type":"server_error"}}', "down", "c"),
        (b'{"error":"down"}', "down", None),
        (chunk({}, "error", error={"message": "down", "code": 502}), "down", "502"),
        (b'{"object":"error","message":"down","code":400}', "down", "400"),
    ],
)
def test_an_error_object_is_carried_out(data: bytes, message: str, code: str | None) -> None:
    with pytest.raises(UpstreamErrorObject) as caught:
        parse_chunk(data)
    assert (caught.value.error.message, caught.value.error.code) == (message, code)


def rendered(data: bytes, *, include_usage: bool = False) -> bytes | None:
    return render_chunk(parse_chunk(data), model="public", include_usage=include_usage)


def test_renders_the_public_name_and_everything_else_as_it_came() -> None:
    data = b'{"id":"c","created":1.0,"model":"up","choices":[{"index":3,"delta":{"content":"\\u00e9","sig": "s"}}],"x":[ ]}'
    assert rendered(data) == b"data: " + data.replace(b'"up"', b'"public"') + b"\n\n"


def test_usage_is_hidden_from_a_client_that_did_not_ask() -> None:
    assert rendered(chunk(choices=[], usage=USAGE)) is None
    assert rendered(b'{"choices": [ ],"usage":{"prompt_tokens":3}}') is None
    assert rendered(b'{"model":"up","choices":[{"delta":{}}],"usage":null}') == (
        b'data: {"model":"public","choices":[{"delta":{}}]}\n\n'
    )
    with_content = rendered(chunk({"content": "a"}, usage=USAGE))
    assert with_content is not None
    assert b"usage" not in with_content
    assert b'"content"' in with_content


def test_a_chunk_without_choices_or_usage_is_kept() -> None:
    data = b'{"model":"public","choices":[],"prompt_filter_results":[1]}'
    assert rendered(data) == b"data: " + data + b"\n\n"
    assert rendered(data[:-1] + b',"usage":null}') == b"data: " + data + b"\n\n"


def test_usage_is_shown_as_it_came_to_a_client_that_asked() -> None:
    for data in (chunk(choices=[], usage=USAGE), chunk({"content": "a"}, usage=None)):
        shown = rendered(data, include_usage=True)
        assert shown is not None
        assert json.loads(shown[6:]) == {**json.loads(data), "model": "public"}


def test_json_over_several_lines_leaves_on_one() -> None:
    shown = rendered(b'{"choices":[\r\n{"delta":\n{"content":"a\\nb"}}]}')
    assert shown == b'data: {"choices":[  {"delta": {"content":"a\\nb"}}],"model":"public"}\n\n'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(unknown=st.dictionaries(st.text(), JSON, max_size=6), inside=st.dictionaries(st.text(), JSON, max_size=3))
def test_unknown_fields_reach_the_client_as_they_are(unknown: dict[str, object], inside: dict[str, object]) -> None:
    delta = {"content": "a"} | {f"x-{name}": value for name, value in inside.items()}
    sent = json.loads(chunk(delta)) | {f"x-{name}": value for name, value in unknown.items()}
    shown = rendered(json.dumps(sent).encode())
    assert shown is not None
    assert shown.count(b"\n") == 2
    assert json.loads(shown[6:]) == {**sent, "model": "public"}


DELTAS = st.dictionaries(
    st.sampled_from(["role", "content", "reasoning", "reasoning_content", "tool_calls", "function_call", "refusal"]),
    JSON,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | DELTAS.map(chunk))
def test_any_bytes_are_a_frame_or_a_bad_answer(data: bytes) -> None:
    with suppress(BadAnswer):
        render_chunk(parse_chunk(data), model="m", include_usage=False)
