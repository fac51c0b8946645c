import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.chat import Message, Part, PrefillStyle
from wardwright.domain.errors import RequestError
from wardwright.wire.openai_request import (
    choice_count,
    parse_chat_request,
    upstream_chat_body,
    with_beginning,
    with_system_message,
)

USER = {"role": "user", "content": "hi"}


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": [USER], **fields}).encode()


def refusal(text: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_chat_request(text)
    assert caught.value.code == "invalid_request"
    return caught.value


def test_reads_what_the_gateway_must_understand() -> None:
    request = parse_chat_request(
        body(
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=5,
            max_completion_tokens=9,
            metadata={"a": [1]},
            user="u",
        )
    )
    assert request.model == "m"
    assert request.messages == (Message("user", "hi"),)
    assert request.stream
    assert request.include_usage
    assert request.output_budget == 9
    assert request.metadata == {"a": [1]}
    assert request.user == "u"
    assert request.needs == frozenset()


def test_what_is_absent_has_its_default() -> None:
    for fields in ({}, dict.fromkeys(["stream", "stream_options", "max_tokens", "metadata", "user", "tools", "n"])):
        request = parse_chat_request(body(**fields))
        assert not request.stream
        assert not request.include_usage
        assert request.output_budget is None
        assert request.metadata == {}
        assert request.user is None
        assert request.needs == frozenset()
        assert choice_count(request) == 1


def test_messages_keep_parts_and_tool_calls() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    parts = [{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": {"data": "x"}}]
    request = parse_chat_request(
        body(
            messages=[
                {"role": "user", "content": parts},
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "assistant", "tool_calls": None},
                {"role": "tool", "tool_call_id": "c", "content": ""},
            ]
        )
    )
    first, second, third, fourth = request.messages
    assert first.content == [Part("text", "a"), Part("input_audio")]
    assert second.content is None
    assert second.tool_calls is not None
    assert json.loads(bytes(second.tool_calls)) == calls
    assert third == Message("assistant")
    assert (fourth.role, fourth.content, fourth.tool_calls) == ("tool", "", None)
    assert fourth.tool_call_id is not None
    assert json.loads(bytes(fourth.tool_call_id)) == "c"


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"tools": []}, set()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, {"vision"}),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "image_url"}]}]}, set()),
    ],
)
def test_collects_the_capabilities_a_target_must_have(fields: dict[str, object], needs: set[str]) -> None:
    assert parse_chat_request(body(**fields)).needs == needs


@pytest.mark.parametrize("limit", [0, -1, None])
def test_a_limit_that_is_none_reserves_nothing_and_is_passed_on(limit: int | None) -> None:
    request = parse_chat_request(body(max_tokens=limit))
    assert request.output_budget is None
    assert json.loads(upstream_chat_body(request, "t"))["max_tokens"] == limit


MESSAGE_3 = [USER, USER, USER, {"role": "user", "content": 5}]


@pytest.mark.parametrize(
    ("text", "param", "message"),
    [
        (
            body(model=""),
            "model",
            "model: expected a name, got an empty string; name one of the models listed at /v1/models",
        ),
        (body(model=None), "model", "model: expected a string, got null"),
        (b'{"messages":[]}', "model", "model: required, but missing"),
        (b'{"model":"m"}', "messages", "messages: required, but missing; send at least one message"),
        (body(messages=[]), "messages", "messages: expected a list of messages, got an empty list"),
        (body(messages="hi"), "messages", "messages: expected a list of messages, got a string"),
        (body(messages=[7]), "messages[0]", "messages[0]: expected an object, got a number"),
        (body(messages=[{"content": "x"}]), "messages[0].role", "messages[0].role: required, but missing"),
        (
            body(messages=MESSAGE_3),
            "messages[3].content",
            "messages[3].content: expected a string, a list of parts or null, got a number",
        ),
        (
            body(messages=[{"role": "user", "content": ["x"]}]),
            "messages[0].content[0]",
            "expected an object, got a string",
        ),
        (body(stream="yes"), "stream", "stream: expected true, false or null, got a string"),
        (body(stream_options=True), "stream_options", "stream_options: expected an object or null, got a boolean"),
        (body(stream_options={"include_usage": 1}), "stream_options.include_usage", "expected true, false or null"),
        (body(max_tokens="7"), "max_tokens", "max_tokens: expected a whole number or null, got a string"),
        (body(max_tokens=7.5), "max_tokens", "max_tokens: expected a whole number or null, got a number"),
        (body(max_completion_tokens=2**60), "max_completion_tokens", "expected a whole number <= 9007199254740992"),
        (body(max_output_tokens=[]), "max_output_tokens", "got a list"),
        (body(n="2"), "n", "n: expected a whole number or null, got a string"),
        (body(tools={}), "tools", "tools: expected a list or null, got an object"),
        (body(response_format="json"), "response_format", "response_format: expected an object or null, got a string"),
        (body(user=3), "user", "user: expected a string or null, got a number"),
        (b'{"model":"m","metadata":{"a":1e999}}', "metadata[...]", "number out of range"),
        (b"[]", None, "the request body: expected an object, got a list; send one JSON object"),
        (b'"hi"', None, "the request body: expected an object, got a string"),
        (b"", None, "the request body is empty"),
        (b'{"model":\n "m",}', None, "the request body is not JSON: trailing comma in object at line 2, column 6"),
        (b'{"model":"m"} {}', None, "trailing characters at line 1, column 15"),
        (b'{"temperature":NaN}', None, "the request body is not JSON: invalid character at line 1, column 16"),
        (b'{"x":"\xff"}', None, "the request body is not valid UTF-8 at byte 6"),
        (b'{"x":"\\udfff"}', None, "a surrogate without its partner"),
        (b'{"x":' + b"[" * 200_000, None, "the request body is nested too deeply"),
        (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", None, "the request body is nested too deeply"),
    ],
)
def test_a_refusal_names_the_field_and_tells_what_to_do(text: bytes, param: str | None, message: str) -> None:
    error = refusal(text)
    assert message in error.message
    assert error.param == param


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KNOWN = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "tools",
    "metadata",
    "user",
    "n",
    "response_format",
]


