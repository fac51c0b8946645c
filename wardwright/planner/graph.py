"""The shape of one model's route graph: whether it can be planned on at all, and which targets it reaches.

A graph is a set of selectors whose members are targets, other selectors, or other models by their prefixed name. It is sound when
every member exists, every id names one thing, every selector has what its kind needs, and it is clear where planning begins: `root`
says so, a lone selector needs no saying, and without selectors the model dispatches over all its targets. Cycles, depth and
windows are matters of all models together: `planner.nesting` judges them.

Everything after validation (`expand`, `planner.plan`) trusts these rules and does not check them again.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from wardwright.domain.route import (
    MODEL_PREFIX,
    Alias,
    Alloy,
    Cascade,
    Dispatcher,
    Guard,
    Requirements,
    Selector,
    Target,
)

IMPLICIT_ROOT = "all targets"  # with a space, which no declared id has

_KINDS: Mapping[type[Selector], tuple[str, str]] = {
    Dispatcher: ("dispatcher", "dispatchers"),
    Cascade: ("cascade", "cascades"),
    Alloy: ("alloy", "alloys"),
    Guard: ("guard", "guards"),
    Alias: ("alias", "aliases"),
}
_FEWEST_CONSTITUENTS = 2


class GraphProblem(msgspec.Struct, frozen=True):
    """One thing wrong with a graph. `path` begins at the model: `dispatchers.fit.models[1]`."""

    path: str
    message: str


class RouteGraph(msgspec.Struct, frozen=True):
    """What planning begins with: where it starts, and the selectors and targets of the model that it can reach from there."""

    root: str
    selectors: tuple[Selector, ...]
    targets: tuple[Target, ...]


def validate_graph(
    selectors: Sequence[Selector],
    target_ids: Collection[str],
    root: str | None = None,
    model_ids: Collection[str] = (),
) -> list[GraphProblem]:
    """Find everything wrong with a model's graph, in the order of its declaration; an empty list means it is sound. Purity: pure."""
    models = (f"{MODEL_PREFIX}{name}" for name in model_ids)
    known = dict.fromkeys([*(selector.id for selector in selectors), *target_ids, *models])
    problems: list[GraphProblem] = []
    seen: set[str] = set()
    for selector in selectors:
        problems += _id_problems(selector, seen, target_ids)
        problems += _member_problems(selector, known)
        problems += _kind_problems(selector)
        seen.add(selector.id)
    problems += _root_problems(selectors, target_ids, root, known)
    return problems


def expand(selectors: Sequence[Selector], targets: Sequence[Target], root: str | None = None) -> RouteGraph:
    """Settle the root of a sound graph and leave out what it does not reach. Purity: pure."""
    start = effective_root(selectors, root)
    if start is None:
        everything = Dispatcher(id=IMPLICIT_ROOT, models=tuple(target.id for target in targets))
        return RouteGraph(root=IMPLICIT_ROOT, selectors=(everything,), targets=tuple(targets))
    by_id = {selector.id: selector for selector in selectors}
    reached = set(_reachable(start, by_id))
    return RouteGraph(
        root=start,
        selectors=tuple(selector for selector in selectors if selector.id in reached),
        targets=tuple(target for target in targets if target.id in reached),
    )


def effective_root(selectors: Sequence[Selector], root: str | None) -> str | None:
    """Name where planning begins; None means at all targets of the model. Purity: pure."""
    if root is not None:
        return root
    return selectors[0].id if selectors else None


def kind_of(selector: Selector) -> str:
    """Name the kind of a selector in the configuration's word for one of them. Purity: pure."""
    return _KINDS[type(selector)][0]


def selector_path(selector: Selector) -> str:
    """Say where in its model a selector is declared. Purity: pure."""
    return f"{_KINDS[type(selector)][1]}.{selector.id}"


def members_path(selector: Selector) -> str:
    """Say where a selector names its members. Purity: pure."""
    match selector:
        case Dispatcher() | Cascade():
            return f"{selector_path(selector)}.models"
        case Alloy():
            return f"{selector_path(selector)}.constituents"
        case _:
            return f"{selector_path(selector)}.model"


def member_path(selector: Selector, index: int) -> str:
    """Say where a selector names one of its members. Purity: pure."""
    match selector:
        case Dispatcher() | Cascade():
            return f"{members_path(selector)}[{index}]"
        case Alloy():
            return f"{members_path(selector)}[{index}].model"
        case Guard() if index == 1:
            return f"{selector_path(selector)}.otherwise"
        case _:
            return members_path(selector)


def _id_problems(selector: Selector, seen: set[str], target_ids: Collection[str]) -> Iterator[GraphProblem]:
    path = f"{selector_path(selector)}.id"
    if selector.id in seen:
        yield GraphProblem(
            path, f'expected an id of its own, but another selector of this model is "{selector.id}" too'
        )
    if selector.id in target_ids:
        yield GraphProblem(path, f'expected an id of its own, but a target is "{selector.id}" too')
    if selector.id.startswith(MODEL_PREFIX):
        yield GraphProblem(path, f'expected an id that does not begin with "{MODEL_PREFIX}", got "{selector.id}"')


def _member_problems(selector: Selector, known: Collection[str]) -> Iterator[GraphProblem]:
    if not selector.models:
        yield GraphProblem(members_path(selector), "expected at least one target or selector, got an empty list")
    earlier: set[str] = set()
    for index, member in enumerate(selector.models):
        if member not in known:
            yield GraphProblem(member_path(selector, index), _unknown(member, known))
        elif member in earlier:
            yield GraphProblem(member_path(selector, index), f'expected every member once, got "{member}" again')
        earlier.add(member)


def _kind_problems(selector: Selector) -> Iterator[GraphProblem]:
    match selector:
        case Alloy() if 0 < len(selector.constituents) < _FEWEST_CONSTITUENTS:
            yield GraphProblem(
                members_path(selector),
                f"expected at least {_FEWEST_CONSTITUENTS} constituents, got {len(selector.constituents)}",
            )
        case Guard() if selector.require == Requirements():
            names = ", ".join(f'"{name}"' for name in Requirements.__struct_fields__)
            yield GraphProblem(f"{selector_path(selector)}.require", f"expected at least one of {names}, got none")
        case _:
            return


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
    nearest = difflib.get_close_matches(name, list(known), n=1)
    hint = f', did you mean "{nearest[0]}"?' if nearest else ""
    if name.startswith(MODEL_PREFIX):
        return f'expected "{MODEL_PREFIX}" and the id of a model, got "{name}"{hint}'
    return f'expected the id of a target or of a selector of this model, got "{name}"{hint}'
