"""The stream rules of an answer, compiled: which text each of them sees, how much it makes the gateway hold, and what is promised.

Rules are compiled once for each list of them and kept: an automaton learns the texts of its model as it reads them. What is left when
some rules have done their work shares what was compiled.
"""

from collections.abc import Collection, Sequence
from copy import copy
from functools import lru_cache

from wardwright.domain.policy import Channel, StreamPolicy, StreamRule
from wardwright.policy.pattern_syntax import has_anchors, longest_match, parse_pattern, widest_character
from wardwright.policy.text_rules import TextRules, rule_pattern

CHANNELS: tuple[Channel, ...] = ("text", "reasoning", "tool_arguments")

_KEPT = 128
_WIDEST = 4


class StreamRules:
    """Rules with the mode they are held in. `text` and the like are None where no rule watches.

    Raises: PatternError.
    """

    def __init__(self, rules: Sequence[StreamRule], policy: StreamPolicy) -> None:
        self.by_channel = {channel: _compiled(tuple(r for r in rules if channel in r.on)) for channel in CHANNELS}
        self._state(rules, policy)

    def without(self, ids: Collection[str]) -> "StreamRules":
        """The rules but for some. Nothing is compiled."""
        other = copy(self)
        other.by_channel = {
            channel: None if compiled is None else compiled.without(ids)
            for channel, compiled in self.by_channel.items()
        }
        other._state([rule for rule in self.rules if rule.id not in ids], self._policy)
        return other

    def _state(self, rules: Sequence[StreamRule], policy: StreamPolicy) -> None:
        self._policy = policy
        self.rules = tuple(rules)
        self.mode = policy.mode
        self.max_hold_bytes = policy.max_hold_bytes
        self.enforced = frozenset(channel for rule in rules if rule.is_enforced for channel in rule.on)
        holds = [hold for hold in (policy.max_hold_ms, *(rule.max_hold_ms for rule in rules)) if hold is not None]
        self.max_hold_s = min(holds) / 1000 if holds else None
        self.mode_opens = policy.on_hold_exceeded == "open"
        may_open = self.mode_opens or any(rule.on_hold_exceeded == "open" for rule in rules)
        self.may_open = self.max_hold_s is not None and may_open

    @property
    def is_empty(self) -> bool:
        """Whether every chunk may pass as it came."""
        return not self.rules and self.mode in ("pass_through", "horizon")


@lru_cache(_KEPT)
def _compiled(rules: tuple[StreamRule, ...]) -> TextRules | None:
    return TextRules(rules) if rules else None


def most_held_bytes(rule: StreamRule) -> int | None:
    """How many bytes a rule holds at most while no match is complete; None when nothing bounds that. Purity: pure.

    Raises: PatternError.
    """
    if not rule.is_enforced:
        return 0
    node = parse_pattern(rule_pattern(rule))
    longest = longest_match(node, widest_character)
    if longest is None:
        return None if rule.horizon_bytes is None else rule.horizon_bytes * _WIDEST
    # A match with an anchor is told with the character behind it, so all of it waits for that.
    return longest if has_anchors(node) else longest - 1


def guarantee(rule: StreamRule, policy: StreamPolicy) -> str:
    """Say what a rule promises and what it costs, for whoever wrote it. Purity: pure.

    Raises: PatternError.
    """
    if not rule.is_enforced:
        return "observes: holds nothing, stops nothing"
    most, mode = most_held_bytes(rule), policy.mode
    if mode == "full_buffer":
        held = "full buffer: nothing leaves before the end"
    elif most is None:
        held = "unbounded: needs horizon_bytes or full_buffer"
    else:
        held = f"holds at most {most} {'byte' if most == 1 else 'bytes'}" + (
            "" if _ends_for_sure(rule) else ", and matches that overlap as a whole"
        )
        if longest_match(parse_pattern(rule_pattern(rule))) is None:
            held += f"; reckons with matches of up to {rule.horizon_bytes} bytes"
    if mode == "semantic_boundary":
        held += ", and up to the next boundary"
    if mode in ("full_buffer", "semantic_boundary") or "tool_arguments" in rule.on or not _ends_for_sure(rule):
        held += f"; never over {policy.max_hold_bytes} bytes of a stream, or the answer is ended"
    if rule.on_hold_exceeded == "open":
        held += "; lets go of what it alone has held for too long"
    if rule.is_retrying and mode != "full_buffer":
        held += "; asks again only while nothing has left"
    return held + (f"; until it has fired once in a {rule.once_per}" if rule.once_per else "")


def _ends_for_sure(rule: StreamRule) -> bool:
    """Whether a match cannot run into the next one, so that no more than one is held."""
    if not rule.is_changing:
        return True
    text = rule.contains
    return text is not None and not any(text.endswith(text[:count]) for count in range(1, len(text)))
