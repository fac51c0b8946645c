"""The graphs of all models as one: cycles, depth, and what no request could ever pass through.

Models nest, so a cycle may run through several of them, and what stands behind a selector may be declared elsewhere. A path through
the graph holds at most `MAX_DEPTH` selectors and nested models. An alloy's constituents can all hold its `min_context_window`, and
behind a guard that asks for tags some target has one.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from wardwright.domain.route import MODEL_PREFIX, Alloy, Dispatcher, Guard, ModelDefinition, Selector, Target
from wardwright.planner.graph import (
    IMPLICIT_ROOT,
    GraphProblem,
    effective_root,
    member_path,
    members_path,
    selector_path,
)

MAX_DEPTH = 8


class DeclaredGraph(msgspec.Struct, frozen=True):
    """One model's graph as it was declared."""

    model: str
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]
    root: str | None = None


class NestingProblem(msgspec.Struct, frozen=True):
    """One thing wrong with graphs taken together, at a place in one of them: the index of that graph, and the problem."""

    graph: int
    problem: GraphProblem


class _Node(msgspec.Struct, frozen=True):
    """A selector of a model, or (with an empty name) the model as a member of others."""

    model: str
    name: str

    def __str__(self) -> str:
        return self.name or f"{MODEL_PREFIX}{self.model}"


def declared_graph(definition: ModelDefinition) -> DeclaredGraph:
    """Read a definition as a declared graph. Purity: pure."""
    return DeclaredGraph(definition.id, definition.selectors, definition.targets, definition.root)


def validate_nesting(graphs: Sequence[DeclaredGraph]) -> list[NestingProblem]:
    """Find everything wrong between graphs, each of which may have problems of its own. Purity: pure."""
    whole = _Whole(graphs)
    order, cycles = _depth_first(whole.members)
    problems = [
        whole.problem_at(cycle[0], f"expected no cycle, got {_spelled((*cycle, cycle[0]))}") for cycle in cycles
    ]
    if not cycles:
        problems += _depth_problems(whole, order)
    problems += _impossible(whole)
    return sorted(problems, key=lambda found: found.graph)


def never_chosen(graphs: Sequence[DeclaredGraph]) -> Iterator[NestingProblem]:
    """Find targets that a dispatcher never takes first and never to any avail, since another one makes the same call. Purity: pure.

    Another model of the same window is a fallback that somebody may well want; the same one fails alike.
    """
    for index, graph in enumerate(graphs):
        targets = {target.id: target for target in graph.targets}
        for selector in graph.selectors:
            if isinstance(selector, Dispatcher):
                for place, name in enumerate(selector.models):
                    better = _always_before(name, selector.models, targets)
                    if better is not None:
                        message = (
                            f'never chosen: "{better}" is the same model of the same provider, and comes before it'
                        )
                        yield NestingProblem(index, GraphProblem(member_path(selector, place), message))


class _Whole:
    """All graphs as one: what each node has for members, and where it was declared."""

    def __init__(self, graphs: Sequence[DeclaredGraph]) -> None:
        self.members: dict[_Node, list[_Node]] = {}
        self.direct: dict[_Node, list[Target]] = {}
        self.selectors: dict[_Node, Selector] = {}
        self._places: dict[str, int] = {}
        for index, graph in enumerate(graphs):
            if graph.model not in self._places:
                self._places[graph.model] = index
                self._add(graph)
        # A model that does not exist is a problem of the graph that names it, and leads nowhere here.
        self.members = {
            node: [below for below in named if below in self.members] for node, named in self.members.items()
        }

    def problem_at(self, node: _Node, message: str) -> NestingProblem:
        """Report a problem at the members of a node."""
        selector = self.selectors.get(node)
        path = "route_root" if selector is None else members_path(selector)
        return self.problem(node, path, message)

    def problem(self, node: _Node, path: str, message: str) -> NestingProblem:
        """Report a problem at a path in the model of a node."""
        return NestingProblem(self._places[node.model], GraphProblem(path, message))

    def behind(self, node: _Node, name: str) -> list[Target]:
        """The targets that can be reached through one member of a node, cycles or not."""
        direct = [target for target in self.direct[node] if target.id == name]
        if direct:
            return direct
        found: dict[str, Target] = {}
        passed: set[_Node] = set()
        waiting = [_member(node, name)]
        while waiting:
            place = waiting.pop()
            if place in self.members and place not in passed:
                passed.add(place)
                found.update((target.id, target) for target in self.direct[place])
                waiting += self.members[place]
        return list(found.values())

    def _add(self, graph: DeclaredGraph) -> None:
        targets = {target.id: target for target in graph.targets}
        selectors: dict[str, Selector] = {}
        for selector in graph.selectors:
            selectors.setdefault(selector.id, selector)
        root = effective_root(graph.selectors, graph.root)
        entrance = _Node(graph.model, "")
        if root is None:
            root = IMPLICIT_ROOT
            selectors[root] = Dispatcher(root, tuple(targets))
        self._place(entrance, (root,), selectors, targets)
        for name, selector in selectors.items():
            node = _Node(graph.model, name)
            self.selectors[node] = selector
            self._place(node, selector.models, selectors, targets)

    def _place(
        self, node: _Node, names: Sequence[str], selectors: Mapping[str, Selector], targets: Mapping[str, Target]
    ) -> None:
        self.members[node] = [
            _member(node, name) for name in names if name in selectors or name.startswith(MODEL_PREFIX)
        ]
        self.direct[node] = [targets[name] for name in names if name in targets and name not in selectors]


