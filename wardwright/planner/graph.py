"""The shape of a route graph: whether it can be planned on at all, and which targets it reaches.

A graph is a set of selectors whose members are targets or other selectors. It is sound when every member exists, every id
names one thing, no selector reaches itself, no path holds more than `MAX_DEPTH` selectors, and it is clear where planning
begins: `root` says so, a lone selector needs no saying, and without selectors the model dispatches over all its targets.

Everything after validation (`expand`, `planner.plan`) trusts these rules and does not check them again.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from wardwright.domain.route import Dispatcher, Selector, Target

MAX_DEPTH = 8
IMPLICIT_ROOT = "all targets"  # with a space, which no declared id has
MODEL_NAMESPACE = "wardwright/"


class GraphProblem(msgspec.Struct, frozen=True):
    """One thing wrong with a graph. `path` begins at the model: `dispatchers.fit.models[1]`."""

    path: str
    message: str


class RouteGraph(msgspec.Struct, frozen=True):
    """What planning begins with: where it starts, and the selectors and targets it can reach from there."""

    root: str
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]


def validate_graph(
    selectors: Sequence[Selector], target_ids: Collection[str], root: str | None = None
) -> list[GraphProblem]:
    """Find everything wrong with a graph, in the order of its declaration; an empty list means it is sound. Purity: pure."""
    known = dict.fromkeys([*(selector.id for selector in selectors), *target_ids])
    problems: list[GraphProblem] = []
    seen: set[str] = set()
    for selector in selectors:
        problems += _id_problems(selector, seen, target_ids)
        problems += _member_problems(selector, known)
        seen.add(selector.id)
    problems += _root_problems(selectors, target_ids, root, known)
    problems += _chain_problems(selectors)
    return problems


def expand(selectors: Sequence[Selector], targets: Sequence[Target], root: str | None = None) -> RouteGraph:
    """Settle the root of a sound graph and leave out what it does not reach. Purity: pure."""
    if root is None and not selectors:
        everything = Dispatcher(id=IMPLICIT_ROOT, models=tuple(target.id for target in targets))
        return RouteGraph(root=IMPLICIT_ROOT, selectors=(everything,), targets=tuple(targets))
    start = root if root is not None else selectors[0].id
    by_id = {selector.id: selector for selector in selectors}
    reached = set(_reachable(start, by_id))
    return RouteGraph(
        root=start,
        selectors=tuple(selector for selector in selectors if selector.id in reached),
        targets=tuple(target for target in targets if target.id in reached),
    )


def kind_of(selector: Selector) -> str:
    """Name the kind of a selector in the configuration's word for one of them. Purity: pure."""
    return "dispatcher" if isinstance(selector, Dispatcher) else "cascade"


def selector_path(selector: Selector) -> str:
    """Say where in its model a selector is declared. Purity: pure."""
    return f"{kind_of(selector)}s.{selector.id}"


def _id_problems(selector: Selector, seen: set[str], target_ids: Collection[str]) -> Iterator[GraphProblem]:
    path = f"{selector_path(selector)}.id"
    if selector.id in seen:
        yield GraphProblem(
            path, f'expected an id of its own, but another selector of this model is "{selector.id}" too'
        )
    if selector.id in target_ids:
        yield GraphProblem(path, f'expected an id of its own, but a target is "{selector.id}" too')


def _member_problems(selector: Selector, known: Collection[str]) -> Iterator[GraphProblem]:
    path = f"{selector_path(selector)}.models"
    if not selector.models:
        yield GraphProblem(path, "expected at least one target or selector, got an empty list")
    earlier: set[str] = set()
    for index, member in enumerate(selector.models):
        if member not in known:
            yield GraphProblem(f"{path}[{index}]", _unknown(member, known))
        elif member in earlier:
            yield GraphProblem(f"{path}[{index}]", f'expected every member once, got "{member}" again')
        earlier.add(member)


def _root_problems(
    selectors: Sequence[Selector], target_ids: Collection[str], root: str | None, known: Collection[str]
) -> Iterator[GraphProblem]:
    if root is not None:
        if root not in known:
            yield GraphProblem("route_root", _unknown(root, known))
    elif len(selectors) > 1:
        names = ", ".join(f'"{selector.id}"' for selector in selectors)
        yield GraphProblem("route_root", f"expected the selector where routing begins, one of {names}, got nothing")
    elif not selectors and not target_ids:
        yield GraphProblem("route_root", "expected a target to route to, but no target is configured")


def _chain_problems(selectors: Sequence[Selector]) -> Iterator[GraphProblem]:
    by_id = {selector.id: selector for selector in selectors}
    order, cycles = _depth_first(by_id)
    for cycle in cycles:
        spelled = " → ".join((*cycle, cycle[0]))
        yield GraphProblem(f"{selector_path(by_id[cycle[0]])}.models", f"expected no cycle, got {spelled}")
    if cycles:
        return
    longest = max(_longest_chains(order, by_id).values(), key=len, default=())
    if len(longest) > MAX_DEPTH:
        path = f"{selector_path(by_id[longest[0]])}.models"
        spelled = " → ".join(longest)
        yield GraphProblem(path, f"expected at most {MAX_DEPTH} selectors in a row, got {len(longest)}: {spelled}")


def _depth_first(by_id: Mapping[str, Selector]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Visit every selector, members first; return that order and the cycles met.

    Walks with a stack of its own: the graph is not yet known to be shallow.
    """
    order: list[str] = []
    cycles: list[tuple[str, ...]] = []
    finished: set[str] = set()
    for start in by_id:
        if start in finished:
            continue
        trail = {start: iter(by_id[start].models)}
        while trail:
            current = next(reversed(trail))
            member = next((name for name in trail[current] if name in by_id and name not in finished), None)
            if member is None:
                del trail[current]
                finished.add(current)
                order.append(current)
            elif member in trail:
                names = list(trail)
                cycles.append(tuple(names[names.index(member) :]))
            else:
                trail[member] = iter(by_id[member].models)
    return order, cycles


def _longest_chains(order: Sequence[str], by_id: Mapping[str, Selector]) -> dict[str, tuple[str, ...]]:
    """Find, for every selector of an acyclic graph, the longest chain of selectors that begins with it."""
    chains: dict[str, tuple[str, ...]] = {}
    for name in order:
        below = max((chains[member] for member in by_id[name].models if member in by_id), key=len, default=())
        chains[name] = (name, *below)
    return chains


def _reachable(start: str, by_id: Mapping[str, Selector]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            if name in by_id:
                waiting += by_id[name].models
    return reached


def _unknown(name: str, known: Collection[str]) -> str:
    expected = "expected the id of a target or of a selector of this model"
    if name.startswith(MODEL_NAMESPACE):
        return f'{expected}; other synthetic models such as "{name}" are not supported as members by this version yet'
    nearest = difflib.get_close_matches(name, list(known), n=1)
    hint = f', did you mean "{nearest[0]}"?' if nearest else ""
    return f'{expected}, got "{name}"{hint}'
