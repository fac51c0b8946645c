"""The receipt: what a request came to, in the JSON shape that the API and the commands show. `receipts.fold` makes it of its entries.

An entry list may end anywhere: a receipt without its closing entry is open, its `final` is null, and attempts that were begun
and never ended have the status `unfinished` (they keep it when the receipt is closed as interrupted). Of a receipt whose events
have faded, what they said is in no part, and `faded_events` counts them.
"""

from typing import Any, Literal

import msgspec

from wardwright.domain.caller import Caller
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure, FailureClass
from wardwright.domain.route import PassReason
from wardwright.domain.stream import ResumedBy
from wardwright.domain.structured import OutputFinding
from wardwright.domain.tools import ToolPhase, ToolSource
from wardwright.receipts.events import (
    CanarySide,
    ContentPart,
    Decision,
    FadingType,
    FinalStatus,
    RequestSummary,
    RetryRefusal,
    StreamFinding,
)
from wardwright.receipts.stream_outcome import StreamOutcome
from wardwright.receipts.structured_outcome import StructuredOutcome

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
