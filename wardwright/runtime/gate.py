"""The gate of one provider: whether a call to it may be made now, and what each call's end says of the provider.

A gate stands beside the tree and not in the provider's actor, for three reasons: a permit must be given back though the actor is
restarting, exactly one of many requests may be the probe, and the next request must know at once what the last one found out. None
of that waits for a message.

A call passes the gate with an `Admission`. That is a scope, so a permit and a probe come back whatever ends the call: its answer, a
failure, the client's leaving, a kill.

Nobody waits here longer than makes sense. A request that could ask another provider joins the queue only for a wait within its
connect timeout; one that has nowhere else to go, for as long as its deadline allows. What the wait will be is estimated from how long
calls have taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio
import structlog

from wardwright.config.settings import ProviderBase
from wardwright.domain.errors import Failure
from wardwright.domain.limits import RateWindow
from wardwright.domain.route import PassReason, Unhealthy
from wardwright.planner.breaker import (
    SOUND,
    Breaker,
    Closed,
    HalfOpen,
    Open,
    Verdict,
    after_admission,
    after_call,
    lets_through,
    verdict_of,
)
from wardwright.planner.holds import Hold, covers_provider, hold_after_failure, hold_after_limits, seconds_left
from wardwright.runtime.kept_health import KeptHealth, breaker_again, holds_again, kept, place_of
from wardwright.runtime.outcomes import Outcomes
from wardwright.runtime.permits import Permits
from wardwright.runtime.visible import BreakerClosed, BreakerOpened, BreakerProbing, HoldBegan, Tell, tell_nobody

QUEUE_PER_PERMIT = 16
"""How many may wait for each permit: a bound on what a provider that answers nothing can pile up."""

_NEWEST_COUNTS = 0.1

_log = structlog.get_logger("wardwright.provider")


@dataclass(frozen=True, slots=True)
class NotNow:
    """No call may be made now; `retry_after_s` is when one may be again, as far as is known."""

    reason: PassReason
    retry_after_s: float | None = None


class Admission:
    """One call's way through the gate, as a scope around the call."""

    __slots__ = ("_is_probe", "_is_settled", "began", "gate", "target_id")

    def __init__(self, gate: "Gate", target_id: str, began: float, *, is_probe: bool) -> None:
        self.gate = gate
        self._is_probe = is_probe
        self._is_settled = False
        self.target_id = target_id
        self.began = began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_settled:
            self._show("unknown")
        self.gate.leave(self)

    def hear(self, windows: Sequence[RateWindow]) -> None:
        """The provider has stated its limits beside its answer."""
        self.gate.hear(self.target_id, windows)

    def prove(self) -> None:
        """The first content has come: a probe has found out what it went for, though the answer may go on for minutes."""
        if self._is_probe:
            self._show("alive")

    def settle(self, failure: Failure | None, latency_ms: float, *, is_fair: bool = True) -> None:
        """The call has ended, well without a failure. An unfair end (too little time was left for it) says nothing of the provider."""
        self._is_settled = True
        gate = self.gate
        verdict = verdict_of(failure) if is_fair else "unknown"
        gate.outcomes.ended(self.target_id, failure, latency_ms, verdict, gate.now())
        self._show(verdict, failure if is_fair else None)

    def call_off(self) -> None:
        """The call was called off; counted when it is noted, which may be after the scope has ended."""
        self.gate.outcomes.cancelled(self.target_id)

    def _show(self, verdict: Verdict, failure: Failure | None = None) -> None:
        is_probe, self._is_probe = self._is_probe, False
        self.gate.learn(self.target_id, verdict, failure, is_probe=is_probe)


