"""The token estimate: its formula, what it counts, and that its cost does not grow with the prompt."""

import msgspec
import pytest

from wardwright.domain.chat import ChatRequest, Message, Part
from wardwright.planner.estimate import TOKENS_PER_ATTACHMENT, estimate_tokens, request_facts


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("hello", 3), ("stream code", 4), ("small", 3), ("x" * 140_000, 35_001), ("hard proof " + "x" * 60, 19)],
)
def test_four_characters_of_role_and_content_are_one_token_rounded_up(text: str, tokens: int) -> None:
    assert estimate_tokens([Message("user", text)]) == tokens


def test_characters_are_summed_over_messages_before_rounding() -> None:
    assert estimate_tokens([Message("user", "small"), Message("user", "r" * 462)]) == (9 + 466 + 3) // 4


def test_no_request_is_estimated_below_one_token() -> None:
    assert estimate_tokens([]) == 1
    assert estimate_tokens([Message("", None)]) == 1


def test_characters_are_counted_not_bytes() -> None:
    assert estimate_tokens([Message("user", "ß" * 96)]) == 25


def test_the_text_parts_of_a_message_count_like_plain_text() -> None:
    parts: list[Part] = [Part("text", "hel"), Part("text", "lo")]
    assert estimate_tokens([Message("user", parts)]) == estimate_tokens([Message("user", "hello")])


def test_every_image_counts_as_a_fixed_number_of_tokens() -> None:
    parts = [Part("text", "hello"), Part("image_url"), Part("image_url")]
    assert estimate_tokens([Message("user", parts)]) == 3 + 2 * TOKENS_PER_ATTACHMENT


def test_tools_and_tool_calls_count_as_their_json() -> None:
    tools = msgspec.Raw(b"[" + b"t" * 398 + b"]")
    calls = msgspec.Raw(b"[" + b"c" * 38 + b"]")
    assert estimate_tokens([Message("user", "hello")], tools) == (9 + 400 + 3) // 4
    assert estimate_tokens([Message("user", "hello", calls)], tools) == (9 + 400 + 40 + 3) // 4


def test_an_explicit_null_counts_as_nothing() -> None:
    null = msgspec.Raw(b"null")
    assert estimate_tokens([Message("user", "hello", null)], null) == 3


def test_facts_reserve_the_output_budget_on_top_and_sort_the_needs() -> None:
    request = ChatRequest(
        model="m",
        messages=(Message("user", "hello"),),
        fields={"tools": msgspec.Raw(b"[1234567]")},
        output_budget=100,
        needs=frozenset({"vision", "tools"}),
    )
    facts = request_facts(request)
    assert (facts.estimated_prompt_tokens, facts.output_budget, facts.required_window) == (5, 100, 105)
    assert facts.needs == ("tools", "vision")


def test_facts_without_an_output_budget_reserve_nothing() -> None:
    facts = request_facts(ChatRequest(model="m", messages=(Message("user", "hello"),), fields={}))
    assert facts.required_window == facts.estimated_prompt_tokens == 3
