"""The form of whole answers: every kind of check, whom it concerns, and what the model is told."""

import json
from collections.abc import Iterator

import pytest

from wardwright.domain.stream import Finish, Reasoning, StreamEvent, Text, ToolArguments, ToolCallStart
from wardwright.domain.structured import (
    AskedFormat,
    DeclaredTool,
    GuardLoop,
    NumberRule,
    OutputFinding,
    OutputSchema,
    SemanticRule,
    StructuredOutput,
    TextRule,
)
from wardwright.policy.repair import RepairBudget
from wardwright.policy.structured_output import (
    Demand,
    FormatDemand,
    ModelDemand,
    OutputContract,
    ToolDemand,
    Violation,
)

ANSWER = '{"type":"object","required":["answer"],"properties":{"confidence":{"type":"number"}}}'
LIST = '{"type":"array"}'
LOOP = GuardLoop()
NO_VIOLATION = (None, None)


def model(*rules: SemanticRule, prefix: str = "") -> ModelDemand:
    schemas = (OutputSchema("answer", ANSWER), OutputSchema("list", LIST))
    return ModelDemand(StructuredOutput(schemas=schemas, semantic_rules=rules), prefix)


def call(number: int, name: str, arguments: str, choice: int = 0) -> Iterator[StreamEvent]:
    yield ToolCallStart(choice, number, f"call_{number}", name)
    for character in arguments:
        yield ToolArguments(choice, number, character)


def violation(demand: Demand, *events: StreamEvent) -> Violation:
    found = OutputContract([demand]).judge(events).violation
    assert found is not None
    return found


def finding(demand: Demand, *events: StreamEvent) -> OutputFinding | None:
    verdict = OutputContract([demand]).judge(events)
    assert verdict.violation is None
    return verdict.finding


class TestTheSchemasOfAModel:
    def test_the_first_that_accepts_is_named(self) -> None:
        assert finding(model(), Text(0, '{"ans'), Text(0, 'wer": 1}')) == OutputFinding(True, "answer")
        assert finding(model(), Text(0, "[]")) == OutputFinding(True, "list")

    def test_names_of_a_nested_model_are_told_apart(self) -> None:
        assert finding(model(prefix="inner/"), Text(0, "[]")) == OutputFinding(True, "inner/list")
        assert violation(model(prefix="inner/"), Text(0, "{}")).rule_id == "inner/structured-json"

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("{not json", "json_syntax"),
            ("", "json_syntax"),
            ('```json\n{"answer": 1}\n```', "json_syntax"),
            ('Sure! {"answer": 1}', "json_syntax"),
            ("{}", "schema_validation"),
            ('"answer"', "schema_validation"),
        ],
    )
    def test_everything_else_is_rejected(self, text: str, kind: str) -> None:
        found = violation(model(), Text(0, text))
        assert (found.rule_id, found.guard_type) == ("structured-json", kind)

    def test_an_answer_without_any_event_is_rejected_too(self) -> None:
        assert violation(model()).guard_type == "json_syntax"

    def test_only_choices_that_there_are_count(self) -> None:
        assert finding(model(), Text(1, "[]")) == OutputFinding(True, "list")

    def test_every_choice_counts(self) -> None:
        found = violation(model(), Text(1, "no"), Text(0, "[]"))
        assert (found.choice, found.finding) == (1, OutputFinding(False, None, "structured-json", "json_syntax", 1))

    def test_reasoning_is_no_part_of_an_answer(self) -> None:
        assert finding(model(), Reasoning(0, "let me see"), Text(0, "[]")) == OutputFinding(True, "list")

    @pytest.mark.parametrize(
        "events",
        [
            (Text(0, "I can't", is_refusal=True), Text(0, " help.", is_refusal=True)),
            (Text(0, '{"answ'), Finish(0, "content_filter")),
            tuple(call(0, "look", "{}")),
        ],
        ids=["refusal", "content filter", "tool call"],
    )
    def test_what_is_no_answer_is_not_judged(self, events: tuple[StreamEvent, ...]) -> None:
        assert OutputContract([model()]).judge(events) == NO_VIOLATION

    @pytest.mark.parametrize("finish", ["stop", "length"])
    def test_what_is_both_answer_and_refusal_is_judged(self, finish: str) -> None:
        events = (Text(0, "secrets"), Text(0, " no", is_refusal=True), Finish(0, finish))
        assert violation(model(), *events).guard_type == "json_syntax"


class TestSemanticRules:
    def test_the_first_breach_counts_once_a_schema_has_accepted(self) -> None:
        rules = (TextRule(id="a", path="/answer", pattern="x"), NumberRule(id="b", path="/confidence", gte=1))
        for text, rule, kind in (
            ('{"answer": "x"}', "a", "semantic_validation"),
            ('{"answer": "y"}', "b", "semantic_validation"),
            ("{}", "structured-json", "schema_validation"),
        ):
            found = violation(model(*rules), Text(0, text))
            assert (found.rule_id, found.guard_type) == (rule, kind)
        assert violation(model(*rules, prefix="inner/"), Text(0, '{"answer": "x"}')).rule_id == "inner/a"


