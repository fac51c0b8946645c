"""What a receipt says of the form of answers, folded from its entries."""

import pytest

from tests.wardwright.receipts.receipt_samples import AT, entries, opened
from wardwright.domain.structured import OnViolation, OutputFinding
from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    AttemptStatus,
    Closed,
    Event,
    FinalStatus,
    NotAskedAgain,
    RetryRefusal,
)
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.structured_outcome import GuardEvent, StructuredOutcome

FAULTY = OutputFinding(False, None, "structured-json", "json_syntax")
FEEDBACK: OnViolation = "retry_with_validation_feedback"
GOOD = OutputFinding(True, "answer")


def attempt(number: int, finding: OutputFinding | None, status: AttemptStatus = "completed") -> AttemptFinished:
    return AttemptFinished(number, "local/small", status, started_at=AT, latency_ms=1.0, structured_output=finding)


def again(number: int) -> AskedAgain:
    return AskedAgain(number, "structured-json", FEEDBACK, number, 2, "a", "a", 9, policy="structured_output")


def refused(number: int, reason: RetryRefusal) -> NotAskedAgain:
    return NotAskedAgain(number, "structured-json", FEEDBACK, reason, number, 2, policy="structured_output")


def receipt(*events: Event, status: FinalStatus = "completed") -> Receipt:
    return fold(entries([opened(), *events, Closed(status, 1)]))


def outcome(*events: Event, status: FinalStatus = "completed") -> StructuredOutcome | None:
    final = receipt(*events, status=status).final
    assert final is not None
    return final.structured_output


def test_a_request_whose_answers_may_have_any_form_says_nothing_of_it() -> None:
    assert outcome(attempt(1, None)) is None


def test_a_good_answer_names_the_schema_that_accepted_it() -> None:
    assert outcome(attempt(1, GOOD)) == StructuredOutcome("completed", 1, selected_schema="answer")


def test_rejections_are_told_with_what_was_done_about_them() -> None:
    faulty_call = OutputFinding(False, None, "tool_arguments", "tool_arguments", 0, 2)
    events = (attempt(1, FAULTY, "rejected"), again(1), attempt(2, faulty_call, "rejected"), again(2), attempt(3, GOOD))
    found = outcome(*events, status="completed_after_guard")
    assert found == StructuredOutcome(
        "completed_after_guard",
        3,
        (
            GuardEvent(
                "structured_output.guard", 1, "structured-json", "json_syntax", "retry_with_validation_feedback"
            ),
            GuardEvent(
                "structured_output.guard", 2, "tool_arguments", "tool_arguments", "retry_with_validation_feedback", 0, 2
            ),
        ),
        selected_schema="answer",
    )


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("rule_budget_spent", "exhausted_rule_budget"),
        ("guard_budget_spent", "exhausted_guard_budget"),
        ("attempts_spent", "exhausted_attempts"),
        ("nothing_fits", "exhausted_windows"),
    ],
)
def test_a_spent_budget_is_named(reason: RetryRefusal, status: str) -> None:
    found = outcome(attempt(1, FAULTY, "rejected"), refused(1, reason), status="structured_output_exhausted")
    assert found is not None
    assert (found.final_status, found.exhausted_rule_id) == (status, "structured-json")
    assert [event.action for event in found.guard_events] == ["block"]


def test_a_request_that_ended_otherwise_says_how() -> None:
    found = outcome(attempt(1, FAULTY, "rejected"), again(1), attempt(2, None, "failed"), status="provider_error")
    assert found is not None
    assert (found.final_status, found.attempt_count, found.selected_schema) == ("provider_error", 1, None)


def test_what_was_asked_for_its_sake_is_not_put_down_to_stream_rules() -> None:
    final = receipt(attempt(1, FAULTY, "rejected"), again(1), attempt(2, GOOD)).final
    assert final is not None
    assert final.stream_policy is None
