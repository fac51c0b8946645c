"""The fold of a receipt's entries into the receipt itself, in the JSON shape that the API and the commands show.

An entry list may end anywhere: a receipt without its closing entry is open, its `final` is null, and attempts that were begun
and never ended have the status `unfinished` (they keep it when the receipt is closed as interrupted). Without strict durability
a power failure may also have taken an entry from the middle: what the others say is still shown. So it is of a receipt whose events
have faded: what they said is in no part of it, and `faded_events` counts them.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from math import modf
from typing import Any, Literal

import msgspec

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure, FailureClass
from wardwright.domain.route import PassReason
from wardwright.domain.stream import ResumedBy
from wardwright.domain.structured import OutputFinding
from wardwright.domain.tools import ToolPhase, ToolSource
from wardwright.receipts.erasure import commitment_in
from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    AttemptStarted,
    CanarySide,
    Closed,
    ContentCaptured,
    ContentPart,
    Decision,
    Entry,
    Faded,
    FadingType,
    FinalStatus,
    NotAskedAgain,
    Opened,
    PassedOver,
    RequestSummary,
    Resumed,
    RetryRefusal,
    StreamFinding,
)
from wardwright.receipts.stream_outcome import StreamOutcome, action_of, outcome_of
from wardwright.receipts.structured_outcome import StructuredOutcome, structured_outcome_of

_EPOCH = date(1970, 1, 1)

_USUAL = frozenset((Opened, AttemptStarted, AttemptFinished, Closed))
"""What most receipts consist of: an export of a million looks for everything else once in each."""

AttemptStatus = Literal["unfinished", "completed", "failed", "cancelled", "stopped", "rejected"]
EventType = Literal[
    "receipt.opened",
    "content.captured",
    "attempt.started",
    "attempt.finished",
    "attempt.retry_requested",
    "attempt.retry_refused",
    "stream.resumed",
    "target.passed_over",
    "event.faded",
    "receipt.closed",
]


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One upstream call. Of an unfinished one only its beginning is known.

    `provider_id` and `upstream_model` are null when the entry of its beginning was lost.
    """

    attempt: int
    model: str
    provider_id: str | None
    upstream_model: str | None
    status: AttemptStatus
    started_at: float
    generated_bytes: int
    released_bytes: int
    latency_ms: float | None = None
    first_token_ms: float | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    cost_usd: float | None = None
    failure: Failure | None = None
    stream_policy: StreamFinding | None = None
    repeated_bytes: int = 0
    structured_output: OutputFinding | None = None
    called_tools: tuple[str, ...] = ()