class TestWhatARequestAsksFor:
    def test_a_json_object_is_one(self) -> None:
        demand = FormatDemand(AskedFormat("json_object", strict=True), LOOP)
        assert finding(demand, Text(0, ' {"any": "thing"}\n')) == OutputFinding(True)
        assert violation(demand, Text(0, "[]")).guard_type == "schema_validation"
        assert violation(demand, Text(0, "no")).rule_id == "response_format"

    def test_a_schema_accepts(self) -> None:
        demand = FormatDemand(AskedFormat("json_schema", strict=True, schema=LIST), LOOP)
        assert finding(demand, Text(0, "[1]")) == OutputFinding(True)
        assert LIST in violation(demand, Text(0, "{}")).feedback[0]

    def test_what_the_model_says_holds_as_well(self) -> None:
        asked = FormatDemand(AskedFormat("json_object", strict=True), LOOP)
        contract = OutputContract([model(), asked])
        assert contract.judge([Text(0, '{"answer": 1}')]).finding == OutputFinding(True, "answer")
        for text, rule in (("[]", "response_format"), ("{}", "structured-json")):
            found = contract.judge([Text(0, text)]).violation
            assert found is not None
            assert found.rule_id == rule


class TestToolArguments:
    TOOLS = (DeclaredTool("look", strict=True, schema='{"required":["at"]}'), DeclaredTool("wait", strict=False))

    def tools(self, *, all_known: bool = False) -> ToolDemand:
        return ToolDemand(self.TOOLS, LOOP, all_known=all_known)

    def test_they_match_the_schema_of_their_tool(self) -> None:
        assert finding(self.tools(), *call(0, "look", '{"at": 1}'), *call(1, "wait", "")) == OutputFinding(True)

    @pytest.mark.parametrize("arguments", ["{}", '{"at": 1', "", "[]]"])
    def test_a_call_with_others_rejects_the_answer(self, arguments: str) -> None:
        found = violation(self.tools(), *call(0, "wait", "{}"), *call(1, "look", arguments))
        assert found.finding == OutputFinding(False, None, "tool_arguments", "tool_arguments", 0, 1)

    def test_a_tool_that_was_not_offered_may_be_called_unless_all_are_known(self) -> None:
        assert finding(self.tools(), *call(0, "fly", "{")) == OutputFinding(True)
        assert "no tool of that name" in violation(self.tools(all_known=True), *call(0, "fly", "{}")).feedback[0]

    def test_an_answer_without_calls_does_not_concern_them(self) -> None:
        assert OutputContract([self.tools()]).judge([Text(0, "hello")]) == NO_VIOLATION


class TestFeedback:
    def test_says_what_is_wrong_and_what_is_wanted(self) -> None:
        told, brief = violation(model(), Text(0, '{"confidence": "high"}')).feedback
        assert "by answer: " in brief
        assert '/confidence: the value is not of type "number"' in brief
        assert "by list: " in brief
        assert "one of the JSON Schemas answer, list and" in brief
        assert told == f"{brief}\n{ANSWER}\n{LIST}"

    def test_says_that_an_answer_was_cut_off(self) -> None:
        cut = violation(model(), Text(0, '{"answer": '), Finish(0, "length"))
        assert "cut off at its limit of tokens" in cut.feedback[0]
        assert "cut off" not in violation(model(), Text(0, '{"answer": '), Finish(0, "stop")).feedback[0]

    def test_leaves_out_what_is_too_long(self) -> None:
        long = json.dumps({"type": "array", "description": "x" * 10_000})
        demand = ModelDemand(StructuredOutput(schemas=(OutputSchema("long", long),)))
        (told,) = violation(demand, Text(0, "{}")).feedback
        assert "the JSON Schema long and" in told
        assert len(told) < 1000

    def test_has_no_text_of_the_answer(self) -> None:
        told, _ = violation(model(), Text(0, '{"confidence": "MARKER"}')).feedback
        assert "MARKER" not in told


class TestBudget:
    def fault(self, rule: str, loop: GuardLoop) -> Violation:
        return Violation(rule, "json_syntax", (), "", (), loop)

    def test_a_rule_rejects_so_many_answers(self) -> None:
        budget, loop = RepairBudget(), GuardLoop(max_attempts=9, max_failures_per_rule=2)
        assert [budget.take(self.fault(rule, loop)) for rule in "aba"] == [None, None, "rule_budget_spent"]
        assert budget.rejections == 3

    def test_all_rules_together_reject_so_many(self) -> None:
        budget, loop = RepairBudget(), GuardLoop(max_attempts=2, max_failures_per_rule=2)
        assert [budget.take(self.fault(rule, loop)) for rule in "ab"] == [None, "guard_budget_spent"]

    def test_the_budget_of_a_rule_comes_first(self) -> None:
        assert RepairBudget().take(self.fault("a", GuardLoop(1, 1))) == "rule_budget_spent"
