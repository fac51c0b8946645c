"""Which stream rules read the answers of which target, and how these are held; see `runtime.governing`."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from wardwright.domain.policy import USUAL_HOLDING, StreamMode, StreamPolicy, StreamRule
from wardwright.domain.route import Composition
from wardwright.policy.stream_rules import StreamRules
from wardwright.runtime.governing import governing

_KEPT = 1024
_SUBSETS_KEPT = 32
_STRICTER: Sequence[StreamMode] = ("pass_through", "horizon", "semantic_boundary", "full_buffer")


class Holding:
    """The rules that read the answers of one target, and how these are held."""

    def __init__(self, rules: tuple[StreamRule, ...], policy: StreamPolicy) -> None:
        self.rules = rules
        self.policy = policy
        self._whole: dict[bool, StreamRules] = {}
        self._rest: dict[tuple[frozenset[str], bool], StreamRules] = {}

    def compiled(self, without: frozenset[str], *, buffered: bool = False) -> StreamRules:
        """The rules but for some, compiled once; `buffered` when nothing may leave before the end, whatever the policy says."""
        whole = self._whole.get(buffered)
        if whole is None:
            policy = replace(self.policy, mode="full_buffer") if buffered else self.policy
            whole = self._whole[buffered] = StreamRules(self.rules, policy)
        left_out = without & {rule.id for rule in self.rules if rule.once_per is not None} if without else without
        if not left_out:
            return whole
        found = self._rest.get((left_out, buffered))
        if found is None:
            if len(self._rest) >= _SUBSETS_KEPT:
                self._rest.clear()
            found = self._rest[left_out, buffered] = whole.without(left_out)
        return found


UNRULED = Holding((), USUAL_HOLDING)
"""Of targets whose answers no rule reads."""


@lru_cache(_KEPT)
def holdings_of(composition: Composition) -> Mapping[str, Holding]:
    """State how the answers of each target of a composition are held; only of those that are. Purity: pure; kept like routes are."""
    found: dict[str, Holding] = {}
    for model, targets, prefix in governing(composition):
        if not model.stream_rules and model.stream_policy == USUAL_HOLDING:
            continue
        rules = tuple(replace(r, id=prefix + r.id) for r in model.stream_rules) if prefix else model.stream_rules
        for target in targets:
            before = found.get(target)
            if before is None:
                found[target] = Holding(rules, model.stream_policy)
            else:
                found[target] = Holding(before.rules + rules, _together(before.policy, model.stream_policy))
    return found


def prepare_rules(composition: Composition) -> None:
    """Compile the stream rules of a composition, so that no request waits for that."""
    for holding in holdings_of(composition).values():
        holding.compiled(frozenset())


def _together(one: StreamPolicy, other: StreamPolicy) -> StreamPolicy:
    """What satisfies two policies."""
    holds = [hold for hold in (one.max_hold_ms, other.max_hold_ms) if hold is not None]
    return StreamPolicy(
        max(one.mode, other.mode, key=_STRICTER.index),
        min(holds, default=None),
        min(one.max_hold_bytes, other.max_hold_bytes),
        "open" if one.on_hold_exceeded == other.on_hold_exceeded == "open" else "closed",
    )
