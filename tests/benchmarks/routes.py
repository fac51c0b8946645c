"""Route graphs to plan on: one as people write them, and one of a size that nobody should need."""

from collections.abc import Sequence

from wardwright.domain.route import (
    Alias,
    Alloy,
    Cascade,
    Composition,
    Constituent,
    Dispatcher,
    Guard,
    ModelDefinition,
    PlanInputs,
    RequestFacts,
    Requirements,
    RouteConstraints,
    Selector,
    SessionFacts,
    Target,
    Unhealthy,
)

_CAPABLE = frozenset({"chat", "tools"})
_GROUP = 10


def small_route() -> Composition:
    """Ten targets behind a dispatcher, a cascade, an alloy, a guard and an alias."""
    targets = _targets(10)
    selectors: tuple[Selector, ...] = (
        Dispatcher("fit", ("p0/0", "p1/1", "p2/2", "long"), sticky=True),
        Alias("long", "steps"),
        Cascade("steps", ("paid", "blend", "p0/9")),
        Guard("paid", "p2/8", Requirements(tenant_id=("acme",)), "p0/3"),
        Alloy("blend", "weighted", _constituents(("p1/4", "p2/5", "p0/6", "p1/7"))),
    )
    return Composition(ModelDefinition("small", "1", "fit", selectors, targets))


def large_route() -> Composition:
    """Two hundred targets in groups of ten, dispatchers, cascades and alloys in turn, half of them behind a nested model."""
    targets = _targets(200)
    outer, inner = targets[:100], targets[100:]
    nested = _grouped("inner", inner)
    root = _grouped("outer", outer, "wardwright/inner")
    return Composition(root, {"inner": nested})


def all_facts(composition: Composition) -> PlanInputs:
    """A request of which everything is known that a plan can look at; about half of the targets can serve it."""
    return PlanInputs(
        RequestFacts(8_000, 1_000, ("tools",)),
        composition.versions,
        caller={"tenant_id": "acme"},
        session=SessionFacts(3, {"fit": "p1/4"}),
        health=(Unhealthy("p2", "rate_limited", 3.0), Unhealthy("p0/6", "breaker_open")),
        constraints={composition.root.id: RouteConstraints(allowed_targets=("p0", "p1", "p2"))},
        seed=5_771_230_418_201_377,
    )


def _grouped(name: str, targets: Sequence[Target], *more: str) -> ModelDefinition:
    groups: list[Selector] = []
    for number, begin in enumerate(range(0, len(targets), _GROUP)):
        members = tuple(target.id for target in targets[begin : begin + _GROUP])
        kinds: tuple[Selector, ...] = (
            Dispatcher(f"g{number}", members),
            Cascade(f"g{number}", members),
            Alloy(f"g{number}", "round_robin", _constituents(members), partial_context=True),
        )
        groups.append(kinds[number % len(kinds)])
    fit = Dispatcher("fit", (*(group.id for group in groups), *more))
    return ModelDefinition(name, "1", "fit", (fit, *groups), tuple(targets))


def _targets(count: int) -> tuple[Target, ...]:
    return tuple(
        Target(f"p{number % 3}/{number}", f"p{number % 3}", "mock", 2_000 + 80_000 // count * number, _CAPABLE)
        for number in range(count)
    )


def _constituents(names: Sequence[str]) -> tuple[Constituent, ...]:
    return tuple(Constituent(name, 1 + place % 3) for place, name in enumerate(names))
