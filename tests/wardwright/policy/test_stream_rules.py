"""What a rule promises, and what it costs: in words, and as a bound that holds."""

import pytest
from hypothesis import given, reject

from tests.wardwright.policy.pattern_samples import TEXTS, expressions
from wardwright.domain.policy import StreamMode, StreamPolicy, StreamRule
from wardwright.policy.patterns import PatternError
from wardwright.policy.stream_rules import StreamRules, guarantee, most_held_bytes
from wardwright.policy.text_guard import TextGuard, TextRules


def rule(action: str = "block", contains: str | None = None, **fields: object) -> StreamRule:
    return StreamRule(**{"id": "r", "action": action, "contains": contains, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("watching", "mode", "expected"),
    [
        (rule(contains="OldClient("), "horizon", "holds at most 9 bytes"),
        (rule(contains="é"), "horizon", "holds at most 1 byte"),
        (rule(regex="[a-z]{2,5}[0-9]"), "horizon", "holds at most 5 bytes"),
        (rule(regex="(?i)look"), "horizon", "holds at most 5 bytes"),
        (rule(regex=r"\bab\b"), "horizon", "holds at most 2 bytes"),
        (rule("rewrite", "OldClient("), "horizon", "holds at most 9 bytes"),
        (rule("drop", "aba"), "horizon", "holds at most 2 bytes, and matches that overlap as a whole"),
        (rule(regex="a+b"), "horizon", "unbounded: needs horizon_bytes or full_buffer"),
        (
            rule(regex="a+b", horizon_bytes=8),
            "horizon",
            "holds at most 32 bytes; reckons with matches of up to 8 bytes",
        ),
        (rule(regex="a+b"), "full_buffer", "full buffer: unbounded"),
        (rule(contains="ab"), "full_buffer", "full buffer: nothing leaves before the end"),
        (rule(contains="ab"), "semantic_boundary", "holds at most 1 byte, and up to the next boundary"),
        (
            rule("retry", "ab"),
            "horizon",
            "holds at most 1 byte; asks again only while nothing has left",
        ),
        (rule(contains="ab", shadow=True), "horizon", "observes: holds nothing, stops nothing"),
        (
            rule(contains="ab", once_per="session"),
            "horizon",
            "holds at most 1 byte; until it has fired once in a session",
        ),
    ],
)
def test_a_guarantee_is_told_in_a_line(watching: StreamRule, mode: StreamMode, expected: str) -> None:
    assert guarantee(watching, mode) == expected


@given(expressions(unbounded=False), TEXTS)
def test_no_bounded_pattern_holds_more_than_it_states(expression: str, text: str) -> None:
    watching = rule(regex=expression)
    try:
        guard = TextGuard(TextRules([watching]))
    except PatternError:
        reject()
    bound = most_held_bytes(watching)
    assert bound is not None
    for character in text:
        guard.feed(character)
        if guard.tripped is None:
            assert len(guard.held.encode()) <= bound


def test_the_shortest_patience_counts() -> None:
    rules = [rule(contains="a", max_hold_ms=900), rule(contains="b", id="s", max_hold_ms=300)]
    assert StreamRules(rules, StreamPolicy(max_hold_ms=500)).max_hold_s == 0.3
    assert StreamRules([], StreamPolicy()).max_hold_s is None


def test_rules_of_one_list_are_compiled_once() -> None:
    rules = [rule(contains="a", on=("text", "reasoning"))]
    compiled = StreamRules(rules, StreamPolicy())
    assert compiled.by_channel["text"] is compiled.by_channel["reasoning"]
    assert compiled.by_channel["text"] is StreamRules(list(rules), StreamPolicy()).by_channel["text"]
    assert compiled.by_channel["tool_arguments"] is None
