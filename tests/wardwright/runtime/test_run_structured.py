"""A run whose answers must have a form: what is held, what is asked instead of a faulty one, and what is recorded of it."""

import json
from typing import Any

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from supervisors.testing import settle
from tests.wardwright.runtime.providers import REFUSED, Piece, Scripted, Watched
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import Stage, cascade, chat_request, stage
from wardwright.domain.caller import Caller
from wardwright.domain.errors import AnswerRefused, RequestError, WardwrightError
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.domain.route import MODEL_PREFIX, Alias, Cascade, Composition, ModelDefinition, Target
from wardwright.domain.structured import Enforcement, GuardLoop, OutputFinding, OutputSchema, StructuredOutput
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.structured_outcome import StructuredOutcome
from wardwright.runtime.output_book import OutputBook
from wardwright.wire.openai_request import parse_chat_request

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

GOOD = '{"answer": 1}'
SCHEMA = '{"required":["answer"],"type":"object"}'
TOOL = {
    "type": "function",
    "function": {"name": "look", "strict": True, "parameters": {"required": ["at"], "type": "object"}},
}

both_ways = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])


def formed(definition: ModelDefinition, loop: GuardLoop = GuardLoop(), **keys: Any) -> ModelDefinition:  # noqa: B008 - frozen
    schemas = (OutputSchema("answer", SCHEMA),)
    return replace(definition, structured_output=StructuredOutput(schemas=schemas, guard_loop=loop, **keys))


def call(arguments: str) -> Piece:
    function = {"name": "look", "arguments": arguments}
    return {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}


async def ask(
    on: Stage, responder: RecordingResponder, *, stream: bool = True, **fields: Any
) -> WardwrightError | None:
    """Send a request with these fields; return what the client is told."""
    try:
        await on.gateway.chat(
            chat_request(stream=stream, **fields), caller=Caller(), request_id="req_1", responder=responder
        )
    except WardwrightError as error:
        return error
    return None


def text_of(responder: RecordingResponder) -> str:
    if responder.completion is None:
        return responder.text
    choices = json.loads(bytes(responder.completion.fields["choices"]))
    return "".join(choice["message"]["content"] for choice in choices)


def receipt_of(on: Stage, responder: RecordingResponder) -> Receipt:
    on.store.closing(responder.receipt_id)
    return fold(on.store.entries(responder.receipt_id))


def outcome_of(receipt: Receipt) -> StructuredOutcome:
    assert receipt.final is not None
    assert receipt.final.structured_output is not None
    return receipt.final.structured_output


def course(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.status) for attempt in receipt.attempts]


class TestAGoodAnswer:
    async def test_is_held_to_its_end_and_leaves_with_the_closed_receipt(self) -> None:
        provider = Scripted("first", ['{"ans', 'wer": 1}'], delay_s=1.0)
        async with stage(provider, definition=formed(cascade("first"))) as on:
            responder = RecordingResponder()
            assert await ask(on, responder) is None
            assert responder.text == GOOD
            assert len(responder.batches) == 1
            [attempt] = receipt_of(on, responder).attempts
            assert attempt.structured_output == OutputFinding(True, "answer")
            assert (attempt.generated_bytes, attempt.released_bytes, attempt.stream_policy) == (13, 13, None)

    async def test_is_counted(self) -> None:
        async with stage(Scripted("first", ["no"], [GOOD]), definition=formed(cascade("first"))) as on:
            await ask(on, RecordingResponder())
            value = on.metrics.registry.get_sample_value
            for outcome in ("accepted", "json_syntax"):
                labels = {"model": "test-model", "outcome": outcome}
                assert value("wardwright_structured_outputs_total", labels) == 1
            labels = {"model": "test-model", "outcome": "asked_again"}
            assert value("wardwright_answers_withheld_total", labels) == 1

    @both_ways
    async def test_a_refusal_is_passed_on(self, stream: bool) -> None:
        provider = Scripted("first", [{"refusal": "I can't help."}])
        async with stage(provider, definition=formed(cascade("first"))) as on:
            responder = RecordingResponder()
            assert await ask(on, responder, stream=stream) is None
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert (receipt.final.status, receipt.final.structured_output) == ("completed", None)


