"""The decision on one request: its facts are gathered, the plan is made of them, and both are put in the receipt's words.

Gathering asks the world (health, session, the day's spending, a draw); deciding is pure. A simulation and a replay skip the
first and take the second with facts that somebody else supplies, so there is no second copy of the path.
"""

import msgspec

from wardwright.domain.errors import (
    NoTargetAvailable,
    Overloaded,
    RateLimitExceeded,
    RequestError,
    RouteBlocked,
    WardwrightError,
)
from wardwright.domain.policy import PolicyAction
from wardwright.domain.route import Composition, PlanInputs, RequestFacts, RoutePlan
from wardwright.planner.plan import plan
from wardwright.planner.refusal import explain_empty_plan
from wardwright.receipts.events import Decision, FinalStatus, SelectedTarget


class Decided(msgspec.Struct, frozen=True):
    """What was decided, for whoever executes it, and how the receipt tells it."""

    plan: RoutePlan
    inputs: PlanInputs
    recorded: Decision


def decide(composition: Composition, inputs: PlanInputs, actions: tuple[PolicyAction, ...] = ()) -> Decided:
    """Plan a request and word the decision. Purity: pure; equal arguments give equal decisions, bit for bit.

    `inputs.versions` is set to the versions of the composition; `actions` are the rules that led to the constraints among the inputs.
    """
    inputs = msgspec.structs.replace(inputs, versions=composition.versions)
    route = plan(composition, inputs)
    return Decided(route, inputs, _recorded(route, inputs, actions))


def refusal_of(route: RoutePlan, facts: RequestFacts) -> tuple[FinalStatus, WardwrightError]:
    """How a request ends whose plan has no targets: the receipt's word for it, and what the client is told. Purity: pure."""
    refusal = explain_empty_plan(route, facts)
    match refusal.code:
        case "policy_blocked":
            return "policy_blocked", RouteBlocked(refusal.message, refusal.code)
        case "route_blocked":
            return "route_blocked", RouteBlocked(refusal.message)
        case "rate_limit_exceeded":
            return "route_blocked", RateLimitExceeded(refusal.message, refusal.retry_after_s)
        case "overloaded":
            return "route_blocked", Overloaded(refusal.message, refusal.retry_after_s)
        case "no_target_available":
            return "route_blocked", NoTargetAvailable(refusal.message, refusal.retry_after_s)
        case code:
            return "route_blocked", RequestError(refusal.message, param="messages", code=code)


def _recorded(route: RoutePlan, inputs: PlanInputs, actions: tuple[PolicyAction, ...]) -> Decision:
    first = route.targets[0] if route.targets else None
    return Decision(
        route_type=route.route_type,
        route_id=route.route_id,
        strategy=route.strategy,
        reason=route.reason,
        selected_model=None if first is None else first.id,
        selected_provider=None if first is None else first.provider,
        selected_context_window=None if first is None else first.context_window,
        selected_models=tuple([SelectedTarget(t.id, t.provider, t.context_window) for t in route.targets]),
        fallback_models=tuple([target.id for target in route.targets[1:]]),
        skipped=route.skipped,
        graph_path=route.graph_path,
        estimated_prompt_tokens=inputs.request.estimated_prompt_tokens,
        route_blocked=first is None,
        facts=inputs,
        policy_actions=actions,
        sticky=route.sticky,
        overflow=route.overflow,
        fallback_used=route.fallback_used,
    )
