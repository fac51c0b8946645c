"""Receipts as traces, by OpenTelemetry's semantic conventions for generative AI: a span for the request, and in it one for each attempt.

The attempts are what the conventions know, calls to a model's provider, and bear its attributes (`gen_ai.*`). The request is ours and
says what it has to say under `wardwright.*`: it repeats no token counts, so that whoever sums spans up counts none twice.

Ids follow from the receipt's id, so that a receipt which is sent again is the same spans again. A request that belonged to a trace keeps
it. Names are taken one by one from the receipt: what is not named here is never sent, whatever a receipt comes to hold.
"""

import re
from collections.abc import Iterator
from hashlib import sha256

from wardwright.receipts.events import FinalStatus
from wardwright.receipts.fold import attempt_count
from wardwright.receipts.receipt import Attempt, Receipt, ReceiptEvent
from wardwright.receipts.stream_outcome import StreamPolicyEvent
from wardwright.sinks.otlp import Attributes, Span, SpanEvent

FAILED: frozenset[FinalStatus] = frozenset(
    {
        "route_blocked",
        "stream_policy_retries_exhausted",
        "stream_policy_hold_exceeded",
        "structured_output_exhausted",
        "provider_error",
        "deadline_exceeded",
        "interrupted",
        "internal_error",
    }
)
"""How requests end that should have been answered and were not. A policy that blocks has done what it is for; a client may leave."""

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_HAPPENED = ("attempt.retry_requested", "attempt.retry_refused", "stream.resumed", "target.passed_over")


def spans_of(receipt: Receipt) -> Iterator[Span]:
    """The spans of a receipt that is closed, the request's first. Purity: pure."""
    request = _request_span(receipt)
    yield request
    for attempt in receipt.attempts:
        yield _attempt_span(receipt, attempt, request)


def error_type_of(attempt: Attempt) -> str | None:
    """Why an attempt failed, in one word; None for one that did not, or that somebody ended on purpose. Purity: pure."""
    if attempt.status == "unfinished":
        return "interrupted"
    return attempt.failure.failure_class if attempt.failure is not None else None


def _request_span(receipt: Receipt) -> Span:
    final = receipt.final
    start, end = receipt.events[0].created_at, receipt.events[-1].created_at
    failed = final is not None and final.status in FAILED
    return Span(
        trace_id=_trace_id(receipt),
        span_id=_span_id(receipt, 0),
        name=f"chat {receipt.model_id}",
        kind="server",
        start=start,
        end=end,
        attributes=_request_attributes(receipt, failed=failed),
        events=(*_policy_events(receipt, start), *_happenings(receipt)),
        error=(final.error_message or final.status) if final is not None and failed else None,
    )


def _request_attributes(receipt: Receipt, *, failed: bool) -> Attributes:
    caller, request, decision, final = receipt.caller, receipt.request, receipt.decision, receipt.final
    facts = {
        "tenant_id": caller.tenant_id,
        "application_id": caller.application_id,
        "agent_id": caller.consuming_agent_id,
        "user_id": caller.consuming_user_id,
        "session_id": caller.session_id,
        "run_id": caller.run_id,
    }
    return {
        "gen_ai.request.model": request.model,
        "gen_ai.conversation.id": _conversation(receipt),
        "error.type": (final.error_code or final.status) if final is not None and failed else None,
        "wardwright.receipt_id": receipt.receipt_id,
        "wardwright.request_id": request.request_id,
        "wardwright.model_id": receipt.model_id,
        "wardwright.model_version": receipt.model_version,
        "wardwright.status": final.status if final else None,
        "wardwright.error_code": final.error_code if final else None,
        "wardwright.simulation": receipt.simulation or None,
        "wardwright.stream": request.stream,
        "wardwright.route_type": decision.route_type,
        "wardwright.route_id": decision.route_id,
        "wardwright.decided_model": decision.selected_model,
        "wardwright.selected_model": final.selected_model if final else None,
        "wardwright.attempts": attempt_count(receipt),
        "wardwright.released_bytes": final.released_bytes if final else None,
        "wardwright.cost_usd": final.cost_usd if final else None,
        "wardwright.session_turn": receipt.session_turn,
        **{f"wardwright.caller.{name}": fact.value if fact else None for name, fact in facts.items()},
    }


