"""Which targets are closed to a request, and which of several reasons is given."""

import pytest

from tests.wardwright.planner.graphs import target
from wardwright.domain.route import PlanInputs, RequestFacts, RouteConstraints, Skip, Target, Unhealthy
from wardwright.planner.fitness import closed_targets, unfit


def closed(
    inputs: PlanInputs, constraints: RouteConstraints | None = None, *, of_any_size: bool = False
) -> Skip | None:
    few = target("local/few", 100, frozenset({"chat", "tools"}))
    return closed_targets([few], inputs, constraints, {few.id: 100}, of_any_size=of_any_size).get("local/few")


def test_a_window_exactly_as_large_as_needed_fits() -> None:
    assert unfit(target("t", 100), RequestFacts(60, 40)) is None
    assert unfit(target("t", 100), RequestFacts(60, 41)) == Skip("t", "context_window_too_small", 100)


def test_a_target_without_declared_capabilities_serves_everything() -> None:
    assert unfit(target("t", 100), RequestFacts(1, needs=("tools",))) is None


def test_missing_capabilities_are_named_even_when_the_window_is_too_small() -> None:
    few = target("t", 100, frozenset({"chat", "tools"}))
    facts = RequestFacts(500, needs=("json_schema", "tools", "vision"))
    assert unfit(few, facts) == Skip("t", "capability_missing", 100, "json_schema, vision")


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ("local/few", True),
        ("local", True),
        ("loc", False),
        ("local/", False),
        ("local/fe", False),
        ("local/few/more", False),
    ],
)
def test_a_constraint_names_a_target_a_provider_or_the_beginning_of_an_id(entry: str, allowed: bool) -> None:
    assert RouteConstraints(allowed_targets=(entry,)).allows(target("local/few")) == allowed


def test_an_empty_list_of_allowed_targets_allows_nothing_and_none_allows_all() -> None:
    assert not RouteConstraints(allowed_targets=()).allows(target("local/few"))
    assert RouteConstraints().allows(target("local/few"))


def test_the_most_lasting_reason_is_given() -> None:
    ill = (Unhealthy("local", "rate_limited", 3.0), Unhealthy("local/few", "saturated"))
    gate = RouteConstraints(allowed_targets=("managed",))
    everything = PlanInputs(RequestFacts(500, needs=("vision",)), health=ill)
    assert closed(everything, gate) == Skip("local/few", "policy_route_gate", 100)
    assert closed(everything) == Skip("local/few", "capability_missing", 100, "vision")
    assert closed(PlanInputs(RequestFacts(500), health=ill)) == Skip("local/few", "context_window_too_small", 100)
    assert closed(PlanInputs(RequestFacts(5), health=ill)) == Skip("local/few", "rate_limited", 100, retry_after_s=3.0)
    assert closed(PlanInputs(RequestFacts(5), health=ill[1:])) == Skip("local/few", "saturated", 100)
    assert closed(PlanInputs(RequestFacts(5))) is None
    assert closed(PlanInputs(RequestFacts(500)), of_any_size=True) is None


def test_an_exact_count_decides_at_the_targets_of_its_tokenizer() -> None:
    exact = Target("exact", "p", "exact", 100, tokenizer="o200k_base")
    inputs = PlanInputs(RequestFacts(90, 20, exact_prompt_tokens={"o200k_base": 70}))
    found = closed_targets([exact, target("other")], inputs, None, {"exact": 100, "other": 64})
    assert found == {"other": Skip("other", "context_window_too_small", 64)}
