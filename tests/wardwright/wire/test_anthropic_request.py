import json
from typing import Any

import pytest

from wardwright.domain.errors import RequestError
from wardwright.wire.anthropic_request import message_body
from wardwright.wire.openai_request import parse_chat_request, with_beginning

PIXEL = "data:image/png;base64,iVBORw0KGgo="
USER: dict[str, object] = {"role": "user", "content": "a"}


def body_of(*messages: dict[str, object], **fields: object) -> dict[str, Any]:
    asked = {"model": "public", "messages": messages or [USER], **fields}
    body: dict[str, Any] = json.loads(message_body(parse_chat_request(json.dumps(asked).encode()), "up", 1000))
    return body


def messages_of(*messages: dict[str, object]) -> list[dict[str, object]]:
    translated: list[dict[str, object]] = body_of(*messages)["messages"]
    return translated


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def test_the_least_that_is_asked() -> None:
    assert body_of() == {
        "model": "up",
        "max_tokens": 1000,
        "stream": False,
        "messages": [{"role": "user", "content": [text("a")]}],
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"temperature": 1.7}, {"temperature": 1.0}),
        ({"stream": True}, {"stream": True}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"user": "u", "safety_identifier": "s", "metadata": {"run_id": "r"}}, {"metadata": {"user_id": "s"}}),
        ({"top_k": 3, "thinking": {"type": "enabled"}}, {"top_k": 3, "thinking": {"type": "enabled"}}),
        ({"service_tier": "standard_only"}, {"service_tier": "standard_only"}),
        ({"output_config": {"effort": "low"}}, {"output_config": {"effort": "low"}}),
    ],
)
def test_settings_in_the_words_of_the_api(fields: dict[str, object], expected: dict[str, object]) -> None:
    assert body_of(**fields) == {**body_of(), **expected}


def test_what_the_api_has_no_word_for_is_left_out() -> None:
    fields = {"seed": 7, "logit_bias": {}, "store": True, "reasoning_effort": "low", "service_tier": "flex", "n": 1}
    assert body_of(**fields, metadata={"run_id": "r"}, stream_options={"include_usage": True}) == body_of()


def test_a_schema_is_the_form_of_the_output() -> None:
    schema = {"type": "object"}
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert body_of(response_format=asked, output_config={"effort": "low"})["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": schema},
    }


def test_functions_are_tools_and_tools_of_the_api_stay() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "f", "description": "d", "parameters": schema, "strict": True}
    own = {"type": "web_search_20250305", "name": "web_search"}
    assert body_of(
        tools=[{"type": "function", "function": function}, {"type": "function", "function": {"name": "g"}}, own]
    )["tools"] == [
        {"name": "f", "description": "d", "strict": True, "input_schema": schema},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        own,
    ]


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_which_tool_to_use(fields: dict[str, object], choice: object) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert body_of(tools=tools, **fields).get("tool_choice") == choice


def test_system_messages_go_to_their_own_place_wherever_they_stood() -> None:
    cached = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    body = body_of(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [cached]},
        USER,
        {"role": "system", "content": "c"},
    )
    assert body["system"] == [text("a"), cached, text("c")]
    assert body["messages"] == [{"role": "user", "content": [text("a")]}]


def test_parts_become_blocks() -> None:
    parts = [
        text("a"),
        text(""),
        {"type": "image_url", "image_url": {"url": PIXEL}, "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "n.pdf"}},
        {"type": "search_result", "source": "s"},
    ]
    assert messages_of({"role": "user", "content": parts})[0]["content"] == [
        text("a"),
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "n.pdf",
        },
        {"type": "search_result", "source": "s"},
    ]


def test_calls_and_their_results_stand_side_by_side() -> None:
    calls = [{"id": f"t{n}", "type": "function", "function": {"name": "f", "arguments": '{"n": 1}'}} for n in (1, 2)]
    assert messages_of(
        USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": [text("two")]},
        {"role": "user", "content": "and?"},
    )[1:] == [
        {
            "role": "assistant",
            "content": [
                text("Let me see."),
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"n": 1}},
                {"type": "tool_use", "id": "t2", "name": "f", "input": {"n": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [text("one")]},
                {"type": "tool_result", "tool_use_id": "t2", "content": [text("two")]},
                text("and?"),
            ],
        },
    ]


def test_signed_thinking_goes_back_as_it_came_even_in_the_pieces_of_a_stream() -> None:
    details: list[dict[str, object]] = [
        {"type": "reasoning.text", "text": "Hm, ", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "so.", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "signature": "EqQ=", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "Emw=", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "unsigned", "index": 2},
        {"type": "reasoning.text", "text": "another's", "signature": "x", "format": "google-gemini-v1", "index": 3},
    ]
    turn: dict[str, object] = {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "Hm, so.",
        "reasoning_details": details,
    }
    assert messages_of(USER, turn)[1]["content"] == [
        {"type": "thinking", "thinking": "Hm, so.", "signature": "EqQ="},
        {"type": "redacted_thinking", "data": "Emw="},
        text("Yes."),
    ]


def test_an_answer_that_said_nothing_is_no_message() -> None:
    assert messages_of(USER, {"role": "assistant", "content": ""}, USER) == [
        {"role": "user", "content": [text("a"), text("a")]}
    ]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
        ({"tools": [{"type": "function"}], "tool_choice": "maybe"}, "tool_choice", "invalid_request"),
        (
            {"output_config": 5, "response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "output_config",
            "invalid_request",
        ),
        ({"temperature": "hot"}, "temperature", "invalid_request"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(fields: dict[str, object], param: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        body_of(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {"content": [{"type": "input_audio"}]},
            "messages[0].content[0]: this target does not take it, got input_audio",
        ),
        ({"content": [{"type": "image_url"}]}, "messages[0].content[0]: this target does not take it"),
        ({"content": [{"type": "file", "file": {"file_id": "x"}}]}, "a file as a data: URL alone"),
        ({"role": "function", "content": "x"}, "messages[0].role: this target has no such role"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]},
            "expected a JSON object",
        ),
    ],
)
def test_a_message_that_cannot_be_said_is_refused_at_its_place(message: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError) as caught:
        body_of({"role": "user", "content": "", **message})
    assert words in caught.value.message


def test_the_beginning_of_an_answer_is_the_last_message_and_off_the_limit() -> None:
    request = parse_chat_request(json.dumps({"model": "public", "messages": [USER], "max_tokens": 50}).encode())
    body = json.loads(message_body(with_beginning(request, "Once upon", 3), "up", 1000))
    assert body["messages"][-1] == {"role": "assistant", "content": [text("Once upon")]}
    assert body["max_tokens"] == 47
