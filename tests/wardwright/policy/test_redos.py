"""Patterns that bring backtracking engines to their knees are refused for a reason, or read in steps that can be counted.

Counted, and not timed: a test must not depend on how busy its machine is. `make bench` takes the time of the same attacks.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from tests.support.redos import ATTACKS, Attack
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.policy.automaton import Automaton, Scanner
from wardwright.policy.pattern_syntax import parse_pattern
from wardwright.policy.patterns import Matcher, Pattern, PatternError
from wardwright.policy.stream_rules import StreamRules

LONG = 1000
MOST_VISITS = 4000
REASONS = ("has no back-reference", "has no look-ahead or look-behind", "does not match the empty text")
MISTAKES = ("bad range in a character class",)


def reason_against(attack: Attack) -> str | None:
    """Why a rule with this pattern is not loaded; None when it is."""
    try:
        StreamRules([StreamRule(id="r", action="block", regex=attack.pattern)], StreamPolicy("full_buffer"))
    except PatternError as refused:
        return str(refused)
    return None


LOADED = [attack for attack in ATTACKS if reason_against(attack) is None]


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the steps that are worked out rather than looked up, and the places of programs that are visited for it."""
    counts: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., object]:
        original = getattr(Automaton, name)

        def count(automaton: Automaton, *arguments: object) -> object:
            counts[name] += 1
            return original(automaton, *arguments)

        return count

    with (
        patch.object(Automaton, "_work_out", counted("_work_out")),
        patch.object(Automaton, "_taken", counted("_taken")),
    ):
        yield counts


def test_the_collection_is_large_and_most_of_it_is_read() -> None:
    assert len(ATTACKS) >= 100
    assert len(LOADED) >= 80


def test_what_is_refused_is_refused_for_a_reason() -> None:
    reasons = [reason_against(attack) for attack in ATTACKS]
    refused = [reason for reason in reasons if reason is not None]
    assert refused
    assert [reason for reason in refused if not any(known in reason for known in (*REASONS, *MISTAKES))] == []


@pytest.mark.parametrize("attack", LOADED, ids=range(len(LOADED)))
def test_what_is_loaded_costs_one_look_up_a_character_however_long_the_attack(attack: Attack) -> None:
    with counting() as counts:
        scanner = Scanner(Automaton([parse_pattern(Pattern(attack.pattern, is_regex=True))]))
        scanner.read(attack.text(LONG).removesuffix(attack.end))
        first = counts.copy()
        scanner.read(attack.repeated * LONG)
        assert counts == first, "something is worked out that an attack can ask for again and again"
        scanner.read(attack.end)
        scanner.finish()
    assert counts["_taken"] <= MOST_VISITS


def test_all_of_them_together_cost_no_more_a_character_either() -> None:
    automaton = Automaton([parse_pattern(Pattern(attack.pattern, is_regex=True)) for attack in LOADED])
    for attack in LOADED[::10]:
        scanner = Scanner(automaton)
        scanner.read(attack.text(LONG).removesuffix(attack.end))
        with counting() as counts:
            scanner.read(attack.repeated * LONG)
        assert not counts


def test_rules_over_requests_refuse_them_or_read_them_too() -> None:
    """Those are Hyperscan's to match: in linear time as well, though it knows a few patterns less."""
    refused = []
    for attack in ATTACKS:
        try:
            Matcher([Pattern(attack.pattern, is_regex=True)]).matches(attack.text(LONG))
        except PatternError as error:
            refused.append(str(error))
    assert len(refused) < len(ATTACKS) / 3
    assert all(refused)
