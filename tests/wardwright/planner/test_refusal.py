"""What the caller is told when nothing can serve the request."""

from typing import Any

import pytest

from tests.wardwright.planner.graphs import down, model, planned, target
from wardwright.domain.route import (
    Alloy,
    Cascade,
    Composition,
    Constituent,
    Guard,
    HealthReason,
    ModelDefinition,
    RequestFacts,
    Requirements,
    RouteConstraints,
    Unhealthy,
)
from wardwright.planner.refusal import Refusal, explain_empty_plan, window_shortfall_message

SIZES = [target("small", 16), target("medium", 64), target("large", 256)]


def refusal(what: ModelDefinition | Composition, facts: RequestFacts, **inputs: Any) -> Refusal:
    found = planned(what, facts, **inputs)
    assert found.targets == ()
    return explain_empty_plan(found, facts)


def test_a_request_that_fits_nowhere_is_refused_with_the_estimate_and_the_largest_window() -> None:
    told = refusal(model(SIZES), RequestFacts(200, output_budget=100))
    assert told.code == "context_length_exceeded"
    assert told.message == (
        "the request needs about 300 tokens (200 estimated for the prompt, 100 for the answer), but the largest "
        "context window behind this model is 256 tokens: shorten the messages or ask for a shorter answer"
    )


def test_the_largest_window_named_is_one_that_could_serve_the_request() -> None:
    targets = [target("seeing", 64), target("blind", 1000, frozenset({"chat"}))]
    facts = RequestFacts(100, needs=("vision",))
    message = window_shortfall_message(planned(model(targets), facts), facts)
    assert "about 100 tokens, but the largest context window that could serve it is 64 tokens" in message


def test_the_largest_window_of_a_blend_is_what_its_constituents_share() -> None:
    blend = Alloy("blend", "deterministic_all", (Constituent("small"), Constituent("large")))
    told = refusal(model(SIZES, blend), RequestFacts(100))
    assert told.code == "context_length_exceeded"
    assert "the largest context window behind this model is 16 tokens" in told.message


def test_a_request_that_needs_what_no_target_has_is_refused_by_what_it_needs() -> None:
    told = refusal(model([target("blind", 8, frozenset({"tools"}))]), RequestFacts(4, needs=("tools", "vision")))
    assert told == Refusal(
        "unsupported_parameter", "nothing behind this model can serve a request that needs: tools, vision"
    )


def test_a_target_that_only_fails_just_now_makes_it_a_matter_of_waiting() -> None:
    told = refusal(model(SIZES), RequestFacts(100), health=down("large"))
    assert (told.code, told.retry_after_s) == ("no_target_available", None)


@pytest.mark.parametrize(
    ("medium", "large", "code", "wait"),
    [
        ("rate_limited", "rate_limited", "rate_limit_exceeded", 2.0),
        ("rate_limited", "breaker_open", "no_target_available", 2.0),
        ("saturated", "saturated", "overloaded", 2.0),
        ("saturated", "breaker_open", "no_target_available", 2.0),
    ],
)
def test_a_limit_or_an_overload_is_told_as_one_only_if_there_is_nothing_else(
    medium: HealthReason, large: HealthReason, code: str, wait: float
) -> None:
    health = (Unhealthy("medium", medium, 7.0), Unhealthy("large", large, 2.0))
    told = refusal(model(SIZES), RequestFacts(40), health=health)
    assert (told.code, told.retry_after_s) == (code, wait)


def test_policies_that_leave_no_target_are_named_as_such() -> None:
    told = refusal(model(SIZES), RequestFacts(4), policy=RouteConstraints(allowed_targets=()))
    assert told.code == "route_blocked"
    guard = Guard("paid", "large", Requirements(tenant_id=("acme",)))
    assert refusal(model(SIZES, guard), RequestFacts(4)).code == "route_blocked"


def test_nobody_is_told_to_wait_for_what_a_guard_keeps_from_them() -> None:
    guard = Guard("paid", "large", Requirements(tenant_id=("acme",)))
    graph = model(SIZES, Cascade("steps", ("paid",)), guard, root="steps")
    assert refusal(graph, RequestFacts(4), health=down("large")).code == "route_blocked"
    beside = model(SIZES, Cascade("steps", ("paid", "large")), guard, root="steps")
    assert refusal(beside, RequestFacts(4), health=down("large")).code == "no_target_available"


def test_nobody_is_told_to_wait_for_a_blend_that_is_too_small() -> None:
    blend = Alloy("blend", "deterministic_all", (Constituent("small"), Constituent("large")))
    assert refusal(model(SIZES, blend), RequestFacts(100), health=down("large")).code == "context_length_exceeded"


def test_what_policy_allows_and_is_too_small_is_the_callers_to_mend() -> None:
    told = refusal(model(SIZES), RequestFacts(100), policy=RouteConstraints(allowed_targets=("medium",)))
    assert told.code == "context_length_exceeded"
    assert "the largest context window that could serve it is 64 tokens" in told.message


def test_a_rule_that_blocks_is_not_told_apart_to_the_caller() -> None:
    told = refusal(model(SIZES), RequestFacts(4), policy=RouteConstraints(blocked_by="keep-secrets"))
    assert told == Refusal("policy_blocked", "a policy of this model blocks the request")


def test_a_model_without_any_target_has_none_available() -> None:
    empty = ModelDefinition("m", "1", "wardwright/gone", (), ())
    assert refusal(empty, RequestFacts(4)).code == "no_target_available"
