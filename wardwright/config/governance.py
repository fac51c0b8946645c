"""What must hold of the rules of a model: ids, patterns, and that what an action names is there."""

from collections.abc import Collection, Iterator, Sequence

from wardwright.config.problems import Problem, below, nearest_hint, shown
from wardwright.config.settings import RouteRuleSettings, TargetSettings
from wardwright.policy.patterns import Pattern, PatternError, compile_pattern

_REROUTES = ("switch_model", "reroute")


def check_rules(
    rules: Sequence[RouteRuleSettings], path: str, targets: Sequence[TargetSettings], file: str | None = None
) -> Iterator[Problem]:
    """Check the route rules of one model, whose path is given."""
    seen: set[str] = set()
    known = _entries(targets)
    for index, rule in enumerate(rules):
        place = below(below(path, "governance"), rule.id if rule.id and rule.id not in seen else index)
        if rule.id in seen:
            message = f'expected an id of its own, but another rule of this model is "{rule.id}" too'
            yield Problem(below(place, "id"), message, file)
        seen.add(rule.id)
        for key, message in (*_pattern_faults(rule), *_action_faults(rule, known, [target.id for target in targets])):
            yield Problem(below(place, key), message, file)


def _pattern_faults(rule: RouteRuleSettings) -> Iterator[tuple[str, str]]:
    if rule.contains is not None and rule.regex is not None:
        yield "regex", "expected contains or regex, got both"
    for key, pattern in (("contains", rule.contains), ("regex", rule.regex)):
        if pattern is not None:
            try:
                compile_pattern(Pattern(pattern, is_regex=key == "regex"))
            except PatternError as error:
                yield key, f"expected a pattern that {error}, got {shown(pattern)}"


def _action_faults(
    rule: RouteRuleSettings, known: Collection[str], target_ids: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if rule.action == "restrict_routes":
        if not rule.allowed_targets:
            yield "allowed_targets", "expected at least one target or provider, got nothing"
        for entry in rule.allowed_targets or ():
            if entry not in known:
                hint = nearest_hint(entry, list(known))
                yield "allowed_targets", f"expected the id of a target or of a provider, got {shown(entry)}{hint}"
    elif rule.allowed_targets is not None:
        yield "allowed_targets", f"expected only with restrict_routes, got it with {rule.action}"
    if rule.action in _REROUTES:
        if rule.target_model is None:
            yield "target_model", f"expected the target that {rule.action} leads to, got nothing"
        elif rule.target_model not in target_ids:
            hint = nearest_hint(rule.target_model, target_ids)
            yield "target_model", f"expected the id of a target, got {shown(rule.target_model)}{hint}"
    elif rule.target_model is not None:
        yield "target_model", f"expected only with switch_model or reroute, got it with {rule.action}"


def _entries(targets: Sequence[TargetSettings]) -> dict[str, None]:
    """Everything that a restriction may name: targets, their providers, and what an id begins with before a slash."""
    entries: dict[str, None] = {}
    for target in targets:
        parts = target.id.split("/")
        entries |= dict.fromkeys(["/".join(parts[:count]) for count in range(1, len(parts) + 1)])
        entries[target.provider] = None
    return entries
