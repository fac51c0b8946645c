"""What each kind of selector does with a request: which targets it offers, in which order.

A dispatcher takes the smallest context window that fits, a cascade the first in its declared order, an alloy the one whose turn it is;
a guard passes to one of two members, an alias and a nested model to their only one. Selectors nest: a member that is itself a
selector offers its own ordered targets as one block, and an outer selector never reorders inside a block. A dispatcher places such
a block by the smallest window the block offers, as if it were a target of that size. A target that is reachable by several ways
counts where it comes first.

A `Walk` is one view of the graph: which targets are closed, and which turn it is. A guard that asks for tags and the policies of a
nested model close more targets, but only on the ways that lead through them, so behind them another walk goes on.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from wardwright.domain.route import (
    Alias,
    Alloy,
    Cascade,
    Dispatcher,
    Guard,
    PlanInputs,
    RequestFacts,
    RouteConstraints,
    Skip,
    SkipReason,
    StickyChoice,
    Target,
)
from wardwright.planner.compiled import Member, Node
from wardwright.planner.draw import draw_order
from wardwright.planner.guards import unmet


class Block(NamedTuple):
    """A node that offered something: its targets in order, and the walk that found them."""

    node: Node
    targets: Collection[Target]
    walk: "Walk"


Part = Block | Target
"""What one member offers. A target is all that it offers."""


class Offer(NamedTuple):
    """The targets that a node offers in order, and the parts they came in, where it has nodes below it."""

    targets: Collection[Target]
    parts: Collection[Part] = ()


_NOTHING = Offer(())
_ID = attrgetter("id")
_WINDOW = attrgetter("context_window")


@dataclass(slots=True)
class Findings:
    """What walks through the graph for one request learn on their way.

    `left_out` has targets that could serve but for the way they stand in the graph. `sticky`, `refusal_moves_on` and `resumable`
    are as in the plan.
    """

    left_out: dict[str, Skip] = field(default_factory=dict)
    sticky: dict[str, StickyChoice] = field(default_factory=dict)
    refusal_moves_on: dict[str, None] = field(default_factory=dict)
    resumable: dict[str, None] = field(default_factory=dict)
    overflow: str | None = None

    def leave_out(
        self, targets: Iterable[Target], reason: SkipReason, detail: str | None = None, *, window: int | None = None
    ) -> None:
        """Note why targets were left out, unless another reason is known. `window` is what they hold there, if not all of theirs."""
        for target in targets:
            if target.id not in self.left_out:
                size = target.context_window if window is None else min(window, target.context_window)
                self.left_out[target.id] = Skip(target.id, reason, size, detail)


class Walk:
    """One view of the graph. `closed` are the targets that may not be offered, by id.

    `number` counts calls, from 0: the session's turns, or without a session a draw. `is_free` lifts the common window of alloys, for a
    target that policy chose. `oversize` (closed as `closed` is, but for windows) has selectors that say so offer their largest target.
    """

    def __init__(
        self,
        inputs: PlanInputs,
        closed: Collection[str],
        number: int,
        *,
        is_free: bool = False,
        oversize: Collection[str] | None = None,
        findings: Findings | None = None,
    ) -> None:
        self.inputs = inputs
        self.closed = closed
        self.number = number
        self.is_free = is_free
        self.oversize = oversize
        self.findings = Findings() if findings is None else findings
        self._offers: dict[str, Offer] = {}
        self._others: dict[tuple[str, int], Walk] = {}

    def offer(self, node: Node) -> Offer:
        """The targets that a node offers on this walk."""
        found = self._offers.get(node.key)
        if found is None:
            found = self._offers[node.key] = self._choose(node)
        return found

    def parts(self, members: Iterable[Member]) -> list[Part]:
        """What each member offers, in the order given, without those that offer nothing."""
        found: list[Part] = []
        closed = self.closed
        for member in members:
            if isinstance(member, Target):
                if member.id not in closed:
                    found.append(member)
            elif targets := self.offer(member).targets:
                found.append(Block(member, targets, self))
        return found

    def open(self, targets: Iterable[Target]) -> list[Target]:
        """Those of the targets that are not closed, in the order given."""
        closed = self.closed
        return [target for target in targets if target.id not in closed]

    def closing(self, name: str, more: Collection[str]) -> "Walk":
        """The walk behind a node that closes more targets. A node closes the same ones wherever it is met."""
        if not more:
            return self
        return self._other(name, self.number, lambda: {*self.closed, *more}, more)

    def numbered(self, number: int) -> "Walk":
        """The walk behind an alloy: its members count only every so many of the calls."""
        return self if number == self.number else self._other("", number, lambda: self.closed, ())

    def _other(self, name: str, number: int, close: Callable[[], Collection[str]], more: Collection[str]) -> "Walk":
        found = self._others.get((name, number))
        if found is None:
            found = self._others[name, number] = Walk(
                self.inputs,
                close(),
                number,
                is_free=self.is_free,
                oversize=None if self.oversize is None else {*self.oversize, *more},
                findings=self.findings,
            )
        return found

    def _choose(self, node: Node) -> Offer:
        selector = node.selector
        if selector is None:
            return _nested_model(node, self)
        if isinstance(selector, Guard):
            return _guard(node, selector, self)
        if isinstance(selector, Alias):
            return _only(node.members[0], self)
        if self.oversize is not None and selector.on_overflow == "largest":
            return _largest(node, self, self.oversize)
        if isinstance(selector, Dispatcher):
            offer = _dispatcher(node, self)
        elif isinstance(selector, Cascade):
            offer = _cascade(node, self)
        else:
            offer = _alloy(node, selector, self)
        if not offer.targets:
            return _NOTHING
        if selector.on_content_filter == "next":
            self.findings.refusal_moves_on.update((target.id, None) for target in offer.targets)
        if selector.resume:
            self.findings.resumable.update((target.id, None) for target in offer.targets)
        pinned_by = node.private_history if isinstance(selector, Alloy) else None
        if self.inputs.session is not None and (selector.sticky or pinned_by is not None):
            return _kept(node, offer, pinned_by, self.inputs.session.sticky, self.findings)
        return offer


def graph_path(member: Member, target: Target, walk: Walk) -> tuple[str, ...]:
    """Spell the way from a node to a target it offers: the labels of the nodes passed. Purity: pure."""
    path: list[str] = []
    while isinstance(member, Node):
        path.append(member.label)
        if target.id in member.target_ids:
            break
        for part in walk.offer(member).parts:
            # This very target: a composition has one of each id, and comparing field by field takes its time.
            if isinstance(part, Block) and id(target) in map(id, part.targets):
                member, walk = part.node, part.walk
                break
        else:
            break
    return tuple(path)


def _dispatcher(node: Node, walk: Walk) -> Offer:
    direct = walk.open(node.targets)
    parts = walk.parts(node.nodes)
    if not parts:
        return Offer(direct)
    return _in_order(sorted([*parts, *direct], key=_place))


def _place(part: Part) -> tuple[int, str]:
    """What a dispatcher sorts by: the smallest window of a part, then its name."""
    if isinstance(part, Target):
        return part.context_window, part.id
    return min(map(_WINDOW, part.targets)), part.node.label


def _cascade(node: Node, walk: Walk) -> Offer:
    return _in_order(walk.parts(node.members)) if node.nodes else Offer(walk.open(node.targets))


def _alloy(node: Node, alloy: Alloy, walk: Walk) -> Offer:
    is_shared = not (alloy.partial_context or walk.is_free or walk.oversize is not None)
    if is_shared and _largest_need(node.below, walk.inputs.request) > node.shared_window:
        walk.findings.leave_out(node.below, "context_window_too_small", f"alloy {alloy.id}", window=node.shared_window)
        return _NOTHING
    takes_turns = alloy.strategy == "round_robin"
    # Of an alloy inside another, each call that comes here is the next; those that went elsewhere do not count.
    inner = walk.numbered(walk.number // len(node.members)) if takes_turns else walk
    parts = inner.parts(node.members)
    if takes_turns and parts:
        first = walk.number % len(parts)
        parts = parts[first:] + parts[:first]
    elif alloy.strategy == "weighted":
        weights = node.weights if len(parts) == len(node.members) else _weights_of(node, parts)
        parts = [parts[index] for index in draw_order(walk.inputs.seed, node.key, weights)]
    return _in_order(parts)


def _weights_of(node: Node, parts: Iterable[Part]) -> Sequence[int]:
    """The weights of those constituents that offered something."""
    weights = dict(zip(map(id, node.members), node.weights, strict=True))
    return [weights[id(part.node if isinstance(part, Block) else part)] for part in parts]


def _largest_need(targets: Iterable[Target], facts: RequestFacts) -> int:
    """The window that the request needs at whichever of the targets counts it longest."""
    if not facts.exact_prompt_tokens:
        return facts.required_window
    return max(map(facts.window_needed_at, targets), default=0)


def _guard(node: Node, guard: Guard, walk: Walk) -> Offer:
    guarded, *others = node.members
    behind = _targets_of(guarded)
    missing = unmet(guard, node.key, walk.inputs)
    if missing is None and node.untagged and len(node.untagged) == len(behind):
        missing = "target_tags"
    if missing is not None:
        walk.findings.leave_out(behind, "guard_denied", f"{guard.id}: {missing}")
        return _only(others[0], walk) if others else _NOTHING
    if others:
        walk.findings.leave_out(_targets_of(others[0]), "guard_passed", guard.id)
    untagged = (target for target in behind if target.id in node.untagged)
    walk.findings.leave_out(untagged, "guard_denied", f"{guard.id}: target_tags")
    return _only(guarded, walk.closing(node.key, node.untagged))


def _nested_model(node: Node, walk: Walk) -> Offer:
    constraints = walk.inputs.constraints.get(node.model)
    closes: Collection[str] = ()
    if constraints is not None:
        gated = _gated(node.below, constraints, walk)
        walk.findings.leave_out(gated, "policy_route_gate", node.label)
        closes = {target.id for target in gated}
    return _only(node.members[0], walk.closing(node.key, closes)) if node.members else _NOTHING


def _gated(targets: Collection[Target], constraints: RouteConstraints, walk: Walk) -> Collection[Target]:
    """The targets that a nested model's own policies close."""
    if constraints.blocked_by is not None:
        return targets
    kept = {target.id for target in filter(constraints.allowance(), targets)}
    if constraints.forced_model is not None:
        can_serve = kept.intersection({constraints.forced_model}).difference(walk.closed)
        if can_serve or not constraints.allow_fallback:
            kept = can_serve
    return [target for target in targets if target.id not in kept]


