"""A composition made ready for planning: every name resolved, and everything worked out that no request changes.

The graph of a composition is one graph, however many models it runs through: a nested model is a node with one member, the root of
that model. A node's `key` names it within the composition: a selector of the requested model by its id, any other by the model's
prefixed name and its id.

Within one composition an id means one target. Where two models define it differently, the outer one's definition holds.

A member that does not exist, or that would close a cycle, has nothing below it: the configuration's checks refuse both, and a
composition that was put together from versions of different times had better serve with what is there.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Union

from wardwright.domain.route import (
    MODEL_PREFIX,
    Alloy,
    Cascade,
    Composition,
    Dispatcher,
    Guard,
    ModelDefinition,
    Selector,
    Target,
)
from wardwright.planner.guards import fields_asked

_KEPT = 1024

Member = Union[Target, "Node"]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A selector of the graph, or (without a selector) a nested model.

    `members` are in declared order. Apart, those that are targets stand in `targets` (a dispatcher's by rising window), with their ids
    in `target_ids`, those that are nodes in `nodes`. `weights` has a number for each member of an alloy. `below` are all targets that
    can be reached from here. `shared_window` is the largest request that an alloy takes without partial context, `private_history` a target below that
    keeps its part of a conversation to itself, `untagged` what a guard's `target_tags` closes.
    """

    key: str
    label: str
    selector: Selector | None
    model: str
    members: tuple[Member, ...]
    targets: tuple[Target, ...]
    target_ids: frozenset[str]
    nodes: tuple["Node", ...]
    weights: tuple[int, ...]
    below: tuple[Target, ...]
    shared_window: int
    private_history: str | None
    untagged: frozenset[str]


class CompiledRoute:
    """The graph of a composition: where it begins, and every target it reaches."""

    def __init__(self, composition: Composition) -> None:
        compiler = _Compiler(composition)
        self.root_name = composition.root.root
        self.root = compiler.resolve(composition.root, self.root_name, frozenset())
        self.nodes: Sequence[Node] = tuple(compiler.nodes.values())
        self.by_id: Mapping[str, Target] = {target.id: target for target in _below([self.root])}
        # the root's own first, each model's in the order in which it lists them
        models = (composition.root, *composition.nested.values())
        listed = dict.fromkeys(target.id for model in models for target in model.targets)
        self.targets: Sequence[Target] = tuple(self.by_id[name] for name in listed if name in self.by_id)

    @cached_property
    def usable_windows(self) -> Mapping[str, int]:
        """The largest request that each target can be given, by id: an alloy shares out no more than its smallest constituent holds."""
        usable: dict[str, int] = {}
        passed: set[tuple[str, float]] = set()
        waiting: list[tuple[Member, float]] = [(self.root, math.inf)]
        while waiting:
            member, limit = waiting.pop()
            if isinstance(member, Target):
                usable[member.id] = max(usable.get(member.id, 0), int(min(limit, member.context_window)))
            elif (member.key, limit) not in passed:
                passed.add((member.key, limit))
                if isinstance(member.selector, Alloy) and not member.selector.partial_context:
                    limit = min(limit, member.shared_window)
                waiting += ((below, limit) for below in member.members)
        return usable

    @cached_property
    def may_overflow(self) -> bool:
        """Whether some selector takes its largest target when nothing fits."""
        return any(
            isinstance(node.selector, Dispatcher | Cascade | Alloy) and node.selector.on_overflow == "largest"
            for node in self.nodes
        )

    @cached_property
    def draws(self) -> bool:
        """Whether some alloy may decide by the server's draw."""
        alloys = (node.selector for node in self.nodes if isinstance(node.selector, Alloy))
        return any(alloy.strategy != "deterministic_all" for alloy in alloys)

    @cached_property
    def caller_fields(self) -> frozenset[str]:
        """The caller's fields that some guard of the graph looks at, `tags` among them."""
        return fields_asked(node.selector.require for node in self.nodes if isinstance(node.selector, Guard))

    @cached_property
    def caller_tags(self) -> frozenset[str]:
        """The tags of callers that some guard of the graph asks for."""
        return frozenset(
            tag for node in self.nodes if isinstance(node.selector, Guard) for tag in node.selector.require.tags
        )

    @cached_property
    def budgets(self) -> Mapping[str, frozenset[str]]:
        """The guards that watch spending, by key, and the targets that are paid for through each."""
        return {
            node.key: frozenset(target.id for target in _below(node.members[:1]))
            for node in self.nodes
            if isinstance(node.selector, Guard) and node.selector.require.max_usd_per_day is not None
        }


