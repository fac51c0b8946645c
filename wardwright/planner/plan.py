"""The route plan of one request: the targets to try in order, every target left out, and why.

Planning is a function of the composition and the inputs and of nothing else, so that a receipt which records both can be planned
again, target for target. In this order:

1. a policy that blocks the request leaves nothing to plan;
2. a forced model is the only target to try, if the graph's guards let the request come to it and it can serve; if not, nothing is
   tried, unless the policy allows the graph to decide instead;
3. the graph decides among the targets that can serve (`planner.fitness`), selector by selector (`planner.selectors`);
4. when nothing is large enough, and only then, selectors with `on_overflow = "largest"` offer their largest target.
"""

from collections.abc import Collection, Mapping

import msgspec

from wardwright.domain.route import (
    Alloy,
    Composition,
    PlanInputs,
    RouteConstraints,
    RoutePlan,
    Skip,
    SkipReason,
    Target,
)
from wardwright.planner.compiled import CompiledRoute, Member, compiled
from wardwright.planner.fitness import closed_targets
from wardwright.planner.graph import kind_of
from wardwright.planner.selectors import Walk, graph_path

_STRATEGIES = {
    "dispatcher": "smallest_context_window",
    "cascade": "ordered_fallback",
    "guard": "requirements",
    "alias": "alias",
    "model": "nested_model",
    "target": "single_target",
}
_CHOICES = {
    "dispatcher": "the smallest context window that fits",
    "cascade": "the first target in declared order that fits",
    "alloy": "the constituent that comes first in this call",
    "guard": "what the guard lets this request pass to",
    "alias": "what the alias stands for",
    "model": "what the nested model chose",
    "target": "the only target of the model",
}
_CAUSES: Mapping[SkipReason, str] = {
    "context_window_too_small": "a context window too small for the request",
    "capability_missing": "a needed capability missing",
    "breaker_open": "a provider that keeps failing",
    "rate_limited": "a rate limit in force",
    "saturated": "a provider that is working to capacity",
    "guard_denied": "a guard that does not let the request pass",
    "policy_route_gate": "a policy against them",
}
_UNCONSTRAINED = RouteConstraints()
_UNHEALTHY = ("breaker_open", "rate_limited", "saturated")


def plan(composition: Composition, inputs: PlanInputs) -> RoutePlan:
    """Decide which targets to try for a request, in which order. Purity: pure.

    Every definition's graph has passed `graph.validate_graph`. The plan has no targets when none can serve the request.
    """
    route = compiled(composition)
    constraints = inputs.constraints.get(composition.root.id, _UNCONSTRAINED)
    if constraints.blocked_by is not None:
        return _blocked(route, constraints.blocked_by)
    closed = closed_targets(route.targets, inputs, constraints, route.usable_windows)
    forced = constraints.forced_model
    if forced is None:
        return _by_graph(route, inputs, constraints, closed)
    failure = _forced_failure(route, inputs, closed, forced)
    if failure is None or not constraints.allow_fallback:
        return _forced(route, inputs, forced, failure)
    decided = _by_graph(route, inputs, constraints, closed)
    skipped = [skip for skip in decided.skipped if skip.target != forced]
    if all(target.id != forced for target in decided.targets):  # it may be the largest that is taken all the same
        skipped.insert(0, failure)
    return msgspec.structs.replace(
        decided,
        route_type="policy_override_fallback",
        route_id="policy.forced_model",
        strategy="policy_forced_model_with_explicit_fallback",
        reason=f"{_forced_words(failure)}, and policy allows others: {decided.reason}",
        skipped=tuple(skipped),
        fallback_used=True,
    )


def _by_graph(
    route: CompiledRoute, inputs: PlanInputs, constraints: RouteConstraints, closed: Mapping[str, Skip]
) -> RoutePlan:
    walk = Walk(inputs, closed, _call_number(inputs))
    targets = _offer(route.root, walk)
    skipped = _skipped(route, targets, _reasons(route, walk, closed))
    if not targets and route.may_overflow and _is_overflow(skipped):
        unable = closed_targets(route.targets, inputs, constraints, route.usable_windows, of_any_size=True)
        walk = Walk(inputs, route.by_id.keys(), walk.number, oversize=unable.keys())
        targets = _offer(route.root, walk)
        chosen = {target.id for target in targets}
        skipped = tuple(skip for skip in skipped if skip.target not in chosen)
    findings = walk.findings
    route_type, strategy = _kind(route.root)
    return RoutePlan(
        route_type=route_type,
        route_id=route.root_name,
        strategy=strategy,
        reason=_reason(route_type, targets, skipped, findings.overflow),
        targets=targets,
        skipped=skipped,
        graph_path=_path(route.root, targets, walk),
        sticky=tuple(findings.sticky.values()),
        overflow=findings.overflow,
        refusal_moves_on=tuple(findings.refusal_moves_on),
        resumable=tuple(findings.resumable),
    )


