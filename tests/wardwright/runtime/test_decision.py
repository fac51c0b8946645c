"""A decision: the plan, and all it was made from, in the receipt's words."""

from wardwright.domain.route import (
    Cascade,
    Composition,
    ModelDefinition,
    PlanInputs,
    RequestFacts,
    SessionFacts,
    Target,
)
from wardwright.runtime.decision import decide

SMALL, LARGE = Target("p/small", "p", "small", 16), Target("q/large", "q", "large", 256)
MODEL = ModelDefinition("m", "v7", "steps", (Cascade("steps", ("p/small", "q/large")),), (SMALL, LARGE))


def test_a_decision_records_what_it_was_made_from_and_the_versions_it_went_by() -> None:
    inputs = PlanInputs(RequestFacts(8), session=SessionFacts(3), seed=5)
    decided = decide(Composition(MODEL), inputs)
    assert decided.recorded.facts == PlanInputs(RequestFacts(8), {"m": "v7"}, session=SessionFacts(3), seed=5)
    assert decided.recorded.facts is decided.inputs


def test_a_decision_tells_the_plan_in_order() -> None:
    recorded = decide(Composition(MODEL), PlanInputs(RequestFacts(8))).recorded
    assert (recorded.selected_model, recorded.selected_provider, recorded.selected_context_window) == (
        "p/small",
        "p",
        16,
    )
    assert [target.model for target in recorded.selected_models] == ["p/small", "q/large"]
    assert recorded.fallback_models == ("q/large",)
    assert not recorded.route_blocked


def test_a_plan_without_targets_is_a_blocked_route() -> None:
    recorded = decide(Composition(MODEL), PlanInputs(RequestFacts(999))).recorded
    assert recorded.route_blocked
    assert (recorded.selected_model, recorded.selected_provider, recorded.fallback_models) == (None, None, ())


def test_deciding_again_from_the_recorded_facts_gives_the_same_decision() -> None:
    composition = Composition(MODEL)
    first = decide(composition, PlanInputs(RequestFacts(32)))
    assert decide(composition, first.recorded.facts) == first
