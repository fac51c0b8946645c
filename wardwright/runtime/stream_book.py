"""Which stream rules read the answers of which target: those of the requested model, and of every model nested on the way there.

A nested model's rules come first, for its answer is what the model around it passes on; their ids are told apart by their model's.
They hold for its targets whichever way a request has come to these: governing more than was asked for is the safe side.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from wardwright.domain.policy import USUAL_HOLDING, StreamMode, StreamPolicy, StreamRule
from wardwright.domain.route import MODEL_PREFIX, Composition, ModelDefinition
from wardwright.planner.compiled import compiled
from wardwright.planner.composition import nested_models
from wardwright.policy.stream_rules import StreamRules

_KEPT = 1024
_SUBSETS_KEPT = 32
_STRICTER: Sequence[StreamMode] = ("pass_through", "horizon", "semantic_boundary", "full_buffer")


class Holding:
    """The rules that read the answers of one target, and how these are held."""

    def __init__(self, rules: tuple[StreamRule, ...], policy: StreamPolicy) -> None:
        self.rules = rules
        self.policy = policy
        self._compiled: dict[frozenset[str], StreamRules] = {}

    def compiled(self, without: frozenset[str]) -> StreamRules:
        """The rules but for some, compiled once."""
        left_out = without & {rule.id for rule in self.rules if rule.once_per is not None} if without else without
        found = self._compiled.get(left_out)
        if found is None:
            if len(self._compiled) >= _SUBSETS_KEPT:
                self._compiled.clear()
            found = StreamRules([rule for rule in self.rules if rule.id not in left_out], self.policy)
            self._compiled[left_out] = found
        return found


@lru_cache(_KEPT)
def holdings_of(composition: Composition) -> Mapping[str, Holding]:
    """State how the answers of each target of a composition are held; only of those that are. Purity: pure; kept like routes are."""
    models = [
        model for model in _inner_first(composition) if model.stream_rules or model.stream_policy != USUAL_HOLDING
    ]
    if not models:
        return {}
    route = compiled(composition)
    below = {node.key: frozenset(target.id for target in node.below) for node in route.nodes}
    found: dict[str, Holding] = {}
    for model in models:
        is_root = model is composition.root
        targets = route.by_id.keys() if is_root else below.get(MODEL_PREFIX + model.id, frozenset())
        rules = (
            model.stream_rules if is_root else tuple(replace(r, id=f"{model.id}/{r.id}") for r in model.stream_rules)
        )
        for target in targets:
            before = found.get(target, Holding((), StreamPolicy("pass_through")))
            found[target] = Holding(before.rules + rules, _together(before.policy, model.stream_policy))
    return found


def _together(one: StreamPolicy, other: StreamPolicy) -> StreamPolicy:
    """What satisfies two policies."""
    holds = [hold for hold in (one.max_hold_ms, other.max_hold_ms) if hold is not None]
    return StreamPolicy(max(one.mode, other.mode, key=_STRICTER.index), min(holds, default=None))


def _inner_first(composition: Composition) -> list[ModelDefinition]:
    found: dict[str, ModelDefinition] = {}
    seen: set[str] = set()

    def visit(model: ModelDefinition) -> None:
        if model.id not in seen:
            seen.add(model.id)
            for name in nested_models(model):
                if name in composition.nested:
                    visit(composition.nested[name])
            found[model.id] = model

    visit(composition.root)
    return list(found.values())
