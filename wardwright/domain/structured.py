"""What the form of an answer has to be: as a model's definition demands it, as a request asks for it, and as a receipt tells of it."""

from typing import Literal

import msgspec

GuardType = Literal["json_syntax", "schema_validation", "semantic_validation", "tool_arguments"]
OnViolation = Literal["retry_with_validation_feedback", "retry"]
Enforcement = Literal["pass_on", "strict", "enforce"]
"""What becomes of a form that a request asks for: nothing, it is held to where the request says `strict`, or always."""


class OutputSchema(msgspec.Struct, frozen=True):
    """A JSON Schema by its name in the model, as the text of its JSON: equal schemas are equal texts."""

    id: str
    schema: str


class NumberRule(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag="json_path_number", tag_field="kind"
):
    """The number at `path`, a JSON pointer, is within all bounds that are given; it has to be there."""

    id: str
    path: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None


class TextRule(msgspec.Struct, frozen=True, kw_only=True, tag="json_path_string_not_contains", tag_field="kind"):
    """The string at `path` does not have `pattern` in it, whatever the case of either. What is no string passes."""

    id: str
    path: str
    pattern: str


SemanticRule = NumberRule | TextRule


class GuardLoop(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often a faulty answer is asked for anew: `max_attempts` answers at most, and of these so many that one rule rejects."""

    max_attempts: int = 3
    max_failures_per_rule: int = 3
    on_violation: OnViolation = "retry_with_validation_feedback"


class StructuredOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """The form of a model's answers.

    With `schemas` every answer is JSON that one of them accepts, and keeps to the `semantic_rules`. `response_format` and
    `tool_arguments` say what becomes of the form that a request asks for, of its answer and of the calls to its tools.
    """

    schemas: tuple[OutputSchema, ...] = ()
    semantic_rules: tuple[SemanticRule, ...] = ()
    guard_loop: GuardLoop = GuardLoop()
    response_format: Enforcement = "strict"
    tool_arguments: Enforcement = "pass_on"


USUAL_OUTPUT = StructuredOutput()


class AskedFormat(msgspec.Struct, frozen=True):
    """The form that a request asks its answer to have: any JSON object, or what its schema accepts."""

    kind: Literal["json_object", "json_schema"]
    strict: bool
    schema: str = "true"


class DeclaredTool(msgspec.Struct, frozen=True):
    """A function that a request offers, and the schema of its arguments."""

    name: str
    strict: bool
    schema: str = "true"


class OutputSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request's answers are held to: the model's schemas by name, the form asked for, and how many of its tools."""

    schemas: tuple[str, ...] = ()
    response_format: Literal["json_object", "json_schema"] | None = None
    tools: int = 0


class OutputFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether an answer has the form it has to have: by which schema, or else which rule rejected it, and where.

    `guard_type` is the kind of check that failed, in the `choice`, and of a tool call's arguments in that `call`.
    """

    accepted: bool
    selected_schema: str | None = None
    rule_id: str | None = None
    guard_type: GuardType | None = None
    choice: int = 0
    call: int | None = None
