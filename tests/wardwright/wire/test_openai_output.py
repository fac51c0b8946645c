"""What a request says of the form of its answer and of its tools."""

from typing import Any

import msgspec
import pytest

from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError
from wardwright.domain.structured import AskedFormat, DeclaredTool
from wardwright.wire.openai_output import asked_format, declared_tools
from wardwright.wire.openai_request import parse_chat_request, with_system_message


def request(**fields: Any) -> ChatRequest:
    return parse_chat_request(
        msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})
    )


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "grammar", "grammar": "x"}, None),
        ({"type": "json_schema"}, None),
        ({"type": "json_object"}, AskedFormat("json_object", strict=True)),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, AskedFormat("json_schema", strict=False)),
        (
            {"type": "json_schema", "json_schema": {"strict": True, "schema": {"type": "object"}}},
            AskedFormat("json_schema", strict=True, schema='{"type":"object"}'),
        ),
    ],
)
def test_a_response_format_asks_for_a_form(said: Any, asked: AskedFormat | None) -> None:
    assert asked_format(request(response_format=said)) == asked
    assert asked_format(request()) is None


def test_tools_of_either_kind_are_declared() -> None:
    tools = [
        {"type": "function", "function": {"name": "a", "strict": True, "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "b"}},
        {"type": "custom", "custom": {"name": "c"}},
    ]
    found = declared_tools(request(tools=tools, functions=[{"name": "d", "parameters": None}]))
    assert found == (
        DeclaredTool("a", strict=True, schema='{"type":"object"}'),
        DeclaredTool("b", strict=False),
        DeclaredTool("d", strict=False),
    )
    assert declared_tools(request()) == ()


def test_what_cannot_be_read_is_told_with_its_place() -> None:
    with pytest.raises(RequestError, match="expected") as caught:
        asked_format(request(response_format={"type": "json_schema", "json_schema": {"strict": "yes"}}))
    assert caught.value.param == "response_format.json_schema.strict"
    with pytest.raises(RequestError) as caught:
        declared_tools(request(tools=[{"type": "function", "function": {"name": 1}}]))
    assert caught.value.param is not None
    assert caught.value.param.startswith("tools")


def test_a_message_may_take_the_place_of_the_last_one_of_its_name() -> None:
    reminded = with_system_message(with_system_message(request(), "other", "kept"), "guard", "first")
    again = with_system_message(reminded, "guard", "second", replacing=True)
    messages = msgspec.json.decode(again.fields["messages"])
    assert [message.get("name") for message in messages] == [None, "other", "guard"]
    assert messages[-1]["content"] == again.messages[-1].content == "second"
    assert [message.content for message in again.messages] == ["hi", "kept", "second"]