def _attempt_span(receipt: Receipt, attempt: Attempt, request: Span) -> Span:
    end = request.end if attempt.latency_ms is None else attempt.started_at + attempt.latency_ms / 1000
    error = error_type_of(attempt)
    return Span(
        trace_id=request.trace_id,
        span_id=_span_id(receipt, attempt.attempt),
        parent_id=request.span_id,
        name=f"chat {attempt.upstream_model or attempt.model}",
        kind="client",
        start=attempt.started_at,
        end=end,
        attributes=_attempt_attributes(receipt, attempt, error),
        events=tuple(_rule_events(receipt, attempt.attempt, end)),
        error=None if error is None else attempt.failure.message if attempt.failure else error,
    )


def _attempt_attributes(receipt: Receipt, attempt: Attempt, error: str | None) -> Attributes:
    usage, failure, streams = attempt.usage, attempt.failure, receipt.request.stream
    first_s = None if attempt.first_token_ms is None else attempt.first_token_ms / 1000
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": attempt.provider_id,
        "gen_ai.request.model": attempt.upstream_model,
        "gen_ai.request.stream": streams or None,
        "gen_ai.conversation.id": _conversation(receipt),
        "gen_ai.response.finish_reasons": attempt.finish_reasons or None,
        "gen_ai.response.time_to_first_chunk": first_s if streams else None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "gen_ai.usage.cache_read.input_tokens": (usage.cached_prompt_tokens or None) if usage else None,
        "error.type": error,
        "http.response.status_code": failure.status if failure else None,
        "wardwright.receipt_id": receipt.receipt_id,
        "wardwright.attempt": attempt.attempt,
        "wardwright.attempt.status": attempt.status,
        "wardwright.target": attempt.model,
        "wardwright.usage_source": usage.source if usage else None,
        "wardwright.cost_usd": attempt.cost_usd,
        "wardwright.generated_bytes": attempt.generated_bytes,
        "wardwright.released_bytes": attempt.released_bytes,
    }


def _policy_events(receipt: Receipt, at: float) -> Iterator[SpanEvent]:
    for action in receipt.decision.policy_actions:
        said = {"rule_id": action.rule_id, "kind": action.kind, "action": action.action}
        yield SpanEvent("wardwright.policy_action", at, _prefixed(said))


def _happenings(receipt: Receipt) -> Iterator[SpanEvent]:
    for event in receipt.events:
        if event.type in _HAPPENED:
            yield SpanEvent(f"wardwright.{event.type}", event.created_at, _prefixed(_said(event)))


def _said(event: ReceiptEvent) -> Attributes:
    return {"attempt": event.attempt, "target": event.model, "rule_id": event.rule_id, "reason": event.reason}


def _rule_events(receipt: Receipt, attempt: int, at: float) -> Iterator[SpanEvent]:
    """What rules made of an attempt's answer. When exactly is not recorded: they stand at the attempt's end."""
    final = receipt.final
    for fired in final.stream_policy.events if final and final.stream_policy else ():
        if fired.attempt == attempt and fired.type.startswith("stream_policy."):
            yield SpanEvent(f"wardwright.{fired.type}", at, _prefixed(_fired(fired)))
    for rejected in final.structured_output.guard_events if final and final.structured_output else ():
        if rejected.attempt == attempt:
            judged = {"rule_id": rejected.rule_id, "guard_type": rejected.guard_type, "action": rejected.action}
            yield SpanEvent("wardwright.structured_output.rejected", at, _prefixed(judged))


def _fired(fired: StreamPolicyEvent) -> Attributes:
    shadow = fired.shadow or None
    return {"rule_id": fired.rule_id, "action": fired.action, "shadow": shadow, "channel": fired.channel}


def _prefixed(said: Attributes) -> Attributes:
    return {f"wardwright.{name}": value for name, value in said.items()}


def _conversation(receipt: Receipt) -> str | None:
    return receipt.caller.session_id.value if receipt.caller.session_id else None


def _trace_id(receipt: Receipt) -> str:
    given = receipt.request.trace_id
    if given is not None and _TRACE_ID.fullmatch(given):
        return given
    return sha256(f"wardwright trace {receipt.receipt_id}".encode()).hexdigest()[:32]


def _span_id(receipt: Receipt, attempt: int) -> str:
    """The request's is that of attempt 0."""
    return sha256(f"wardwright span {receipt.receipt_id} {attempt}".encode()).hexdigest()[:16]
