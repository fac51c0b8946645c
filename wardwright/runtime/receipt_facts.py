"""What watchers are told of a request, taken from the events of its receipt."""

from collections.abc import Iterator
from typing import TypedDict

from wardwright.domain.caller import Attributed
from wardwright.domain.policy import RuleFired
from wardwright.receipts import events
from wardwright.runtime import visible
from wardwright.runtime.bus import Bus
from wardwright.runtime.visible import Fact


class _Ids(TypedDict):
    """Whose facts they are."""

    receipt_id: str
    model_id: str
    session_id: str | None


def tell_receipt(bus: Bus, receipt_id: str, opened: events.Opened, event: events.Event) -> None:
    """Make visible what an event of a receipt says; `opened` is the receipt's first."""
    for fact in facts_of(receipt_id, opened, event):
        bus.tell(fact)


def facts_of(receipt_id: str, opened: events.Opened, event: events.Event) -> Iterator[Fact]:
    """The facts in an event, and apart from it the rules that it says have fired. Purity: pure."""
    ids = _Ids(receipt_id=receipt_id, model_id=opened.model_id, session_id=_value(opened.caller.session_id))
    match event:
        case events.Opened():
            yield _opened(ids, event)
            yield from _rules_of_request(ids, event)
        case events.AttemptStarted():
            yield visible.AttemptStarted(**ids, attempt=event.attempt, target=event.model, provider=event.provider)
        case events.AttemptFinished():
            yield from _rules_of_answer(ids, event)
            yield _finished(ids, event)
        case events.AskedAgain() | events.NotAskedAgain():
            yield _another_answer(ids, event)
        case events.PassedOver() | events.Resumed():
            yield _on_the_way(ids, event)
        case events.ContentCaptured():
            return  # for whoever may read the receipt, and for nobody who merely looks on
        case events.Faded():
            return  # it was told when it came to be
        case events.Closed():
            yield _closed(ids, opened, event)


def _opened(ids: _Ids, event: events.Opened) -> Fact:
    return visible.ReceiptOpened(
        **ids,
        model_version=event.model_version,
        run_id=_value(event.caller.run_id),
        stream=event.request.stream,
        session_turn=event.session_turn,
        estimated_prompt_tokens=event.decision.estimated_prompt_tokens,
        planned=tuple(target.model for target in event.decision.selected_models),
    )


def _finished(ids: _Ids, event: events.AttemptFinished) -> Fact:
    return visible.AttemptFinished(
        **ids,
        attempt=event.attempt,
        target=event.model,
        status=event.status,
        latency_ms=event.latency_ms,
        first_token_ms=event.first_token_ms,
        input_tokens=None if event.usage is None else event.usage.prompt_tokens,
        output_tokens=None if event.usage is None else event.usage.completion_tokens,
        cost_usd=event.cost_usd,
        failure=None if event.failure is None else event.failure.failure_class,
        failure_status=None if event.failure is None else event.failure.status,
    )


def _on_the_way(ids: _Ids, event: events.PassedOver | events.Resumed) -> Fact:
    if isinstance(event, events.PassedOver):
        return visible.TargetPassedOver(
            **ids,
            target=event.model,
            provider=event.provider,
            reason=event.reason,
            waited_ms=event.waited_ms,
            retry_after_s=event.retry_after_s,
        )
    return visible.StreamResumed(
        **ids,
        attempt=event.attempt,
        from_attempt=event.from_attempt,
        from_target=event.from_model,
        to_target=event.to_model,
        by=event.by,
    )


def _closed(ids: _Ids, opened: events.Opened, event: events.Closed) -> Fact:
    return visible.ReceiptClosed(
        **ids,
        model_version=opened.model_version,
        run_id=_value(opened.caller.run_id),
        status=event.status,
        attempts=event.attempts,
        target=event.selected_model,
        latency_ms=event.latency_ms,
        input_tokens=None if event.usage is None else event.usage.prompt_tokens,
        output_tokens=None if event.usage is None else event.usage.completion_tokens,
        cost_usd=event.cost_usd,
        error_code=event.error_code,
    )


def _rules_of_request(ids: _Ids, event: events.Opened) -> Iterator[Fact]:
    for fired in event.decision.policy_actions:
        yield visible.RuleFired(
            **ids,
            rule_id=fired.rule_id,
            action=fired.action,
            phase="request",
            rule_model_id=fired.model_id,
            attempt=None,
            shadow=False,
        )


def _rules_of_answer(ids: _Ids, event: events.AttemptFinished) -> Iterator[Fact]:
    """Rules over the text of an answer, each once however often it matched, and the one that rejected its form."""
    first_matches: dict[str, RuleFired] = {}
    for match in () if event.stream_policy is None else event.stream_policy.fired:
        first_matches.setdefault(match.rule_id, match)
    for rule_id, first in first_matches.items():
        yield visible.RuleFired(
            **ids,
            rule_id=rule_id,
            action=first.action,
            phase="stream",
            rule_model_id=None,
            attempt=event.attempt,
            shadow=first.shadow,
        )
    output = event.structured_output
    if output is not None and output.rule_id is not None:
        yield visible.RuleFired(
            **ids,
            rule_id=output.rule_id,
            action="reject",
            phase="output",
            rule_model_id=None,
            attempt=event.attempt,
            shadow=False,
        )


def _another_answer(ids: _Ids, event: events.AskedAgain | events.NotAskedAgain) -> Fact:
    if isinstance(event, events.AskedAgain):
        return visible.AskedAgain(
            **ids,
            rule_id=event.rule_id,
            action=event.action,
            policy=event.policy,
            attempt=event.attempt,
            retry_count=event.retry_count,
            from_target=event.from_model,
            to_target=event.to_model,
        )
    return visible.NotAskedAgain(
        **ids,
        rule_id=event.rule_id,
        action=event.action,
        policy=event.policy,
        attempt=event.attempt,
        reason=event.reason,
    )


def _value(fact: Attributed | None) -> str | None:
    return None if fact is None else fact.value
