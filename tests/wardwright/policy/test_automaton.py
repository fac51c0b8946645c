"""The automaton: it finds what the standard library and Hyperscan find, and knows what may still become a match."""

import re
from functools import partial

import hyperscan
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tests.support.effort import bytecodes, times_as_long
from tests.wardwright.policy.pattern_samples import TEXTS, cuttings, earliest_by_end, expressions, matches_of
from wardwright.policy import automaton
from wardwright.policy.automaton import Automaton, Match, Scanner
from wardwright.policy.pattern_syntax import parse_pattern
from wardwright.policy.patterns import Pattern, PatternError

FLAGS = {
    "": 0,
    "(?i)": re.IGNORECASE,
    "(?m)": re.MULTILINE,
    "(?s)": re.DOTALL,
    "(?ims)": re.IGNORECASE | re.MULTILINE | re.DOTALL,
}


def compiled(*expressions: str) -> Automaton:
    return Automaton([parse_pattern(Pattern(expression, is_regex=True)) for expression in expressions])


def or_reject(*expressions: str) -> Automaton:
    try:
        return compiled(*expressions)
    except PatternError:
        reject()


def found(automaton: Automaton, *pieces: str) -> list[Match]:
    scanner = Scanner(automaton)
    return [match for piece in pieces for match in scanner.read(piece)] + scanner.finish()


@given(expressions(), st.sampled_from(list(FLAGS)), TEXTS)
def test_every_end_of_a_match_is_found_with_its_earliest_beginning(expression: str, flags: str, text: str) -> None:
    matches = found(or_reject(flags + expression), text)
    expected = earliest_by_end(matches_of(expression, text, FLAGS[flags]))
    assert {match.end: match.start for match in matches} == expected
    for end in expected:
        starts = [match.start for match in matches if match.end == end]
        assert starts == sorted(set(starts), reverse=True), "told again only with an earlier beginning"


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        (r"a(?:a|\b)", [Match(0, 0, 2)]),
        (r"aa\b|a", [Match(0, 0, 1), Match(0, 1, 2), Match(0, 0, 2)]),
    ],
)
def test_what_a_place_shows_late_is_told_only_if_it_adds_something(expression: str, matches: list[Match]) -> None:
    assert found(compiled(expression), "aa") == matches


def test_what_was_told_is_forgotten_by_a_return() -> None:
    scanner = Scanner(compiled(r"a(?:a|\b)"))
    scanner.read("a")
    mark = scanner.mark()
    assert scanner.read("a") == [Match(0, 0, 2)]
    scanner.return_to(mark)
    assert scanner.read("-") == [Match(0, 0, 1)]


@given(expressions(anchors=False), TEXTS)
def test_hyperscan_finds_the_same_ends(expression: str, text: str) -> None:
    ends: set[int] = set()

    def note(pattern: int, start: int, end: int, flags: int, context: object) -> None:
        ends.add(end)

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    machine = or_reject(expression)
    database.compile(expressions=[expression.encode()], ids=[0], elements=1, flags=[hyperscan.HS_FLAG_UTF8])
    database.scan(text.encode(), match_event_handler=note)
    assert {len(text[: match.end].encode()) for match in found(machine, text)} == ends


@given(st.lists(expressions(), min_size=1, max_size=4), TEXTS, st.data())
def test_patterns_together_find_what_each_finds_alone_however_the_text_is_cut(
    patterns: list[str], text: str, data: st.DataObject
) -> None:
    together = found(or_reject(*patterns), *data.draw(cuttings(text)))
    alone = [Match(number, *match[1:]) for number, one in enumerate(patterns) for match in found(compiled(one), text)]
    assert sorted(together) == sorted(alone)


@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=4), min_size=1, max_size=4), st.text("ab", max_size=12))
def test_what_is_under_way_is_the_longest_tail_that_begins_a_literal(literals: list[str], text: str) -> None:
    scanner = Scanner(Automaton([parse_pattern(Pattern(literal)) for literal in literals]))
    for end in range(1, len(text) + 1):
        scanner.read(text[end - 1])
        tails = (
            start
            for start in range(end)
            if any(one.startswith(text[start:end]) and one != text[start:end] for one in literals)
        )
        assert scanner.live_from == next(tails, None)


def test_patterns_that_do_not_hold_are_told_apart() -> None:
    nodes = [parse_pattern(Pattern(literal)) for literal in ("abcd", "cx")]
    scanner = Scanner(Automaton(nodes, holding=[1]))
    scanner.read("ab")
    assert (scanner.live_from, scanner.holding_from) == (0, None)
    scanner.read("c")
    assert (scanner.live_from, scanner.holding_from) == (0, 2)


