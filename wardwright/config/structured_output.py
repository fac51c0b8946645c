"""What must hold of the form that a model gives its answers: schemas that can be enforced, and rules that can be kept and broken."""

from collections.abc import Iterator

import msgspec

from wardwright.config.definitions import schema_text
from wardwright.config.problems import Problem, below
from wardwright.config.settings import NumberRuleSettings, StructuredOutputSettings
from wardwright.domain.route import ModelDefinition
from wardwright.domain.structured import USUAL_OUTPUT, StructuredOutput
from wardwright.policy.json_schema import SchemaFault, compile_schema

_BOUNDS = ("gte", "gt", "lte", "lt")
_ASKED = {"strict": "where it says strict", "enforce": "always"}


def check_structured_output(
    settings: StructuredOutputSettings, path: str, file: str | None = None
) -> Iterator[Problem]:
    """Check what one model, whose path is given, says of its answers. Compiles the schemas, so that no request waits for that."""
    at = below(path, "structured_output")
    for name, schema in (settings.schemas or {}).items():
        try:
            compile_schema(schema_text(schema))
        except RecursionError:
            yield Problem(below(at, f"schemas.{name}"), "expected a JSON Schema that is nested less deeply", file)
        except SchemaFault as fault:
            yield Problem(below(at, f"schemas.{name}"), f"expected a JSON Schema that {fault}", file)
    if settings.semantic_rules and not settings.schemas:
        yield Problem(
            below(at, "schemas"), "expected at least one schema, which semantic rules add to, got nothing", file
        )
    seen: set[str] = set()
    for index, rule in enumerate(settings.semantic_rules):
        place = below(below(at, "semantic_rules"), index if rule.id in seen else rule.id)
        if rule.id in seen:
            message = f'expected an id of its own, but another semantic rule of this model is "{rule.id}" too'
            yield Problem(below(place, "id"), message, file)
        seen.add(rule.id)
        if isinstance(rule, NumberRuleSettings) and all(getattr(rule, bound) is None for bound in _BOUNDS):
            yield Problem(below(place, "gte"), f"expected at least one of {', '.join(_BOUNDS)}, got nothing", file)


class OutputGuarantee(msgspec.Struct, frozen=True):
    """What one model promises of the form of its answers, in words."""

    model_id: str
    words: tuple[str, ...]
    loop: str


def output_guarantee(definition: ModelDefinition) -> OutputGuarantee | None:
    """Say what a sound model promises of the form of its answers; None when it says nothing of it. Purity: pure."""
    output = definition.structured_output
    if output == USUAL_OUTPUT:
        return None
    loop = output.guard_loop
    told = "told what is wrong" if loop.on_violation == "retry_with_validation_feedback" else "asked the same again"
    most = min(loop.max_attempts, definition.max_attempts)
    rule = "" if loop.max_failures_per_rule >= most else f", {loop.max_failures_per_rule} that one rule rejects"
    answers = "1 answer" if most == 1 else f"{most} answers"
    return OutputGuarantee(
        definition.id, tuple(_promises(output)), f"at most {answers}{rule}; {told}" if most > 1 else "1 answer"
    )


def _promises(output: StructuredOutput) -> Iterator[str]:
    if output.schemas:
        names = ", ".join(schema.id for schema in output.schemas)
        rules = (
            f", and keeps to {', '.join(rule.id for rule in output.semantic_rules)}" if output.semantic_rules else ""
        )
        yield f"every answer is JSON that one of these accepts: {names}{rules}; streams are held until their end"
    if output.response_format in _ASKED:
        yield f"the form that a request asks for is kept {_ASKED[output.response_format]}"
    if output.tool_arguments in _ASKED:
        yield f"arguments match the schema of their tool {_ASKED[output.tool_arguments]}"
