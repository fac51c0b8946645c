import json
from typing import Any

import pytest

from wardwright.domain.errors import RequestError
from wardwright.wire.ollama_request import ollama_chat_body
from wardwright.wire.openai_request import parse_chat_request, with_beginning

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def body_of(*messages: dict[str, object], **fields: object) -> dict[str, Any]:
    asked = {"model": "public", "messages": messages or [{"role": "user", "content": "a"}], **fields}
    body: dict[str, Any] = json.loads(ollama_chat_body(parse_chat_request(json.dumps(asked).encode()), "up", 4096))
    return body


def messages_of(*messages: dict[str, object]) -> list[dict[str, object]]:
    translated: list[dict[str, object]] = body_of(*messages)["messages"]
    return translated


def test_settings_become_options() -> None:
    body = body_of(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        stop="x",
        max_tokens=5,
        max_completion_tokens=6,
        presence_penalty=None,
    )
    assert body["options"] == {
        "num_ctx": 4096, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "stop": ["x"], "num_predict": 6
    }  # fmt: skip
    assert set(body) == {"model", "messages", "stream", "options"}


def test_options_of_the_callers_own_win() -> None:
    assert body_of(temperature=1, options={"num_ctx": 99, "mirostat": 1})["options"] == {
        "num_ctx": 99,
        "temperature": 1,
        "mirostat": 1,
    }


def test_fields_that_are_not_translated_go_on_as_they_came() -> None:
    body = body_of(keep_alive="5m", think="high", reasoning_effort="low", user="u")
    assert (body["keep_alive"], body["think"], body["user"]) == ("5m", "high", "u")
    assert "reasoning_effort" not in body


@pytest.mark.parametrize(("stream", "asked"), [({}, False), ({"stream": False}, False), ({"stream": True}, True)])
def test_streaming_is_said_either_way(stream: dict[str, object], asked: bool) -> None:
    body = body_of(**stream, **({"stream_options": {"include_usage": True}} if asked else {}))
    assert body["stream"] is asked
    assert "stream_options" not in body


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "high")]
)
def test_effort_is_how_much_to_think(effort: str, think: object) -> None:
    assert body_of(reasoning_effort=effort)["think"] == think


def test_the_form_of_an_answer() -> None:
    schema = {"type": "object"}
    assert body_of(response_format={"type": "json_object"})["format"] == "json"
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert body_of(response_format=asked)["format"] == schema
    assert "format" not in body_of(response_format={"type": "text"})


def test_tools_go_on_unless_none_may_be_used() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert body_of(tools=tools, tool_choice="auto", parallel_tool_calls=False)["tools"] == tools
    assert "tools" not in body_of(tools=tools, tool_choice="none")


def test_parts_become_text_and_images() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "text", "text": "b"},
    ]
    assert messages_of({"role": "user", "content": parts}) == [
        {"role": "user", "content": "ab", "images": ["iVBORw0KGgo="]}
    ]


def test_a_conversation_with_tools() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    assert messages_of(
        {"role": "developer", "content": "s"},
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ) == [
        {"role": "system", "content": "s"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm.",
            "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "c1", "tool_name": "weather"},
    ]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"options": 5}, "options", "invalid_request"),
        ({"stop": 5}, "stop", "invalid_request"),
        ({"tools": [5]}, "tools[0]", "invalid_request"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(fields: dict[str, object], param: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        body_of(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"content": [{"type": "input_audio"}]}, "messages[0].content[0]: this target takes text and images"),
        ({"content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}, "fetches no images"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0]: "),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}, "arguments: expected a JSON object"),
        ({"tool_calls": [{"function": {}}]}, "messages[0].tool_calls[0].function.name: required"),
    ],
)
def test_a_message_that_cannot_be_said_is_refused_at_its_place(message: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError) as caught:
        body_of({"role": "user", "content": "", **message})
    assert words in caught.value.message


def test_the_beginning_of_an_answer_is_the_last_message_and_off_the_limit() -> None:
    asked = {"model": "public", "messages": [{"role": "user", "content": "a"}], "max_tokens": 50}
    begun = with_beginning(parse_chat_request(json.dumps(asked).encode()), "Once upon", 3)
    body = json.loads(ollama_chat_body(begun, "up", 4096))
    assert body["messages"][-1] == {"role": "assistant", "content": "Once upon"}
    assert body["options"]["num_predict"] == 47
