"""Receipts by the million: what a gateway with many callers writes, the same for the same seed."""

import random
from collections.abc import Iterator

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.route import PlanInputs, RequestFacts
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import (
    AttemptFinished,
    AttemptStarted,
    Closed,
    Decision,
    Event,
    FinalStatus,
    Opened,
    RequestSummary,
    SelectedTarget,
)

BEGAN = 1_800_000_000
SPACING_S = 0.25
TENANTS = 50
USERS = 5_000
SESSIONS_EVERY = 10
MODELS = ("coding", "chat", "summaries", "agents", "batch")
RARE: FinalStatus = "policy_blocked"
RARE_EVERY = 10_000

_TARGETS = {"local/small": "local", "local/large": "local", "cloud/large": "cloud"}


def receipt_at(number: int) -> float:
    """When the receipt of a number was opened, in Unix seconds."""
    return BEGAN + number * SPACING_S


def made(count: int, first: int = 0, seed: int = 1) -> Iterator[list[bytes]]:
    """The entries of so many receipts by ascending id, four each, receipt by receipt."""
    chance = random.Random(seed + first)
    return (_receipt(chance, number) for number in range(first, first + count))


def _receipt(chance: random.Random, number: int) -> list[bytes]:
    at = receipt_at(number)
    chain = Chain(f"rcpt_{int(at * 1000):011x}{chance.getrandbits(52):013x}")
    model, target = MODELS[number % len(MODELS)], chance.choice(list(_TARGETS))
    provider, latency_ms = _TARGETS[target], 200 + chance.random() * 4000
    status: FinalStatus = "completed" if chance.random() > 0.03 else "provider_error"
    if number % RARE_EVERY == RARE_EVERY // 2:
        status = RARE
    user, session = chance.randrange(USERS), number // SESSIONS_EVERY
    caller = Caller(
        tenant_id=Attributed(f"tenant-{user % TENANTS}", "header"),
        consuming_user_id=Attributed(f"user-{user}", "header"),
        session_id=Attributed(f"session-{session}", "header"),
    )
    planned = tuple(SelectedTarget(name, _TARGETS[name], 32768) for name in _TARGETS)
    decision = Decision(
        route_type="dispatcher",
        route_id="fit",
        strategy="smallest_context_window",
        reason="the smallest context window that fits",
        selected_model=target,
        selected_provider=provider,
        selected_context_window=32768,
        selected_models=planned,
        fallback_models=tuple(name for name in _TARGETS if name != target),
        skipped=(),
        graph_path=("fit",),
        estimated_prompt_tokens=300,
        route_blocked=False,
        facts=PlanInputs(RequestFacts(300, 1000)),
    )
    summary = RequestSummary(f"wardwright/{model}", model, 2, True, 300)
    events: tuple[Event, ...] = (
        Opened("boot", model, "2026-11-01", caller, summary, decision, session_turn=number % SESSIONS_EVERY),
        AttemptStarted(1, target, provider, "upstream"),
        AttemptFinished(1, target, "completed", at, latency_ms, latency_ms / 5, 900, 900, ("stop",)),
        Closed(status, 1, target, released=True, released_bytes=900, latency_ms=latency_ms),
    )
    return [chain.seal(event, at + place * 0.01) for place, event in enumerate(events)]
