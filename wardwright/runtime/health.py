"""The health of every provider, as planning reads it at each request."""

import math
import time
from collections.abc import Callable, Iterable, Mapping

import anyio

from wardwright.config.settings import ProviderBase
from wardwright.domain.route import Composition, Target, Unhealthy
from wardwright.planner.breaker import Closed, HalfOpen
from wardwright.runtime.gate import Gate
from wardwright.runtime.kept_health import KeptHealth
from wardwright.runtime.visible import Tell, tell_nobody

_SHOWN_FOR_S = 1.0


class ProviderMissing(LookupError):
    """A version names a provider that the configuration does not have any more."""


class HealthBoard:
    """The gates of all providers. Each is furnished by its provider's actor, and stays when that actor dies.

    What was known of a provider that is gone, by its removal or with an earlier process, is kept for as long as it means anything: one
    that comes to the same place is believed to be as it was. `changed` is set when a gate's health has changed; who waits for it
    replaces it. `wall_clock` tells Unix seconds.
    """

    def __init__(self, tell: Tell = tell_nobody, *, wall_clock: Callable[[], float] = time.time) -> None:
        self._tell = tell
        self._wall_clock = wall_clock
        self.changed = anyio.Event()
        self._known: dict[str, KeptHealth] = {}
        self._gates: dict[str, Gate] = {}
        self._unwell: set[Gate] = set()
        self._seen: tuple[Unhealthy, ...] | None = None
        self._seen_until = -math.inf

    def furnish(self, settings: ProviderBase, now: Callable[[], float]) -> Gate:
        """The gate of a provider, made when there is none yet, with these settings from now on."""
        gate = self._gates.get(settings.id)
        if gate is None:
            gate = self._gates[settings.id] = Gate(settings, now=now, on_change=self._changed, tell=self._tell)
            known = self._known.pop(settings.id, None)
            if known is not None:
                gate.take_up(known, wall=self._wall_clock())
        else:
            gate.furnish(settings)
        return gate

    def gate(self, provider_id: str) -> Gate:
        """The gate of one provider. Raises: ProviderMissing when the configuration does not have it."""
        gate = self._gates.get(provider_id)
        if gate is None:
            raise ProviderMissing(provider_id)
        return gate

    def forget(self, provider_id: str) -> None:
        """The provider is gone, or another one stands in its place: calls under way keep the gate they have passed."""
        gate = self._gates.pop(provider_id, None)
        if gate is not None:
            if not gate.is_sound:
                self._known[provider_id] = gate.kept(wall=self._wall_clock())
            self._unwell.discard(gate)
            self._seen = None

    def gates(self) -> Mapping[str, Gate]:
        """Every gate by provider id."""
        return self._gates

    def recall(self, known: Mapping[str, KeptHealth]) -> None:
        """Take up what an earlier process knew, before any provider is there."""
        self._known.update(known)

    def kept(self) -> Mapping[str, KeptHealth]:
        """What is known of providers that are not well, and of those that are gone, in a form that outlives the process."""
        wall = self._wall_clock()
        gone = {provider_id: known for provider_id, known in self._known.items() if known.needed_until > wall}
        here = {gate.provider_id: gate.kept(wall=wall) for gate in self._gates.values() if not gate.is_sound}
        return {**gone, **here}

    def snapshot(self, now: float) -> tuple[Unhealthy, ...]:
        """Everything that should not be asked now; empty when all is well, which costs nothing to find out.

        It is made anew when something changes or ends by itself, and each second: `retry_after_s` is in whole seconds.
        """
        if not self._unwell:
            return ()
        if self._seen is None or now >= self._seen_until:
            found = [ailment for gate in self._in_order(self._unwell) for ailment in gate.ailments(now)]
            self._seen = tuple(unhealthy for unhealthy, _ in found)
            self._seen_until = min([now + _SHOWN_FOR_S, *(until for _, until in found)])
        return self._seen

    def concerning(self, composition: Composition, now: float) -> tuple[Unhealthy, ...]:
        """What of the snapshot concerns a model and the models below it: the rest is no part of their receipts."""
        found = self.snapshot(now)
        if not found:
            return found
        subjects = {
            subject
            for model in (composition.root, *composition.nested.values())
            for target in model.targets
            for subject in (target.id, target.provider)
        }
        return tuple(unhealthy for unhealthy in found if unhealthy.subject in subjects)

    def retry_after_s(self, targets: Iterable[Target], now: float) -> float | None:
        """When the first of these targets may be asked again, as far as that is known."""
        waits = (self._wait_s(target, now) for target in targets)
        return min((wait for wait in waits if wait is not None), default=None)

    def _wait_s(self, target: Target, now: float) -> float | None:
        waits = [
            unhealthy.retry_after_s
            for unhealthy in self.snapshot(now)
            if unhealthy.subject in (target.id, target.provider) and unhealthy.retry_after_s is not None
        ]
        return max(waits, default=None)

    def _changed(self, gate: Gate) -> None:
        self.changed.set()
        self._seen = None
        if gate.is_well or self._gates.get(gate.provider_id) is not gate:
            self._unwell.discard(gate)
        else:
            self._unwell.add(gate)

    def _in_order(self, gates: Iterable[Gate]) -> list[Gate]:
        """Sorted, so that equal states give equal snapshots."""
        return sorted(gates, key=lambda gate: gate.provider_id)


def describe(gate: Gate) -> Mapping[str, object]:
    """A provider's health as operators see it; times as ages and waits, in seconds. Never a credential."""
    now, outcomes = gate.now(), gate.outcomes
    breaker_wait = None if isinstance(gate.breaker, Closed | HalfOpen) else max(0.0, round(gate.breaker.until - now, 3))
    return {
        "health": _health(gate, now),
        **outcomes.described(now),
        "breaker": {"state": breaker_state(gate), "retry_in_s": breaker_wait},
        "permits": {
            "limit": gate.permits.limit,
            "in_use": gate.permits.in_use,
            "waiting": gate.permits.waiting,
            "expected_wait_s": round(gate.expected_wait_s, 3),
        },
        "on_hold": _on_hold(gate, None, now),
        "targets": [
            {
                "target": target_id,
                "completed_count": of_target.completed,
                "error_count": of_target.failed,
                "cancelled_count": of_target.cancelled,
                "on_hold": _on_hold(gate, target_id, now),
                "rate_limits": [
                    {
                        "unit": window.unit,
                        "limit": window.limit,
                        "remaining": window.remaining,
                        "resets_in_s": _left(window.resets_in_s, now - of_target.stated_at),
                    }
                    for window in of_target.windows
                ],
            }
            for target_id, of_target in sorted(outcomes.by_target.items())
        ],
    }


def breaker_state(gate: Gate) -> str:
    """The breaker's state in one word."""
    match gate.breaker:
        case Closed():
            return "closed"
        case HalfOpen():
            return "half_open"
        case _:
            return "open"


def _health(gate: Gate, now: float) -> str:
    if gate.outcomes.consecutive_failures or any(True for _ in gate.ailments(now)):
        return "degraded"
    return "healthy" if gate.outcomes.total("completed") else "unknown"


def _on_hold(gate: Gate, target_id: str | None, now: float) -> Mapping[str, object] | None:
    hold = gate.holds.get(target_id)
    if hold is None or hold.until <= now:
        return None
    return {"reason": hold.reason, "for_s": round(hold.until - now, 3)}


def _left(resets_in_s: float | None, age_s: float) -> float | None:
    return None if resets_in_s is None else max(0.0, round(resets_in_s - age_s, 3))
