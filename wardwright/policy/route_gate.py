"""Rules over a request's text that decide on its route: what fired, and what the plan is constrained to.

Rules are tried in the order of their declaration and all of them count. Restrictions add up: what several rules allow is what each
of them allows, and where nothing is left nothing may be asked, which blocks the request. Of several forced targets the last one
wins; a block wins over everything. The text is every message with its role and all its text parts, tool calls as the JSON that was
sent, so that a rule sees what the model would see.
"""

from collections.abc import Iterable, Sequence

import msgspec

from wardwright.domain.chat import Message
from wardwright.domain.policy import PolicyAction, RouteRule
from wardwright.domain.route import RouteConstraints, Target
from wardwright.policy.patterns import Matcher, Pattern


class Gated(msgspec.Struct, frozen=True):
    """What the rules of one model made of one request."""

    constraints: RouteConstraints | None
    actions: tuple[PolicyAction, ...]


class RouteGate:
    """The route rules of one model, compiled. Not safe for use by several threads at a time.

    Raises: PatternError when a rule's pattern cannot be honoured.
    """

    def __init__(self, model_id: str, rules: Sequence[RouteRule]) -> None:
        self._model_id = model_id
        self._rules = rules
        patterned = [(rule, pattern) for rule in rules if (pattern := pattern_of(rule)) is not None]
        self._places = {rule.id: place for place, (rule, _) in enumerate(patterned)}
        self._matcher = Matcher([pattern for _, pattern in patterned])

    def judge(self, text: str, targets: Sequence[Target]) -> Gated:
        """Decide what a request of this text is constrained to, among these targets. Purity: pure."""
        matched = self._matcher.matches(text)
        fired = [rule for rule in self._rules if rule.id not in self._places or self._places[rule.id] in matched]
        actions = tuple(
            PolicyAction(self._model_id, rule.id, "route_gate", rule.action, rule.message) for rule in fired
        )
        return Gated(_constrained(fired, targets) if fired else None, actions)


def _constrained(fired: Iterable[RouteRule], targets: Sequence[Target]) -> RouteConstraints:
    constraints = RouteConstraints()
    for rule in fired:
        match rule.action:
            case "restrict_routes":
                constraints = _narrowed(constraints, rule.allowed_targets, targets)
            case "block":
                constraints = msgspec.structs.replace(constraints, blocked_by=constraints.blocked_by or rule.id)
            case "switch_model" | "reroute":
                constraints = msgspec.structs.replace(
                    constraints, forced_model=rule.target_model, allow_fallback=rule.allow_fallback
                )
    return constraints


def _narrowed(constraints: RouteConstraints, entries: tuple[str, ...], targets: Sequence[Target]) -> RouteConstraints:
    """Add a restriction. A single one is kept in the rule's words; a further one leaves the targets which both allow, by id."""
    if constraints.allowed_targets is None:
        return msgspec.structs.replace(constraints, allowed_targets=entries)
    own = RouteConstraints(allowed_targets=entries)
    both = tuple(target.id for target in targets if constraints.allows(target) and own.allows(target))
    return msgspec.structs.replace(constraints, allowed_targets=both)


def pattern_of(rule: RouteRule) -> Pattern | None:
    """The pattern of a rule; None when it fires on every request. Purity: pure."""
    if rule.regex is not None:
        return Pattern(rule.regex, is_regex=True)
    return None if rule.contains is None else Pattern(rule.contains)


def request_text(messages: Iterable[Message]) -> str:
    """The text of a request as rules see it. Purity: pure."""
    return "\n".join(line for message in messages for line in _lines(message))


def _lines(message: Message) -> Iterable[str]:
    yield message.role
    content = message.content
    if isinstance(content, str):
        yield content
    elif content is not None:
        yield from (part.text for part in content if part.text is not None)
    if message.tool_calls is not None:
        yield bytes(message.tool_calls).decode("utf-8", "replace")
