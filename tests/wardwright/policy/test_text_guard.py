"""Rules over one text: what leaves, what is held, what fires and where; and that the cut of the text never shows.

The examples are those by which the original's rules are known, with the least holding instead of a fixed window.
"""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tests.support.effort import bytecodes, times_as_long
from tests.wardwright.policy.pattern_samples import TEXTS, cuttings, expressions
from tests.wardwright.policy.reference import matches, outcome
from wardwright.domain.policy import StreamAction, StreamRule
from wardwright.policy.patterns import PatternError
from wardwright.policy.text_guard import TextGuard
from wardwright.policy.text_rules import TextRules
from wardwright.policy.text_stages import Triggered

OLD = "OldClient("


def rule(action: StreamAction, contains: str | None = None, **fields: object) -> StreamRule:
    return StreamRule(**{"id": f"{action} {contains}", "action": action, "contains": contains, **fields})  # type: ignore[arg-type]


def guard(*rules: StreamRule) -> TextGuard:
    return TextGuard(TextRules(rules))


def fed(guarded: TextGuard, *pieces: str) -> list[str]:
    """What left after each piece, and at the end."""
    return [*(guarded.feed(piece) for piece in pieces), guarded.finish()]


class TestExamples:
    def test_only_what_may_still_match_is_held(self) -> None:
        guarded = guard(rule("block", OLD))
        assert [guarded.feed(piece) for piece in ("alpha ", "beta O", "ld", "er")] == ["alpha ", "beta ", "", "Older"]
        assert guarded.held == ""

    def test_a_rule_that_never_matches_lets_everything_pass_whole(self) -> None:
        assert fed(guard(rule("block", "missing")), "ééé", "abc") == ["ééé", "abc", ""]

    def test_a_match_is_replaced(self) -> None:
        guarded = guard(rule("rewrite", OLD, replacement="NewClient("))
        assert fed(guarded, "abc ", OLD, " done") == ["abc ", "NewClient(", " done", ""]
        assert guarded.triggered == [Triggered(guarded.triggered[0].rule, 1, 4, 14, "chunk", "literal")]
        assert guarded.rewritten_bytes == 10

    def test_a_match_is_replaced_across_pieces(self) -> None:
        guarded = guard(rule("rewrite", OLD, replacement="NewClient("))
        assert fed(guarded, "call Old", "Client(arg) now") == ["call ", "NewClient(arg) now", ""]
        assert guarded.triggered[0][1:] == (1, 5, 15, "stream_window", "literal")

    def test_a_match_is_dropped(self) -> None:
        guarded = guard(rule("drop", "DROP"))
        assert fed(guarded, "keep ", "DROP", " done") == ["keep ", "", " done", ""]

    def test_nothing_of_a_blocked_match_leaves_and_nothing_after_it(self) -> None:
        guarded = guard(rule("block", OLD))
        left = fed(guarded, "safe prefix that can release ", "Old", "Client(arg)", "more")
        assert left == ["safe prefix that can release ", "", "", "", ""]
        assert guarded.tripped == Triggered(guarded.triggered[0].rule, 2, 29, 39, "stream_window", "literal")
        assert guarded.held == OLD

    def test_a_regular_expression_trips_where_it_is_first_complete(self) -> None:
        guarded = guard(rule("block", regex="secret-[0-9]+"))
        assert fed(guarded, "safe prefix sec", "ret-123 suffix") == ["safe prefix ", "", ""]
        assert guarded.tripped is not None
        assert guarded.tripped[1:] == (1, 12, 20, "stream_window", "regex")

    def test_what_one_rule_writes_the_next_one_reads_with_what_follows(self) -> None:
        guarded = guard(rule("rewrite", "ABC", replacement="LONGER-REPLACEMENT"), rule("block", "REPLACEMENTTAIL"))
        assert "".join(fed(guarded, "ABC", "TAIL")) == "LONGER-"
        assert [(fired.rule.action, *fired[2:4]) for fired in guarded.triggered] == [
            ("rewrite", 0, 3),
            ("block", 7, 22),
        ]

    def test_text_before_a_replacement_waits_for_what_it_may_become_part_of(self) -> None:
        guarded = guard(rule("rewrite", "ABC", replacement="LONG"), rule("block", "XLONG"))
        assert fed(guarded, "X", "A", "B") == ["", "", "", "XAB"]
        guarded = guard(rule("rewrite", "ABC", replacement="LONG"), rule("block", "XLONG"))
        assert "".join(fed(guarded, "X", "A", "B", "C")) == ""
        assert guarded.tripped is not None

    def test_matches_that_overlap_are_replaced_as_one(self) -> None:
        assert "".join(fed(guard(rule("rewrite", regex="[0-9]{4}", replacement="#")), "a 123456 b 7890")) == "a # b #"

    def test_a_growing_match_is_held_until_it_ends(self) -> None:
        guarded = guard(rule("rewrite", regex="secret-[0-9]{1,9}", replacement="#"))
        assert fed(guarded, "my secret-1", "23", "!") == ["my ", "", "#!", ""]

    def test_observers_see_everything_and_hold_nothing(self) -> None:
        guarded = guard(
            rule("annotate", "ab"), rule("block", "abc", shadow=True), rule("rewrite", "b", replacement="x")
        )
        assert fed(guarded, "a", "bc") == ["a", "xc", ""]
        assert [(fired.rule.action, *fired[2:4]) for fired in guarded.triggered] == [
            ("annotate", 0, 2),
            ("block", 0, 3),
            ("rewrite", 1, 2),
        ]

    def test_a_stated_horizon_bounds_what_an_unbounded_pattern_holds(self) -> None:
        guarded = guard(rule("block", regex="begin.*end", horizon_bytes=8))
        assert guarded.feed("a begin ") == "a "
        assert guarded.feed("and on ") == "begin"
        assert guarded.held == " and on "
        guarded.feed("end")
        assert guarded.tripped is not None

    def test_offsets_are_bytes_of_what_the_rule_sees(self) -> None:
        guarded = guard(rule("rewrite", "é", replacement="e"), rule("block", "z"))
        guarded.feed("éé")
        guarded.feed("ü z")
        assert guarded.tripped is not None
        assert guarded.tripped[2:4] == (5, 6)


