"""Plans as a whole: worked examples, reasons, refusals, and the properties every plan has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.planner.graphs import model, planned, target
from wardwright.domain.route import Cascade, Dispatcher, ModelDefinition, RequestFacts, Selector, Skip
from wardwright.planner.fitness import unfit
from wardwright.planner.refusal import explain_empty_plan

SIZES = [target("small", 16), target("medium", 64), target("large", 256)]


def test_a_dispatcher_takes_the_smallest_fitting_window_and_keeps_the_larger_as_fallbacks() -> None:
    found = planned(model(SIZES, Dispatcher("fit", ("large", "small", "medium"))), RequestFacts(32))
    assert [chosen.id for chosen in found.targets] == ["medium", "large"]
    assert found.skipped == (Skip("small", "context_window_too_small", 16),)
    assert (found.route_type, found.route_id, found.strategy) == ("dispatcher", "fit", "smallest_context_window")
    assert found.graph_path == ("fit",)


def test_a_cascade_takes_the_first_fitting_in_declared_order() -> None:
    targets = [target("fast", 16), target("steady", 128), target("reserve", 256)]
    found = planned(model(targets, Cascade("steps", ("fast", "steady", "reserve"))), RequestFacts(96))
    assert [chosen.id for chosen in found.targets] == ["steady", "reserve"]
    assert [skip.target for skip in found.skipped] == ["fast"]
    assert (found.route_type, found.strategy) == ("cascade", "ordered_fallback")


def test_a_model_without_selectors_dispatches_over_its_targets() -> None:
    found = planned(model(SIZES), RequestFacts(4))
    assert [chosen.id for chosen in found.targets] == ["small", "medium", "large"]
    assert (found.route_type, found.skipped) == ("dispatcher", ())


def test_a_model_whose_root_is_a_target_plans_that_target_alone() -> None:
    found = planned(model(SIZES, root="medium"), RequestFacts(4))
    assert [chosen.id for chosen in found.targets] == ["medium"]
    assert (found.route_type, found.strategy, found.graph_path) == ("target", "single_target", ())


def test_the_output_budget_can_decide_the_route() -> None:
    graph = model(SIZES, Dispatcher("fit", ("small", "medium", "large")))
    assert planned(graph, RequestFacts(10)).targets[0].id == "small"
    assert planned(graph, RequestFacts(10, output_budget=20)).targets[0].id == "medium"


def test_the_graph_path_leads_to_the_selector_that_chose_first() -> None:
    graph = model(SIZES, Dispatcher("fit", ("small", "long")), Cascade("long", ("large", "medium")), root="fit")
    assert planned(graph, RequestFacts(8)).graph_path == ("fit",)
    assert planned(graph, RequestFacts(32)).graph_path == ("fit", "long")


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
    assert planned(model([*SIZES, blind]), facts).reason == reason


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
    return model(targets, *selectors, root="s0")


@given(definitions(), facts_of)
def test_every_target_is_planned_once_or_skipped_with_its_reason(graph: ModelDefinition, facts: RequestFacts) -> None:
    found = planned(graph, facts)
    ordered = [chosen.id for chosen in found.targets]
    skipped = [skip.target for skip in found.skipped]
    assert sorted(ordered + skipped) == sorted(target.id for target in graph.targets)
    assert all(unfit(chosen, facts) is None for chosen in found.targets)


@given(definitions(), facts_of)
def test_a_plan_is_the_same_every_time_and_says_how_it_came_about(graph: ModelDefinition, facts: RequestFacts) -> None:
    found = planned(graph, facts)
    assert found == planned(graph, facts)
    assert found.graph_path[0] == graph.root
    selectors = {selector.id: selector for selector in graph.selectors}
    for outer, inner in zip(found.graph_path, found.graph_path[1:], strict=False):
        assert inner in selectors[outer].models
    if found.targets:
        assert found.targets[0].id in selectors[found.graph_path[-1]].models
    else:
        assert explain_empty_plan(found, facts).message


@given(definitions(), facts_of)
def test_a_flat_dispatcher_never_prefers_a_larger_window(graph: ModelDefinition, facts: RequestFacts) -> None:
    flat = model(list(graph.targets))
    windows = [chosen.context_window for chosen in planned(flat, facts).targets]
    assert windows == sorted(windows)
