"""Exact counts: every vocabulary that a configuration may name is there, and counts what it should."""

from typing import get_args

import pytest

from wardwright.domain.tokens import Tokenizer
from wardwright.tokens.splintr_counter import SplintrCounter

COUNTER = SplintrCounter()


@pytest.mark.parametrize("tokenizer", get_args(Tokenizer))
def test_every_vocabulary_is_in_the_wheel(tokenizer: Tokenizer) -> None:
    assert COUNTER.count(tokenizer, "hello world") in (2, 3)


@pytest.mark.parametrize(
    ("tokenizer", "text", "tokens"),
    [
        ("cl100k_base", "tiktoken is great!", 6),
        ("cl100k_base", "antidisestablishmentarianism", 6),
        ("cl100k_base", "2 + 2 = 4", 7),
        ("cl100k_base", "お誕生日おめでとう", 9),
        ("o200k_base", "antidisestablishmentarianism", 6),
        ("o200k_base", "お誕生日おめでとう", 8),
    ],
)
def test_counts_are_those_that_openai_publishes(tokenizer: Tokenizer, text: str, tokens: int) -> None:
    assert COUNTER.count(tokenizer, text) == tokens


def test_special_tokens_written_in_a_text_are_plain_text() -> None:
    assert COUNTER.count("cl100k_base", "<|endoftext|>") > 1


def test_no_text_has_no_tokens_and_a_lone_surrogate_is_counted_as_a_question_mark() -> None:
    assert COUNTER.count("o200k_base", "") == 0
    assert COUNTER.count("o200k_base", "a\ud800") == COUNTER.count("o200k_base", "a?")
