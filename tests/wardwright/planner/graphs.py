"""Small graphs to plan on."""

from collections.abc import Sequence
from typing import Any, Literal

from wardwright.domain.route import (
    Composition,
    ModelDefinition,
    PlanInputs,
    RequestFacts,
    RouteConstraints,
    RoutePlan,
    Selector,
    Target,
    Unhealthy,
)
from wardwright.planner.composition import compose
from wardwright.planner.graph import expand
from wardwright.planner.plan import plan


def target(
    name: str,
    window: int = 100,
    capabilities: frozenset[str] | None = None,
    *,
    tags: tuple[str, ...] = (),
    history: Literal["shared", "private"] = "shared",
) -> Target:
    """A target; its provider is what stands before the slash."""
    return Target(name, name.split("/", maxsplit=1)[0], name, window, capabilities, tags=tags, history=history)


def model(targets: Sequence[Target], *selectors: Selector, root: str | None = None, name: str = "m") -> ModelDefinition:
    """A definition, whose root is the first selector unless another one is named."""
    graph = expand(selectors, targets, root)
    return ModelDefinition(name, "1", graph.root, graph.selectors, graph.targets)


def composed(root: ModelDefinition, *nested: ModelDefinition) -> Composition:
    """A model with the models below it."""
    return compose(root, {definition.id: definition for definition in (root, *nested)})


def planned(
    what: ModelDefinition | Composition,
    tokens: int | RequestFacts = 4,
    *,
    policy: RouteConstraints | None = None,
    **inputs: Any,
) -> RoutePlan:
    """The plan for a request of so many tokens, with whatever else is known of it; `policy` is that of the model itself."""
    composition = what if isinstance(what, Composition) else Composition(what)
    facts = tokens if isinstance(tokens, RequestFacts) else RequestFacts(tokens)
    if policy is not None:
        inputs["constraints"] = {composition.root.id: policy}
    return plan(composition, PlanInputs(facts, **inputs))


def order(found: RoutePlan) -> list[str]:
    """The planned targets by id."""
    return [chosen.id for chosen in found.targets]


def reasons(found: RoutePlan) -> dict[str, str]:
    """Why each skipped target was skipped."""
    return {skip.target: skip.reason for skip in found.skipped}


def down(*subjects: str) -> tuple[Unhealthy, ...]:
    """These providers or targets keep failing."""
    return tuple(Unhealthy(subject, "breaker_open") for subject in subjects)