def _blocked(route: CompiledRoute, rule: str) -> RoutePlan:
    return RoutePlan(
        route_type="policy_block",
        route_id=rule,
        strategy="policy_block",
        reason="a policy blocks the request",
        targets=(),
        skipped=tuple(Skip(t.id, "policy_route_gate", t.context_window, rule) for t in route.targets),
        graph_path=(),
        blocked_by=rule,
    )


def _forced(route: CompiledRoute, inputs: PlanInputs, name: str, failure: Skip | None) -> RoutePlan:
    others = (target for target in route.targets if target.id != name)
    gated = tuple(Skip(t.id, "policy_route_gate", t.context_window, f"policy forces {name}") for t in others)
    targets = (route.by_id[name],) if failure is None else ()
    return RoutePlan(
        route_type="policy_override",
        route_id="policy.forced_model",
        strategy="policy_forced_model",
        reason="policy forced this target" if failure is None else _forced_words(failure),
        targets=targets,
        skipped=gated if failure is None else (failure, *gated),
        graph_path=_path(route.root, targets, _forced_walk(route, inputs, name)),
    )


def _forced_failure(route: CompiledRoute, inputs: PlanInputs, closed: Mapping[str, Skip], name: str) -> Skip | None:
    """Say why a forced target cannot be asked; None when it can."""
    target = route.by_id.get(name)
    if target is None:
        return Skip(name, "forced_model_unavailable", detail="this model has no such target")
    if name in closed:
        skip = closed[name]
        if skip.reason != "policy_route_gate":
            return skip
        return Skip(name, "forced_model_unavailable", target.context_window, "policy does not allow it either")
    walk = _forced_walk(route, inputs, name)
    if _offer(route.root, walk):
        return None
    return walk.findings.left_out.get(name) or Skip(name, "forced_model_unavailable", target.context_window)


def _forced_walk(route: CompiledRoute, inputs: PlanInputs, name: str) -> Walk:
    return Walk(inputs, route.by_id.keys() - {name}, _call_number(inputs), is_free=True)


def _forced_words(failure: Skip) -> str:
    cause = _CAUSES.get(failure.reason, failure.detail or "no way to it")
    return f"policy forced a target that cannot serve ({cause})"


def _call_number(inputs: PlanInputs) -> int:
    return inputs.seed if inputs.session is None else inputs.session.turn - 1


def _offer(root: Member, walk: Walk) -> tuple[Target, ...]:
    if isinstance(root, Target):
        return tuple(walk.open((root,)))
    return tuple(walk.offer(root).targets)


def _path(root: Member, targets: tuple[Target, ...], walk: Walk) -> tuple[str, ...]:
    if targets:
        return graph_path(root, targets[0], walk)
    return () if isinstance(root, Target) else (root.label,)


def _reasons(route: CompiledRoute, walk: Walk, closed: Mapping[str, Skip]) -> Mapping[str, Skip]:
    """Choose among the reasons for each target: where it stands in the graph, or what closes it wherever it stands.

    A guard that lets nobody come to a target is the better reason than a provider that fails: nobody should wait for it. But one
    open way is enough to make it a matter of the target.
    """
    left_out = walk.findings.left_out
    if left_out.keys().isdisjoint(closed):
        return {**left_out, **closed}
    in_reach = {target.id for target in _offer(route.root, Walk(walk.inputs, (), walk.number))}
    return {**left_out, **{name: skip for name, skip in closed.items() if name in in_reach or name not in left_out}}


def _skipped(route: CompiledRoute, targets: Collection[Target], reasons: Mapping[str, Skip]) -> tuple[Skip, ...]:
    planned = {target.id for target in targets}
    return tuple(reasons[target.id] for target in route.targets if target.id not in planned)


def _is_overflow(skipped: Collection[Skip]) -> bool:
    """Whether nothing is large enough; a target that is and only fails just now makes it a matter of waiting."""
    reasons = {skip.reason for skip in skipped}
    return "context_window_too_small" in reasons and reasons.isdisjoint(_UNHEALTHY)


def _kind(root: Member) -> tuple[str, str]:
    if isinstance(root, Target):
        return "target", _STRATEGIES["target"]
    if root.selector is None:
        return "model", _STRATEGIES["model"]
    kind = kind_of(root.selector)
    return kind, root.selector.strategy if isinstance(root.selector, Alloy) else _STRATEGIES[kind]


def _reason(route_type: str, targets: Collection[Target], skipped: Collection[Skip], overflow: str | None) -> str:
    if overflow is not None:
        return f"nothing is large enough for the request, and {overflow} takes the largest all the same"
    if targets and not skipped:
        return _CHOICES[route_type]
    reasons = {skip.reason for skip in skipped}
    because = " or ".join(words for reason, words in _CAUSES.items() if reason in reasons)
    if not targets:
        return f"every target has {because}" if because else "no target can be reached"
    return f"{_CHOICES[route_type]}; passed over targets with {because}" if because else _CHOICES[route_type]
