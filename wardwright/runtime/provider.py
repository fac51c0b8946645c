"""One actor per provider: it builds the adapter, and replaces it when it starts again.

Runs do not send their bytes through the actor: they pass the provider's gate, lease the adapter from the board and call it
themselves. An adapter outlives its actor's crash for as long as somebody leases it, so that no live answer is cut by the restart;
the next incarnation builds its own and closes the old one when its last lease ends. The gate stays as it is: what was found out
about a provider is still true when only our own actor has died.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec

from supervisors import Actor, Call, ExitReason, ReplyTo, System
from wardwright.config.settings import ProviderBase
from wardwright.domain.errors import Failure, ProviderError
from wardwright.ports.provider import Provider
from wardwright.runtime.health import HealthBoard, describe
from wardwright.runtime.kept_health import TUNING
from wardwright.runtime.visible import Tell, tell_nobody


class Slot:
    """An adapter and the number of attempts that use it. `closed` is set when it is of no use to anybody any more."""

    def __init__(self, provider: Provider, settings: ProviderBase) -> None:
        self.provider = provider
        self.settings = settings
        self.leases = 0
        self.closed = anyio.Event()
        self._retired = False

    async def retire(self) -> None:
        """Close the adapter now, or when its last lease ends."""
        self._retired = True
        if self.leases == 0:
            await self._close()

    async def release(self) -> None:
        """End a lease. Cancel point only when it closes a retired adapter, which cancellation does not interrupt."""
        self.leases -= 1
        if self._retired and self.leases == 0:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _close(self) -> None:
        await self.provider.aclose()
        self.closed.set()


class ProviderBoard:
    """The current adapter of every provider, and its health. Each slot is written by its provider's actor alone."""

    def __init__(self, tell: Tell = tell_nobody) -> None:
        self.health = HealthBoard(tell)
        self._slots: dict[str, Slot] = {}

    def lease(self, provider_id: str) -> Slot:
        """Take a provider's adapter for one attempt; `Slot.release` gives it back.

        Raises: ProviderError of class `connect` when there is no such provider any more. One that restarts keeps its adapter.
        """
        slot = self._slots.get(provider_id)
        if slot is None:
            raise ProviderError(Failure("connect", f"the provider {provider_id!r} is not configured any more"))
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
class Refit(Call[None]):
    """Be another from now on: these settings, and an adapter built like this. Sent by the catalog, to every provider alike.

    The adapter so far is retired: attempts that use it end undisturbed. A provider that is like this already does nothing.
    """

    settings: ProviderBase
    build: Callable[[System], Provider]


class ProviderActor(Actor):
    """Owns one provider's adapter. A crash loses its idle connections; attempts under way, health and counts are undisturbed."""

    def __init__(self, settings: ProviderBase, *, build: Callable[[System], Provider], board: ProviderBoard) -> None:
        self._settings = settings
        self._build = build
        self._board = board

    async def init(self) -> None:
        """Furnish the gate, build the adapter and put it on the board."""
        self._board.health.furnish(self._settings, self.system.now)
        await self._board.replace(self._settings.id, Slot(self._build(self.system), self._settings))

    async def handle_call(self, request: object, reply_to: ReplyTo[Any]) -> object:
        """Answer `Refit`."""
        if not isinstance(request, Refit):
            return await super().handle_call(request, reply_to)
        if request.settings != self._settings:
            if not _is_same_place(self._settings, request.settings):
                self._board.health.forget(self._settings.id)
            self._settings, self._build = request.settings, request.build
            await self.init()
        return None

    async def terminate(self, reason: ExitReason) -> None:
        """Take the provider from the board on an orderly stop; after a crash it stays until the next incarnation."""
        if reason.is_normal:
            self._board.health.forget(self._settings.id)
            await self._board.replace(self._settings.id, None)

    def format_status(self) -> Mapping[str, object]:
        """Health and counts; never a credential."""
        slot = self._board.slots().get(self._settings.id)
        return {
            "provider_id": self._settings.id,
            "kind": None if slot is None else slot.provider.info.kind,
            "live_attempts": 0 if slot is None else slot.leases,
            **describe(self._board.health.gate(self._settings.id)),
        }


def _is_same_place(before: ProviderBase, after: ProviderBase) -> bool:
    """Whether what was found out about a provider still holds: it is where it was, and only what we do about it has changed."""
    tuned = {name: getattr(after, name) for name in TUNING}
    return msgspec.structs.replace(before, **tuned) == after if type(before) is type(after) else False
