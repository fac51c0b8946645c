"""Receipts as traces: the request and its attempts, with the attributes of the conventions, under ids that do not change."""

from typing import get_args

import msgspec
import pytest

from tests.wardwright.receipts.receipt_samples import AT, RECEIPT_ID, entries, fallback_story, opened
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Usage
from wardwright.domain.policy import PolicyAction, RuleFired
from wardwright.receipts.events import (
    ANSWERED,
    AskedAgain,
    AttemptFinished,
    AttemptStarted,
    Closed,
    Event,
    FinalStatus,
    Opened,
    PassedOver,
    StreamFinding,
)
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.sinks.genai_spans import FAILED, spans_of
from wardwright.sinks.otlp import Span

TRACE = "0af7651916cd43dd8448eb211c80319c"


def receipt(*events: Event, receipt_id: str = RECEIPT_ID) -> Receipt:
    return fold(entries(list(events), receipt_id=receipt_id))


def spans(*events: Event) -> list[Span]:
    return list(spans_of(receipt(*events)))


def said(span: Span) -> dict[str, object]:
    return {name: value for name, value in span.attributes.items() if value is not None}


def changed(fact: Opened, **request: object) -> Opened:
    return msgspec.structs.replace(fact, request=msgspec.structs.replace(fact.request, **request))


class TestShape:
    def test_a_request_is_a_span_with_one_in_it_for_each_attempt(self) -> None:
        request, first, second = spans(*fallback_story())
        assert (request.name, request.kind, request.parent_id) == ("chat coding-balanced", "server", None)
        assert (request.start, request.end) == (AT, AT + 5)
        for attempt, name in ((first, "chat small:7b"), (second, "chat large-1")):
            assert (attempt.name, attempt.kind) == (name, "client")
            assert (attempt.trace_id, attempt.parent_id) == (request.trace_id, request.span_id)
        assert (second.start, round(second.end - second.start, 3)) == (AT + 1, 0.8)

    def test_a_receipt_is_the_same_spans_each_time_and_others_than_those_of_another(self) -> None:
        story = fallback_story()
        here, again = spans_of(receipt(*story)), spans_of(receipt(*story))
        other = spans_of(receipt(*story, receipt_id="rcpt_other"))
        ids = [(span.trace_id, span.span_id) for span in here]
        assert ids == [(span.trace_id, span.span_id) for span in again]
        assert len({span_id for _, span_id in ids} | {span.span_id for span in other}) == 6

    def test_a_trace_that_the_caller_had_is_gone_on_with(self) -> None:
        fact = changed(opened(), trace_id=TRACE)
        assert {span.trace_id for span in spans(fact, *fallback_story()[1:])} == {TRACE}

    @pytest.mark.parametrize("given", ["", "0" * 32, "x" * 32, TRACE.upper()])
    def test_what_is_no_trace_id_is_not_taken_for_one(self, given: str) -> None:
        (span,) = spans(changed(opened(), trace_id=given), Closed("completed", 0))
        assert span.trace_id != given
        assert len(bytes.fromhex(span.trace_id)) == 16

    def test_an_attempt_that_nobody_ended_ends_with_its_request(self) -> None:
        request, attempt = spans(
            opened(), AttemptStarted(1, "local/small", "local", "small:7b"), Closed("interrupted", 1)
        )
        assert attempt.end == request.end == AT + 2
        assert (attempt.error, said(attempt)["error.type"]) == ("interrupted", "interrupted")


