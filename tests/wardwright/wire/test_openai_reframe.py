"""Chunks made again: what they say besides their text stays, and what repeats the text in another form does not."""

import json
from typing import Any

import pytest

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
from wardwright.wire.openai_reframe import carrying, choice_of, split, with_arguments, with_text, without_roles
from wardwright.wire.openai_stream import parse_chunk

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def frame(*choices: dict[str, Any], **fields: Any) -> Frame:
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices, **fields}
    return parse_chunk(json.dumps(body).encode())


def choice(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def shown(made: Frame) -> dict[str, Any]:
    decoded: dict[str, Any] = {name: json.loads(bytes(value)) for name, value in made.fields.items()}
    return decoded


def kinds(made: Frame) -> list[type[StreamEvent]]:
    return [type(event) for event in made.events]


def test_other_text_leaves_everything_else_as_it_was() -> None:
    before = frame({**choice(role="assistant", content="secret", x=1), "logprobs": {"content": []}}, usage=None, y=2)
    made = with_text(before, "text", 0, "s")
    assert shown(made) == {**shown(before), "choices": [choice(role="assistant", content="s", x=1)]}
    assert made.events == (Start(0), Text(0, "s"))
    assert kinds(with_text(before, "text", 0, "")) == [Start]


@pytest.mark.parametrize(
    ("delta", "after"),
    [
        ({"content": [{"type": "text", "text": "ab"}]}, {"content": "x"}),
        ({"content": "", "refusal": "ab"}, {"content": "", "refusal": "x"}),
        ({"content": "a", "refusal": "b"}, {"content": "x", "refusal": ""}),
        ({"audio": {"id": "a", "data": "UklG", "transcript": "ab"}}, {"audio": {"id": "a", "transcript": "x"}}),
    ],
)
def test_text_stays_where_it_was(delta: dict[str, Any], after: dict[str, Any]) -> None:
    assert shown(with_text(frame(choice(**delta)), "text", 0, "x"))["choices"][0]["delta"] == after


def test_only_the_named_choice_is_changed() -> None:
    made = with_text(frame(choice(0, content="a"), choice(1, content="b")), "text", 1, "x")
    assert made.events == (Text(0, "a"), Text(1, "x"))
    assert [one["delta"]["content"] for one in shown(made)["choices"]] == ["a", "x"]


def test_reasoning_is_changed_under_all_its_names() -> None:
    before = frame(choice(reasoning="a", reasoning_content="a", reasoning_details=[{"text": "a"}], content="b"))
    made = with_text(before, "reasoning", 0, "x")
    assert shown(made)["choices"][0]["delta"] == {"reasoning": "x", "reasoning_content": "x", "content": "b"}
    assert made.events == (Reasoning(0, "x"), Text(0, "b"))


def test_a_carrier_has_text_and_nothing_else() -> None:
    before = frame({**choice(3, role="assistant", refusal="ab"), "logprobs": {"refusal": []}}, usage=USAGE, y=2)
    rest = carrying(before, "text", 3, "b", as_it_came=True)
    assert shown(rest)["choices"] == [{**choice(3, refusal="b"), "logprobs": {"refusal": []}}]
    assert shown(rest)["usage"] is None
    assert "y" not in rest.fields
    assert "logprobs" not in shown(carrying(before, "text", 3, "x", as_it_came=False))["choices"][0]
    assert rest.events == (Text(3, "b", is_refusal=True),)


def test_arguments_change_by_call() -> None:
    calls = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}},
        {"index": 1, "function": {"arguments": "}"}},
    ]
    made = with_arguments(frame(choice(tool_calls=calls)), 0, {0: "[]"})
    assert [call["function"]["arguments"] for call in shown(made)["choices"][0]["delta"]["tool_calls"]] == ["[]", "}"]
    assert made.events == (ToolCallStart(0, 0, "a", "f"), ToolArguments(0, 0, "[]"), ToolArguments(0, 1, "}"))
    emptied = with_arguments(frame(choice(tool_calls=[calls[1]])), 0, {1: ""})
    assert emptied.events == ()


def test_the_old_kind_of_call_changes_too() -> None:
    made = with_arguments(frame(choice(function_call={"arguments": "{}"})), 0, {0: "[]"})
    assert shown(made)["choices"][0]["delta"] == {"function_call": {"arguments": "[]"}}
    assert made.events == (ToolArguments(0, 0, "[]"),)


def test_a_chunk_is_split_by_choice_and_channel() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    first = choice(0, "stop", role="assistant", reasoning="r", content="t", tool_calls=[call], x=1)
    parts = split(frame({**first, "logprobs": {}}, choice(1, content="u"), usage=USAGE))
    assert [kinds(part) for part in parts] == [
        [Start, Reasoning], [Text], [ToolCallStart, ToolArguments, Finish], [Text, UsageReport],
    ]  # fmt: skip
    deltas = [shown(part)["choices"][0] for part in parts]
    assert [one["finish_reason"] for one in deltas] == [None, None, "stop", None]
    assert deltas[0]["delta"] == {"role": "assistant", "x": 1, "reasoning": "r"}
    assert ["logprobs" in one for one in deltas] == [False, True, False, False]
    assert [shown(part)["usage"] for part in parts] == [None, None, None, USAGE]


def test_what_is_empty_goes_with_the_first_part_of_its_choice() -> None:
    before = frame(choice(0, content="", reasoning="r", refusal=None, tool_calls=[{"index": 0}]), choice(1, content=""))
    assert [shown(part)["choices"][0]["delta"] for part in split(before)] == [
        {"content": "", "reasoning": "r", "refusal": None}, {"tool_calls": [{"index": 0}]}, {"content": ""},
    ]  # fmt: skip


def test_a_chunk_is_of_its_first_choice() -> None:
    assert choice_of(frame(choice(3), choice(0))) == 3
    assert choice_of(frame({"delta": {}})) == 0
    assert choice_of(frame()) is None


def test_roles_are_left_out_of_the_named_places() -> None:
    before = frame(choice(0, role="assistant", x=1), choice(1, role="assistant"), {"index": 2, "delta": None})
    choices = before.fields["choices"]
    everywhere, one = without_roles(choices), without_roles(choices, {1})
    assert [entry["delta"] for entry in json.loads(bytes(everywhere))] == [{"x": 1}, {}, None]
    assert [entry["delta"] for entry in json.loads(bytes(one))] == [{"role": "assistant", "x": 1}, {}, None]


def test_a_chunk_of_one_kind_is_left_alone() -> None:
    one = frame(choice(content="a"), usage=USAGE)
    assert split(one) == (one,)
    assert split(frame()) == (frame(),)


def test_what_is_spoken_is_carried_as_spoken() -> None:
    made = carrying(frame(choice(audio={"id": "a", "transcript": "ab"})), "text", 0, "b", as_it_came=True)
    assert shown(made)["choices"] == [choice(audio={"transcript": "b"})]
    assert made.events == (Text(0, "b"),)


def test_a_custom_tool_gets_another_input() -> None:
    call = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": "rm \\u0041"}}
    before = frame(choice(tool_calls=[call]))
    assert before.events == (ToolCallStart(0, 0, "c", "sh"), ToolArguments(0, 0, "rm \\u0041", is_json=False))
    made = with_arguments(before, 0, {0: "ls"})
    [entry] = shown(made)["choices"]
    assert entry["delta"]["tool_calls"][0]["custom"] == {"name": "sh", "input": "ls"}
    assert made.events == (ToolCallStart(0, 0, "c", "sh"), ToolArguments(0, 0, "ls"))
