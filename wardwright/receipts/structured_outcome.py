"""What became of the form of a request's answers, over all its attempts: the part of a receipt that answers "why was this rejected?"."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from wardwright.domain.structured import GuardType, OnViolation
from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    Closed,
    Entry,
    FinalStatus,
    NotAskedAgain,
    RetryRefusal,
)

StructuredStatus = (
    FinalStatus | Literal["exhausted_rule_budget", "exhausted_guard_budget", "exhausted_attempts", "exhausted_windows"]
)

_EXHAUSTED: Mapping[RetryRefusal, StructuredStatus] = {
    "rule_budget_spent": "exhausted_rule_budget",
    "guard_budget_spent": "exhausted_guard_budget",
    "attempts_spent": "exhausted_attempts",
    "nothing_fits": "exhausted_windows",
}


class GuardEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer was rejected: by which rule, by what kind of check, where, and what was done about it."""

    type: Literal["structured_output.guard"]
    attempt: int
    rule_id: str
    guard_type: GuardType
    action: OnViolation | Literal["block"]
    choice: int = 0
    call: int | None = None


class StructuredOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The form of a request's answers.

    `final_status` is how the request ended, and of one whose answers were all faulty, which budget was spent. `attempt_count` counts the
    answers that came to their end. `selected_schema` accepted the one that was given.
    """

    final_status: StructuredStatus
    attempt_count: int
    guard_events: tuple[GuardEvent, ...] = ()
    selected_schema: str | None = None
    exhausted_rule_id: str | None = None


def structured_outcome_of(entries: Sequence[Entry], closed: Closed) -> StructuredOutcome | None:
    """Sum up what became of the form of answers; None when none was judged. Purity: pure."""
    facts = [entry.event for entry in entries]
    judged = [fact for fact in facts if isinstance(fact, AttemptFinished) and fact.structured_output is not None]
    if not judged:
        return None
    refused = next((f for f in facts if isinstance(f, NotAskedAgain) and f.policy == "structured_output"), None)
    again = {f.attempt: f.action for f in facts if isinstance(f, AskedAgain) and f.policy == "structured_output"}
    last = judged[-1].structured_output
    return StructuredOutcome(
        final_status=closed.status if refused is None else _EXHAUSTED.get(refused.reason, closed.status),
        attempt_count=len(judged),
        guard_events=tuple(event for fact in judged for event in _events(fact, again)),
        selected_schema=None if last is None else last.selected_schema,
        exhausted_rule_id=None if refused is None else refused.rule_id,
    )


def _events(finished: AttemptFinished, again: Mapping[int, str]) -> Sequence[GuardEvent]:
    finding = finished.structured_output
    if finding is None or finding.rule_id is None or finding.guard_type is None:
        return ()
    action: OnViolation | Literal["block"] = "block"
    match again.get(finished.attempt):
        case "retry_with_validation_feedback" | "retry" as asked:
            action = asked
        case _:
            pass
    return (
        GuardEvent(
            "structured_output.guard",
            finished.attempt,
            finding.rule_id,
            finding.guard_type,
            action,
            finding.choice,
            finding.call,
        ),
    )
