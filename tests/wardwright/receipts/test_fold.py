"""The fold of entries into a receipt."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import AT, RECEIPT_ID, entries, fallback_story, opened
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.policy import RuleFired
from wardwright.receipts.events import AttemptFinished, Closed, Event, StreamFinding, decode_entry
from wardwright.receipts.fold import fold, summarise, summary_of
from wardwright.testing.sample_receipts import Written, histories, plain


def as_json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def test_a_receipt_has_the_contracts_top_level_fields() -> None:
    receipt = as_json(fold(entries(fallback_story())))
    assert list(receipt) == [
        "receipt_id",
        "receipt_schema",
        "created_at",
        "model_id",
        "model_version",
        "simulation",
        "caller",
        "request",
        "decision",
        "attempts",
        "events",
        "final",
        "run_id",
        "session_turn",
    ]
    assert receipt["receipt_id"] == RECEIPT_ID
    assert receipt["receipt_schema"] == "v1"
    assert receipt["created_at"] == 1_800_000_001
    assert receipt["simulation"] is False
    assert receipt["run_id"] == "r1"
    assert receipt["caller"]["session_id"] == {"value": "s1", "source": "header"}
    assert receipt["decision"]["facts"]["request"]["output_budget"] == 100


def test_each_attempt_joins_its_beginning_and_its_end() -> None:
    first, second = fold(entries(fallback_story())).attempts
    assert (first.attempt, first.status, first.provider_id, first.upstream_model) == (1, "failed", "local", "small:7b")
    assert first.failure is not None
    assert first.failure.failure_class == "connect"
    assert (second.status, second.provider_id, second.finish_reasons) == ("completed", "cloud", ("stop",))
    assert (second.started_at, second.first_token_ms, second.released_bytes) == (AT + 1, 90.0, 120)


def test_events_are_the_entries_in_brief_with_their_chain_hashes() -> None:
    record = entries(fallback_story())
    events = as_json(fold(record))["events"]
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["hash"] for event in events] == [entry.hash for entry in record]
    assert [event["type"] for event in events] == [
        "receipt.opened",
        "attempt.started",
        "attempt.finished",
        "attempt.started",
        "attempt.finished",
        "receipt.closed",
    ]
    assert events[0] == {
        "event_id": f"{RECEIPT_ID}:1",
        "sequence": 1,
        "type": "receipt.opened",
        "created_at": AT,
        "hash": record[0].hash,
        "model": "local/small",
        "provider": "local",
    }
    assert (events[2]["status"], events[2]["failure_class"]) == ("failed", "connect")
    assert events[5]["status"] == "completed"


def test_the_final_part_tells_the_outcome_and_when_it_was_recorded() -> None:
    assert as_json(fold(entries(fallback_story())).final) == {
        "status": "completed",
        "selected_model": "cloud/large",
        "receipt_recorded_at": "2027-01-15T08:00:06.250Z",
        "attempts": 2,
        "released": True,
        "released_bytes": 120,
        "latency_ms": 820.0,
    }


@pytest.mark.parametrize("length", range(1, 6))
def test_an_open_receipt_folds_with_a_null_final(length: int) -> None:
    receipt = as_json(fold(entries(fallback_story()[:length])))
    assert receipt["final"] is None
    assert len(receipt["events"]) == length


def test_an_attempt_that_was_begun_and_not_ended_stays_unfinished_when_the_receipt_is_closed() -> None:
    story = [*fallback_story()[:2], Closed("interrupted", 1)]
    receipt = fold(entries(story))
    assert [(attempt.attempt, attempt.status, attempt.latency_ms) for attempt in receipt.attempts] == [
        (1, "unfinished", None)
    ]
    assert receipt.final is not None
    assert receipt.final.status == "interrupted"


def test_an_attempt_whose_beginning_was_lost_is_shown_with_what_its_end_says() -> None:
    record = entries(fallback_story())
    (attempt,) = fold((record[0], record[2])).attempts
    assert (attempt.model, attempt.status, attempt.provider_id, attempt.upstream_model) == (
        "local/small",
        "failed",
        None,
        None,
    )


def test_what_nobody_stated_is_absent() -> None:
    receipt = as_json(fold(entries([opened(caller=Caller(tenant_id=Attributed("t", "header")))])))
    assert "run_id" not in receipt
    assert receipt["caller"] == {"tenant_id": {"value": "t", "source": "header"}}


@pytest.mark.parametrize("record", [(), entries(fallback_story())[1:]])
def test_a_record_without_its_opening_entry_is_no_receipt(record: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="opening entry"):
        fold(record)


def test_a_summary_has_the_contracts_fields_and_flat_caller_ids() -> None:
    summary = as_json(summarise(fold(entries(fallback_story()))))
    assert summary == {
        "receipt_id": RECEIPT_ID,
        "receipt_schema": "v1",
        "created_at": 1_800_000_001,
        "model_id": "coding-balanced",
        "model_version": "2026-11-22.1",
        "simulation": False,
        "status": "completed",
        "selected_model": "cloud/large",
        "selected_provider": "cloud",
        "stream_policy_action": None,
        "tenant_id": None,
        "application_id": None,
        "consuming_agent_id": None,
        "consuming_user_id": None,
        "session_id": "s1",
        "run_id": "r1",
        "caller": {
            "session_id": {"value": "s1", "source": "header"},
            "run_id": {"value": "r1", "source": "body_metadata"},
        },
    }


@pytest.mark.parametrize("story", [[opened()], [opened(), Closed("provider_error", 0)]])
def test_without_an_answer_a_summary_names_the_target_that_was_decided_on(story: list[Any]) -> None:
    summary = summarise(fold(entries(story)))
    assert (summary.selected_model, summary.selected_provider) == ("local/small", "local")


def test_the_action_of_a_rule_that_ended_an_answer_is_in_the_summary() -> None:
    fired = RuleFired("s", "annotate", "text", 0, 0, 1, "chunk", "literal")
    stopped = StreamFinding("horizon", "block", "r", 1, held_bytes=3, blocked_bytes=3)
    observed = StreamFinding("horizon", "annotate", trigger_count=1, fired=(fired,))
    events: list[Event] = [
        opened(),
        AttemptFinished(1, "a", "stopped", AT, 1.0, generated_bytes=3, stream_policy=stopped),
        AttemptFinished(2, "a", "completed", AT, 1.0, generated_bytes=5, released_bytes=5, stream_policy=observed),
        Closed("completed", 2, released=True),
    ]
    receipt = fold(entries(events))
    assert receipt.final is not None
    outcome = receipt.final.stream_policy
    assert outcome is not None
    assert (outcome.action, outcome.trigger_count, outcome.released_bytes) == ("block", 2, 5)
    assert [(event.type, event.attempt, event.rule_id) for event in outcome.events] == [
        ("stream_policy.triggered", 2, "s")
    ]
    assert summarise(receipt).stream_policy_action == "block"


@given(histories(4))
@settings(max_examples=60, deadline=None)
def test_a_summary_can_be_had_without_folding(history: list[Written]) -> None:
    for written in history:
        record = [decode_entry(payload) for payload in written.payloads]
        for length in range(1, len(record) + 1):
            assert summary_of(record[:length]) == summarise(fold(record[:length]))
    with pytest.raises(ValueError, match="begins with its opening entry"):
        summary_of([])


@given(st.one_of(st.floats(0, 4e9), st.integers(0, 4_000_000_000_000).map(lambda ms: ms / 1000)))
def test_the_time_of_recording_is_what_the_calendar_says(at: float) -> None:
    expected = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = [decode_entry(payload) for payload in plain(1).payloads]
    receipt = fold([*record[:-1], msgspec.structs.replace(record[-1], at=at)])
    assert receipt.final is not None
    assert receipt.final.receipt_recorded_at == expected
