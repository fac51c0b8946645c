"""A decision: the plan, and all it was made from, in the receipt's words."""

import msgspec
import pytest
from hypothesis import given

from tests.wardwright.planner.strategies import all_inputs, compositions
from wardwright.domain.caller import Caller
from wardwright.domain.errors import (
    NoTargetAvailable,
    RateLimitExceeded,
    RequestError,
    RouteBlocked,
    WardwrightError,
)
from wardwright.domain.route import (
    Cascade,
    Composition,
    ModelDefinition,
    PlanInputs,
    RequestFacts,
    RouteConstraints,
    SessionFacts,
    Target,
    Unhealthy,
)
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import Opened, RequestSummary, decode_entry
from wardwright.runtime.decision import decide, refusal_of

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


@pytest.mark.parametrize(
    ("inputs", "status", "kind", "code", "wait"),
    [
        (PlanInputs(RequestFacts(999)), "route_blocked", RequestError, "context_length_exceeded", None),
        (
            PlanInputs(RequestFacts(4), constraints={"m": RouteConstraints(blocked_by="rule")}),
            "policy_blocked",
            RouteBlocked,
            "policy_blocked",
            None,
        ),
        (
            PlanInputs(RequestFacts(4), constraints={"m": RouteConstraints(allowed_targets=())}),
            "route_blocked",
            RouteBlocked,
            "route_blocked",
            None,
        ),
        (
            PlanInputs(RequestFacts(99), health=(Unhealthy("q", "rate_limited", 3.0),)),
            "route_blocked",
            RateLimitExceeded,
            "rate_limit_exceeded",
            3.0,
        ),
        (
            PlanInputs(RequestFacts(99), health=(Unhealthy("q", "breaker_open", 9.0),)),
            "route_blocked",
            NoTargetAvailable,
            "no_target_available",
            9.0,
        ),
    ],
)
def test_each_refusal_has_its_status_and_its_error(
    inputs: PlanInputs, status: str, kind: type[WardwrightError], code: str, wait: float | None
) -> None:
    decided = decide(Composition(MODEL), inputs)
    found, error = refusal_of(decided.plan, inputs.request)
    assert (found, type(error), error.code, error.retry_after_s) == (status, kind, code, wait)


def test_a_decision_tells_what_else_had_a_say_in_it() -> None:
    pool = Cascade("steps", ("p/small",), sticky=True, on_overflow="largest")
    composition = Composition(ModelDefinition("m", "v7", "steps", (pool,), (SMALL,)))
    stays = decide(composition, PlanInputs(RequestFacts(8), session=SessionFacts(2, {"steps": "p/small"})))
    assert [choice.kept for choice in stays.recorded.sticky] == ["p/small"]
    assert decide(composition, PlanInputs(RequestFacts(99))).recorded.overflow == "steps"
    forced = RouteConstraints(forced_model="gone", allow_fallback=True)
    assert decide(composition, PlanInputs(RequestFacts(8), constraints={"m": forced})).recorded.fallback_used


def test_deciding_again_from_the_recorded_facts_gives_the_same_decision() -> None:
    composition = Composition(MODEL)
    first = decide(composition, PlanInputs(RequestFacts(32)))
    assert decide(composition, first.recorded.facts) == first


@given(compositions(may_overflow=True), all_inputs)
def test_a_decision_read_back_from_the_log_is_made_again_bit_for_bit(
    composition: Composition, inputs: PlanInputs
) -> None:
    made = decide(composition, inputs).recorded
    summary = RequestSummary("outer", "outer", 1, False, inputs.request.estimated_prompt_tokens)
    sealed = Chain("rcpt_1").seal(Opened("boot", "outer", "1", Caller(), summary, made), 1.0)
    logged = decode_entry(sealed).event
    assert isinstance(logged, Opened)
    afresh = Composition(composition.root, composition.nested)
    again = decide(afresh, logged.decision.facts, logged.decision.policy_actions).recorded
    assert msgspec.json.encode(again) == msgspec.json.encode(made)
