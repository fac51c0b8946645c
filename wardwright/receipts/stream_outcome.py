"""What the stream rules made of a request, over all its attempts: the part of a receipt that answers "why was this held back?"."""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from wardwright.domain.policy import Channel, StreamAction
from wardwright.domain.structured import OnViolation
from wardwright.receipts.events import AskedAgain, AttemptFinished, Entry, NotAskedAgain, RetryRefusal, StreamFinding


class StreamPolicyEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a stream rule did. What is known beside the attempt and the rule depends on the type.

    Bytes count the policy-visible text of the channel, after what earlier rules changed.
    """

    type: Literal[
        "stream_policy.triggered",
        "stream_policy.hold_exceeded",
        "attempt.retry_requested",
        "attempt.retry_refused",
    ]
    attempt: int
    rule_id: str | None = None
    action: StreamAction | OnViolation | None = None
    shadow: bool = False
    channel: Channel | None = None
    choice: int | None = None
    call: int | None = None
    chunk_index: int | None = None
    match_scope: Literal["chunk", "stream_window"] | None = None
    match_kind: Literal["literal", "regex"] | None = None
    match_start_byte: int | None = None
    match_end_byte: int | None = None
    observed_hold_ms: float | None = None
    observed_hold_bytes: int | None = None
    retry_count: int | None = None
    max_retries: int | None = None
    reminder_injected: bool = False
    from_model: str | None = None
    to_model: str | None = None
    reason: RetryRefusal | None = None


class StreamOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stream policy of a request. Bytes are those of the last attempt; each attempt has its own.

    `action` is that of the last rule which ended an answer, or else of the last that fired.
    """

    action: StreamAction | None
    trigger_count: int
    retry_count: int
    released_to_consumer: bool
    generated_bytes: int
    released_bytes: int
    held_bytes: int
    max_held_bytes: int
    rewritten_bytes: int
    inserted_bytes: int
    blocked_bytes: int
    events: tuple[StreamPolicyEvent, ...] = ()


def outcome_of(entries: Sequence[Entry], *, released: bool) -> StreamOutcome | None:
    """Sum up what stream rules did; None when none read an answer. Purity: pure."""
    finished = [entry.event for entry in entries if isinstance(entry.event, AttemptFinished)]
    governed = [(attempt, attempt.stream_policy) for attempt in finished if attempt.stream_policy is not None]
    if not governed:
        return None
    last, finding = governed[-1]
    return StreamOutcome(
        action=_action([found for _, found in governed]),
        trigger_count=sum(found.trigger_count for _, found in governed),
        retry_count=sum(_is_ours(entry.event) for entry in entries if isinstance(entry.event, AskedAgain)),
        released_to_consumer=released,
        generated_bytes=last.generated_bytes,
        released_bytes=last.released_bytes,
        held_bytes=finding.held_bytes,
        max_held_bytes=finding.max_held_bytes,
        rewritten_bytes=finding.rewritten_bytes,
        inserted_bytes=finding.inserted_bytes,
        blocked_bytes=finding.blocked_bytes,
        events=tuple(event for entry in entries for event in _events(entry)),
    )


def action_of(entries: Sequence[Entry]) -> StreamAction | None:
    """The action of `outcome_of` alone. Purity: pure."""
    # Asked for every receipt that is indexed: of the events' classes `isinstance` takes four times as long.
    events = [entry.event for entry in entries]
    finished = [event for event in events if type(event) is AttemptFinished]
    return _action([attempt.stream_policy for attempt in finished if attempt.stream_policy is not None])


def _action(findings: Sequence[StreamFinding]) -> StreamAction | None:
    stops = [found.action for found in findings if found.stopped_by is not None]
    actions = [found.action for found in findings if found.action is not None]
    return (stops or actions or [None])[-1]


def _events(entry: Entry) -> Iterator[StreamPolicyEvent]:
    match entry.event:
        case AttemptFinished(stream_policy=finding) as finished if finding is not None:
            for fired in finding.fired:
                yield StreamPolicyEvent(
                    type="stream_policy.triggered", attempt=finished.attempt, **msgspec.structs.asdict(fired)
                )
            if finding.hold_exceeded_ms is not None or finding.hold_exceeded_bytes is not None:
                yield StreamPolicyEvent(
                    type="stream_policy.hold_exceeded",
                    attempt=finished.attempt,
                    observed_hold_ms=finding.hold_exceeded_ms,
                    observed_hold_bytes=finding.hold_exceeded_bytes,
                )
        case AskedAgain() as asked if _is_ours(asked):
            yield StreamPolicyEvent(
                type="attempt.retry_requested",
                attempt=asked.attempt,
                rule_id=asked.rule_id,
                action=asked.action,
                retry_count=asked.retry_count,
                max_retries=asked.max_retries,
                reminder_injected=asked.reminder_injected,
                from_model=asked.from_model,
                to_model=asked.to_model,
            )
        case NotAskedAgain() as refused if _is_ours(refused):
            yield StreamPolicyEvent(
                type="attempt.retry_refused",
                attempt=refused.attempt,
                rule_id=refused.rule_id,
                action=refused.action,
                retry_count=refused.retry_count,
                max_retries=refused.max_retries,
                reason=refused.reason,
            )
        case _:
            pass


def _is_ours(asked: AskedAgain | NotAskedAgain) -> bool:
    return asked.policy == "stream_policy"
