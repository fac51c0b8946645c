"""What a caller is told whose request cannot be routed at all.

The answer names what would help soonest: waiting, when a target would serve but for its health; a shorter request, when one would but
for its window; another kind of request, when none has what is needed. Only when none of these would help is it the policy's word.
"""

from collections.abc import Collection

import msgspec

from wardwright.domain.route import RequestFacts, RoutePlan, Skip

_UNHEALTHY = ("breaker_open", "rate_limited", "saturated")


class Refusal(msgspec.Struct, frozen=True):
    """Why a request cannot be routed: the wire code of the answer, its message for the caller, and when to ask again."""

    code: str
    message: str
    retry_after_s: float | None = None


def explain_empty_plan(route_plan: RoutePlan, facts: RequestFacts) -> Refusal:
    """Word the refusal of a request whose plan has no targets. Purity: pure."""
    if route_plan.blocked_by is not None:
        return Refusal("policy_blocked", "a policy of this model blocks the request")
    reasons = {skip.reason for skip in route_plan.skipped}
    if not reasons.isdisjoint(_UNHEALTHY):
        return _unavailable([skip for skip in route_plan.skipped if skip.reason in _UNHEALTHY])
    if "context_window_too_small" in reasons:
        return Refusal("context_length_exceeded", window_shortfall_message(route_plan, facts))
    if "capability_missing" in reasons:
        needs = ", ".join(facts.needs)
        return Refusal("unsupported_parameter", f"nothing behind this model can serve a request that needs: {needs}")
    if reasons:
        return Refusal("route_blocked", "the policies of this model leave no target for the request")
    return Refusal("no_target_available", "no target stands behind this model now")


def window_shortfall_message(route_plan: RoutePlan, facts: RequestFacts) -> str:
    """Tell the caller how long the request is and how much the largest window that could serve it holds. Purity: pure."""
    windows = [skip.context_window for skip in route_plan.skipped if skip.reason == "context_window_too_small"]
    needed = f"about {facts.required_window} tokens"
    if facts.output_budget:
        needed += f" ({facts.estimated_prompt_tokens} estimated for the prompt, {facts.output_budget} for the answer)"
    is_all = len(windows) == len(route_plan.skipped)  # others may be larger, and are not for this request
    whose = "behind this model" if is_all else "that could serve it"
    largest = f"the largest context window {whose} is {max(windows, default=0)} tokens"
    return f"the request needs {needed}, but {largest}: shorten the messages or ask for a shorter answer"


def _unavailable(unhealthy: Collection[Skip]) -> Refusal:
    waits = [skip.retry_after_s for skip in unhealthy if skip.retry_after_s is not None]
    wait = min(waits, default=None)
    if all(skip.reason == "rate_limited" for skip in unhealthy):
        return Refusal("rate_limit_exceeded", "every target that could serve this request is limiting requests", wait)
    if all(skip.reason == "saturated" for skip in unhealthy):
        return Refusal("overloaded", "every target that could serve this request has too many requests waiting", wait)
    return Refusal("no_target_available", "no target that could serve this request is available now", wait)
