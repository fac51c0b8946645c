"""Random graphs, nested and guarded, and random requests, health and policies to meet them with."""

from functools import cache
from typing import Literal

from hypothesis import strategies as st

from tests.wardwright.planner.graphs import composed, target
from wardwright.domain.route import (
    MODEL_PREFIX,
    Alias,
    Alloy,
    AlloyStrategy,
    Cascade,
    Composition,
    Constituent,
    Dispatcher,
    Guard,
    HealthReason,
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

NAMES = ("a/1", "a/2", "b/1", "b/2", "c")
NEEDS = ("tools", "vision")
SUBJECTS = (*NAMES, "a", "b")
MODELS = ("outer", "middle", "inner")

capabilities = st.sampled_from((None, None, frozenset(NEEDS), frozenset({"tools"})))
needs = st.sampled_from(((), (), ("tools",), ("tools", "vision")))
windows = st.integers(1, 50)
booleans = st.booleans()
weights = st.integers(1, 5)
kinds = st.sampled_from(("dispatcher", "cascade", "alloy", "guard", "alias"))
strategies: st.SearchStrategy[AlloyStrategy] = st.sampled_from(("round_robin", "weighted", "deterministic_all"))
reasons: st.SearchStrategy[HealthReason] = st.sampled_from(("breaker_open", "rate_limited", "saturated"))
states = st.builds(Unhealthy, st.sampled_from(SUBJECTS), reasons)
remembered = st.dictionaries(st.sampled_from(("s1", "s2", "wardwright/inner/s1")), st.sampled_from(NAMES), max_size=2)
entries = st.none() | st.lists(st.sampled_from(SUBJECTS), max_size=3, unique=True).map(tuple)
policies = st.builds(
    RouteConstraints,
    allowed_targets=entries,
    forced_model=st.none() | st.sampled_from((*NAMES, "gone")),
    allow_fallback=st.booleans(),
)


@cache
def members_of(pool: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(pool), min_size=2, max_size=4, unique=True).map(tuple)


@st.composite
def targets(draw: st.DrawFn) -> list[Target]:
    return [
        target(
            name,
            draw(windows),
            draw(capabilities),
            tags=("private",) if draw(booleans) else (),
            history="private" if draw(booleans) else "shared",
        )
        for name in NAMES
    ]


@st.composite
def selectors(draw: st.DrawFn, name: str, pool: tuple[str, ...], *, may_overflow: bool) -> Selector:
    members = draw(members_of(pool))
    sticky = draw(booleans)
    overflow: Literal["refuse", "largest"] = "largest" if may_overflow and draw(booleans) else "refuse"
    match draw(kinds):
        case "dispatcher":
            return Dispatcher(name, members, sticky=sticky, on_overflow=overflow)
        case "cascade":
            return Cascade(name, members, sticky=sticky, on_overflow=overflow)
        case "alloy":
            constituents = tuple(Constituent(member, draw(weights)) for member in members)
            partial = draw(booleans)
            return Alloy(name, draw(strategies), constituents, partial, sticky=sticky, on_overflow=overflow)
        case "guard":
            require = Requirements(
                tenant_id=("acme",) if draw(booleans) else (), target_tags=("private",) if draw(booleans) else ()
            )
            return Guard(name, members[0], require, members[1] if draw(booleans) else None)
        case _:
            return Alias(name, members[0])


@st.composite
def compositions(draw: st.DrawFn, *, may_overflow: bool = False) -> Composition:
    """Models without cycles: members of a selector are declared after it, and models nest in one direction."""
    known = draw(targets())
    made: list[ModelDefinition] = []
    for index, name in reversed(list(enumerate(MODELS))):
        below = tuple(f"{MODEL_PREFIX}{model}" for model in MODELS[index + 1 :])
        second = draw(selectors("s2", (*NAMES, *below), may_overflow=may_overflow))
        first = draw(selectors("s1", (*NAMES, *below, "s2"), may_overflow=may_overflow))
        made.insert(0, ModelDefinition(name, "1", "s1", (first, second), tuple(known)))
    return composed(*made)


all_inputs = st.builds(
    PlanInputs,
    request=st.builds(RequestFacts, st.integers(1, 40), st.integers(0, 10), needs),
    caller=st.dictionaries(st.just("tenant_id"), st.sampled_from(("acme", "globex")), max_size=1),
    session=st.none() | st.builds(SessionFacts, st.integers(1, 9), remembered),
    health=st.lists(states, max_size=2).map(tuple),
    constraints=st.dictionaries(st.sampled_from(MODELS), policies, max_size=2),
    seed=st.integers(0, 2**53 - 1),
)
