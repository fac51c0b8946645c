"""What a pattern means, which patterns are refused, and that none is slow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.effort import times_as_long
from wardwright.policy.patterns import Matcher, Pattern, PatternError, compile_pattern


def fires(pattern: Pattern, text: str) -> bool:
    return bool(Matcher([pattern]).matches(text))


def regex(text: str) -> Pattern:
    return Pattern(text, is_regex=True)


@given(st.text(min_size=1).filter(lambda text: "\0" not in text), st.text(), st.text())
def test_a_literal_is_found_wherever_it_stands(literal: str, before: str, after: str) -> None:
    assert fires(Pattern(literal), before + literal + after)


@given(st.text(alphabet="ab.*\\é", min_size=1, max_size=3), st.text(alphabet="ab.*\\é", max_size=8))
def test_a_literal_matches_its_own_characters_and_nothing_else(literal: str, text: str) -> None:
    assert fires(Pattern(literal), text) == (literal in text)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("Customer", "the customer record", False),
        ("(?i)customer", "the CUSTOMER record", True),
        ("(?i)é", "É", True),
        ("a.c", "aéc", True),
        (r"\w", "é", False),
        (r"\p{L}", "é", True),
        (r"\bcat\b", "a cat sat", True),
        (r"\bcat\b", "concatenate", False),
        ("secret-[0-9]+$", "my secret-123", True),
    ],
)
def test_a_regular_expression_sees_the_text_as_written(pattern: str, text: str, found: bool) -> None:
    assert fires(regex(pattern), text) is found


def test_every_pattern_of_a_set_is_told_by_its_place() -> None:
    matcher = Matcher([Pattern("one"), regex("tw."), Pattern("three")])
    assert matcher.matches("three and two") == {1, 2}
    assert matcher.matches("nothing") == frozenset()


def test_no_patterns_match_nothing() -> None:
    assert Matcher([]).matches("anything") == frozenset()


def test_a_lone_surrogate_is_seen_as_a_question_mark() -> None:
    assert fires(Pattern("a?b"), "a\ud800b")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        (r"(a)\1", "has no back-reference"),
        ("a(?!b)", "has no look-ahead or look-behind"),
        ("(?<=a)b", "has no look-ahead or look-behind"),
        ("x*", "does not match the empty text"),
        ("a{1,70000}", "is smaller: Bounded repeat is too large"),
        ("[", "is a valid regular expression: Unterminated character class"),
        ("\ud800", "is valid Unicode text"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_the_reason(pattern: str, complaint: str) -> None:
    with pytest.raises(PatternError, match=complaint):
        compile_pattern(regex(pattern))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){12}", "(a*)*b", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_makes_others_backtrack_takes_no_time(pattern: str) -> None:
    matcher = Matcher([regex(pattern)])
    short, long = "a" * 8_000 + "!", "a" * 128_000 + "!"
    assert times_as_long(lambda: matcher.matches(long), lambda: matcher.matches(short)) < 64, "it is not linear"