@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_unknown_fields_reach_the_provider_as_they_are(unknown: dict[str, object]) -> None:
    sent = {"model": "m", "messages": [{**USER, "x": 1}]} | {f"x-{name}": value for name, value in unknown.items()}
    request = parse_chat_request(json.dumps(sent, ensure_ascii=False).encode(errors="replace"))
    assert json.loads(upstream_chat_body(request, "upstream")) == {**sent, "model": "upstream"}


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(KNOWN), JSON | st.just([USER])).map(lambda fields: body(**fields))
)
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with suppress(RequestError):
        request = parse_chat_request(text)
        json.loads(upstream_chat_body(request, "t"))
        assert choice_count(request) >= 1


@given(st.data())
def test_any_damage_to_a_body_is_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(body(stream=True, metadata={"k": "\u00e9\\"}, tools=[{"type": "function"}]))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RequestError):
        parse_chat_request(bytes(text))


def test_the_upstream_body_differs_in_the_models_name_alone() -> None:
    text = b'{"messages":[{"role":"user","content":"h\\u00e9"}],"model":"public", "seed":1.50,"x":{"b" : 1, "a":[ ]}}'
    assert upstream_chat_body(parse_chat_request(text), 'up"1') == (
        b'{"messages":[{"role":"user","content":"h\\u00e9"}],"model":"up\\"1","seed":1.50,"x":{"b" : 1, "a":[ ]}}'
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {}}, {"include_usage": True}),
        (
            {"stream_options": {"include_usage": False, "include_obfuscation": False}},
            {"include_usage": True, "include_obfuscation": False},
        ),
    ],
)
def test_a_stream_always_asks_for_usage(options: dict[str, object], expected: dict[str, object]) -> None:
    request = parse_chat_request(body(stream=True, **options))
    assert not request.include_usage
    assert json.loads(upstream_chat_body(request, "t"))["stream_options"] == expected


def test_a_whole_answer_is_asked_for_without_stream_options() -> None:
    assert "stream_options" not in json.loads(upstream_chat_body(parse_chat_request(body()), "t"))


def test_stream_options_too_deep_to_read_again_are_the_callers_fault() -> None:
    request = parse_chat_request(body(stream=True))
    deep = msgspec.Raw(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
    request = msgspec.structs.replace(request, fields={**request.fields, "stream_options": deep})
    with pytest.raises(RequestError) as caught:
        upstream_chat_body(request, "t")
    assert caught.value.param == "stream_options"


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (3, 3), (0, 1), (-2, 1), (None, 1)])
def test_counts_the_choices_asked_for(n: int | None, expected: int) -> None:
    assert choice_count(parse_chat_request(body(n=n))) == expected


def test_a_system_message_goes_behind_all_others() -> None:
    request = parse_chat_request(b'{"model": "m", "messages": [{"role": "user", "content": "hi", "x": 1}], "seed": 1}')
    reminded = with_system_message(request, "reminder", "be brief")
    assert json.loads(upstream_chat_body(reminded, "up")) == {
        "model": "up",
        "messages": [
            {"role": "user", "content": "hi", "x": 1},
            {"role": "system", "name": "reminder", "content": "be brief"},
        ],
        "seed": 1,
    }
    assert reminded.messages[-1].content == "be brief"
    assert len(request.messages) == 1


class TestABeginning:
    def test_it_goes_behind_all_messages_and_off_the_limits(self) -> None:
        request = parse_chat_request(body(max_tokens=100, max_completion_tokens=7, max_output_tokens=None))
        begun = with_beginning(request, "Once upon", 10)
        told = json.loads(upstream_chat_body(begun, "up"))
        assert told["messages"][-1] == {"role": "assistant", "content": "Once upon"}
        assert (told["max_tokens"], told["max_completion_tokens"], told["max_output_tokens"]) == (90, 1, None)
        assert begun.output_budget == 90
        assert begun.messages[-1] == Message("assistant", "Once upon")
        assert len(begun.messages) == len(request.messages) + 1

    def test_a_beginning_of_the_callers_own_stays_in_front(self) -> None:
        asked = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "He", "x": 1}]
        begun = with_beginning(parse_chat_request(body(messages=asked)), "llo", 1)
        assert json.loads(upstream_chat_body(begun, "up"))["messages"] == [
            asked[0],
            {"role": "assistant", "content": "Hello", "x": 1},
        ]
        assert [message.content for message in begun.messages] == ["hi", "Hello"]

    @pytest.mark.parametrize(
        ("style", "more", "mark"),
        [
            ("continue_final_message", {"continue_final_message": True, "add_generation_prompt": False}, {}),
            ("prefix", {}, {"prefix": True}),
            ("last_message", {}, {}),
        ],
    )
    def test_servers_are_told_in_their_own_way(
        self, style: PrefillStyle, more: dict[str, object], mark: dict[str, object]
    ) -> None:
        begun = with_beginning(parse_chat_request(body()), "Once", 1)
        told = json.loads(upstream_chat_body(begun, "up", style))
        assert told == {
            **json.loads(upstream_chat_body(begun, "up")),
            **more,
            "messages": [*json.loads(body())["messages"], {"role": "assistant", "content": "Once", **mark}],
        }
