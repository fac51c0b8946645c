"""What must hold of the stream rules of a model: each can be honoured as it is written, or is refused."""

from collections.abc import Iterator, Sequence

import msgspec

from wardwright.config.definitions import stream_rule_of
from wardwright.config.problems import Problem, below, nearest_hint, shown
from wardwright.config.settings import ModelSettings, StreamPolicySettings, StreamRuleSettings
from wardwright.domain.policy import StreamRule
from wardwright.domain.route import ModelDefinition
from wardwright.policy.automaton import Automaton
from wardwright.policy.pattern_syntax import longest_match, parse_pattern
from wardwright.policy.patterns import PatternError
from wardwright.policy.stream_rules import StreamRules, guarantee
from wardwright.policy.text_rules import rule_pattern

_NEEDS = {"rewrite": "replacement", "retry_with_reminder": "reminder", "escalate": "target"}
_REQUIRED = ("reminder", "target")
_RETRYING = ("retry", "retry_with_reminder", "escalate")


def check_stream_rules(
    model: ModelSettings, path: str, target_ids: Sequence[str], file: str | None = None
) -> Iterator[Problem]:
    """Check the stream rules of one model, whose path is given."""
    seen: set[str] = set()
    mode = model.stream_policy.mode
    for index, rule in enumerate(model.stream_rules):
        place = below(below(path, "stream_rules"), rule.id if rule.id and rule.id not in seen else index)
        if rule.id in seen:
            message = f'expected an id of its own, but another stream rule of this model is "{rule.id}" too'
            yield Problem(below(place, "id"), message, file)
        seen.add(rule.id)
        for key, message in (
            *_pattern_faults(rule, mode),
            *_action_faults(rule, target_ids),
            *_hold_faults(rule, model.stream_policy),
        ):
            yield Problem(below(place, key), message, file)
    enforced = [rule.id for rule in model.stream_rules if stream_rule_of(rule).is_enforced]
    if mode == "pass_through" and enforced:
        message = f"expected a mode that holds text back, because of the rule {shown(enforced[0])}, got {shown(mode)}"
        yield Problem(below(path, "stream_policy.mode"), message, file)


class RuleGuarantee(msgspec.Struct, frozen=True):
    """What one stream rule of a model promises and costs, in words."""

    model_id: str
    rule: StreamRule
    words: str


def stream_guarantees(definition: ModelDefinition) -> tuple[RuleGuarantee, ...]:
    """Say what each stream rule of a sound model promises. Compiles the rules, so that no request waits for that. Purity: pure."""
    policy = definition.stream_policy
    StreamRules(definition.stream_rules, policy)
    return tuple(RuleGuarantee(definition.id, rule, guarantee(rule, policy)) for rule in definition.stream_rules)


def _pattern_faults(rule: StreamRuleSettings, mode: str) -> Iterator[tuple[str, str]]:
    if rule.contains is not None and rule.regex is not None:
        yield "regex", "expected contains or regex, got both"
        return
    key, pattern = ("contains", rule.contains) if rule.regex is None else ("regex", rule.regex)
    if pattern is None:
        yield "contains", "expected contains or regex, got neither"
        return
    compiled = stream_rule_of(rule)
    try:
        node = parse_pattern(rule_pattern(compiled))
        Automaton([node])
    except PatternError as error:
        yield key, f"expected a pattern that {error}, got {shown(pattern)}"
        return
    is_unbounded = longest_match(node) is None and rule.horizon_bytes is None
    if is_unbounded and compiled.is_enforced and mode != "full_buffer":
        yield (
            "horizon_bytes",
            (
                "expected how long a match is reckoned with, since this pattern has no longest one, "
                'or stream_policy = { mode = "full_buffer" }, got nothing'
            ),
        )


def _hold_faults(rule: StreamRuleSettings, policy: StreamPolicySettings) -> Iterator[tuple[str, str]]:
    if rule.on_hold_exceeded == "open" and rule.max_hold_ms is None and policy.max_hold_ms is None:
        yield "on_hold_exceeded", 'expected "open" only with max_hold_ms, here or in stream_policy, got it without'


def _action_faults(rule: StreamRuleSettings, target_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    for action, key in _NEEDS.items():
        value = getattr(rule, key)
        if value is not None and rule.action != action:
            yield key, f"expected only with {action}, got it with {rule.action}"
        elif value is None and rule.action == action and key in _REQUIRED:
            yield key, f"expected {_MEANT[key]}, got nothing"
    if rule.max_retries is not None and rule.action not in _RETRYING:
        yield (
            "max_retries",
            f"expected only with {', '.join(_RETRYING[:-1])} or {_RETRYING[-1]}, got it with {rule.action}",
        )
    if rule.action == "escalate" and rule.target is not None and rule.target not in target_ids:
        hint = nearest_hint(rule.target, target_ids)
        yield "target", f"expected the id of a target, got {shown(rule.target)}{hint}"


_MEANT = {"reminder": "what the model is to be reminded of", "target": "the target that escalate leads to"}
