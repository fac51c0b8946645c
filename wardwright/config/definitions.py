"""From the settings of a synthetic model to its definition, the immutable version that planning works on."""

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, TypedDict

import msgspec

from wardwright.config.settings import (
    AlloySettings,
    ModelSettings,
    NumberRuleSettings,
    RedactionSettings,
    RequirementSettings,
    SelectorSettings,
    StreamPolicySettings,
    StreamRuleSettings,
    StructuredOutputSettings,
    TargetSettings,
    TextRuleSettings,
)
from wardwright.domain.policy import USUAL_HOLDING, Channel, RedactionRule, RouteRule, StreamPolicy, StreamRule
from wardwright.domain.route import (
    Alias,
    Alloy,
    Cascade,
    Constituent,
    Dispatcher,
    Guard,
    ModelDefinition,
    Price,
    Requirements,
    Selector,
    Target,
)
from wardwright.domain.structured import (
    USUAL_OUTPUT,
    GuardLoop,
    NumberRule,
    OutputSchema,
    SemanticRule,
    StructuredOutput,
    TextRule,
)
from wardwright.planner.graph import expand

_HASH_DIGITS = 16


class _Choice(TypedDict):
    """What selectors that choose among several members share."""

    sticky: bool
    on_overflow: Literal["refuse", "largest"]
    on_content_filter: Literal["pass_on", "next"]
    resume: bool


def selectors_of(model: ModelSettings) -> list[Selector]:
    """Read the selectors of a model as nodes of its route graph. Purity: pure."""
    return [
        *(Dispatcher(node.id, node.models, **_choice(node)) for node in model.dispatchers),
        *(Cascade(node.id, node.models, **_choice(node)) for node in model.cascades),
        *(_alloy(node) for node in model.alloys),
        *(Guard(node.id, node.model, _requirements(node.require), node.otherwise) for node in model.guards),
        *(Alias(node.id, node.model) for node in model.aliases),
    ]


def target_of(settings: TargetSettings) -> Target:
    """Read a target. Purity: pure."""
    price = settings.price
    capabilities = settings.capabilities
    return Target(
        id=settings.id,
        provider=settings.provider,
        upstream_model=settings.upstream_model or settings.id.removeprefix(f"{settings.provider}/"),
        context_window=settings.context_window,
        capabilities=None if capabilities is None else frozenset(capabilities),
        price=None if price is None else Price(price.input, price.output, price.cached_input),
        tags=settings.tags,
        tokenizer=settings.tokenizer,
        history=settings.history,
    )


def _alloy(node: AlloySettings) -> Alloy:
    return Alloy(
        id=node.id,
        strategy=node.strategy,
        constituents=tuple(Constituent(entry.model, entry.weight) for entry in node.constituents),
        partial_context=node.partial_context,
        min_context_window=node.min_context_window,
        **_choice(node),
    )


def _choice(node: SelectorSettings | AlloySettings) -> _Choice:
    return {
        "sticky": node.sticky is not None,
        "on_overflow": node.on_overflow,
        "on_content_filter": node.on_content_filter,
        "resume": node.resume is not None,
    }


def _requirements(settings: RequirementSettings) -> Requirements:
    stated = ((name, getattr(settings, name)) for name in settings.__struct_fields__)
    return Requirements(**{name: value for name, value in stated if value is not None})


def rules_of(model: ModelSettings) -> tuple[RouteRule, ...]:
    """Read the rules of a model. Purity: pure."""
    return tuple(
        RouteRule(
            id=rule.id,
            action=rule.action,
            contains=rule.contains,
            regex=rule.regex,
            allowed_targets=rule.allowed_targets or (),
            target_model=rule.target_model,
            allow_fallback=rule.allow_fallback,
            message=rule.message,
        )
        for rule in model.governance
    )


