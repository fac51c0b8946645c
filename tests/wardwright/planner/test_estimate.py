"""The token estimate: its formula, what it counts, and that its cost does not grow with the prompt."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardwright.domain.chat import ChatRequest, Message, Part
from wardwright.domain.route import RequestFacts, Target
from wardwright.planner.estimate import (
    PIECE_CHARACTERS,
    TOKENS_PER_ATTACHMENT,
    TOKENS_PER_MESSAGE,
    TOKENS_PER_REPLY,
    countable_pieces,
    estimate_tokens,
    fixed_tokens,
    request_facts,
    tokenizers_worth_asking,
)
from wardwright.tokens.splintr_counter import SplintrCounter


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


class TestExactCounting:
    """When a prompt is worth counting exactly, and what of it is counted."""

    @pytest.mark.parametrize(("needed", "worth"), [(79, False), (80, True), (100, True), (120, True), (121, False)])
    def test_a_window_within_a_fifth_of_what_is_needed_is_worth_a_count(self, needed: int, worth: bool) -> None:
        target = Target("p/m", "p", "m", 100, tokenizer="o200k_base")
        assert tokenizers_worth_asking(RequestFacts(needed), [target]) == ({"o200k_base"} if worth else set())
        assert tokenizers_worth_asking(RequestFacts(needed - 50, 50), [target]) == ({"o200k_base"} if worth else set())

    def test_a_target_without_a_tokenizer_is_never_worth_a_count(self) -> None:
        assert tokenizers_worth_asking(RequestFacts(100), [Target("p/m", "p", "m", 100)]) == set()

    def test_everything_that_a_template_spells_out_is_counted(self) -> None:
        messages = (
            Message("user", [Part("text", "what is"), Part("image_url"), Part("text", "this")]),
            Message("assistant", None, msgspec.Raw(b'[{"id":1}]')),
        )
        request = ChatRequest("m", messages, {"tools": msgspec.Raw(b'[{"type":"function"}]')})
        assert list(countable_pieces(request)) == [
            '[{"type":"function"}]', "user", "what is", "this", "assistant", '[{"id":1}]'
        ]  # fmt: skip
        assert fixed_tokens(request) == 2 * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY + TOKENS_PER_ATTACHMENT

    @given(st.text(alphabet="ab .é\n", min_size=1, max_size=40), st.integers(1, 2000))
    def test_pieces_are_small_and_make_up_the_text(self, unit: str, times: int) -> None:
        text = unit * times
        pieces = list(countable_pieces(ChatRequest("m", (Message("user", text),), {})))[1:]
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= PIECE_CHARACTERS

    @given(st.lists(st.sampled_from(["word", "Überschrift", "x1", "don't", "—"]), min_size=3, max_size=20))
    @settings(max_examples=30, deadline=None)
    def test_counting_in_pieces_counts_what_counting_whole_does(self, words: list[str]) -> None:
        text = " ".join(["a word", *words] * 500)
        counter = SplintrCounter()
        pieces = countable_pieces(ChatRequest("m", (Message("user", text),), {}))
        counted = sum(counter.count("o200k_base", piece) for piece in pieces)
        assert counted == counter.count("o200k_base", text) + counter.count("o200k_base", "user")