def test_a_place_is_judged_by_what_follows_it() -> None:
    scanner = Scanner(compiled(r"cat\b"))
    assert scanner.read("a cat") == []
    assert scanner.live_from == 2
    assert scanner.read("s, cat") == []
    assert scanner.read(".") == [Match(0, 8, 11)]
    scanner.read(" cat")
    assert scanner.finish() == [Match(0, 13, 16)]


def test_a_reading_may_begin_behind_a_character() -> None:
    machine = compiled(r"\bcat", "^dog")
    assert Scanner(machine, before="s").read("cat dog") == []
    assert Scanner(machine, before=" ", position=10).read("cat") == [Match(0, 10, 13)]


def test_a_reading_returns_to_a_mark() -> None:
    scanner = Scanner(compiled("abc"))
    scanner.read("xab")
    mark = scanner.mark()
    assert scanner.read("c") == [Match(0, 1, 4)]
    scanner.return_to(mark)
    assert (scanner.position, scanner.live_from) == (3, 1)
    assert scanner.read("abc") == [Match(0, 3, 6)]


@pytest.mark.parametrize("expression", ["a*", "", "^", "(?:a|b?)", r"\b"])
def test_a_pattern_that_matches_the_empty_text_is_refused(expression: str) -> None:
    with pytest.raises(PatternError, match="does not match the empty text"):
        compiled(expression)


def test_a_program_that_grows_too_large_is_refused() -> None:
    with pytest.raises(PatternError, match="is smaller"):
        compiled("(?:(?:a{100}){100}){100}")


def test_what_is_kept_is_bounded_and_forgotten_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "KEPT_STEPS", 5)
    machine = compiled("ab+c", "[0-9]{2}")
    text = "xxabbbc 12 abc" * 5
    assert found(machine, text) == found(compiled("ab+c", "[0-9]{2}"), text)
    assert machine._kept <= 5


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+$", "(a|aa)+$", "(?:.*a){12}", "(?:a*)*b", r"^(([a-z])+.)+[A-Z]([a-z])+$", "(?:a?){50}a{50}",
        r"(\w+\s?)*=", r"^(\d+)*@", r"(x+x+)+y", r"([a-zA-Z]+)*1", r"(.*?,){11}P", r"\s*\s*\s*\s*x", r"(?:[^\"]|\\\")*\"",
    ],
)  # fmt: skip
def test_no_pattern_takes_many_steps_for_a_piece_of_text(expression: str) -> None:
    scanner = Scanner(compiled(expression))
    for letter in "a", "x", " ", "1":
        scanner.read(letter * 200)  # whatever is worked out once has been
        piece = partial(scanner.read, letter * 16)
        early = bytecodes(piece)
        scanner.read(letter * 1000)
        assert bytecodes(piece) <= early < 20_000


def test_a_thousand_patterns_take_no_more_each_to_get_ready_than_a_hundred_do() -> None:
    def get_ready(count: int) -> None:
        machine = compiled(*(f"(?i)rule{number}\\s*[:=]\\s*[a-z]{{3,8}}" for number in range(count)))
        machine.prepare("".join(map(chr, range(9, 127))))

    assert times_as_long(partial(get_ready, 1000), partial(get_ready, 100), attempts=2) < 50


@given(st.lists(expressions(), min_size=2, max_size=4), st.sets(st.integers(0, 3)), TEXTS)
def test_some_patterns_can_be_left_out_without_compiling_the_others(
    patterns: list[str], left_out: set[int], text: str
) -> None:
    whole = or_reject(*patterns)
    kept = [number for number in range(len(patterns)) if number not in left_out]
    rest = Scanner(whole.without(left_out))
    alone = Scanner(compiled(*(patterns[number] for number in kept)))
    for character in text:
        expected = [(kept[match.pattern], match.start, match.end) for match in alone.read(character)]
        assert sorted(rest.read(character)) == sorted(expected)
        assert (rest.live_from, rest.quiet_at) == (alone.live_from, alone.quiet_at)
    assert sorted(rest.finish()) == sorted((kept[m.pattern], m.start, m.end) for m in alone.finish())


def test_leaving_patterns_out_of_what_some_were_left_out_of_leaves_both_out() -> None:
    whole = compiled("a", "b", "c")
    assert [match.pattern for match in found(whole.without({0}).without({1}), "abc")] == [2]