class Seam(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the answer of one attempt goes over into that of another; see `Resumed`."""

    attempt: int
    from_attempt: int
    from_model: str
    to_model: str
    by: ResumedBy
    text_bytes: int
    reasoning_bytes: int = 0


class PassedOverTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """A planned target that could not be called when its turn had come; see `PassedOver`."""

    model: str
    provider_id: str
    reason: PassReason
    at: float
    waited_ms: float = 0.0
    retry_after_s: float | None = None


class Captured(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked or answered, without its secrets; see `ContentCaptured`. Of erased content only `erased` is left."""

    content: Any = None
    redactions: dict[str, int] = {}
    cut_bytes: int = 0
    erased: str | None = None


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was captured of a request whose model says `capture = "full_session"`."""

    request: Captured | None = None
    answer: Captured | None = None


class ReceiptEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry in brief. `hash` is its link in the receipt's chain; what else is known depends on the type.

    Of an event that has faded it is known what it `was`.
    """

    event_id: str
    sequence: int
    type: EventType
    created_at: float
    hash: str
    attempt: int | None = None
    model: str | None = None
    provider: str | None = None
    status: AttemptStatus | FinalStatus | None = None
    failure_class: FailureClass | None = None
    reason: PassReason | RetryRefusal | None = None
    rule_id: str | None = None
    part: ContentPart | None = None
    was: FadingType | None = None


class Final(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the request ended. `receipt_recorded_at` is ISO 8601 in UTC, to the millisecond."""

    status: FinalStatus
    selected_model: str | None
    receipt_recorded_at: str
    attempts: int
    released: bool
    released_bytes: int
    latency_ms: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    stream_policy: StreamOutcome | None = None
    structured_output: StructuredOutcome | None = None


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The durable record of one request. `created_at` is in Unix seconds; `final` is null while the receipt is open.

    `faded_events` counts the events whose facts are gone by now. What was made of them is gone with them: `attempts`, `passed_over`,
    `seams`, and of `final` `stream_policy` and `structured_output`.
    """

    receipt_id: str
    receipt_schema: Literal["v1"]
    created_at: int
    model_id: str
    model_version: str
    simulation: bool
    caller: Caller
    request: RequestSummary
    decision: Decision
    attempts: tuple[Attempt, ...]
    events: tuple[ReceiptEvent, ...]
    final: Final | None
    run_id: str | None = None
    session_turn: int | None = None
    canaries: tuple[CanarySide, ...] = ()
    passed_over: tuple[PassedOverTarget, ...] = ()
    seams: tuple[Seam, ...] = ()
    key_id: str | None = None
    content: Content | None = None
    faded_events: int = 0


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A receipt as a list shows it. `status` is null while the receipt is open.

    `selected_model` is the target whose answer was released, or the one decided on while or when none was.
    `stream_policy_action` is null when no stream rule acted, or what it did has faded. What is known of tools (see `ToolContext`) is
    there where anything is; `tool_name`, `tool_namespace` and `tool_source` are those of the one tool that the request is about.
    """

    receipt_id: str
    receipt_schema: Literal["v1"]
    created_at: int
    model_id: str
    model_version: str
    simulation: bool
    status: FinalStatus | None
    selected_model: str | None
    selected_provider: str | None
    stream_policy_action: str | None
    tenant_id: str | None
    application_id: str | None
    consuming_agent_id: str | None
    consuming_user_id: str | None
    session_id: str | None
    run_id: str | None
    caller: Caller
    tool_namespace: str | None = None
    tool_name: str | None = None
    tool_phase: ToolPhase | None = None
    tool_source: ToolSource | None = None
    tool_call_id: str | None = None


def fold(entries: Sequence[Entry]) -> Receipt:
    """Make the receipt that these entries, in order, are the record of. Purity: pure.

    Raises: ValueError when the opening entry is not at the front: the others say nothing without it.
    """
    first, opened = _opening(entries)
    unusual = [entry for entry in entries if type(entry.event) not in _USUAL]
    return Receipt(
        receipt_id=first.receipt_id,
        receipt_schema="v1",
        created_at=int(first.at),
        model_id=opened.model_id,
        model_version=opened.model_version,
        simulation=opened.simulation,
        caller=opened.caller,
        request=opened.request,
        decision=opened.decision,
        attempts=_attempts(entries),
        events=tuple(_brief(entry) for entry in entries),
        final=_final(entries),
        run_id=_value(opened.caller.run_id),
        session_turn=opened.session_turn,
        canaries=opened.canaries,
        passed_over=tuple(
            _passed_over(entry.event, entry.at) for entry in unusual if isinstance(entry.event, PassedOver)
        ),
        seams=tuple(_seam(entry.event) for entry in unusual if isinstance(entry.event, Resumed)),
        key_id=opened.key_id,
        content=_content(unusual),
        faded_events=sum(isinstance(entry.event, Faded) for entry in unusual),
    )


def attempt_count(receipt: Receipt) -> int:
    """How many upstream calls there were, also where what each of them did has faded. Purity: pure."""
    return receipt.final.attempts if receipt.final else len(receipt.attempts)


def summarise(receipt: Receipt) -> Summary:
    """Reduce a receipt to its line in a list. Purity: pure."""
    final = receipt.final
    outcome = final.stream_policy if final else None
    return _summary(
        receipt,
        receipt.receipt_id,
        receipt.created_at,
        final.status if final else None,
        final.selected_model if final else None,
        outcome.action if outcome else None,
    )


def summary_of(entries: Sequence[Entry]) -> Summary:
    """What `summarise` says of the receipt that these entries are the record of, without folding it. Purity: pure.

    Raises: ValueError as `fold` does.
    """
    first, opened = _opening(entries)
    closed = entries[-1].event
    if not isinstance(closed, Closed):
        return _summary(opened, first.receipt_id, int(first.at), None, None, None)
    action = action_of(entries)
    return _summary(opened, first.receipt_id, int(first.at), closed.status, closed.selected_model, action)


def _summary(
    said: Receipt | Opened,
    receipt_id: str,
    created_at: int,
    status: FinalStatus | None,
    answered: str | None,
    action: str | None,
) -> Summary:
    caller, decision = said.caller, said.decision
    selected = answered or decision.selected_model
    tools = said.request.tool_context
    tool = None if tools is None else tools.primary_tool
    return Summary(
        receipt_id=receipt_id,
        receipt_schema="v1",
        created_at=created_at,
        model_id=said.model_id,
        model_version=said.model_version,
        simulation=said.simulation,
        status=status,
        selected_model=selected,
        selected_provider=_provider(decision, selected) if selected else None,
        stream_policy_action=action,
        tenant_id=_value(caller.tenant_id),
        application_id=_value(caller.application_id),
        consuming_agent_id=_value(caller.consuming_agent_id),
        consuming_user_id=_value(caller.consuming_user_id),
        session_id=_value(caller.session_id),
        run_id=_value(caller.run_id),
        caller=caller,
        tool_namespace=None if tool is None else tool.namespace,
        tool_name=None if tool is None else tool.name,
        tool_phase=None if tools is None else tools.phase,
        tool_source=None if tool is None else tool.source,
        tool_call_id=None if tools is None else tools.tool_call_id,
    )


def _opening(entries: Sequence[Entry]) -> tuple[Entry, Opened]:
    if entries and isinstance(entries[0].event, Opened):
        return entries[0], entries[0].event
    raise ValueError("a receipt's record begins with its opening entry")


def _attempts(entries: Sequence[Entry]) -> tuple[Attempt, ...]:
    attempts: dict[int, Attempt] = {}
    for entry in entries:
        if isinstance(entry.event, AttemptStarted):
            attempts[entry.event.attempt] = _begun(entry.event, entry.at)
        elif isinstance(entry.event, AttemptFinished):
            attempts[entry.event.attempt] = _ended(attempts.get(entry.event.attempt), entry.event)
    return tuple(attempts.values())


def _begun(started: AttemptStarted, at: float) -> Attempt:
    return Attempt(
        attempt=started.attempt,
        model=started.model,
        provider_id=started.provider,
        upstream_model=started.upstream_model,
        status="unfinished",
        started_at=at,
        generated_bytes=0,
        released_bytes=0,
    )


def _ended(begun: Attempt | None, finished: AttemptFinished) -> Attempt:
    return Attempt(
        attempt=finished.attempt,
        model=finished.model,
        provider_id=begun.provider_id if begun else None,
        upstream_model=begun.upstream_model if begun else None,
        status=finished.status,
        started_at=finished.started_at,
        generated_bytes=finished.generated_bytes,
        released_bytes=finished.released_bytes,
        latency_ms=finished.latency_ms,
        first_token_ms=finished.first_token_ms,
        finish_reasons=finished.finish_reasons,
        usage=finished.usage,
        cost_usd=finished.cost_usd,
        failure=finished.failure,
        stream_policy=finished.stream_policy,
        repeated_bytes=finished.repeated_bytes,
        structured_output=finished.structured_output,
        called_tools=finished.called_tools,
    )


def _content(entries: Sequence[Entry]) -> Content | None:
    captured = {entry.event.part: entry.event for entry in entries if isinstance(entry.event, ContentCaptured)}
    if not captured:
        return None
    return Content(**{part: _captured(event) for part, event in captured.items()})


def _captured(event: ContentCaptured) -> Captured:
    content = msgspec.json.decode(event.content)
    commitment = commitment_in(content)
    return Captured(content if commitment is None else None, event.redactions, event.cut_bytes, commitment)


def _seam(resumed: Resumed) -> Seam:
    return Seam(**msgspec.structs.asdict(resumed))


def _passed_over(event: PassedOver, at: float) -> PassedOverTarget:
    return PassedOverTarget(event.model, event.provider, event.reason, at, event.waited_ms, event.retry_after_s)


def _brief(entry: Entry) -> ReceiptEvent:
    event_id = f"{entry.receipt_id}:{entry.seq}"
    match entry.event:
        case Opened(decision=decision):
            return ReceiptEvent(
                event_id,
                entry.seq,
                "receipt.opened",
                entry.at,
                entry.hash,
                model=decision.selected_model,
                provider=decision.selected_provider,
            )
        case AttemptStarted() as started:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "attempt.started",
                entry.at,
                entry.hash,
                attempt=started.attempt,
                model=started.model,
                provider=started.provider,
            )
        case AttemptFinished() as finished:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "attempt.finished",
                entry.at,
                entry.hash,
                attempt=finished.attempt,
                model=finished.model,
                status=finished.status,
                failure_class=finished.failure.failure_class if finished.failure else None,
            )
        case Closed() as closed:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "receipt.closed",
                entry.at,
                entry.hash,
                model=closed.selected_model,
                status=closed.status,
            )
        case ContentCaptured(part=part):
            return ReceiptEvent(event_id, entry.seq, "content.captured", entry.at, entry.hash, part=part)
        case Resumed() as resumed:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "stream.resumed",
                entry.at,
                entry.hash,
                attempt=resumed.attempt,
                model=resumed.to_model,
            )
        case AskedAgain() as asked:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "attempt.retry_requested",
                entry.at,
                entry.hash,
                attempt=asked.attempt,
                model=asked.to_model,
                rule_id=asked.rule_id,
            )
        case NotAskedAgain() as refused:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "attempt.retry_refused",
                entry.at,
                entry.hash,
                attempt=refused.attempt,
                reason=refused.reason,
                rule_id=refused.rule_id,
            )
        case PassedOver() as passed:
            return ReceiptEvent(
                event_id,
                entry.seq,
                "target.passed_over",
                entry.at,
                entry.hash,
                model=passed.model,
                provider=passed.provider,
                reason=passed.reason,
            )
        case Faded(was=was):
            return ReceiptEvent(event_id, entry.seq, "event.faded", entry.at, entry.hash, was=was)


def _final(entries: Sequence[Entry]) -> Final | None:
    entry, closed = entries[-1], entries[-1].event
    if not isinstance(closed, Closed):
        return None
    return Final(
        status=closed.status,
        selected_model=closed.selected_model,
        receipt_recorded_at=_iso(entry.at),
        attempts=closed.attempts,
        released=closed.released,
        released_bytes=closed.released_bytes,
        latency_ms=closed.latency_ms,
        error_code=closed.error_code,
        error_message=closed.error_message,
        usage=closed.usage,
        cost_usd=closed.cost_usd,
        stream_policy=outcome_of(entries, released=closed.released),
        structured_output=structured_outcome_of(entries, closed),
    )


def _provider(decision: Decision, selected: str) -> str | None:
    for target in reversed(decision.selected_models):
        if target.model == selected:
            return target.provider
    return decision.selected_provider


def _value(fact: Attributed | None) -> str | None:
    return fact.value if fact else None


def _iso(at: float) -> str:
    """A time in ISO 8601, in UTC, to the millisecond below."""
    fraction, whole = modf(at)
    seconds, microseconds = divmod(int(whole) * 1_000_000 + round(fraction * 1_000_000), 1_000_000)
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{_date(day)}T{hour:02d}:{minute:02d}:{second:02d}.{microseconds // 1000:03d}Z"


@lru_cache(maxsize=64)
def _date(day: int) -> str:
    """A day counted from 1970. Kept, because receipts that follow each other are mostly of one day."""
    return (_EPOCH + timedelta(days=day)).isoformat()
