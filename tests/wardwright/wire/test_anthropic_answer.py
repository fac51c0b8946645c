import json
from typing import Any

import pytest

from wardwright.domain.chat import Usage
from wardwright.wire.anthropic_answer import parse_message
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject
from wardwright.wire.openai_chunks import AnswerHead

HEAD = AnswerHead("chatcmpl-1", "up", 17)


def message(*content: dict[str, object], **fields: object) -> bytes:
    usage = {"input_tokens": 10, "output_tokens": 7, "cache_read_input_tokens": 5}
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "usage": usage,
    }
    return json.dumps({**answer, "content": content, **fields}).encode()


def choice_of(body: bytes) -> dict[str, Any]:
    choice: dict[str, Any]
    (choice,) = json.loads(bytes(parse_message(body, HEAD).fields["choices"]))
    return choice


def test_a_message_is_a_chat_completion() -> None:
    completion = parse_message(message({"type": "text", "text": "Grüß "}, {"type": "text", "text": "Gott"}), HEAD)
    assert {name: json.loads(bytes(value)) for name, value in completion.fields.items()} == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 17,
        "model": "up",
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 7,
            "total_tokens": 22,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grüß Gott"},
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }
        ],
    }
    assert completion.usage == Usage(15, 7, cached_prompt_tokens=5)
    assert completion.text_bytes == len("Grüß Gott".encode())


def test_thinking_calls_and_citations_have_their_fields() -> None:
    citation = {"type": "char_location", "cited_text": "Grass is green."}
    body = message(
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQ="},
        {"type": "redacted_thinking", "data": "Emw="},
        {"type": "text", "text": "Green.", "citations": [citation]},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "u", "name": "g", "input": {}},
        stop_reason="tool_use",
    )
    choice = choice_of(body)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Green.",
        "reasoning_content": "Hm.",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Hm.", "signature": "EqQ=", "format": "anthropic-claude-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "Emw=", "format": "anthropic-claude-v1", "index": 1},
        ],
        "citations": [citation],
        "tool_calls": [
            {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "u", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_an_answer_without_text_has_content_all_the_same_unless_it_calls_tools() -> None:
    assert choice_of(message(stop_reason="refusal"))["message"]["content"] == ""
    assert choice_of(message({"type": "tool_use", "id": "t", "name": "f", "input": {}}))["message"]["content"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"type":"message"}',
        b'{"type":"message","content":"a"}',
        b'{"type":"message","content":[5]}',
        b'{"type":"message","content":[{"type":"text","text":5}]}',
        b'{"type":"message","content":[{"type":"tool_use"}]}',
        b'{"choices":[{"message":{"content":"a"}}]}',
    ],
)
def test_anything_else_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        parse_message(body, HEAD)
    assert not isinstance(caught.value, UpstreamErrorObject)


def test_an_error_is_carried_out() -> None:
    with pytest.raises(UpstreamErrorObject) as caught:
        parse_message(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', HEAD)
    assert caught.value.error.type == "overloaded_error"
