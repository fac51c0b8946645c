"""Whether a whole answer has the form that it has to have, and what the model is told when it has not.

Nothing here waits. An answer is its events, from whichever wire; each of its choices is judged by itself, and the first fault of the
first faulty one decides. A choice that calls tools is judged by their arguments alone: it answers nothing yet. A choice in which the
model or its provider refuses to answer is passed on as what it is, for no client takes it for an answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from wardwright.domain.stream import Finish, StreamEvent, Text, ToolArguments, ToolCallStart, UsageReport
from wardwright.domain.structured import (
    AskedFormat,
    DeclaredTool,
    GuardLoop,
    GuardType,
    OutputFinding,
    OutputSchema,
    StructuredOutput,
)
from wardwright.policy.json_schema import CompiledSchema, Unreadable, compile_schema, read_json
from wardwright.policy.semantic_rules import breach

FORM_RULE = "structured-json"
FORMAT_RULE = "response_format"
TOOLS_RULE = "tool_arguments"

_LONGEST_SHOWN = 8_192
_ANY_OBJECT = '{"type":"object"}'
_REFUSALS = ("content_filter",)
_CUT = "it was cut off at its limit of tokens: answer more briefly"


class Violation(NamedTuple):
    """A fault of an answer: which rule rejects it, by what kind of check, and where.

    `faults` are for the model alone, `wanted` is what it is told to answer with, in words and (`schemas`) in JSON; `loop` says what
    follows. An answer that `is_cut` has come to its limit of tokens.
    """

    rule_id: str
    guard_type: GuardType
    faults: tuple[str, ...]
    wanted: str
    schemas: tuple[str, ...]
    loop: GuardLoop
    choice: int = 0
    call: int | None = None
    is_cut: bool = False

    @property
    def finding(self) -> OutputFinding:
        """The violation as a receipt tells it."""
        return OutputFinding(False, None, self.rule_id, self.guard_type, self.choice, self.call)

    @property
    def feedback(self) -> tuple[str, ...]:
        """What the model is told: the best first, and what there is less of it behind."""
        faults = (*self.faults, _CUT) if self.is_cut else self.faults
        found = "\n".join(f"- {fault}" for fault in faults)
        brief = f"Your last answer was rejected because it failed validation:\n{found}\n{self.wanted}"
        shown = "\n".join(self.schemas)
        return (f"{brief}\n{shown}", brief) if 0 < len(shown) <= _LONGEST_SHOWN else (brief,)


class _Call:
    """One tool call of a choice, whole."""

    def __init__(self) -> None:
        self.name = ""
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        """The JSON of its arguments; without any it is that of none."""
        return "".join(self.pieces) or "{}"


class _Choice:
    """One choice of an answer, whole."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.calls: defaultdict[int, _Call] = defaultdict(_Call)
        self.is_refusal = False
        self.is_cut = False

    @property
    def text(self) -> str:
        """What it answers."""
        return "".join(self.pieces)

    def take(self, event: StreamEvent) -> None:
        """Take in the next event. A refusal is one as long as nothing else is said beside it."""
        match event:
            case Text():
                self.is_refusal = event.is_refusal and (self.is_refusal or not self.pieces)
                self.pieces.append(event.text)
            case ToolCallStart():
                self.calls[event.call].name = event.name
            case ToolArguments():
                self.calls[event.call].pieces.append(event.text)
            case Finish():
                self.is_refusal = self.is_refusal or event.reason in _REFUSALS
                self.is_cut = event.reason == "length"
            case _:
                pass


class _Accepted(NamedTuple):
    schema: str | None = None


class Demand(Protocol):
    """Something that answers are held to."""

    def judge(self, choice: _Choice) -> _Accepted | Violation | None:
        """Judge a choice; None when it is not concerned. The place of a fault is filled in by who knows it."""
        ...


class ModelDemand:
    """What a model's definition says of the form of its answers; `prefix` tells its rules from those of models around it.

    Raises: SchemaFault.
    """

    def __init__(self, form: StructuredOutput, prefix: str = "") -> None:
        self._form = form
        self._prefix = prefix
        self._schemas = tuple((schema.id, compile_schema(schema.schema)) for schema in form.schemas)
        self._checks = sum(compiled.checks for _, compiled in self._schemas)
        self._wanted = _wanted(form.schemas)

    @property
    def names(self) -> tuple[str, ...]:
        """What its schemas are called."""
        return tuple(self._prefix + name for name, _ in self._schemas)

    def judge(self, choice: _Choice) -> _Accepted | Violation | None:
        """See `Demand`."""
        if choice.calls:
            return None
        try:
            document = read_json(choice.text, self._checks)
        except Unreadable as error:
            return self._violation(FORM_RULE, "json_syntax", (str(error),))
        rejections: list[tuple[str, ...]] = []
        for name, schema in self._schemas:
            faults = schema.faults(*document)
            if faults is None:
                return self._within_rules(document.value) or _Accepted(self._prefix + name)
            rejections.append(faults)
        return self._violation(FORM_RULE, "schema_validation", _told(self._form.schemas, rejections))

    def _within_rules(self, value: Any) -> Violation | None:
        for rule in self._form.semantic_rules:
            fault = breach(rule, value)
            if fault is not None:
                return self._violation(rule.id, "semantic_validation", (fault,))
        return None

    def _violation(self, rule_id: str, kind: GuardType, faults: tuple[str, ...]) -> Violation:
        schemas = tuple(schema.schema for schema in self._form.schemas)
        return Violation(self._prefix + rule_id, kind, faults, self._wanted, schemas, self._form.guard_loop)


