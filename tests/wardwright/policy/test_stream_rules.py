"""What a rule promises, and what it costs: in words, and as a bound that holds."""

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.wardwright.policy.pattern_samples import TEXTS, expressions
from wardwright.domain.policy import StreamMode, StreamPolicy, StreamRule
from wardwright.policy.patterns import PatternError
from wardwright.policy.stream_rules import StreamRules, guarantee, most_held_bytes
from wardwright.policy.text_guard import TextGuard
from wardwright.policy.text_rules import TextRules

LIMIT = "; never over 4096 bytes of a stream, or the answer is ended"


def rule(action: str = "block", contains: str | None = None, **fields: object) -> StreamRule:
    return StreamRule(**{"id": "r", "action": action, "contains": contains, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("watching", "mode", "expected"),
    [
        (rule(contains="OldClient(", on=("text",)), "horizon", "holds at most 9 bytes"),
        (rule(contains="OldClient("), "horizon", f"holds at most 9 bytes{LIMIT}"),
        (rule(contains="é"), "horizon", f"holds at most 1 byte{LIMIT}"),
        (rule(regex="[a-z]{2,5}[0-9]"), "horizon", f"holds at most 5 bytes{LIMIT}"),
        (rule(regex="(?i)look"), "horizon", f"holds at most 5 bytes{LIMIT}"),
        (rule(regex=r"\bab\b"), "horizon", f"holds at most 2 bytes{LIMIT}"),
        (rule("rewrite", "OldClient("), "horizon", f"holds at most 9 bytes{LIMIT}"),
        (rule("drop", "aba"), "horizon", f"holds at most 2 bytes, and matches that overlap as a whole{LIMIT}"),
        (rule(regex="a+b"), "horizon", f"unbounded: needs horizon_bytes or full_buffer{LIMIT}"),
        (
            rule(regex="a+b", horizon_bytes=8),
            "horizon",
            f"holds at most 32 bytes; reckons with matches of up to 8 bytes{LIMIT}",
        ),
        (rule(regex="a+b"), "full_buffer", f"full buffer: nothing leaves before the end{LIMIT}"),
        (rule(contains="ab"), "full_buffer", f"full buffer: nothing leaves before the end{LIMIT}"),
        (rule(contains="ab"), "semantic_boundary", f"holds at most 1 byte, and up to the next boundary{LIMIT}"),
        (
            rule("retry", "ab"),
            "horizon",
            f"holds at most 1 byte{LIMIT}; asks again only while nothing has left",
        ),
        (
            rule(contains="ab", on=("text",), max_hold_ms=5, on_hold_exceeded="open"),
            "horizon",
            "holds at most 1 byte; lets go of what it alone has held for too long",
        ),
        (rule(contains="ab", shadow=True), "horizon", "observes: holds nothing, stops nothing"),
        (
            rule(contains="ab", once_per="session"),
            "horizon",
            f"holds at most 1 byte{LIMIT}; until it has fired once in a session",
        ),
    ],
)
def test_a_guarantee_is_told_in_a_line(watching: StreamRule, mode: StreamMode, expected: str) -> None:
    assert guarantee(watching, StreamPolicy(mode, max_hold_bytes=4096)) == expected


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


@given(
    st.lists(
        st.builds(
            lambda action, contains, replacement: rule(action, contains, replacement=replacement),
            st.sampled_from(["block", "rewrite", "drop", "annotate"]),
            st.text("ab", min_size=1, max_size=3),
            st.sampled_from(["", "x", "ab"]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sets(st.integers(0, 3)),
    st.lists(st.text("abc", min_size=1, max_size=6), max_size=5),
)
def test_rules_that_are_left_out_leave_the_others_as_if_they_had_been_alone(
    rules: list[StreamRule], left_out: set[int], pieces: list[str]
) -> None:
    named = [replace(one, id=str(number)) for number, one in enumerate(rules)]
    rest = StreamRules(named, StreamPolicy()).without({str(number) for number in left_out})
    alone = StreamRules([one for number, one in enumerate(named) if number not in left_out], StreamPolicy())
    assert (rest.rules, rest.enforced, rest.max_hold_s) == (alone.rules, alone.enforced, alone.max_hold_s)
    compiled, compiled_alone = rest.by_channel["text"], alone.by_channel["text"]
    assert (compiled is None) is (compiled_alone is None)
    if compiled is None or compiled_alone is None:
        return
    one, other = TextGuard(compiled), TextGuard(compiled_alone)
    for piece in pieces:
        assert one.feed(piece) == other.feed(piece)
        assert (one.held, one.tripped is None) == (other.held, other.tripped is None)
        if one.tripped is not None:
            return
    assert one.finish() == other.finish()