class TestAFaultyAnswer:
    @both_ways
    async def test_is_rejected_and_the_model_told(self, stream: bool) -> None:
        provider = Scripted("first", ["Sure: ", GOOD], ["{}"], [GOOD])
        async with stage(provider, definition=formed(cascade("first"))) as on:
            responder = RecordingResponder()
            assert await ask(on, responder, stream=stream) is None

            assert text_of(responder) == GOOD
            said = [msgspec.json.decode(one.request.fields["messages"])[1:] for one in provider.calls]
            assert [[message["name"] for message in messages] for messages in said] == [
                [],
                ["wardwright_structured_output_guard"],
                ["wardwright_structured_output_guard"],
            ]
            assert "no valid JSON" in said[1][0]["content"]
            assert '"answer" is a required property' in said[2][0]["content"]
            assert [len(one.request.messages) for one in provider.calls] == [1, 2, 2]
            receipt = receipt_of(on, responder)
            assert course(receipt) == [("first/m", "rejected"), ("first/m", "rejected"), ("first/m", "completed")]
            assert receipt.final is not None
            assert receipt.final.status == "completed_after_guard"
            assert receipt.final.usage is not None
            assert receipt.final.stream_policy is None
            requested = [event for event in receipt.events if event.type == "attempt.retry_requested"]
            assert [event.rule_id for event in requested] == ["structured-json", "structured-json"]
            assert responder.head is not None
            assert responder.head.attempts == 3

    async def test_says_nothing_against_the_provider(self) -> None:
        async with stage(Scripted("first", ["no"], [GOOD]), definition=formed(cascade("first"))) as on:
            await ask(on, RecordingResponder())
            await settle()
            details = on.details("wardwright/providers/first")
            assert (details["error_count"], details["completed_count"], details["cancelled_count"]) == (0, 2, 0)
            assert (on.leases(), on.permits()) == (0, 0)

    async def test_may_be_asked_for_again_without_a_word(self) -> None:
        provider = Scripted("first", ["no"], [GOOD])
        definition = formed(cascade("first"), GuardLoop(on_violation="retry"))
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            assert provider.calls[0].request is provider.calls[1].request
            outcome = outcome_of(receipt_of(on, responder))
            assert [event.action for event in outcome.guard_events] == ["retry"]

    @both_ways
    async def test_of_which_there_are_too_many_is_a_refusal_and_nothing_else(self, stream: bool) -> None:
        async with stage(Scripted("first", ["no"]), definition=formed(cascade("first"))) as on:
            responder = RecordingResponder()
            error = await ask(on, responder, stream=stream)
            assert isinstance(error, AnswerRefused)
            assert (error.code, error.retryable) == ("structured_output_exhausted", False)
            assert responder.batches == []
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert (receipt.final.status, receipt.final.released) == ("structured_output_exhausted", False)
            assert [event.action for event in outcome_of(receipt).guard_events] == [
                "retry_with_validation_feedback",
                "retry_with_validation_feedback",
                "block",
            ]

    async def test_counts_among_the_upstream_calls_of_its_request(self) -> None:
        first = Scripted("first", ["no"], failures=[ScriptedFailure(REFUSED)])
        definition = formed(cascade("first", "second", max_attempts=3), GuardLoop(9, 9))
        async with stage(first, Scripted("second", ["no"]), definition=definition) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            receipt = receipt_of(on, responder)
            assert course(receipt) == [("first/m", "failed"), ("second/m", "rejected"), ("second/m", "rejected")]
            assert receipt.events[-2].reason == "attempts_spent"

    async def test_before_a_failure_is_followed_by_the_next_target(self) -> None:
        first = Scripted("first", ["no"], failures=[None, ScriptedFailure(REFUSED)])
        async with stage(first, Scripted("second", [GOOD]), definition=formed(cascade("first", "second"))) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            assert responder.text == GOOD
            assert course(receipt_of(on, responder)) == [
                ("first/m", "rejected"), ("first/m", "failed"), ("second/m", "completed"),
            ]  # fmt: skip

    async def test_whose_feedback_makes_the_request_too_long_is_taken_where_it_fits_or_nowhere(self) -> None:
        small, large = Target("first/m", "first", "up", 10), Target("second/m", "second", "up", 1000)
        definition = ModelDefinition("test-model", "v1", "c", (Cascade("c", ("first/m", "second/m")),), (small, large))
        async with stage(Scripted("first", ["no"]), Scripted("second", [GOOD]), definition=formed(definition)) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            assert course(receipt_of(on, responder)) == [("first/m", "rejected"), ("second/m", "completed")]
        async with stage(Scripted("first", ["no"]), definition=formed(cascade("first", window=10))) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            assert receipt_of(on, responder).events[-2].reason == "nothing_fits"

    async def test_feedback_leaves_the_schema_out_where_only_that_fits(self) -> None:
        long = json.dumps({"type": "object", "required": ["answer"], "description": "x" * 2000})
        output = StructuredOutput(schemas=(OutputSchema("answer", long),))
        definition = replace(cascade("first", "second", window=200), structured_output=output)
        provider = Scripted("first", ["no"], [GOOD])
        async with stage(provider, Scripted("second", [GOOD]), definition=definition) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            assert course(receipt_of(on, responder)) == [("first/m", "rejected"), ("first/m", "completed")]
            assert "xxx" not in str(provider.calls[1].request.messages[-1].content)

    async def test_a_client_that_leaves_meanwhile_ends_it(self) -> None:
        provider = Scripted("first", ["no"], delay_s=1.0)
        async with stage(provider, definition=formed(cascade("first"))) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(ask, on, responder)
            await anyio.sleep(1.5)
            responder.leave()
            await settle()
            receipt = receipt_of(on, responder)
            assert receipt.final is not None
            assert receipt.final.status == "client_cancelled"
            assert course(receipt) == [("first/m", "rejected"), ("first/m", "cancelled")]


