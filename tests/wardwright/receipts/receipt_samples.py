"""Sample facts of a receipt, for the tests of this folder."""

from collections.abc import Callable
from itertools import count

import msgspec

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure
from wardwright.domain.route import PlanInputs, RequestFacts, Skip
from wardwright.domain.tools import ToolContext
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import (
    AttemptFinished,
    AttemptStarted,
    Closed,
    ContentCaptured,
    Decision,
    Entry,
    Event,
    Opened,
    RequestSummary,
    SelectedTarget,
    decode_entry,
)

RECEIPT_ID = "rcpt_0190c2a5d9f0"
AT = 1_800_000_001.25


def opened(
    *,
    model_id: str = "coding-balanced",
    caller: Caller | None = None,
    simulation: bool = False,
    tools: ToolContext | None = None,
) -> Opened:
    return Opened(
        boot="boot-1",
        model_id=model_id,
        model_version="2026-11-22.1",
        caller=caller or Caller(session_id=Attributed("s1", "header"), run_id=Attributed("r1", "body_metadata")),
        request=RequestSummary(
            model=f"wardwright/{model_id}",
            normalized_model=model_id,
            message_count=2,
            stream=True,
            estimated_prompt_tokens=40,
            tool_context=tools,
        ),
        decision=Decision(
            route_type="dispatcher",
            route_id="fit",
            strategy="smallest_context_window",
            reason="the smallest window that fits",
            selected_model="local/small",
            selected_provider="local",
            selected_context_window=8192,
            selected_models=(
                SelectedTarget("local/small", "local", 8192),
                SelectedTarget("cloud/large", "cloud", 200_000),
            ),
            fallback_models=("cloud/large",),
            skipped=(Skip("local/tiny", "context_window_too_small", 16),),
            graph_path=("fit",),
            estimated_prompt_tokens=40,
            route_blocked=False,
            facts=PlanInputs(RequestFacts(estimated_prompt_tokens=40, output_budget=100), {"coding-balanced": "1"}),
        ),
        session_turn=3,
        simulation=simulation,
    )


def fallback_story() -> list[Event]:
    """A request whose first target broke before a byte was released, and whose second one answered."""
    return [
        opened(),
        AttemptStarted(1, "local/small", "local", "small:7b"),
        AttemptFinished(
            1,
            "local/small",
            "failed",
            started_at=AT,
            latency_ms=12.5,
            failure=Failure("connect", "connection refused"),
        ),
        AttemptStarted(2, "cloud/large", "cloud", "large-1"),
        AttemptFinished(
            2,
            "cloud/large",
            "completed",
            started_at=AT + 1,
            latency_ms=800.0,
            first_token_ms=90.0,
            generated_bytes=120,
            released_bytes=120,
            finish_reasons=("stop",),
            usage=Usage(40, 30),
        ),
        Closed("completed", 2, selected_model="cloud/large", released=True, released_bytes=120, latency_ms=820.0),
    ]


def full_story() -> list[Event]:
    """The same request of a model that captures content, by a user whom a guard looked at."""
    caller = Caller(consuming_user_id=Attributed("u1", "header"), session_id=Attributed("s1", "header"))
    first, *middle, closed = fallback_story()
    assert isinstance(first, Opened)
    facts = msgspec.structs.replace(first.decision.facts, caller={"consuming_user_id": "u1"})
    first = msgspec.structs.replace(first, caller=caller, decision=msgspec.structs.replace(first.decision, facts=facts))
    asked = ContentCaptured(
        "request", {"email": 1}, content=msgspec.Raw(b'{"messages":[{"role":"user","content":"hi"}]}')
    )
    answered = ContentCaptured("answer", content=msgspec.Raw(b'{"choices":[{"index":0,"text":"ho"}]}'))
    return [first, asked, *middle, answered, closed]


def numbered_salts() -> Callable[[], str]:
    """Salts that are no secret, and the same each time."""
    numbers = count(1)
    return lambda: f"{next(numbers):032x}"


def sealed(
    events: list[Event],
    *,
    receipt_id: str = RECEIPT_ID,
    at: float = AT,
    draw_salt: Callable[[], str] | None = None,
) -> list[bytes]:
    """The encoded entries of these events, a second apart; with salts as a daemon writes them, without as it once did."""
    chain = Chain(receipt_id, draw_salt=draw_salt)
    return [chain.seal(event, at + index) for index, event in enumerate(events)]


def entries(events: list[Event], *, receipt_id: str = RECEIPT_ID, at: float = AT) -> tuple[Entry, ...]:
    return tuple(decode_entry(payload) for payload in sealed(events, receipt_id=receipt_id, at=at))
