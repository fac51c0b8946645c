"""What holds for every plan of every graph: random graphs, nested and guarded, met with random requests, health and policies."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal

import msgspec
from hypothesis import given
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
    RoutePlan,
    Selector,
    SessionFacts,
    Target,
    Unhealthy,
)
from wardwright.planner.fitness import unfit
from wardwright.planner.plan import plan
from wardwright.planner.refusal import explain_empty_plan

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


def reachable(composition: Composition) -> set[str]:
    """Every target that the graph leads to: the slow and obvious way."""
    models = {model.id: model for model in (composition.root, *composition.nested.values())}

    def below(model: ModelDefinition, name: str) -> Iterator[str]:
        if name.startswith(MODEL_PREFIX):
            inner = models[name.removeprefix(MODEL_PREFIX)]
            yield from below(inner, inner.root)
            return
        selector = next((node for node in model.selectors if node.id == name), None)
        if selector is None:
            yield name
        else:
            for member in selector.models:
                yield from below(model, member)

    return set(below(composition.root, composition.root.root))


@given(compositions(may_overflow=True), all_inputs)
def test_every_target_is_planned_once_or_skipped_with_one_reason(composition: Composition, inputs: PlanInputs) -> None:
    found = plan(composition, inputs)
    told = [chosen.id for chosen in found.targets] + [skip.target for skip in found.skipped]
    assert len(told) == len(set(told))
    outside = {skip.target for skip in found.skipped if skip.reason == "forced_model_unavailable"}
    assert set(told) - outside == reachable(composition) - outside


@given(compositions(), all_inputs)
def test_no_planned_target_is_too_small_incapable_or_unhealthy(composition: Composition, inputs: PlanInputs) -> None:
    ill = {state.subject for state in inputs.health}
    for chosen in plan(composition, inputs).targets:
        assert unfit(chosen, inputs.request) is None
        assert ill.isdisjoint({chosen.id, chosen.provider})


@given(compositions(may_overflow=True), all_inputs)
def test_no_planned_target_is_outside_what_the_policy_allows(composition: Composition, inputs: PlanInputs) -> None:
    found = plan(composition, inputs)
    policy = inputs.constraints.get("outer", RouteConstraints())
    assert all(policy.allows(chosen) for chosen in found.targets)
    if policy.forced_model is not None and found.targets and not found.fallback_used:
        assert [chosen.id for chosen in found.targets] == [policy.forced_model]


@given(compositions(may_overflow=True), all_inputs)
def test_a_target_too_small_is_taken_only_when_none_is_large_enough(
    composition: Composition, inputs: PlanInputs
) -> None:
    found = plan(composition, inputs)
    if found.overflow is not None:
        strict = plan(_without_overflow(composition), inputs)
        assert strict.targets == ()
        assert explain_empty_plan(strict, inputs.request).code == "context_length_exceeded"


@given(compositions(), all_inputs, policies)
def test_a_further_restriction_only_narrows(
    composition: Composition, inputs: PlanInputs, more: RouteConstraints
) -> None:
    """A restriction of a nested model, or a shorter list for the outer one, adds no target."""
    unforced = {name: _unforced(policy) for name, policy in inputs.constraints.items()}
    before = msgspec.structs.replace(inputs, constraints=unforced)
    narrower: Mapping[str, RouteConstraints] = {**unforced, "inner": _unforced(more)}
    if "inner" in unforced:
        return
    after = msgspec.structs.replace(inputs, constraints=narrower)
    assert _ids(plan(composition, after)) <= _ids(plan(composition, before))


@given(compositions(may_overflow=True), all_inputs)
def test_planning_is_a_function_of_what_a_receipt_records(composition: Composition, inputs: PlanInputs) -> None:
    found = plan(composition, inputs)
    read_back = msgspec.json.decode(msgspec.json.encode(inputs), type=PlanInputs)
    afresh = Composition(composition.root, composition.nested)
    assert plan(afresh, read_back) == found


@given(compositions(may_overflow=True), all_inputs)
def test_the_path_leads_from_the_root_to_the_first_target(composition: Composition, inputs: PlanInputs) -> None:
    found = plan(composition, inputs)
    if not found.targets:
        assert explain_empty_plan(found, inputs.request).message
        return
    models = {model.id: model for model in (composition.root, *composition.nested.values())}
    model, allowed = composition.root, {composition.root.root}
    for step in found.graph_path:
        assert step in allowed
        if step.startswith(MODEL_PREFIX):
            model = models[step.removeprefix(MODEL_PREFIX)]
            allowed = {model.root}
        else:
            allowed = set(next(node.models for node in model.selectors if node.id == step))
    assert found.targets[0].id in allowed or found.overflow is not None


@given(compositions(), all_inputs)
def test_what_a_session_stays_on_comes_first_where_it_was_chosen(composition: Composition, inputs: PlanInputs) -> None:
    found = plan(composition, inputs)
    places = {chosen.id: place for place, chosen in enumerate(found.targets)}
    for choice in found.sticky:
        assert inputs.session is not None
        if choice.kept is not None:
            assert inputs.session.sticky[choice.selector] == choice.kept
            assert choice.kept in choice.targets
            assert choice.kept in places


@given(compositions(), all_inputs, st.integers(1, 9), st.dictionaries(st.just("user"), st.text(), max_size=1))
def test_nothing_a_caller_supplies_steers_a_weighted_choice(
    composition: Composition, inputs: PlanInputs, turn: int, said: dict[str, str]
) -> None:
    """Between two calls that differ in what the caller says and no guard asks for, the same seed draws the same."""
    session = SessionFacts(1)
    before = msgspec.structs.replace(inputs, session=session)
    caller = {**inputs.caller, **said}
    assert plan(composition, before) == plan(composition, msgspec.structs.replace(before, caller=caller))
    weighted = all(
        not isinstance(node, Alloy) or node.strategy != "round_robin"
        for model in (composition.root, *composition.nested.values())
        for node in model.selectors
    )
    if weighted:
        later = msgspec.structs.replace(before, session=SessionFacts(turn))
        assert plan(composition, before).targets == plan(composition, later).targets


def _ids(found: RoutePlan) -> set[str]:
    return {chosen.id for chosen in found.targets}


def _unforced(policy: RouteConstraints) -> RouteConstraints:
    return RouteConstraints(allowed_targets=policy.allowed_targets)


def _without_overflow(composition: Composition) -> Composition:
    def strict(model: ModelDefinition) -> ModelDefinition:
        nodes = (
            node if isinstance(node, Guard | Alias) else msgspec.structs.replace(node, on_overflow="refuse")
            for node in model.selectors
        )
        return msgspec.structs.replace(model, selectors=tuple(nodes))

    nested = {name: strict(model) for name, model in composition.nested.items()}
    return Composition(strict(composition.root), nested)