@lru_cache(maxsize=_KEPT)
def compiled(composition: Composition) -> CompiledRoute:
    """Prepare a composition for planning, once. Purity: pure; what was prepared is kept for the compositions used last."""
    return CompiledRoute(composition)


class _Compiler:
    """One walk through a composition, from its root down."""

    def __init__(self, composition: Composition) -> None:
        self.models: dict[str, ModelDefinition] = {**composition.nested, composition.root.id: composition.root}
        self.nodes: dict[str, Node] = {}
        self._root = composition.root.id
        definitions = (composition.root, *composition.nested.values())
        self._targets = {target.id: target for model in reversed(definitions) for target in model.targets}
        self._selectors = {
            model.id: {selector.id: selector for selector in model.selectors} for model in self.models.values()
        }

    def resolve(self, model: ModelDefinition, name: str, above: frozenset[str]) -> Member:
        """Find the member of a model that a name means; one that is not there, or stands above itself, has nothing below it."""
        selector = self._selectors[model.id].get(name)
        if selector is None and not name.startswith(MODEL_PREFIX):
            return self._targets.get(name) or _make_node(name, name, None, model.id, ())
        key = self._key(model, name)
        if key in above:
            return _make_node(f"{key} above itself", name, None, model.id, ())
        if key not in self.nodes:
            above |= {key}
            self.nodes[key] = self._nested(name, above) if selector is None else self._node(model, selector, above)
        return self.nodes[key]

    def _key(self, model: ModelDefinition, name: str) -> str:
        if name.startswith(MODEL_PREFIX) or model.id == self._root:
            return name
        return f"{MODEL_PREFIX}{model.id}/{name}"

    def _nested(self, name: str, above: frozenset[str]) -> Node:
        model_id = name.removeprefix(MODEL_PREFIX)
        model = self.models.get(model_id)
        members = () if model is None else (self.resolve(model, model.root, above),)
        return _make_node(name, name, None, model_id, members)

    def _node(self, model: ModelDefinition, selector: Selector, above: frozenset[str]) -> Node:
        members = tuple(self.resolve(model, name, above) for name in selector.models)
        return _make_node(self._key(model, selector.id), selector.id, selector, model.id, members)


def _make_node(
    key: str,
    label: str,
    selector: Selector | None,
    model: str,
    members: tuple[Member, ...],
) -> Node:
    below = _below(members)
    targets = [member for member in members if isinstance(member, Target)]
    if isinstance(selector, Dispatcher):
        targets.sort(key=lambda target: (target.context_window, target.id))
    return Node(
        key=key,
        label=label,
        selector=selector,
        model=model,
        members=members,
        targets=tuple(targets),
        target_ids=frozenset(target.id for target in targets),
        nodes=tuple(member for member in members if isinstance(member, Node)),
        weights=tuple(entry.weight for entry in selector.constituents) if isinstance(selector, Alloy) else (),
        below=below,
        shared_window=_shared_window(selector, members),
        private_history=next((target.id for target in below if target.history == "private"), None),
        untagged=_untagged(selector, members),
    )


def _below(members: Iterable[Member]) -> tuple[Target, ...]:
    found: dict[str, Target] = {}
    for member in members:
        if isinstance(member, Target):
            found[member.id] = member
        else:
            found.update((target.id, target) for target in member.below)
    return tuple(found.values())


def _shared_window(selector: Selector | None, members: Sequence[Member]) -> int:
    """The window that an alloy's constituents have in common: that of the smallest, of each its largest target."""
    if not isinstance(selector, Alloy):
        return 0
    if selector.min_context_window is not None:
        return selector.min_context_window
    reachable = (_below([member]) for member in members)
    return min((max(target.context_window for target in below) for below in reachable if below), default=0)


def _untagged(selector: Selector | None, members: Sequence[Member]) -> frozenset[str]:
    if not isinstance(selector, Guard) or not selector.require.target_tags:
        return frozenset()
    wanted = selector.require.target_tags
    return frozenset(target.id for target in _below(members[:1]) if not set(wanted).intersection(target.tags))
