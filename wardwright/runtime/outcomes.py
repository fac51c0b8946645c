"""What has become of the calls to one provider, by target: for operators to look at. No decision is made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from wardwright.domain.errors import Failure
from wardwright.domain.limits import RateWindow
from wardwright.planner.breaker import Verdict


@dataclass(slots=True)
class TargetOutcomes:
    """The calls to one target, and the limits its provider stated last."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    windows: Sequence[RateWindow] = ()
    stated_at: float = 0.0


@dataclass(slots=True)
class LastFailure:
    """How the last call failed that failed at all."""

    target: str
    failure: Failure
    at: float


@dataclass(slots=True)
class Outcomes:
    """Counts since the daemon's start. `consecutive_failures` counts those that say something against the provider."""

    by_target: dict[str, TargetOutcomes] = field(default_factory=dict)
    consecutive_failures: int = 0
    last_failure: LastFailure | None = None
    last_latency_ms: float | None = None

    def ended(self, target_id: str, failure: Failure | None, latency_ms: float, verdict: Verdict, now: float) -> None:
        """Count a call that was answered, or failed."""
        of_target = self._of(target_id)
        self.last_latency_ms = latency_ms
        if failure is None:
            of_target.completed += 1
        else:
            of_target.failed += 1
            self.last_failure = LastFailure(target_id, failure, now)
        if verdict == "alive":
            self.consecutive_failures = 0
        elif verdict != "unknown":
            self.consecutive_failures += 1

    def cancelled(self, target_id: str) -> None:
        """Count a call that was called off."""
        self._of(target_id).cancelled += 1

    def stated(self, target_id: str, windows: Sequence[RateWindow], now: float) -> None:
        """Keep the limits that were stated last."""
        of_target = self._of(target_id)
        of_target.windows, of_target.stated_at = windows, now

    def total(self, what: str) -> int:
        """The sum of one count over all targets."""
        return sum(getattr(of_target, what) for of_target in self.by_target.values())

    def described(self, now: float) -> Mapping[str, object]:
        """The counts as operators see them; times as ages, in seconds."""
        last = self.last_failure
        completed, failed, cancelled = (self.total(what) for what in ("completed", "failed", "cancelled"))
        return {
            "attempt_count": completed + failed + cancelled,
            "completed_count": completed,
            "cancelled_count": cancelled,
            "error_count": failed,
            "consecutive_failures": self.consecutive_failures,
            "last_latency_ms": self.last_latency_ms,
            "last_failure": None
            if last is None
            else {"target": last.target, "ago_s": round(now - last.at, 3), **msgspec.structs.asdict(last.failure)},
        }

    def _of(self, target_id: str) -> TargetOutcomes:
        found = self.by_target.get(target_id)
        if found is None:
            found = self.by_target[target_id] = TargetOutcomes()
        return found
