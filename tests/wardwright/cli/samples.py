"""A receipt with everything in it that a story can tell, for the tests of the commands that read receipts."""

from pathlib import Path

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure
from wardwright.domain.route import PlanInputs, RequestFacts, Skip
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import (
    AttemptFinished,
    AttemptStarted,
    Closed,
    Decision,
    Event,
    Opened,
    RequestSummary,
    SelectedTarget,
    decode_entry,
)
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.storage.file import FileReceiptStore

AT = 1_800_000_000.0

OPENED = Opened(
    boot="boot-1",
    model_id="coding-balanced",
    model_version="2026-11-22.1",
    caller=Caller(
        tenant_id=Attributed("acme", "header"), session_id=Attributed("s1", "body_metadata"), tags=("a", "b")
    ),
    request=RequestSummary(
        model="wardwright/coding-balanced",
        normalized_model="coding-balanced",
        message_count=2,
        stream=True,
        estimated_prompt_tokens=40,
        request_id="req_1",
    ),
    decision=Decision(
        route_type="dispatcher",
        route_id="fit",
        strategy="smallest_context_window",
        reason="the smallest window that fits",
        selected_model="local/small",
        selected_provider="local",
        selected_context_window=8192,
        selected_models=(SelectedTarget("local/small", "local", 8192), SelectedTarget("cloud/large", "cloud", 200_000)),
        fallback_models=("cloud/large",),
        skipped=(
            Skip("local/tiny", "context_window_too_small", 16),
            Skip("local/deaf", "capability_missing", 32_768, "tools"),
        ),
        graph_path=("top", "fit"),
        estimated_prompt_tokens=40,
        route_blocked=False,
        facts=PlanInputs(RequestFacts(estimated_prompt_tokens=40, output_budget=100, needs=("tools",))),
    ),
    session_turn=3,
)

FALLBACK: tuple[Event, ...] = (
    OPENED,
    AttemptStarted(1, "local/small", "local", "small:7b"),
    AttemptFinished(
        1,
        "local/small",
        "failed",
        started_at=AT,
        latency_ms=12.4,
        failure=Failure("connect", "connection refused"),
    ),
    AttemptStarted(2, "cloud/large", "cloud", "large-1"),
    AttemptFinished(
        2,
        "cloud/large",
        "completed",
        started_at=AT + 1,
        latency_ms=1834.0,
        first_token_ms=90.0,
        generated_bytes=120,
        released_bytes=118,
        finish_reasons=("stop",),
        usage=Usage(40, 30),
    ),
    Closed("completed", 2, selected_model="cloud/large", released=True, released_bytes=118, latency_ms=1850.0),
)


def payloads(events: tuple[Event, ...], receipt_id: str = "rcpt_0001") -> list[bytes]:
    chain = Chain(receipt_id)
    return [chain.seal(event, AT + index) for index, event in enumerate(events)]


def receipt(*events: Event) -> Receipt:
    return fold([decode_entry(payload) for payload in payloads(events)])


def write_receipts(folder: Path, *stories: tuple[Event, ...]) -> list[str]:
    """Store these receipts as a daemon with that data folder does; returns their ids, oldest first."""
    store = FileReceiptStore(folder / "receipts")
    ids = [f"rcpt_{number:04}" for number in range(1, len(stories) + 1)]
    for receipt_id, events in zip(ids, stories, strict=True):
        store.append(payloads(events, receipt_id))  # what is there already stays
    store.close()
    return ids