class TestWithStreamRules:
    async def test_a_rule_that_ends_an_answer_comes_first(self) -> None:
        rule = StreamRule(id="r", action="retry", contains="no")
        definition = replace(formed(cascade("first")), stream_rules=(rule,))
        async with stage(Scripted("first", ["no"], ["also"], [GOOD]), definition=definition) as on:
            responder = RecordingResponder()
            await ask(on, responder)
            receipt = receipt_of(on, responder)
            assert [status for _, status in course(receipt)] == ["stopped", "rejected", "completed"]
            final = receipt.final
            assert final is not None
            assert final.stream_policy is not None
            assert (final.stream_policy.retry_count, outcome_of(receipt).attempt_count) == (1, 2)

    @both_ways
    async def test_what_is_judged_is_what_they_release(self, stream: bool) -> None:
        rule = StreamRule(id="r", action="rewrite", contains="maybe", replacement="1")
        policy = StreamPolicy("horizon")
        definition = replace(formed(cascade("first")), stream_rules=(rule,), stream_policy=policy)
        async with stage(Scripted("first", ['{"answer": may', "be}"]), definition=definition) as on:
            responder = RecordingResponder()
            await ask(on, responder, stream=stream)
            assert text_of(responder) == GOOD
            [attempt] = receipt_of(on, responder).attempts
            assert attempt.stream_policy is not None
            assert (attempt.stream_policy.mode, attempt.released_bytes) == ("full_buffer", 13)

    @both_ways
    async def test_what_is_rejected_is_accounted_for_as_held(self, stream: bool) -> None:
        rule = StreamRule(id="r", action="block", contains="never")
        definition = replace(formed(cascade("first", max_attempts=1)), stream_rules=(rule,))
        async with stage(Scripted("first", ["no", "no"]), definition=definition) as on:
            responder = RecordingResponder()
            await ask(on, responder, stream=stream)
            [attempt] = receipt_of(on, responder).attempts
            assert attempt.stream_policy is not None
            assert (attempt.generated_bytes, attempt.released_bytes, attempt.stream_policy.held_bytes) == (4, 0, 4)


