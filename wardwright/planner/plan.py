"""The route plan of one request: the targets to try in order, every target left out, and why.

Planning is a function of the composition and the inputs and of nothing else, so that a receipt which records both can be planned
again, target for target.
"""

import msgspec

from wardwright.domain.route import Composition, PlanInputs, RequestFacts, RoutePlan, Skip, Target
from wardwright.planner.graph import kind_of
from wardwright.planner.selectors import select, unfit

_STRATEGIES = {
    "dispatcher": "smallest_context_window",
    "cascade": "ordered_fallback",
    "target": "single_target",
}
_CHOICES = {
    "dispatcher": "the smallest context window that fits",
    "cascade": "the first target in declared order that fits",
    "target": "the only target of the model",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a request cannot be routed at all: the wire code of the answer, and its message for the caller."""

    code: str
    message: str


def plan(composition: Composition, inputs: PlanInputs) -> RoutePlan:
    """Decide which targets to try for a request, in which order. Purity: pure.

    Every definition's graph has passed `graph.validate_graph`. The plan has no targets when none can serve the request.
    """
    definition, facts = composition.root, inputs.request
    selectors = {selector.id: selector for selector in definition.selectors}
    targets = {target.id: target for target in definition.targets}
    offer = select(definition.root, selectors, targets, facts)
    skips = (unfit(target, facts) for target in definition.targets)
    skipped = tuple(skip for skip in skips if skip is not None)
    route_type = kind_of(selectors[definition.root]) if definition.root in selectors else "target"
    return RoutePlan(
        route_type=route_type,
        route_id=definition.root,
        strategy=_STRATEGIES[route_type],
        reason=_reason(route_type, offer.targets, skipped),
        targets=offer.targets,
        skipped=skipped,
        graph_path=offer.path,
    )


def explain_empty_plan(route_plan: RoutePlan, facts: RequestFacts) -> Refusal:
    """Word the refusal of a request whose plan has no targets. Purity: pure.

    A request is too long when any target would serve it but for its window; it asks too much of the model otherwise.
    """
    if any(skip.reason == "context_window_too_small" for skip in route_plan.skipped):
        return Refusal("context_length_exceeded", window_shortfall_message(route_plan, facts))
    needs = ", ".join(facts.needs)
    return Refusal("unsupported_parameter", f"nothing behind this model can serve a request that needs: {needs}")


def window_shortfall_message(route_plan: RoutePlan, facts: RequestFacts) -> str:
    """Tell the caller how long the request is and how much the largest window that could serve it holds. Purity: pure."""
    windows = [skip.context_window for skip in route_plan.skipped if skip.reason == "context_window_too_small"]
    needed = f"about {facts.required_window} tokens"
    if facts.output_budget:
        needed += f" ({facts.estimated_prompt_tokens} estimated for the prompt, {facts.output_budget} for the answer)"
    largest = f"the largest context window behind this model is {max(windows, default=0)} tokens"
    return f"the request needs {needed}, but {largest}: shorten the messages or ask for a shorter answer"


def _reason(route_type: str, targets: tuple[Target, ...], skipped: tuple[Skip, ...]) -> str:
    causes = []
    if any(skip.reason == "context_window_too_small" for skip in skipped):
        causes.append("a context window too small for the request")
    if any(skip.reason == "capability_missing" for skip in skipped):
        causes.append("a needed capability missing")
    because = " or ".join(causes)
    if not targets:
        return f"every target has {because}"
    return f"{_CHOICES[route_type]}; passed over targets with {because}" if causes else _CHOICES[route_type]