class FormatDemand:
    """The form that a request asks its answer to have. Raises: SchemaFault."""

    def __init__(self, asked: AskedFormat, loop: GuardLoop) -> None:
        self._asked = asked
        self._loop = loop
        self._schema = compile_schema(_ANY_OBJECT if asked.kind == "json_object" else asked.schema)

    def judge(self, choice: _Choice) -> _Accepted | Violation | None:
        """See `Demand`."""
        if choice.calls:
            return None
        try:
            faults = self._schema.faults(*read_json(choice.text, self._schema.checks))
        except Unreadable as error:
            return self._violation("json_syntax", (str(error),))
        return _Accepted() if faults is None else self._violation("schema_validation", faults)

    def _violation(self, kind: GuardType, faults: tuple[str, ...]) -> Violation:
        schemas = (self._asked.schema,) if self._asked.kind == "json_schema" else ()
        wanted = _wanted([OutputSchema("", schema) for schema in schemas])
        return Violation(FORMAT_RULE, kind, faults, wanted, schemas, self._loop)


class ToolDemand:
    """The schemas of the functions that a request offers. With `all_known`, none may be called that was not offered. Raises: SchemaFault."""

    def __init__(self, tools: Iterable[DeclaredTool], loop: GuardLoop, *, all_known: bool) -> None:
        self._schemas: dict[str, CompiledSchema] = {tool.name: compile_schema(tool.schema) for tool in tools}
        self._loop = loop
        self._all_known = all_known

    def judge(self, choice: _Choice) -> _Accepted | Violation | None:
        """See `Demand`."""
        for number, call in choice.calls.items():
            faults = self._faults(call)
            if faults is not None:
                told = tuple(f"the call of {call.name[:80]!r}: {fault}" for fault in faults)
                wanted = "Call the tools that are offered, with arguments that match their schemas."
                return Violation(TOOLS_RULE, "tool_arguments", told, wanted, (), self._loop, call=number)
        return _Accepted() if choice.calls else None

    def _faults(self, call: _Call) -> tuple[str, ...] | None:
        schema = self._schemas.get(call.name)
        if schema is None:
            return ("there is no tool of that name",) if self._all_known else None
        try:
            return schema.faults(*read_json(call.arguments, schema.checks))
        except Unreadable as error:
            return (str(error),)


class Verdict(NamedTuple):
    """What became of an answer: `violation` when it is rejected, and what the receipt is told; None when nothing in it was judged."""

    violation: Violation | None
    finding: OutputFinding | None


class OutputContract:
    """Everything that the answers of one target are held to for one request."""

    def __init__(self, demands: Sequence[Demand]) -> None:
        self._demands = tuple(demands)

    def judge(self, events: Iterable[StreamEvent]) -> Verdict:
        """Judge a whole answer."""
        accepted: list[_Accepted] = []
        for number, choice in sorted(_choices(events).items()):
            if choice.is_refusal:
                continue
            for demand in self._demands:
                found = demand.judge(choice)
                if isinstance(found, Violation):
                    violation = found._replace(choice=number, is_cut=choice.is_cut)
                    return Verdict(violation, violation.finding)
                if found is not None:
                    accepted.append(found)
        if not accepted:
            return Verdict(None, None)
        return Verdict(
            None, OutputFinding(True, next((one.schema for one in accepted if one.schema is not None), None))
        )


def _choices(events: Iterable[StreamEvent]) -> dict[int, _Choice]:
    choices: defaultdict[int, _Choice] = defaultdict(_Choice)
    for event in events:
        if not isinstance(event, UsageReport):
            choices[event.choice].take(event)
    return choices or {0: _Choice()}


def _told(schemas: Sequence[OutputSchema], rejections: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    if len(schemas) == 1:
        return rejections[0]
    return tuple(f"by {schema.id}: {'; '.join(faults)}" for schema, faults in zip(schemas, rejections, strict=True))


def _wanted(schemas: Sequence[OutputSchema]) -> str:
    """What to answer with, in words."""
    if not schemas:
        return "Answer with one JSON object and nothing else: no prose, no code fences."
    names = ", ".join(schema.id for schema in schemas if schema.id)
    which = "the JSON Schema" if len(schemas) == 1 else "one of the JSON Schemas"
    return f"Answer with JSON that matches {which}{f' {names}' if names else ''} and nothing else: no prose, no code fences."
