"""What many receipts come to: how many, how they ended, how long they took, what they cost; in all and by whatever they are grouped by."""

from array import array
from collections import Counter
from collections.abc import Iterable
from math import ceil
from typing import Literal, get_args

import msgspec

from wardwright.receipts.fold import summarise
from wardwright.receipts.receipt import Receipt, Summary

Grouping = Literal[
    "model", "version", "target", "provider", "status", "tenant", "application", "agent", "user", "session", "tool"
]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)

_FIELDS: dict[Grouping, str] = {
    "model": "model_id",
    "version": "model_version",
    "target": "selected_model",
    "provider": "selected_provider",
    "status": "status",
    "tenant": "tenant_id",
    "application": "application_id",
    "agent": "consuming_agent_id",
    "user": "consuming_user_id",
    "session": "session_id",
    "tool": "tool_name",
}


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds that half, 95 and 99 of a hundred stayed within."""

    p50: float
    p95: float
    p99: float


class Tally(msgspec.Struct, frozen=True):
    """What the receipts of a group come to. `group` is null for those that have no such fact, and for all together.

    `fallbacks` were answered by another target than was decided on, `triggers` counts matches of stream rules. Tokens and cost are
    those of all attempts; a receipt whose cost is unknown adds none. Of `faded` receipts no triggers and no first tokens are known any more.
    """

    group: str | None
    requests: int
    statuses: dict[str, int]
    fallbacks: int
    triggers: int
    faded: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    latency_ms: Percentiles | None
    first_token_ms: Percentiles | None


class Stats(msgspec.Struct, frozen=True):
    """All receipts, and each group of them, the largest first."""

    all: Tally
    groups: tuple[Tally, ...]


class _Counting:
    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.fallbacks = 0
        self.triggers = 0
        self.faded = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost_usd = 0.0
        self.latencies = array("d")
        self.first_tokens = array("d")

    def add(self, receipt: Receipt) -> None:
        final = receipt.final
        self.statuses[final.status if final else "open"] += 1
        self.faded += receipt.faded_events > 0
        self.first_tokens.extend(a.first_token_ms for a in receipt.attempts if a.first_token_ms is not None)
        if final is None:
            return
        self.fallbacks += final.selected_model not in (None, receipt.decision.selected_model)
        self.triggers += final.stream_policy.trigger_count if final.stream_policy else 0
        self.cost_usd += final.cost_usd or 0.0
        if final.usage is not None:
            self.prompt_tokens += final.usage.prompt_tokens
            self.completion_tokens += final.usage.completion_tokens
        if final.latency_ms is not None:
            self.latencies.append(final.latency_ms)

    def tally(self, group: str | None) -> Tally:
        return Tally(
            group=group,
            requests=self.statuses.total(),
            statuses=dict(self.statuses.most_common()),
            fallbacks=self.fallbacks,
            triggers=self.triggers,
            faded=self.faded,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_usd=round(self.cost_usd, 9),
            latency_ms=_percentiles(self.latencies),
            first_token_ms=_percentiles(self.first_tokens),
        )


def tally(receipts: Iterable[Receipt], by: Grouping) -> Stats:
    """Count receipts, in all and by a grouping. Purity: pure."""
    everything, groups = _Counting(), dict[str | None, _Counting]()
    for receipt in receipts:
        everything.add(receipt)
        groups.setdefault(_group(summarise(receipt), by), _Counting()).add(receipt)
    tallies = [counting.tally(group) for group, counting in groups.items()]
    return Stats(everything.tally(None), tuple(sorted(tallies, key=lambda one: (-one.requests, one.group or ""))))


def _group(summary: Summary, by: Grouping) -> str | None:
    found = getattr(summary, _FIELDS[by])
    return None if found is None else str(found)


def _percentiles(values: Iterable[float]) -> Percentiles | None:
    """By nearest rank: each is a value that occurred."""
    ranked = sorted(values)
    if not ranked:
        return None
    return Percentiles(*(ranked[ceil(len(ranked) * share) - 1] for share in (0.5, 0.95, 0.99)))