def _largest(node: Node, walk: Walk, closed: Collection[str]) -> Offer:
    """The largest target of a selector that takes it although it is too small."""
    able = [target for target in node.below if target.id not in closed]
    if not able:
        return _NOTHING
    walk.findings.overflow = walk.findings.overflow or node.key
    return Offer((max(able, key=lambda target: (target.context_window, target.id)),))


def _kept(node: Node, offer: Offer, pinned_by: str | None, remembered: Mapping[str, str], findings: Findings) -> Offer:
    """Put the target that the session stays on first, and note from which targets one is to be remembered."""
    name = remembered.get(node.key)
    kept = next((target for target in offer.targets if target.id == name), None)
    stays, ids = None if kept is None else kept.id, tuple(map(_ID, offer.targets))
    earlier = findings.sticky.get(node.key)
    if earlier is not None:
        # Met again on another walk, where other targets are closed: the session may come to stay on any of both.
        stays, ids = stays or earlier.kept, tuple(dict.fromkeys((*earlier.targets, *ids)))
    findings.sticky[node.key] = StickyChoice(node.key, ids, stays, pinned_by)
    if kept is None:
        return offer
    return Offer((kept, *(target for target in offer.targets if target.id != kept.id)), offer.parts)


def _only(member: Member, walk: Walk) -> Offer:
    return _in_order(walk.parts((member,)))


def _in_order(parts: Sequence[Part]) -> Offer:
    """Join parts; a target that is in several counts in the first."""
    if len(parts) == 1:
        (part,) = parts
        return Offer((part,) if isinstance(part, Target) else part.targets, parts)
    found: dict[str, Target] = {}
    for part in parts:
        if isinstance(part, Target):
            found.setdefault(part.id, part)
        else:
            for target in part.targets:
                found.setdefault(target.id, target)
    return Offer(tuple(found.values()), parts)


def _targets_of(member: Member) -> Collection[Target]:
    return (member,) if isinstance(member, Target) else member.below
