"""Whether a single target can serve a request, whatever the graph around it.

A target is closed to a request for the first reason of these: the policy's constraints leave it out, it lacks a needed capability,
its context window cannot hold the estimated prompt and the reserved answer together, or it (or its provider) is not healthy. What
can be mended soonest comes last: a target that is closed for its health would serve the request in better times.
"""

from collections.abc import Iterable, Mapping, Sequence

from wardwright.domain.route import PlanInputs, RequestFacts, RouteConstraints, Skip, Target, Unhealthy


def unfit(target: Target, facts: RequestFacts) -> Skip | None:
    """Decide whether a target is by nature unable to serve a request, and why; None means that it is able. Purity: pure.

    A missing capability is named before a small window: it is a fact of the target, the window is judged by an estimate.
    """
    return incapable(target, facts.needs) or _too_small(target, facts.window_needed_at(target))


def incapable(target: Target, needs: Sequence[str]) -> Skip | None:
    """Say which of the needed capabilities a target lacks; None when it has them all. Purity: pure."""
    if target.capabilities is None or target.capabilities.issuperset(needs):
        return None
    return _lacking(target, needs)


def closed_targets(
    targets: Iterable[Target],
    inputs: PlanInputs,
    constraints: RouteConstraints | None,
    usable_windows: Mapping[str, int],
    *,
    of_any_size: bool = False,
) -> dict[str, Skip]:
    """Find the targets that cannot serve a request, each with its reason, by id. Purity: pure.

    Args:
        targets: those to look at.
        inputs: what is known of the request.
        constraints: what the policy of the requested model demands.
        usable_windows: what each of the targets can be given, to be told where that is too little.
        of_any_size: do not mind the windows.
    """
    facts, needs = inputs.request, frozenset(inputs.request.needs)
    is_allowed = None if constraints is None or constraints.allowed_targets is None else constraints.allowance()
    needed = 0 if of_any_size else facts.required_window
    is_counted = bool(facts.exact_prompt_tokens) and not of_any_size
    unhealthy = {state.subject: state for state in inputs.health}
    closed: dict[str, Skip] = {}
    for target in targets:
        if is_allowed is not None and not is_allowed(target):
            closed[target.id] = Skip(target.id, "policy_route_gate", target.context_window)
        elif needs and target.capabilities is not None and not needs <= target.capabilities:
            closed[target.id] = _lacking(target, facts.needs)
        elif target.context_window < (facts.window_needed_at(target) if is_counted else needed):
            closed[target.id] = Skip(target.id, "context_window_too_small", usable_windows[target.id])
        elif unhealthy:
            # A provider that is out takes all its targets along, so it is the better reason of the two.
            state = unhealthy.get(target.provider) or unhealthy.get(target.id)
            if state is not None:
                closed[target.id] = _unwell(target, state)
    return closed


def _lacking(target: Target, needs: Sequence[str]) -> Skip:
    missing = [need for need in needs if need not in (target.capabilities or ())]
    return Skip(target.id, "capability_missing", target.context_window, ", ".join(missing))


def _too_small(target: Target, needed: int) -> Skip | None:
    if target.context_window >= needed:
        return None
    return Skip(target.id, "context_window_too_small", target.context_window)


def _unwell(target: Target, state: Unhealthy) -> Skip:
    return Skip(target.id, state.reason, target.context_window, retry_after_s=state.retry_after_s)