class TestToolArguments:
    @both_ways
    @pytest.mark.parametrize(("watched", "calls"), [("pass_on", 1), ("strict", 2), ("enforce", 2)])
    async def test_are_judged_where_the_model_says_so(self, watched: Any, calls: int, stream: bool) -> None:
        definition = replace(cascade("first"), structured_output=StructuredOutput(tool_arguments=watched))
        provider = Scripted("first", [call('{"to": 1}')], [call('{"at": 1}')])
        async with stage(provider, definition=definition) as on:
            responder = RecordingResponder()
            assert await ask(on, responder, stream=stream, tools=[TOOL]) is None
            assert len(provider.calls) == calls
            if calls == 2:
                first, second = receipt_of(on, responder).attempts
                assert first.structured_output == OutputFinding(False, None, "tool_arguments", "tool_arguments", 0, 0)
                assert second.structured_output == OutputFinding(True)

    async def test_no_half_call_reaches_a_client(self) -> None:
        definition = replace(cascade("first"), structured_output=StructuredOutput(tool_arguments="enforce"))
        async with stage(Scripted("first", ["I'll look. ", call('{"at": ')]), definition=definition) as on:
            responder = RecordingResponder()
            error = await ask(on, responder, tools=[TOOL])
            assert error is not None
            assert (error.code, responder.batches) == ("structured_output_exhausted", [])

    async def test_of_a_model_with_schemas_stand_for_the_answer(self) -> None:
        async with stage(Scripted("first", [call("{}")]), definition=formed(cascade("first"))) as on:
            assert await ask(on, RecordingResponder(), tools=[TOOL]) is None


class TestWhatCannotBeEnforced:
    async def test_is_the_requests_fault_before_anything_is_asked(self) -> None:
        provider = Watched("first")
        asked = {"type": "json_schema", "json_schema": {"strict": True, "schema": {"pattern": "(?=a)"}}}
        async with stage(provider, definition=cascade("first")) as on:
            error = await ask(on, RecordingResponder(), response_format=asked)
            assert isinstance(error, RequestError)
            assert error.param == "response_format.json_schema.schema"
            assert provider.calls == []

    def test_in_a_tool_that_nobody_watches_is_no_fault(self) -> None:
        asked = chat_request(tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "nope"}}}])

        def book(watched: Enforcement) -> OutputBook:
            output = StructuredOutput(tool_arguments=watched)
            return OutputBook(Composition(replace(cascade("first"), structured_output=output)), asked)

        assert book("pass_on").summary is None
        assert book("strict").summary is None
        with pytest.raises(RequestError, match="the parameters of 'f'") as caught:
            book("enforce")
        assert caught.value.param == "tools"


def test_a_nested_model_says_of_its_targets_what_form_their_answers_have() -> None:
    inner = formed(replace(cascade("a"), id="inner"))
    own = Target("b/m", "b", "up", 100)
    alias = Cascade("top", (f"{MODEL_PREFIX}inner", "b/m"))
    outer = ModelDefinition("outer", "v1", "top", (alias, Alias("other", "b/m")), (own,))
    book = OutputBook(
        Composition(outer, {"inner": inner}), parse_chat_request(b'{"model":"m","messages":[{"role":"user"}]}')
    )
    assert book.contract("b/m") is None
    assert book.contract("a/m") is not None
    assert book.summary is not None
    assert book.summary.schemas == ("inner/answer",)
