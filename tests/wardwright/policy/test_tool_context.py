"""What a request says of tools: which one it is about, in which phase, how well that is known; and that no request is too odd for it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wardwright.domain.errors import RequestError
from wardwright.domain.tools import LONGEST_NAME, MOST_NAMED, ToolContext, ToolIdentity
from wardwright.policy.tool_context import MOST_CALLS, MOST_READ, tool_context
from wardwright.wire.openai_request import parse_chat_request

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "it is so"}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"secret": 1}}}
SHELL = {"type": "function", "function": {"name": "shell"}}
FUNCTION = "openai.function"


def call(name: str, call_id: str = "call_1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"secret":1}'}}


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(call_id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "secret"}


def context(*messages: dict[str, Any], **fields: object) -> ToolContext | None:
    return tool_context(parse_chat_request(json.dumps({"model": "m", "messages": messages, **fields}).encode()))


def known(*messages: dict[str, Any], **fields: object) -> ToolContext:
    found = context(*messages, **fields)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "fields", [{}, {"tools": []}, {"tools": None, "functions": None}, {"tool_choice": "auto"}, {"tool_choice": "none"}]
)
def test_a_request_without_tools_has_nothing_to_do_with_them(fields: dict[str, object]) -> None:
    assert context({"role": "system", "content": "be kind"}, USER, ANSWER, USER, **fields) is None


def test_the_only_tool_that_is_offered_is_what_planning_is_about() -> None:
    assert known(USER, tools=[SEARCH]) == ToolContext(
        "planning", "declared", ToolIdentity(FUNCTION, "search", "declared_tool"), ("search",), 1
    )


def test_of_several_tools_none_is_singled_out() -> None:
    assert known(USER, tools=[SEARCH, SHELL, SEARCH]) == ToolContext(
        "planning", "ambiguous", None, ("search", "shell"), 3
    )


def test_a_tool_that_must_be_called_is_the_one() -> None:
    found = known(USER, tools=[SEARCH, SHELL], tool_choice={"type": "function", "function": {"name": "shell"}})
    assert (found.primary_tool, found.confidence) == (ToolIdentity(FUNCTION, "shell", "tool_choice"), "exact")


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "allowed_tools", "allowed_tools": {"tools": []}}, {}])
def test_a_choice_that_names_no_tool_chooses_none(choice: object) -> None:
    assert known(USER, tools=[SEARCH, SHELL], tool_choice=choice).primary_tool is None


def test_the_result_of_a_call_is_there_to_be_interpreted() -> None:
    assert known(USER, calling(call("shell", "call_7")), result("call_7"), tools=[SEARCH, SHELL]) == ToolContext(
        "result_interpretation",
        "exact",
        ToolIdentity(FUNCTION, "shell", "assistant_tool_call"),
        ("search", "shell"),
        2,
        "call_7",
        "unknown",
    )


def test_the_latest_call_counts() -> None:
    found = known(USER, calling(call("search")), result(), calling(call("shell", "call_2")), result("call_2"))
    assert found.primary_tool == ToolIdentity(FUNCTION, "shell", "assistant_tool_call")
    assert found.tool_call_id == "call_2"


def test_of_calls_side_by_side_the_one_counts_whose_result_came_last() -> None:
    both = calling(call("search", "call_1"), call("shell", "call_2"))
    found = known(USER, both, result("call_2"), result("call_1"))
    assert found.primary_tool is not None
    assert (found.primary_tool.name, found.tool_call_id) == ("search", "call_1")
    unanswered = known(USER, both)
    assert unanswered.primary_tool is not None
    assert (unanswered.phase, unanswered.primary_tool.name, unanswered.tool_call_id) == ("planning", "shell", "call_2")


def test_what_the_caller_says_behind_a_result_does_not_end_its_interpretation() -> None:
    assert known(USER, calling(call("shell")), result(), USER).phase == "result_interpretation"


def test_once_the_assistant_has_answered_a_call_is_history() -> None:
    past = (USER, calling(call("shell")), result(), ANSWER)
    assert context(*past, USER) is None
    assert known(*past, USER, tools=[SEARCH]).primary_tool == ToolIdentity(FUNCTION, "search", "declared_tool")
    empty = {**ANSWER, "tool_calls": []}
    assert context(*past[:-1], empty, USER) is None


def test_a_beginning_of_the_answer_is_no_answer_yet() -> None:
    assert known(USER, calling(call("shell")), result(), ANSWER).phase == "result_interpretation"


def test_a_result_whose_call_is_not_there_is_known_by_its_id() -> None:
    assert known(USER, result("call_9")) == ToolContext(
        "result_interpretation", "inferred", tool_call_id="call_9", result_status="unknown"
    )
    assert known(USER, result("call_9"), tools=[SEARCH]).confidence == "inferred"


@pytest.mark.parametrize(
    ("tool", "namespace", "name"),
    [
        ({"type": "custom", "custom": {"name": "sql"}}, "openai.tool", "sql"),
        ({"name": "flat", "input_schema": {}}, "openai.tool", "flat"),
        ({"type": "web_search"}, "openai.tool", "web_search"),
        ({"function": {"name": " search "}}, FUNCTION, "search"),
    ],
)
def test_tools_are_named_in_several_ways(tool: dict[str, Any], namespace: str, name: str) -> None:
    assert known(USER, tools=[tool]).primary_tool == ToolIdentity(namespace, name, "declared_tool")


def test_functions_from_before_there_were_tools_count() -> None:
    old = {"functions": [{"name": "search"}], "function_call": {"name": "search"}}
    assert known(USER, **old).primary_tool == ToolIdentity(FUNCTION, "search", "tool_choice")
    made = {"role": "assistant", "content": None, "function_call": {"name": "search", "arguments": "{}"}}
    assert known(USER, made, {"role": "function", "name": "search", "content": "x"}, **old).phase == (
        "result_interpretation"
    )


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00", "a\x9f", "é" * 129, "x" * (LONGEST_NAME + 1), 5, None, {}])
def test_what_could_not_be_stored_or_shown_states_nothing(name: object) -> None:
    found = known(USER, result("call_1"), tools=[{"type": "function", "function": {"name": name}}, SHELL][:1])
    assert (found.primary_tool, found.available_tools) == (None, ())
    assert known(USER, {**result(), "tool_call_id": name}).tool_call_id is None


def test_no_more_than_so_many_names_are_kept() -> None:
    many = [{"type": "function", "function": {"name": f"tool-{number}"}} for number in range(3 * MOST_NAMED)]
    found = known(USER, tools=many)
    assert found.available_count == len(many)
    assert found.available_tools == tuple(f"tool-{number}" for number in range(MOST_NAMED))


def test_a_result_is_found_among_many_calls() -> None:
    calls = [call(f"tool-{number}", f"call_{number}") for number in range(MOST_CALLS)]
    found = known(USER, calling(*calls), result("call_0"))
    assert found.primary_tool is not None
    assert found.primary_tool.name == "tool-0"


def test_more_json_than_any_tools_have_is_not_read() -> None:
    large = {"type": "function", "function": {"name": "search", "description": "x" * MOST_READ}}
    assert context(USER, tools=[large]) is None
    assert known(USER, tools=[large], tool_choice=SEARCH).available_count == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.sampled_from(["search", "call_1", "", "a\nb", "x" * 300, "function", "custom"])
NAMED = JSON | st.fixed_dictionaries({}, optional={"name": TEXT | JSON})
MENTION = JSON | st.fixed_dictionaries(
    {}, optional={"type": TEXT | JSON, "id": TEXT | JSON, "name": TEXT, "function": NAMED, "custom": NAMED}
)
MENTIONS = JSON | st.lists(MENTION, max_size=4)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function", "system"])},
    optional={"content": st.text(max_size=5), "tool_calls": MENTIONS, "tool_call_id": TEXT | JSON},
)
BODY = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(MESSAGE, min_size=1, max_size=6)},
    optional={"tools": MENTIONS, "functions": MENTIONS, "tool_choice": MENTION, "function_call": NAMED},
)


@given(BODY)
@example({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": 10**400}]}]})
def test_whatever_the_reader_lets_through_is_told_and_can_be_written_down(body: dict[str, Any]) -> None:
    try:
        request = parse_chat_request(json.dumps(body).encode())
    except RequestError:
        return
    found = tool_context(request)
    written = msgspec.json.encode(found)
    assert msgspec.json.decode(written, type=ToolContext | None) == found
    assert b"secret" not in written
    if found is not None:
        named = [found.tool_call_id, *found.available_tools, *([found.primary_tool.name] if found.primary_tool else ())]
        assert all(len(name.encode()) <= LONGEST_NAME and name.isprintable() for name in named if name is not None)


@pytest.mark.parametrize("field", ["tools", "tool_choice", "functions", "function_call"])
@pytest.mark.parametrize("opening", ["[", '{"function":', '[{"a":'])
def test_nesting_without_end_states_nothing(field: str, opening: str) -> None:
    closing = {"[": "]", '{"function":': "}", '[{"a":': "}]"}[opening]
    deep = opening * 5_000 + "1" + closing * 5_000
    body = f'{{"model":"m","messages":[{{"role":"user","content":"x"}}],"{field}":{deep}}}'.encode()
    try:
        request = parse_chat_request(body)
    except RequestError:
        return
    assert tool_context(request) is None
