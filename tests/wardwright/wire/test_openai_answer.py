import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.chat import Usage
from wardwright.domain.tools import MOST_NAMED
from wardwright.wire.errors import BadAnswer, UpstreamErrorObject
from wardwright.wire.openai_answer import parse_completion, render_completion

MESSAGE = {"role": "assistant", "content": "hi"}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}


def body(**fields: object) -> bytes:
    return json.dumps({"id": "c", "object": "chat.completion", "model": "up", "choices": [CHOICE], **fields}).encode()


def test_reads_finish_reasons_usage_and_the_length_of_the_text() -> None:
    second = {
        "index": 1,
        "message": {"role": "assistant", "content": "é🌍", "refusal": "no"},
        "finish_reason": "length",
    }
    completion = parse_completion(
        body(choices=[CHOICE, second], usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "x": {}})
    )
    assert completion.finish_reasons == ("stop", "length")
    assert completion.usage == Usage(3, 4)
    assert completion.text_bytes == 2 + 6 + 2


def test_reads_text_in_parts_and_answers_without_text() -> None:
    parts = {"message": {"content": [{"type": "text", "text": "ab"}, {"type": "thinking"}]}, "finish_reason": None}
    calls = {"message": {"content": None, "tool_calls": [{"id": "x"}]}, "finish_reason": "tool_calls"}
    completion = parse_completion(body(choices=[parts, calls]))
    assert completion.text_bytes == 2
    assert completion.finish_reasons == ("tool_calls",)


def calling(calls: object) -> dict[str, object]:
    return {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}


def test_names_the_tools_that_are_called_once_each() -> None:
    search = {"id": "a", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    sql = {"id": "b", "type": "custom", "custom": {"name": "sql", "input": "x"}}
    nameless = {"id": "c", "function": {"name": None}}
    completion = parse_completion(body(choices=[calling([search, sql, search]), calling([nameless, sql])]))
    assert completion.called_tools == ("search", "sql")


def test_no_more_than_so_many_tools_are_named() -> None:
    calls = [{"function": {"name": f"tool-{number}"}} for number in range(2 * MOST_NAMED)]
    named = parse_completion(body(choices=[calling(calls)])).called_tools
    assert named == tuple(f"tool-{number}" for number in range(MOST_NAMED))


@pytest.mark.parametrize("calls", [None, [], [{"id": "x"}], [5], "many", [{"function": {"name": "a\nb"}}]])
def test_calls_that_cannot_be_read_are_not_named(calls: object) -> None:
    assert parse_completion(body(choices=[calling(calls)])).called_tools == ()


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 3}, 3), ({"cached_tokens": None}, 0), ({"audio_tokens": 1}, 0), (None, 0)],
)
def test_tokens_from_the_providers_cache_are_told_apart(details: object, cached: int) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": details}
    completion = parse_completion(body(usage=usage))
    assert completion.usage == Usage(9, 4, cached_prompt_tokens=cached)


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": 3}, {"prompt_tokens": -1, "completion_tokens": 1}, "many", {"total_tokens": 3}],
)
def test_usage_that_cannot_be_read_is_not_invented(usage: object) -> None:
    assert parse_completion(body(usage=usage)).usage is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the answer is not a chat completion: is empty"),
        (b"<html>", "is not JSON: invalid character at line 1, column 1"),
        (b"[]", "expected an object, got a list"),
        (b"{}", "choices: required, but missing"),
        (body(choices=[]), "choices: expected at least one choice, got an empty list"),
        (body(choices=None), "choices: expected a list of choices, got null"),
        (body(choices=[{}]), "choices[0].message: required, but missing"),
        (
            body(choices=[{"message": {"content": 5}}]),
            "choices[0].message.content: expected a string, a list of parts or null",
        ),
        (b'{"choices":[],"x":"\xff"}', "is not valid UTF-8"),
        (b'{"x":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_anything_else_is_a_bad_answer(text: bytes, message: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        parse_completion(text)
    assert message in str(caught.value)
    assert not isinstance(caught.value, UpstreamErrorObject)


@pytest.mark.parametrize(
    "text", [b'{"error":{"message":"no","code":"c"}}', body(error={"message": "no", "code": "c"}), b'{"error":"no"}',
             b'{"object":"error","message":"no"}']
)  # fmt: skip
def test_an_error_object_is_told_apart(text: bytes) -> None:
    with pytest.raises(UpstreamErrorObject) as caught:
        parse_completion(text)
    assert caught.value.error.message == "no"


@pytest.mark.parametrize("error", [None, {}, ""])
def test_an_empty_error_is_none(error: object) -> None:
    assert parse_completion(body(error=error)).finish_reasons == ("stop",)


def test_renders_the_answer_with_the_public_name_and_the_gateways_facts() -> None:
    text = (
        b'{"id":"c","model":"up","choices":[{"index":0,"message":{"content":"\\u00e9","reasoning_content":"r"},'
        b'"finish_reason":"stop","logprobs":{ "x":1.0}}],"service_tier":"default"}'
    )
    assert render_completion(parse_completion(text), model="public", extra={"wardwright": {"receipt_id": "r1"}}) == (
        b'{"id":"c","model":"public","choices":[{"index":0,"message":{"content":"\\u00e9","reasoning_content":"r"},'
        b'"finish_reason":"stop","logprobs":{ "x":1.0}}],"service_tier":"default","wardwright":{"receipt_id":"r1"}}'
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_unknown_fields_come_back_as_they_are(unknown: dict[str, object]) -> None:
    sent = {"choices": [{**CHOICE, "x": 1}], "model": "up"} | {f"x-{name}": value for name, value in unknown.items()}
    completion = parse_completion(json.dumps(sent).encode())
    assert json.loads(render_completion(completion, model="m", extra={})) == {**sent, "model": "m"}


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(["choices", "usage", "error", "object"]), JSON).map(lambda f: body(**f))
)
def test_any_bytes_are_an_answer_or_a_bad_answer(text: bytes) -> None:
    with suppress(BadAnswer):
        parse_completion(text)
