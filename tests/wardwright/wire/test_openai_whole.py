"""The texts of a whole answer, as events and put back."""

import json
from typing import Any

import msgspec
import pytest

from wardwright.domain.chat import Completion
from wardwright.domain.stream import Place, Reasoning, Text, ToolArguments, ToolCallStart
from wardwright.wire.openai_answer import parse_completion
from wardwright.wire.openai_whole import read_events, with_texts

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def completion(*messages: dict[str, Any], **fields: Any) -> Completion:
    choices = [
        {"index": i, "message": message, "finish_reason": "stop", **fields} for i, message in enumerate(messages)
    ]
    return parse_completion(json.dumps({"id": "c", "choices": choices}).encode())


def messages_of(answer: Completion) -> list[dict[str, Any]]:
    return [choice["message"] for choice in json.loads(bytes(answer.fields["choices"]))]


def test_every_text_is_an_event() -> None:
    first = {"content": "a", "reasoning": "r", "tool_calls": [CALL], "function_call": {"name": "g", "arguments": "1"}}
    assert read_events(completion(first, {"content": None, "refusal": "no"})) == (
        Reasoning(0, "r"),
        Text(0, "a"),
        ToolCallStart(0, 0, "c", "f"),
        ToolArguments(0, 0, "{}"),
        ToolCallStart(0, 1, "", "g"),
        ToolArguments(0, 1, "1"),
        Text(1, "no", is_refusal=True),
    )


def test_a_text_that_cannot_be_read_is_a_fault() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_events(completion({"content": "a", "tool_calls": "f()"}))


def test_changed_texts_stand_where_they_stood() -> None:
    first = {
        "content": [{"type": "text", "text": "a"}], "reasoning": "r", "reasoning_content": "r", "x": 1,
        "reasoning_details": ["r"], "tool_calls": [CALL], "function_call": {"name": "g", "arguments": "1"},
    }  # fmt: skip
    answer = completion(first, {"content": None, "refusal": "no"}, {"content": "same"}, logprobs={"content": []})
    changed = with_texts(
        answer,
        {
            Place(0, "text"): "A",
            Place(0, "reasoning"): "R",
            Place(0, "tool_arguments", 0): "[]",
            Place(0, "tool_arguments", 1): "2",
            Place(1, "text"): "NO",
        },
    )
    assert messages_of(changed) == [
        {
            "content": "A", "reasoning": "R", "reasoning_content": "R", "x": 1,
            "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "[]"}}],
            "function_call": {"name": "g", "arguments": "2"},
        },
        {"content": None, "refusal": "NO"},
        {"content": "same"},
    ]  # fmt: skip
    assert ["logprobs" in choice for choice in json.loads(bytes(changed.fields["choices"]))] == [False, False, True]
    assert with_texts(answer, {}) is answer


def test_what_is_spoken_is_text_and_sound_goes_with_what_it_said() -> None:
    answer = completion({"content": None, "audio": {"data": "UklG", "transcript": "secret"}})
    assert read_events(answer) == (Text(0, "secret"),)
    assert messages_of(with_texts(answer, {Place(0, "text"): "s"})) == [{"content": "s"}]


def test_the_input_of_a_custom_tool_is_read_and_changed() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "rm"}}
    answer = completion({"content": None, "tool_calls": [custom, CALL]})
    assert read_events(answer)[:2] == (ToolCallStart(0, 0, "c", "sh"), ToolArguments(0, 0, "rm", is_json=False))
    [message] = messages_of(with_texts(answer, {Place(0, "tool_arguments", 0): "ls"}))
    assert message["tool_calls"] == [{**custom, "custom": {"name": "sh", "input": "ls"}}, CALL]
