"""Plans as a whole: worked examples, reasons, refusals, and the properties every plan has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.route import (
    Cascade,
    Composition,
    Dispatcher,
    ModelDefinition,
    PlanInputs,
    RequestFacts,
    RoutePlan,
    Selector,
    Skip,
    Target,
)
from wardwright.planner.graph import expand
from wardwright.planner.plan import Refusal, explain_empty_plan, plan, window_shortfall_message
from wardwright.planner.selectors import unfit


def target(name: str, window: int, capabilities: frozenset[str] | None = None) -> Target:
    return Target(name, "p", name, window, capabilities)


def definition(targets: list[Target], *selectors: Selector, root: str | None = None) -> ModelDefinition:
    graph = expand(selectors, targets, root)
    return ModelDefinition("m", "1", graph.root, graph.selectors, graph.targets)


def planned(model: ModelDefinition, facts: RequestFacts) -> RoutePlan:
    return plan(Composition(model), PlanInputs(facts))


SIZES = [target("small", 16), target("medium", 64), target("large", 256)]


def test_a_dispatcher_takes_the_smallest_fitting_window_and_keeps_the_larger_as_fallbacks() -> None:
    found = planned(definition(SIZES, Dispatcher("fit", ("large", "small", "medium"))), RequestFacts(32))
    assert [chosen.id for chosen in found.targets] == ["medium", "large"]
    assert found.skipped == (Skip("small", "context_window_too_small", 16),)
    assert (found.route_type, found.route_id, found.strategy) == ("dispatcher", "fit", "smallest_context_window")
    assert found.graph_path == ("fit",)


def test_a_cascade_takes_the_first_fitting_in_declared_order() -> None:
    targets = [target("fast", 16), target("steady", 128), target("reserve", 256)]
    found = planned(definition(targets, Cascade("steps", ("fast", "steady", "reserve"))), RequestFacts(96))
    assert [chosen.id for chosen in found.targets] == ["steady", "reserve"]
    assert [skip.target for skip in found.skipped] == ["fast"]
    assert (found.route_type, found.strategy) == ("cascade", "ordered_fallback")


def test_a_model_without_selectors_dispatches_over_its_targets() -> None:
    found = planned(definition(SIZES), RequestFacts(4))
    assert [chosen.id for chosen in found.targets] == ["small", "medium", "large"]
    assert (found.route_type, found.skipped) == ("dispatcher", ())


def test_a_model_whose_root_is_a_target_plans_that_target_alone() -> None:
    found = planned(definition(SIZES, root="medium"), RequestFacts(4))
    assert [chosen.id for chosen in found.targets] == ["medium"]
    assert (found.route_type, found.strategy, found.graph_path) == ("target", "single_target", ())


def test_the_output_budget_can_decide_the_route() -> None:
    model = definition(SIZES, Dispatcher("fit", ("small", "medium", "large")))
    assert planned(model, RequestFacts(10)).targets[0].id == "small"
    assert planned(model, RequestFacts(10, output_budget=20)).targets[0].id == "medium"


def test_the_graph_path_leads_to_the_selector_that_chose_first() -> None:
    model = definition(SIZES, Dispatcher("fit", ("small", "long")), Cascade("long", ("large", "medium")), root="fit")
    assert planned(model, RequestFacts(8)).graph_path == ("fit",)
    assert planned(model, RequestFacts(32)).graph_path == ("fit", "long")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (RequestFacts(8), "the smallest context window that fits"),
        (
            RequestFacts(32),
            "the smallest context window that fits; passed over targets with a context window too small for the request",
        ),
        (
            RequestFacts(8, needs=("vision",)),
            "the smallest context window that fits; passed over targets with a needed capability missing",
        ),
        (
            RequestFacts(900, needs=("vision",)),
            "every target has a context window too small for the request or a needed capability missing",
        ),
    ],
)
def test_the_reason_names_the_choice_and_what_was_passed_over(facts: RequestFacts, reason: str) -> None:
    blind = target("blind", 128, frozenset({"chat"}))
    assert planned(definition([*SIZES, blind]), facts).reason == reason


def test_a_request_that_fits_nowhere_is_refused_with_the_estimate_and_the_largest_window() -> None:
    facts = RequestFacts(200, output_budget=100)
    found = planned(definition(SIZES), facts)
    assert found.targets == ()
    refusal = explain_empty_plan(found, facts)
    assert refusal.code == "context_length_exceeded"
    assert refusal.message == (
        "the request needs about 300 tokens (200 estimated for the prompt, 100 for the answer), but the largest "
        "context window behind this model is 256 tokens: shorten the messages or ask for a shorter answer"
    )


def test_the_largest_window_named_is_one_that_could_serve_the_request() -> None:
    targets = [target("seeing", 64), target("blind", 1000, frozenset({"chat"}))]
    facts = RequestFacts(100, needs=("vision",))
    message = window_shortfall_message(planned(definition(targets), facts), facts)
    assert "about 100 tokens, but the largest context window behind this model is 64 tokens" in message


def test_a_request_that_needs_what_no_target_has_is_refused_by_what_it_needs() -> None:
    facts = RequestFacts(4, needs=("tools", "vision"))
    found = planned(definition([target("blind", 8, frozenset({"tools"}))]), facts)
    assert explain_empty_plan(found, facts) == Refusal(
        "unsupported_parameter", "nothing behind this model can serve a request that needs: tools, vision"
    )


NAMES = ("a", "b", "c", "d", "e")
NEEDS = ("tools", "vision")
capabilities = st.none() | st.frozensets(st.sampled_from(NEEDS))
facts_of = st.builds(
    RequestFacts,
    st.integers(1, 40),
    st.integers(0, 10),
    st.lists(st.sampled_from(NEEDS), unique=True).map(lambda needs: tuple(sorted(needs))),
)


@st.composite
def definitions(draw: st.DrawFn) -> ModelDefinition:
    """Random sound graphs: every selector names targets and selectors declared after it, so there is no cycle."""
    targets = [target(name, draw(st.integers(1, 50)), draw(capabilities)) for name in NAMES]
    count = draw(st.integers(1, 5))
    selectors: list[Selector] = []
    for number in range(count):
        pool = [*NAMES, *(f"s{later}" for later in range(number + 1, count))]
        members = tuple(draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True)))
        is_dispatcher = draw(st.booleans())
        selectors.append(Dispatcher(f"s{number}", members) if is_dispatcher else Cascade(f"s{number}", members))
    return definition(targets, *selectors, root="s0")


@given(definitions(), facts_of)
def test_every_target_is_planned_once_or_skipped_with_its_reason(model: ModelDefinition, facts: RequestFacts) -> None:
    found = planned(model, facts)
    ordered = [chosen.id for chosen in found.targets]
    skipped = [skip.target for skip in found.skipped]
    assert sorted(ordered + skipped) == sorted(target.id for target in model.targets)
    assert all(unfit(chosen, facts) is None for chosen in found.targets)


@given(definitions(), facts_of)
def test_a_plan_is_the_same_every_time_and_says_how_it_came_about(model: ModelDefinition, facts: RequestFacts) -> None:
    found = planned(model, facts)
    assert found == planned(model, facts)
    assert found.graph_path[0] == model.root
    selectors = {selector.id: selector for selector in model.selectors}
    for outer, inner in zip(found.graph_path, found.graph_path[1:], strict=False):
        assert inner in selectors[outer].models
    if found.targets:
        assert found.targets[0].id in selectors[found.graph_path[-1]].models
    else:
        assert explain_empty_plan(found, facts).message


@given(definitions(), facts_of)
def test_a_flat_dispatcher_never_prefers_a_larger_window(model: ModelDefinition, facts: RequestFacts) -> None:
    flat = definition(list(model.targets))
    windows = [chosen.context_window for chosen in planned(flat, facts).targets]
    assert windows == sorted(windows)
