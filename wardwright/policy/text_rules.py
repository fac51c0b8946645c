"""Rules over a text, compiled: what of them is shared by all texts that they read.

Rules form stages in the order of their declaration; `policy.text_guard` says why.
"""

from collections.abc import Collection, Sequence
from copy import copy

from wardwright.domain.policy import StreamRule
from wardwright.policy.automaton import Automaton
from wardwright.policy.pattern_syntax import Node, longest_match, parse_pattern
from wardwright.policy.patterns import Pattern, PatternError

_USUAL = "".join(map(chr, range(9, 127)))
_EVERYTHING = 2**62


class TextRules:
    """Rules compiled for one kind of text. Shared by the guards of many streams, on one event loop.

    Raises: PatternError.
    """

    def __init__(self, rules: Sequence[StreamRule]) -> None:
        observers = [rule for rule in rules if not rule.is_enforced]
        enforced = [rule for rule in rules if rule.is_enforced]
        self.observers = Compiled(observers) if observers else None
        self.stages = [Compiled(group) for group in _grouped(enforced)]
        self.ahead = Compiled(enforced) if len(self.stages) > 1 else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return self.observers is None and not self.stages

    def without(self, ids: Collection[str]) -> "TextRules | None":
        """The rules but for some; None when none is left. Nothing is compiled: that would keep every stream waiting.

        So neighbours that came to stand together stay two stages. That changes nothing of what leaves or whether a rule trips; where
        two of them complete a match with the same character, the first in order is told, and not the leftmost.
        """
        other = copy(self)
        other.observers = None if self.observers is None else self.observers.without(ids)
        other.stages = [kept for stage in self.stages if (kept := stage.without(ids)) is not None]
        other.ahead = None if self.ahead is None or len(other.stages) < 2 else self.ahead.without(ids)
        return None if other.is_empty else other


class Compiled:
    """Rules that share an automaton; `reach` is how far back from the present a match can matter, in characters.

    The automaton knows rules by their place in `rules`, of which it may leave some out.
    """

    def __init__(self, rules: Sequence[StreamRule]) -> None:
        self.rules = rules
        nodes = [parse_pattern(rule_pattern(rule)) for rule in rules]
        self.automaton = Automaton(nodes, [n for n, rule in enumerate(rules) if rule.on_hold_exceeded == "closed"])
        self.automaton.prepare(_USUAL)
        self._reaches = [reach_of(rule, node) for rule, node in zip(rules, nodes, strict=True)]
        self.reach = max(self._reaches)
        self.changes = rules[0].is_changing if rules else False

    def without(self, ids: Collection[str]) -> "Compiled | None":
        """The same but for some rules; None when none is left."""
        left_out = {number for number, rule in enumerate(self.rules) if rule.id in ids}
        if not left_out:
            return self
        if len(left_out) == len(self.rules):
            return None
        other = copy(self)
        other.automaton = self.automaton.without(left_out)
        other.reach = max(reach for number, reach in enumerate(self._reaches) if number not in left_out)
        return other


def rule_pattern(rule: StreamRule) -> Pattern:
    """The pattern of a rule.

    Raises: PatternError when it has none.
    """
    if rule.regex is not None:
        return Pattern(rule.regex, is_regex=True)
    if rule.contains:
        return Pattern(rule.contains)
    raise PatternError("is there: a stream rule needs contains or regex")


def reach_of(rule: StreamRule, node: Node) -> int:
    """How many characters a match of a rule is reckoned with: its longest match, or what the rule states. Purity: pure.

    A stated horizon is in bytes and is taken for as many characters, which is never less text. Without one an unbounded pattern reaches
    to the beginning.
    """
    longest = longest_match(node)
    if longest is not None:
        return longest
    return _EVERYTHING if rule.horizon_bytes is None else rule.horizon_bytes


def _grouped(rules: Sequence[StreamRule]) -> list[list[StreamRule]]:
    """Part rules into stages, in their order."""
    groups: list[list[StreamRule]] = []
    for rule in rules:
        if groups and not rule.is_changing and not groups[-1][0].is_changing:
            groups[-1].append(rule)
        else:
            groups.append([rule])
    return groups
