"""The language of patterns: what is read, what is refused and why, and how long a match can be."""

import pytest

from wardwright.policy.pattern_syntax import cases_of, longest_match, parse_pattern, shortest_match
from wardwright.policy.patterns import Pattern, PatternError


@pytest.mark.parametrize(
    ("expression", "shortest", "longest"),
    [
        ("abc", 3, 3),
        ("a|bcd", 1, 3),
        ("a?b{2,5}", 2, 6),
        ("(?:ab){3}", 6, 6),
        ("^a$", 1, 1),
        (r"\bword\b", 4, 4),
        ("a+", 1, None),
        ("a{2,}b", 3, None),
        ("(?:a*)b", 1, None),
        ("(?:^|$){3}a", 1, 1),
        ("a{0}b", 1, 1),
        (r"\Qa.b\E+", 3, None),
        ("[]a]", 1, 1),
        ("a{b}", 4, 4),
        ("x{,3}", 5, 5),
    ],
)
def test_a_match_is_as_long_as_the_pattern_allows(expression: str, shortest: int, longest: int | None) -> None:
    node = parse_pattern(Pattern(expression, is_regex=True))
    assert (shortest_match(node), longest_match(node)) == (shortest, longest)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (r"(a)\1", r"has no back-reference.*\(at character 6\)"),
        (r"(?P<n>a)(?P=n)", "has no back-reference"),
        ("a(?!b)", "has no look-ahead or look-behind"),
        ("(?<=a)b", "has no look-ahead or look-behind"),
        ("(?>a)b", "has no atomic group"),
        ("a++", "has no possessive quantifier"),
        ("a{2,1}", "a repeat whose most is less than its least"),
        ("a{1001}", "repeats nothing more than 1000 times"),
        ("(a", r"missing \) \(at character 1\)"),
        ("a)", r"unmatched \) \(at character 2\)"),
        ("[a", "missing ]"),
        ("[z-a]", "bad range"),
        ("[[:nope:]]", "unknown class"),
        ("*a", r"nothing to repeat before \* \(at character 1\)"),
        ("a\\", "a backslash at its end"),
        (r"\y", r"unknown escape \\y"),
        (r"\p{Xx}", "unknown Unicode category 'Xx'"),
        (r"\xzz", "bad character code"),
        ("(?x)a", r"is written without \(\?x\)"),
        ("(?<1>a)", "bad name of a group"),
        ("(?#a)", "unknown kind of group"),
    ],
)
def test_what_is_not_in_the_language_is_refused_at_its_place(expression: str, complaint: str) -> None:
    with pytest.raises(PatternError, match=complaint):
        parse_pattern(Pattern(expression, is_regex=True))


@pytest.mark.parametrize(
    ("character", "spellings"),
    [("a", {"a", "A"}), ("É", {"É", "é"}), ("ß", {"ß"}), ("1", {"1"}), ("\u212a", {"\u212a", "k"})],
)
def test_spellings_of_a_character_are_single_characters(character: str, spellings: set[str]) -> None:
    assert set(cases_of(character)) == spellings
