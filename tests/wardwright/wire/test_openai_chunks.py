import json

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
from wardwright.wire.openai_chunks import AnswerHead, ChunkWriter, Extras

NO_FIELDS: Fields = {}


def written(*events: StreamEvent, extras: Extras | None = None) -> list[dict[str, object]]:
    """The chunks that one foreign frame becomes."""
    writer = ChunkWriter(AnswerHead("chatcmpl-1", "up", 17), lambda _: extras or Extras())
    return [decoded(frame) for frame in writer.write(Frame(NO_FIELDS, events))]


def decoded(frame: Frame) -> dict[str, object]:
    return {name: json.loads(bytes(value)) for name, value in frame.fields.items()}


def deltas(*events: StreamEvent) -> list[object]:
    return [choice["delta"] for chunk in written(*events) for choice in chunk["choices"]]  # type: ignore[attr-defined]


def test_every_chunk_has_what_all_chunks_of_an_answer_share() -> None:
    for chunk in written(Start(0), Finish(0, "stop"), UsageReport(Usage(1, 2))):
        assert [chunk[name] for name in ("id", "object", "created", "model")] == [
            "chatcmpl-1",
            "chat.completion.chunk",
            17,
            "up",
        ]


def test_the_providers_id_is_kept_from_when_it_is_known() -> None:
    writer = ChunkWriter(
        AnswerHead("chatcmpl-1", "up", 17),
        lambda frame: Extras(answer_id="msg_1" if frame.events == (Start(0),) else None),
    )
    (first,) = writer.write(Frame(NO_FIELDS, (Start(0),)))
    (second,) = writer.write(Frame(NO_FIELDS, (Text(0, "a"),)))
    assert (bytes(first.fields["id"]), bytes(second.fields["id"])) == (b'"msg_1"', b'"msg_1"')


def test_a_role_comes_with_content_that_may_be_empty() -> None:
    assert deltas(Start(0)) == [{"role": "assistant", "content": ""}]
    assert deltas(Start(0), Text(0, "a")) == [{"role": "assistant", "content": "a"}]


def test_the_finish_reason_has_a_chunk_of_its_own_and_usage_the_last() -> None:
    content, finish, usage = written(
        Text(0, "a"), Finish(0, "length"), UsageReport(Usage(3, 4, cached_prompt_tokens=2))
    )
    assert content["choices"] == [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert (content["usage"], finish["usage"], usage["choices"]) == (None, None, [])
    assert usage["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def test_a_call_is_named_once_and_its_later_deltas_have_arguments_alone() -> None:
    assert deltas(ToolCallStart(0, 1, "t", "f")) == [
        {"tool_calls": [{"index": 1, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]}
    ]
    assert deltas(ToolArguments(0, 1, "{")) == [{"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}]


def test_calls_that_come_whole_are_one_delta() -> None:
    assert deltas(ToolCallStart(0, 0, "a", "f"), ToolArguments(0, 0, "{}"), ToolCallStart(0, 1, "b", "g")) == [
        {
            "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            ]
        }
    ]


def test_a_call_without_an_id_gets_a_short_one_of_its_own() -> None:
    writer = ChunkWriter(AnswerHead("chatcmpl-" + "x" * 100, "up", 17))
    frames = list(writer.write(Frame(NO_FIELDS, (ToolCallStart(0, 0, "", "f"), ToolCallStart(0, 12, "", "f")))))
    ids = [event.id for event in frames[0].events if isinstance(event, ToolCallStart)]
    assert len(set(ids)) == 2
    assert all(0 < len(given) <= 40 for given in ids)


def test_reasoning_goes_where_clients_look_for_it() -> None:
    assert deltas(Reasoning(0, "r"), Text(0, "a")) == [{"reasoning_content": "r", "content": "a"}]


def test_extras_stand_beside_what_is_known() -> None:
    extras = Extras(delta={"citations": [1]}, choice={"native_finish_reason": "end_turn"})
    content, finish = written(Finish(0, "stop"), extras=extras)
    assert content["choices"] == [{"index": 0, "delta": {"citations": [1]}, "finish_reason": None}]
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop", "native_finish_reason": "end_turn"}]


def test_a_frame_that_says_nothing_becomes_no_chunk() -> None:
    assert written() == []