class Gate:
    """See the module's page. Written by the calls that pass it, on one event loop; furnished by the provider's actor."""

    def __init__(
        self,
        settings: ProviderBase,
        *,
        now: Callable[[], float],
        on_change: Callable[["Gate"], None],
        tell: Tell = tell_nobody,
    ) -> None:
        self.provider_id = settings.id
        self.now = now
        self.breaker: Breaker = SOUND
        self.permits = Permits(settings.max_concurrency)
        self.outcomes = Outcomes()
        self.holds: dict[str | None, Hold] = {}
        self.settings = settings
        self._on_change = on_change
        self._tell = tell
        self._mean_s = 0.0
        self._queueing = 0

    def furnish(self, settings: ProviderBase) -> None:
        """Go by these settings from now on."""
        self.settings = settings
        self.permits.resize(settings.max_concurrency)

    def take_up(self, known: KeptHealth, *, wall: float) -> None:
        """Believe what was known of a provider, if it was at this place. `wall` is now in Unix seconds."""
        if known.place != place_of(self.settings):
            return
        policy, now = self.settings.breaker, self.now()
        self.breaker = breaker_again(known, policy, now=now, wall=wall)
        self.holds = holds_again(known, policy, now=now, wall=wall)
        self._on_change(self)

    def kept(self, *, wall: float) -> KeptHealth:
        """What is known now, in a form that outlives the process. `wall` is now in Unix seconds."""
        return kept(self.settings, self.breaker, self.holds, now=self.now(), wall=wall)

    # --- going in -----------------------------------------------------------------------------------------------------

    def enter_nowait(self, target_id: str) -> Admission | NotNow | None:
        """Let a call through or refuse it; None when it would have to wait for its turn."""
        refusal = None if self.is_sound else self._refusal(target_id)
        if refusal is not None:
            return refusal
        return self._admitted(target_id) if self.permits.take_nowait() else None

    async def enter(self, target_id: str, *, patience_s: float) -> Admission | NotNow:
        """Let a call through when its turn has come, or refuse it: at once when the wait would be too long, or when that is known.

        Cancellation: cancel point; on cancel the place in the queue is given up.
        """
        refusal = self._refusal(target_id) or self._full(patience_s)
        if refusal is not None:
            return refusal
        is_in = False
        self._queues(1)
        try:
            with anyio.move_on_after(patience_s):
                is_in = await self.permits.take(target_id)
        finally:
            self._queues(-1)
        refusal = self._refusal(target_id)
        if is_in and refusal is None:
            return self._admitted(target_id)
        if is_in:
            self.permits.give_back()
        return refusal or NotNow("saturated", self.expected_wait_s)

    @property
    def expected_wait_s(self) -> float:
        """How long who joins the queue now would wait for their turn, going by how long calls have taken."""
        if self.permits.in_use < self.permits.limit:
            return 0.0
        return (self.permits.waiting + 1) * self._mean_s / self.permits.limit

    @property
    def is_saturated(self) -> bool:
        """Whether anybody who comes now would be refused, however patient."""
        return self._full(self.settings.timeouts.total) is not None

    def ailments(self, now: float) -> Iterator[tuple[Unhealthy, float]]:
        """Everything that stands in the way of a call now, and until when it certainly does."""
        if not lets_through(self.breaker, now):
            until = self.breaker.until if isinstance(self.breaker, Open) else now
            yield self._unhealthy(None, Hold(until, "breaker_open"), now), until
        for target_id, hold in self.holds.items():
            if hold.lasts_at(now):
                yield self._unhealthy(target_id, hold, now), hold.until
        if self.permits.waiting and self.is_saturated:
            yield Unhealthy(self.provider_id, "saturated", max(1.0, round(self.expected_wait_s))), now

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to tell of."""
        return isinstance(self.breaker, Closed) and not self.holds and not self._queueing

    # --- coming out ---------------------------------------------------------------------------------------------------

    def learn(self, target_id: str, verdict: Verdict, failure: Failure | None, *, is_probe: bool) -> None:
        """Take in what a call has shown."""
        if failure is None and not is_probe and self.is_sound:
            return
        now, before = self.now(), self.breaker
        self.breaker = after_call(before, verdict, self.settings.breaker, now, is_probe=is_probe)
        if failure is not None:
            self._hold(None if covers_provider(failure) else target_id, failure, now)
        elif verdict == "alive":
            for subject in (None, target_id):
                if subject in self.holds and not self.holds[subject].lasts_at(now):
                    del self.holds[subject]
        if type(self.breaker) is not type(before):
            self._report(failure)
        self._on_change(self)

    def hear(self, target_id: str, windows: Sequence[RateWindow]) -> None:
        """Take in the limits that a provider has stated beside an answer of one target."""
        now = self.now()
        self.outcomes.stated(target_id, windows, now)
        hold = hold_after_limits(windows, self.holds.get(target_id), now)
        if hold is not None:
            self._put(target_id, hold)
            self._on_change(self)

    def leave(self, admission: Admission) -> None:
        """Give the permit of a call back."""
        took_s = self.now() - admission.began
        self._mean_s += (took_s - self._mean_s) * (_NEWEST_COUNTS if self._mean_s else 1.0)
        self.permits.give_back()

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to remember."""
        return self.breaker is SOUND and not self.holds

    # --- within -------------------------------------------------------------------------------------------------------

    def _queues(self, more: int) -> None:
        self._queueing += more
        self._on_change(self)

    def _admitted(self, target_id: str) -> Admission:
        before, self.breaker = self.breaker, after_admission(self.breaker)
        is_probe = self.breaker is not before
        if is_probe:
            _log.info("asking again, with one call", provider=self.provider_id, target=target_id)
            self._tell(BreakerProbing(provider=self.provider_id, target=target_id))
            self._on_change(self)
        return Admission(self, target_id, self.now(), is_probe=is_probe)

    def _refusal(self, target_id: str) -> NotNow | None:
        now = self.now()
        if not lets_through(self.breaker, now):
            left = self.breaker.until - now if isinstance(self.breaker, Open) else None
            return NotNow("breaker_open", left)
        for hold in (self.holds.get(None), self.holds.get(target_id)):
            if hold is not None and hold.lasts_at(now):
                return NotNow(hold.reason, hold.until - now)
        return None

    def _full(self, patience_s: float) -> NotNow | None:
        wait_s = self.expected_wait_s
        if wait_s > patience_s or self.permits.waiting >= self.permits.limit * QUEUE_PER_PERMIT:
            return NotNow("saturated", wait_s)
        return None

    def _hold(self, subject: str | None, failure: Failure, now: float) -> None:
        hold = hold_after_failure(failure, self.holds.get(subject), self.settings.breaker.open_s, now)
        if hold is not None:
            self._put(subject, hold)

    def _put(self, subject: str | None, hold: Hold) -> None:
        now, before = self.now(), self.holds.get(subject)
        if hold.lasts_at(now) and (before is None or not before.lasts_at(now)):
            for_s = round(hold.until - now, 3)
            self._tell(HoldBegan(provider=self.provider_id, target=subject, reason=hold.reason, for_s=for_s))
        self.holds[subject] = hold
        self.permits.turn_away(subject)

    def _unhealthy(self, subject: str | None, hold: Hold, now: float) -> Unhealthy:
        left = seconds_left(hold, now) if hold.until > now else None
        return Unhealthy(self.provider_id if subject is None else subject, hold.reason, left)

    def _report(self, failure: Failure | None) -> None:
        match self.breaker:
            case Closed():
                _log.info("in use again", provider=self.provider_id)
                self._tell(BreakerClosed(provider=self.provider_id))
            case Open() if failure is not None:
                self.permits.turn_away()
                _log.warning(
                    "left alone after failures",
                    provider=self.provider_id,
                    seconds=self.settings.breaker.open_s,
                    last_failure=failure.failure_class,
                    status=failure.status,
                )
                self._tell(
                    BreakerOpened(
                        provider=self.provider_id,
                        for_s=self.settings.breaker.open_s,
                        failure=failure.failure_class,
                        failure_status=failure.status,
                    )
                )
            case Open() | HalfOpen():
                pass  # a probe was called off: the next call is one