def _depth_first(members: Mapping[_Node, Sequence[_Node]]) -> tuple[list[_Node], list[tuple[_Node, ...]]]:
    """Visit every node, members first; return that order and the cycles met.

    Walks with a stack of its own: the graph is not yet known to be shallow.
    """
    order: list[_Node] = []
    cycles: list[tuple[_Node, ...]] = []
    finished: set[_Node] = set()
    for start in members:
        if start in finished:
            continue
        trail = {start: iter(members[start])}
        while trail:
            current = next(reversed(trail))
            member = next((node for node in trail[current] if node not in finished), None)
            if member is None:
                del trail[current]
                finished.add(current)
                order.append(current)
            elif member in trail:
                nodes = list(trail)
                cycles.append(_from_a_selector(nodes[nodes.index(member) :]))
            else:
                trail[member] = iter(members[member])
    return order, cycles


def _from_a_selector(cycle: Sequence[_Node]) -> tuple[_Node, ...]:
    """Turn a cycle so that it begins at a selector, where it can be mended, if it holds one."""
    first = next((index for index, node in enumerate(cycle) if node.name), 0)
    return (*cycle[first:], *cycle[:first])


def _depth_problems(whole: _Whole, order: Sequence[_Node]) -> Iterator[NestingProblem]:
    depths: dict[_Node, int] = {}
    deepest: dict[_Node, _Node | None] = {}
    for node in order:
        deepest[node] = max(whole.members[node], key=depths.__getitem__, default=None)
        below = deepest[node]
        depths[node] = 1 + (0 if below is None else depths[below])
    inner = {member for members in whole.members.values() for member in members}
    for head in whole.members:
        # A request for a model begins inside of it: only as a member of another does the model take a place of its own.
        start = head if head.name else deepest[head]
        if head not in inner and start is not None and depths[start] > MAX_DEPTH:
            chain: list[_Node] = []
            step: _Node | None = start
            while step is not None:
                chain.append(step)
                step = deepest[step]
            yield whole.problem_at(
                start,
                f"expected at most {MAX_DEPTH} selectors and models in a row, got {len(chain)}: {_spelled(chain)}",
            )


def _impossible(whole: _Whole) -> Iterator[NestingProblem]:
    for node, selector in whole.selectors.items():
        if isinstance(selector, Alloy) and selector.min_context_window is not None:
            yield from _window_problems(whole, node, selector, selector.min_context_window)
        elif isinstance(selector, Guard) and selector.require.target_tags:
            wanted = set(selector.require.target_tags)
            guarded = whole.behind(node, selector.model)
            if guarded and all(wanted.isdisjoint(target.tags) for target in guarded):
                tags = ", ".join(f'"{tag}"' for tag in selector.require.target_tags)
                message = f'expected a tag that a target behind "{selector.model}" has, got {tags}'
                yield whole.problem(node, f"{selector_path(selector)}.require.target_tags", message)


def _window_problems(whole: _Whole, node: _Node, alloy: Alloy, floor: int) -> Iterator[NestingProblem]:
    for name in alloy.models:
        largest = max((target.context_window for target in whole.behind(node, name)), default=floor)
        if largest < floor:
            message = f'expected at most the {largest} tokens of constituent "{name}", got {floor}'
            yield whole.problem(node, f"{selector_path(alloy)}.min_context_window", message)


def _always_before(name: str, members: Sequence[str], targets: Mapping[str, Target]) -> str | None:
    """Find the member that makes the same call for whatever this one can serve, and comes before it, if there is one."""
    target = targets.get(name)
    if target is None:
        return None
    rivals = (targets[other] for other in members if other in targets and other < name)
    return next((rival.id for rival in rivals if _covers(rival, target)), None)


def _covers(rival: Target, target: Target) -> bool:
    if _call(rival) != _call(target):
        return False
    return rival.capabilities is None or (target.capabilities is not None and target.capabilities <= rival.capabilities)


def _call(target: Target) -> tuple[str, str, int]:
    return target.provider, target.upstream_model, target.context_window


def _member(node: _Node, name: str) -> _Node:
    """The node that a member's name means, where it is no target."""
    return _Node(name.removeprefix(MODEL_PREFIX), "") if name.startswith(MODEL_PREFIX) else _Node(node.model, name)


def _spelled(chain: Sequence[_Node]) -> str:
    return " → ".join(map(str, chain))