ACTIONS: Sequence[StreamAction] = ("block", "retry", "rewrite", "drop", "annotate")


@st.composite
def rule_lists(draw: st.DrawFn) -> list[StreamRule]:
    rules = []
    for number in range(draw(st.integers(1, 4))):
        literal = draw(st.booleans())
        rules.append(
            StreamRule(
                id=str(number),
                action=draw(st.sampled_from(ACTIONS)),
                contains=draw(st.text("abc", min_size=1, max_size=4)) if literal else None,
                regex=None if literal else draw(expressions(anchors=False)).replace("[[:alpha:]]", "[A-Za-z]"),
                replacement=draw(st.sampled_from(["", "x", "ab", "b", "[c]"])),
            )
        )
    return rules


def compiled_or_reject(rules: Sequence[StreamRule]) -> TextRules:
    try:
        return TextRules(rules)
    except PatternError:
        reject()


def run(rules: TextRules, pieces: Sequence[str]) -> tuple[str, list[tuple[str, int, int]], object]:
    guarded = TextGuard(rules)
    left = "".join(fed(guarded, *pieces))
    fired = sorted((fired.rule.id, fired.match_start_byte, fired.match_end_byte) for fired in guarded.triggered)
    return left, fired, None if guarded.tripped is None else (guarded.tripped.rule.id, *guarded.tripped[2:4])


@given(rule_lists(), TEXTS, st.data())
def test_the_cut_of_the_text_never_shows(rules: list[StreamRule], text: str, data: st.DataObject) -> None:
    compiled = compiled_or_reject(rules)
    assert run(compiled, data.draw(cuttings(text))) == run(compiled, list(text)) == run(compiled, [text])


@given(rule_lists(), TEXTS)
def test_what_leaves_is_what_a_slow_reading_of_the_whole_text_says(rules: list[StreamRule], text: str) -> None:
    left, _, tripped = run(compiled_or_reject(rules), [text])
    expected = outcome(rules, text)
    assert (tripped is not None) == expected.tripped
    if not expected.tripped:
        assert left == expected.text


@given(rule_lists(), TEXTS, st.data())
def test_nothing_that_left_has_a_match_of_a_rule_that_ends_streams(
    rules: list[StreamRule], text: str, data: st.DataObject
) -> None:
    left, _, _ = run(compiled_or_reject(rules), data.draw(cuttings(text)))
    for number, watching in enumerate(rules):
        later = {other.action for other in rules[number + 1 :]}
        if watching.action in ("block", "retry") and not later & {"rewrite", "drop"}:
            assert matches(watching, left) == []


