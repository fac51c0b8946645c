"""One actor per provider: it builds the adapter, counts what became of each attempt, and says how healthy the provider is.

Runs do not send their bytes through the actor: they lease the adapter from the board and call it themselves. An adapter outlives
its actor's crash for as long as somebody leases it, so that no live answer is cut by the restart; the next incarnation builds its
own and closes the old one when its last lease ends.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio

from supervisors import Actor, ExitReason, System
from wardwright.config.settings import ProviderSettings
from wardwright.domain.errors import ActorRestarting, Failure
from wardwright.ports.provider import Provider


class Slot:
    """An adapter and the number of attempts that use it."""

    def __init__(self, provider: Provider, settings: ProviderSettings) -> None:
        self.provider = provider
        self.settings = settings
        self.leases = 0
        self._retired = False

    async def retire(self) -> None:
        """Close the adapter now, or when its last lease ends."""
        self._retired = True
        if self.leases == 0:
            await self.provider.aclose()

    async def release(self) -> None:
        """End a lease. Cancel point only when it closes a retired adapter, which cancellation does not interrupt."""
        self.leases -= 1
        if self._retired and self.leases == 0:
            with anyio.CancelScope(shield=True):
                await self.provider.aclose()


class ProviderBoard:
    """The current adapter of every provider. Each slot is written by its provider's actor alone."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}

    def lease(self, provider_id: str) -> Slot:
        """Take a provider's adapter for one attempt; `Slot.release` gives it back.

        Raises: ActorRestarting when the provider has no adapter at this moment.
        """
        slot = self._slots.get(provider_id)
        if slot is None:
            raise ActorRestarting(f"the provider {provider_id!r} is restarting")
        slot.leases += 1
        return slot

    def slots(self) -> Mapping[str, Slot]:
        """Every provider's slot by provider id."""
        return self._slots

    async def replace(self, provider_id: str, slot: Slot | None) -> None:
        """Put a slot in place of the current one, which is retired."""
        before = self._slots.pop(provider_id, None)
        if slot is not None:
            self._slots[provider_id] = slot
        if before is not None:
            await before.retire()


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt at this provider ended; `failure` is None when it was answered. Cast by runs; counted."""

    target: str
    latency_ms: float
    failure: Failure | None
    cancelled: bool = False


class ProviderActor(Actor):
    """Owns one provider's adapter and its health. A crash loses the counts; attempts under way finish undisturbed."""

    def __init__(
        self, settings: ProviderSettings, *, build: Callable[[System], Provider], board: ProviderBoard
    ) -> None:
        self._settings = settings
        self._build = build
        self._board = board
        self._completed = 0
        self._cancelled = 0
        self._failed = 0
        self._consecutive_failures = 0
        self._last_failure: Failure | None = None
        self._last_latency_ms: float | None = None

    async def init(self) -> None:
        """Build the adapter and put it on the board."""
        await self._board.replace(self._settings.id, Slot(self._build(self.system), self._settings))

    async def handle_cast(self, message: object) -> None:
        """Count an `AttemptEnded`."""
        if not isinstance(message, AttemptEnded):
            return
        self._last_latency_ms = round(message.latency_ms, 3)
        if message.cancelled:
            self._cancelled += 1
        elif message.failure is None:
            self._completed += 1
            self._consecutive_failures = 0
        else:
            self._failed += 1
            self._consecutive_failures += 1
            self._last_failure = message.failure

    async def terminate(self, reason: ExitReason) -> None:
        """Take the adapter from the board on an orderly stop; after a crash it stays until the next incarnation."""
        if reason.is_normal:
            await self._board.replace(self._settings.id, None)

    def format_status(self) -> Mapping[str, object]:
        """Health and counts; never a credential."""
        slot = self._board.slots().get(self._settings.id)
        return {
            "provider_id": self._settings.id,
            "kind": None if slot is None else slot.provider.info.kind,
            "health": self._health(),
            "attempt_count": self._completed + self._failed + self._cancelled,
            "completed_count": self._completed,
            "cancelled_count": self._cancelled,
            "error_count": self._failed,
            "consecutive_failures": self._consecutive_failures,
            "last_failure": None if self._last_failure is None else self._last_failure.failure_class,
            "last_latency_ms": self._last_latency_ms,
            "live_attempts": 0 if slot is None else slot.leases,
        }

    def _health(self) -> str:
        if self._consecutive_failures:
            return "degraded"
        return "healthy" if self._completed else "unknown"