class TestAttributes:
    def test_an_attempt_says_what_the_conventions_ask_for(self) -> None:
        _, _, attempt = spans(*fallback_story())
        assert said(attempt) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "cloud",
            "gen_ai.request.model": "large-1",
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": "s1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.response.time_to_first_chunk": 0.09,
            "gen_ai.usage.input_tokens": 40,
            "gen_ai.usage.output_tokens": 30,
            "wardwright.receipt_id": RECEIPT_ID,
            "wardwright.attempt": 2,
            "wardwright.attempt.status": "completed",
            "wardwright.target": "cloud/large",
            "wardwright.usage_source": "reported",
            "wardwright.generated_bytes": 120,
            "wardwright.released_bytes": 120,
        }

    def test_an_answer_that_is_no_stream_has_no_first_chunk(self) -> None:
        story = fallback_story()
        _, _, attempt = spans(changed(opened(), stream=False), *story[1:])
        assert not {"gen_ai.request.stream", "gen_ai.response.time_to_first_chunk"} & set(said(attempt))

    def test_cached_tokens_are_told_where_there_are_some(self) -> None:
        usage = Usage(40, 30, cached_prompt_tokens=16)
        finished = AttemptFinished(1, "a/b", "completed", AT, 1.0, usage=usage)
        _, attempt = spans(opened(), AttemptStarted(1, "a/b", "a", "b"), finished, Closed("completed", 1))
        assert said(attempt)["gen_ai.usage.cache_read.input_tokens"] == 16

    def test_the_request_says_who_asked_for_what_and_no_tokens_a_second_time(self) -> None:
        caller = Caller(session_id=Attributed("s1", "header"), tenant_id=Attributed("acme", "trusted_auth"))
        story = fallback_story()
        request, *_ = spans(opened(caller=caller), *story[1:])
        found = said(request)
        expected = {
            "gen_ai.request.model": "wardwright/coding-balanced",
            "gen_ai.conversation.id": "s1",
            "wardwright.receipt_id": RECEIPT_ID,
            "wardwright.model_version": "2026-11-22.1",
            "wardwright.status": "completed",
            "wardwright.decided_model": "local/small",
            "wardwright.selected_model": "cloud/large",
            "wardwright.attempts": 2,
            "wardwright.session_turn": 3,
            "wardwright.caller.tenant_id": "acme",
        }
        assert {name: found[name] for name in expected} == expected
        assert not [name for name in found if name.startswith("gen_ai.usage")]


class TestErrors:
    def test_every_way_to_end_is_answered_failed_or_meant(self) -> None:
        meant = {"policy_blocked", "stream_policy_blocked", "client_cancelled", "simulated"}
        assert set(ANSWERED) | FAILED | meant == set(get_args(FinalStatus))
        assert not FAILED & (set(ANSWERED) | meant)

    @pytest.mark.parametrize("status", sorted(FAILED))
    def test_a_request_that_failed_says_why(self, status: FinalStatus) -> None:
        (span,) = spans(opened(), Closed(status, 0, error_code="the_code", error_message="the cause"))
        assert (span.error, said(span)["error.type"]) == ("the cause", "the_code")

    @pytest.mark.parametrize("status", ["completed", "policy_blocked", "client_cancelled"])
    def test_a_request_that_did_not_fail_has_no_error(self, status: FinalStatus) -> None:
        (span,) = spans(opened(), Closed(status, 0, error_code="a_code"))
        assert span.error is None
        assert "error.type" not in said(span)

    def test_an_attempt_that_failed_says_why(self) -> None:
        _, first, second = spans(*fallback_story())
        assert (first.error, said(first)["error.type"]) == ("connection refused", "connect")
        assert second.error is None


class TestEvents:
    def test_rules_that_fired_are_events_without_what_they_matched(self) -> None:
        action = PolicyAction("coding-balanced", "keep-local", "route_gate", "restrict_routes", "hush")
        decision = msgspec.structs.replace(opened().decision, policy_actions=(action,))
        fired = RuleFired("no-old", "retry", "text", 0, 3, 10, "chunk", "regex")
        finding = StreamFinding("horizon", "retry", "no-old", 1, (fired,))
        request, attempt = spans(
            msgspec.structs.replace(opened(), decision=decision),
            AttemptStarted(1, "a/b", "a", "b"),
            AttemptFinished(1, "a/b", "stopped", AT, 1000.0, stream_policy=finding),
            AskedAgain(1, "no-old", "retry", 1, 1, "a/b", "c/d", 40),
            PassedOver("c/d", "c", "breaker_open"),
            Closed("stream_policy_retries_exhausted", 1),
        )
        happened = [
            (event.name, {k: v for k, v in event.attributes.items() if v is not None}) for event in request.events
        ]
        assert happened == [
            (
                "wardwright.policy_action",
                {
                    "wardwright.rule_id": "keep-local",
                    "wardwright.kind": "route_gate",
                    "wardwright.action": "restrict_routes",
                },
            ),
            (
                "wardwright.attempt.retry_requested",
                {"wardwright.attempt": 1, "wardwright.target": "c/d", "wardwright.rule_id": "no-old"},
            ),
            ("wardwright.target.passed_over", {"wardwright.target": "c/d", "wardwright.reason": "breaker_open"}),
        ]
        (triggered,) = attempt.events
        assert (triggered.name, triggered.at) == ("wardwright.stream_policy.triggered", AT + 1)
        assert triggered.attributes["wardwright.rule_id"] == "no-old"