def stream_rule_of(rule: StreamRuleSettings) -> StreamRule:
    """Read a stream rule. Purity: pure."""
    return StreamRule(
        id=rule.id,
        action=rule.action,
        on=_watched(rule),
        contains=rule.contains,
        regex=rule.regex,
        replacement="[redacted]" if rule.replacement is None else rule.replacement,
        reminder=rule.reminder,
        target=rule.target,
        max_retries=1 if rule.max_retries is None else rule.max_retries,
        once_per=rule.once_per,
        shadow=rule.shadow,
        horizon_bytes=rule.horizon_bytes,
        max_hold_ms=rule.max_hold_ms,
        on_hold_exceeded=rule.on_hold_exceeded,
    )


def redaction_of(rule: RedactionSettings) -> RedactionRule:
    """Read a redaction. Purity: pure."""
    return RedactionRule(id=rule.id, contains=rule.contains, regex=rule.regex)


def _holding(settings: StreamPolicySettings) -> StreamPolicy:
    policy = StreamPolicy(settings.mode, settings.max_hold_ms, settings.max_hold_bytes, settings.on_hold_exceeded)
    return USUAL_HOLDING if policy == USUAL_HOLDING else policy  # the very default, or msgspec would not leave it out


def structured_output_of(settings: StructuredOutputSettings) -> StructuredOutput:
    """Read what a model says of the form of its answers. Purity: pure."""
    loop = settings.guard_loop
    output = StructuredOutput(
        schemas=tuple(OutputSchema(name, schema_text(schema)) for name, schema in (settings.schemas or {}).items()),
        semantic_rules=tuple(_semantic_rule(rule) for rule in settings.semantic_rules),
        guard_loop=GuardLoop(
            max_attempts=loop.max_attempts,
            max_failures_per_rule=loop.max_failures_per_rule or loop.max_attempts,
            on_violation=loop.on_violation,
        ),
        response_format=settings.response_format,
        tool_arguments=settings.tool_arguments,
    )
    return USUAL_OUTPUT if output == USUAL_OUTPUT else output  # as with the holding


def _semantic_rule(rule: NumberRuleSettings | TextRuleSettings) -> SemanticRule:
    if isinstance(rule, TextRuleSettings):
        return TextRule(id=rule.id, path=rule.path, pattern=rule.pattern)
    return NumberRule(id=rule.id, path=rule.path, gte=rule.gte, gt=rule.gt, lte=rule.lte, lt=rule.lt)


def schema_text(schema: dict[str, Any]) -> str:
    """Render a schema as one text for equal schemas. Raises: RecursionError. Purity: pure."""
    return msgspec.json.encode(schema, order="deterministic").decode()


def _watched(rule: StreamRuleSettings) -> tuple[Channel, ...]:
    """The channels that a rule names, each once, in one order: a definition is known by its content."""
    channels: tuple[Channel, ...] = ("text", "reasoning", "tool_arguments")
    return tuple(channel for channel in channels if channel in rule.on or "any" in rule.on)


def define_model(model: ModelSettings, targets: Iterable[TargetSettings]) -> ModelDefinition:
    """Make the definition of a model whose graph is sound. Purity: pure."""
    graph = expand(selectors_of(model), [target_of(target) for target in targets], model.route_root)
    definition = ModelDefinition(
        id=model.id,
        version=model.version or "",
        root=graph.root,
        selectors=graph.selectors,
        targets=graph.targets,
        description=model.description,
        callable_from_outside=model.access.requires_api_key or model.access.unkeyed == "public",
        requires_api_key=model.access.requires_api_key,
        reveal_target=model.reveal == "target",
        max_attempts=model.max_attempts,
        governance=rules_of(model),
        stream_rules=tuple(stream_rule_of(rule) for rule in model.stream_rules),
        stream_policy=_holding(model.stream_policy),
        structured_output=structured_output_of(model.structured_output),
        capture=model.capture,
        redaction=tuple(redaction_of(rule) for rule in model.redaction),
    )
    if model.version is not None:
        return definition
    return msgspec.structs.replace(definition, version=content_version(definition))


def content_version(definition: ModelDefinition) -> str:
    """Name a definition by its content: equal content is an equal version, whatever the order of keys. Purity: pure."""
    unversioned = msgspec.structs.replace(definition, version="")
    canonical = msgspec.json.encode(unversioned, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()[:_HASH_DIGITS]}"
