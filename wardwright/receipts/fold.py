"""The fold of a receipt's entries into the receipt itself, and into its line in a list.

Without strict durability a power failure may have taken an entry from the middle: what the others say is still shown.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from wardwright.domain.caller import Attributed
from wardwright.receipts.erasure import commitment_in
from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    AttemptStarted,
    Closed,
    ContentCaptured,
    Decision,
    Entry,
    Faded,
    FinalStatus,
    NotAskedAgain,
    Opened,
    PassedOver,
    Resumed,
)
from wardwright.receipts.receipt import (
    Attempt,
    Captured,
    Content,
    Final,
    PassedOverTarget,
    Receipt,
    ReceiptEvent,
    Seam,
    Summary,
)
from wardwright.receipts.stream_outcome import action_of, outcome_of
from wardwright.receipts.structured_outcome import structured_outcome_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_USUAL = frozenset((Opened, AttemptStarted, AttemptFinished, Closed))
"""What most receipts consist of: an export of a million looks for everything else once in each."""


def fold(entries: Sequence[Entry]) -> Receipt:
    """Make the receipt that these entries, in order, are the record of. Purity: pure.

    Raises: ValueError when the opening entry is not at the front: the others say nothing without it.
    """
    first, opened = _opening(entries)
    attempts = _attempts(entries)
    # Here and below, what most receipts have is given by position: naming it takes four times as long.
    receipt = Receipt(
        first.receipt_id,
        "v1",
        int(first.at),
        opened.model_id,
        opened.model_version,
        opened.simulation,
        opened.caller,
        opened.request,
        opened.decision,
        attempts,
        tuple([_brief(entry) for entry in entries]),
        _final(entries, attempts),
        _value(opened.caller.run_id),
        opened.session_turn,
        opened.canaries,
        key_id=opened.key_id,
    )
    unusual = [entry for entry in entries if type(entry.event) not in _USUAL]
    return _with_the_unusual(receipt, unusual) if unusual else receipt


def _with_the_unusual(receipt: Receipt, entries: Sequence[Entry]) -> Receipt:
    """What few receipts have, from those of their entries that are not usual."""
    return msgspec.structs.replace(
        receipt,
        passed_over=tuple(
            _passed_over(entry.event, entry.at) for entry in entries if isinstance(entry.event, PassedOver)
        ),
        seams=tuple(_seam(entry.event) for entry in entries if isinstance(entry.event, Resumed)),
        content=_content(entries),
        faded_events=sum(isinstance(entry.event, Faded) for entry in entries),
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
        event = entry.event
        if type(event) is AttemptStarted:
            attempts[event.attempt] = _begun(event, entry.at)
        elif type(event) is AttemptFinished:
            attempts[event.attempt] = _ended(attempts.get(event.attempt), event)
    return tuple(attempts.values())


def _begun(started: AttemptStarted, at: float) -> Attempt:
    return Attempt(started.attempt, started.model, started.provider, started.upstream_model, "unfinished", at, 0, 0)


def _ended(begun: Attempt | None, finished: AttemptFinished) -> Attempt:
    return Attempt(
        finished.attempt,
        finished.model,
        begun.provider_id if begun else None,
        begun.upstream_model if begun else None,
        finished.status,
        finished.started_at,
        finished.generated_bytes,
        finished.released_bytes,
        finished.latency_ms,
        finished.first_token_ms,
        finished.finish_reasons,
        finished.usage,
        finished.cost_usd,
        finished.failure,
        finished.stream_policy,
        finished.repeated_bytes,
        finished.structured_output,
        finished.called_tools,
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
    # Types are compared in what is done for every entry: of the events' classes `isinstance` takes four times as long.
    event, seq, at, link = entry.event, entry.seq, entry.at, entry.hash
    event_id = f"{entry.receipt_id}:{seq}"
    if type(event) is Opened:
        model, provider = event.decision.selected_model, event.decision.selected_provider
        return ReceiptEvent(event_id, seq, "receipt.opened", at, link, None, model, provider)
    if type(event) is AttemptStarted:
        return ReceiptEvent(event_id, seq, "attempt.started", at, link, event.attempt, event.model, event.provider)
    if type(event) is AttemptFinished:
        failed = event.failure.failure_class if event.failure else None
        return ReceiptEvent(
            event_id, seq, "attempt.finished", at, link, event.attempt, event.model, None, event.status, failed
        )
    if type(event) is Closed:
        return ReceiptEvent(event_id, seq, "receipt.closed", at, link, None, event.selected_model, None, event.status)
    return _brief_of_the_unusual(event, event_id, entry)


def _brief_of_the_unusual(
    event: ContentCaptured | Resumed | AskedAgain | NotAskedAgain | PassedOver | Faded, event_id: str, entry: Entry
) -> ReceiptEvent:
    seq, at, link = entry.seq, entry.at, entry.hash
    match event:
        case ContentCaptured(part=part):
            return ReceiptEvent(event_id, seq, "content.captured", at, link, part=part)
        case Resumed() as resumed:
            return ReceiptEvent(
                event_id,
                seq,
                "stream.resumed",
                at,
                link,
                attempt=resumed.attempt,
                model=resumed.to_model,
            )
        case AskedAgain() as asked:
            return ReceiptEvent(
                event_id,
                seq,
                "attempt.retry_requested",
                at,
                link,
                attempt=asked.attempt,
                model=asked.to_model,
                rule_id=asked.rule_id,
            )
        case NotAskedAgain() as refused:
            return ReceiptEvent(
                event_id,
                seq,
                "attempt.retry_refused",
                at,
                link,
                attempt=refused.attempt,
                reason=refused.reason,
                rule_id=refused.rule_id,
            )
        case PassedOver() as passed:
            return ReceiptEvent(
                event_id,
                seq,
                "target.passed_over",
                at,
                link,
                model=passed.model,
                provider=passed.provider,
                reason=passed.reason,
            )
        case Faded(was=was):
            return ReceiptEvent(event_id, seq, "event.faded", at, link, was=was)


def _final(entries: Sequence[Entry], attempts: Sequence[Attempt]) -> Final | None:
    entry, closed = entries[-1], entries[-1].event
    if not isinstance(closed, Closed):
        return None
    judged = [one for one in attempts if one.stream_policy is not None or one.structured_output is not None]
    return Final(
        closed.status,
        closed.selected_model,
        _iso(entry.at),
        closed.attempts,
        closed.released,
        closed.released_bytes,
        closed.latency_ms,
        closed.error_code,
        closed.error_message,
        closed.usage,
        closed.cost_usd,
        outcome_of(entries, released=closed.released) if judged else None,
        structured_outcome_of(entries, closed) if judged else None,
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
    minute, milliseconds = divmod(round(at * 1_000_000) // 1000, 60_000)
    second, millisecond = divmod(milliseconds, 1000)
    return f"{_minute(minute)}:{second:02d}.{millisecond:03d}Z"


@lru_cache(maxsize=64)
def _minute(minute: int) -> str:
    """A minute counted from 1970. Kept, because receipts that follow each other are mostly of one."""
    return (_EPOCH + timedelta(minutes=minute)).isoformat()[:16]
