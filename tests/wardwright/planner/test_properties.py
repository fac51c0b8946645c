"""What holds for every plan of every graph: random graphs, nested and guarded, met with random requests, health and policies."""

from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.planner.strategies import SUBJECTS, all_inputs, compositions, policies
from wardwright.domain.route import (
    MODEL_PREFIX,
    Alias,
    Alloy,
    Composition,
    Guard,
    ModelDefinition,
    PlanInputs,
    RouteConstraints,
    RoutePlan,
    SessionFacts,
)
from wardwright.planner.fitness import unfit
from wardwright.planner.plan import plan
from wardwright.planner.refusal import explain_empty_plan


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
def test_a_restriction_of_a_nested_model_adds_no_target(
    composition: Composition, inputs: PlanInputs, more: RouteConstraints
) -> None:
    unforced = {name: _unforced(policy) for name, policy in inputs.constraints.items() if name != "inner"}
    before = msgspec.structs.replace(inputs, constraints=unforced)
    after = msgspec.structs.replace(inputs, constraints={**unforced, "inner": _unforced(more)})
    assert _ids(plan(composition, after)) <= _ids(plan(composition, before))


@given(compositions(), all_inputs, st.sets(st.sampled_from(SUBJECTS)), st.sets(st.sampled_from(SUBJECTS)))
def test_a_shorter_list_of_allowed_targets_adds_no_target(
    composition: Composition, inputs: PlanInputs, allowed: set[str], fewer: set[str]
) -> None:
    def planned(entries: set[str]) -> set[str]:
        constraints = {"outer": RouteConstraints(allowed_targets=tuple(sorted(entries)))}
        return _ids(plan(composition, msgspec.structs.replace(inputs, constraints=constraints)))

    assert planned(allowed & fewer) <= planned(allowed)
    assert planned(set()) == set()


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