@given(rule_lists(), TEXTS, st.data())
def test_every_character_is_released_held_or_accounted_for(
    rules: list[StreamRule], text: str, data: st.DataObject
) -> None:
    watching = [rule for rule in rules if rule.action not in ("rewrite", "drop")]
    guarded = TextGuard(compiled_or_reject(watching))
    left = ""
    for piece in data.draw(cuttings(text)):
        left += guarded.feed(piece)
        if guarded.tripped is None:
            assert text.startswith(left + guarded.held)
    left += guarded.finish()
    assert text.startswith(left)
    if guarded.tripped is None:
        assert left == text


@given(st.text("abc", min_size=1, max_size=6), TEXTS)
def test_a_literal_holds_less_than_itself(literal: str, text: str) -> None:
    guarded = guard(rule("block", literal))
    for character in text:
        guarded.feed(character)
        if guarded.tripped is None:
            assert len(guarded.held) < len(literal)
            assert literal.startswith(guarded.held)


def test_rules_that_find_nothing_cost_little_however_many_they_are() -> None:
    text = "The quick brown fox jumps over the lazy dog and asks for nothing that is not allowed, for once. " * 10
    pieces = [text[begin : begin + 12] for begin in range(0, len(text), 12)]

    def reading(count: int) -> Callable[[], None]:
        rules = TextRules([rule("block", regex=f"(?i)forbidden{number}[a-z]{{2,6}}") for number in range(count)])

        def read() -> None:
            guarded = TextGuard(rules)
            for piece in pieces:
                guarded.feed(piece)

        read()  # whatever is worked out once has been
        return read

    few, many = reading(20), reading(1000)
    assert bytecodes(many) == bytecodes(few) < 800 * len(pieces)
    assert times_as_long(many, few) < 5


class TestLettingGo:
    def test_what_only_open_rules_hold_leaves(self) -> None:
        guarded = guard(rule("block", OLD, on_hold_exceeded="open"))
        assert guarded.feed("call Old") == "call "
        assert (guarded.let_go(), guarded.held) == ("Old", "")
        assert guarded.feed("Cli") == ""
        assert guarded.feed("ent(x)") == ""
        assert guarded.tripped is not None, "it is a match all the same"

    def test_what_a_closed_rule_holds_does_not_leave(self) -> None:
        guarded = guard(rule("block", OLD, on_hold_exceeded="open"), rule("block", "Older"))
        assert guarded.feed("Old") == ""
        assert guarded.let_go() is None
        assert guarded.feed("C") == ""
        assert guarded.let_go() == "OldC", "now it cannot become a match of the closed one"

    def test_of_one_stage_leaves_what_came_before_a_closed_rule_began_to_hold(self) -> None:
        guarded = guard(
            rule("block", "ab", on_hold_exceeded="open"),
            rule("block", regex="b+x", id="b"),
        )
        assert guarded.feed("a") == ""
        assert guarded.let_go() == "a"

    def test_the_rest_of_a_match_that_has_left_in_part_is_replaced(self) -> None:
        guarded = guard(rule("rewrite", OLD, replacement="N(", on_hold_exceeded="open"))
        assert (guarded.feed("Old"), guarded.let_go(), guarded.feed("Client(x")) == ("", "Old", "N(x")

    def test_later_rules_read_what_earlier_ones_let_go(self) -> None:
        first, second = rule("rewrite", OLD, on_hold_exceeded="open"), rule("block", "Older", id="b")
        guarded = guard(first, second)
        assert guarded.feed("Old") == ""
        assert not guarded.let_go(), "the closed one holds it too"
        assert guarded.feed("er") == ""
        assert guarded.tripped is not None

    @pytest.mark.parametrize("rules", [("rewrite", "block"), ("block", "block"), ("drop", "rewrite")])
    def test_nothing_is_lost_or_said_twice(self, rules: tuple[StreamAction, StreamAction]) -> None:
        guarded = guard(*(rule(action, OLD, id=str(n), on_hold_exceeded="open") for n, action in enumerate(rules)))
        text, left = "an Old hat, an OldClie", ""
        for character in text:
            left += guarded.feed(character) + (guarded.let_go() or "")
        assert left + guarded.finish() == text
