"""The sinks as operators see them, and what they may ask of one: to send its dead letters again, or everything from somewhere on, or nothing."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from supervisors import ActorDown, Call, CallTimeout, MailboxFull, System
from wardwright.domain.errors import ActorRestarting
from wardwright.runtime.sink import Pause, ReplayDeadLetters, Resume, SendAgain
from wardwright.runtime.sink_place import Stretch
from wardwright.runtime.sink_roster import SinkPart, SinkRoster
from wardwright.runtime.tree import sink_path

_PATIENCE_S = 60.0
"""A step that is under way is waited for, and a delivery may take as long as the sink's own time limit."""

Facts = Mapping[str, Any]
R = TypeVar("R")


class SinkDesk:
    """For the one event loop's use. `now` gives Unix seconds."""

    def __init__(self, system: System, roster: SinkRoster, *, now: Callable[[], float]) -> None:
        self._system = system
        self._roster = roster
        self._now = now

    def list(self) -> list[Facts]:
        """How every sink is, by id."""
        return [self._facts(part) for _, part in sorted(self._roster.parts.items())]

    def show(self, sink_id: str) -> Facts:
        """How one sink is, and where in the log its dead letters lie. Raises: NotFound."""
        part = self._roster.part(sink_id)
        return {**self._facts(part), "dead_letter_stretches": [_stretch(each) for each in part.line.place.dead]}

    async def replay_dead_letters(self, sink_id: str) -> Facts:
        """Have a sink's dead letters sent again. Raises: NotFound, ActorRestarting, StorageUnavailable."""
        self._roster.part(sink_id)
        count = await self._ask(sink_id, ReplayDeadLetters())
        return {"id": sink_id, "dead_letters": count}

    async def send_again(self, sink_id: str, after: int) -> Facts:
        """Have everything behind a position of the log sent to a sink again; one whose place is lost begins there.

        Raises: NotFound, RequestError when it is no position, ActorRestarting, StorageUnavailable.
        """
        part = self._roster.part(sink_id)
        was_lost = await self._ask(sink_id, SendAgain(after))
        return {"id": sink_id, "from": after, "to": part.line.place.position, "place_was_lost": was_lost}

    async def pause(self, sink_id: str) -> Facts:
        """Have a sink sent nothing until it is resumed; how it is then. Raises: NotFound, ActorRestarting, StorageUnavailable."""
        return await self._turn(sink_id, Pause())

    async def resume(self, sink_id: str) -> Facts:
        """Have a sink sent what waits for it; how it is then. Raises: NotFound, ActorRestarting, StorageUnavailable."""
        return await self._turn(sink_id, Resume())

    async def _turn(self, sink_id: str, request: Pause | Resume) -> Facts:
        part = self._roster.part(sink_id)
        await self._ask(sink_id, request)
        return self._facts(part)

    async def _ask(self, sink_id: str, request: Call[R]) -> R:
        try:
            return await self._system.named(sink_path(sink_id)).call(request, timeout=_PATIENCE_S)
        except (ActorDown, CallTimeout, MailboxFull) as error:
            raise ActorRestarting(f"the sink {sink_id!r} cannot be asked now: {error}") from error

    def _facts(self, part: SinkPart) -> dict[str, Any]:
        settings, line, status, now = part.settings, part.line, part.status, self._now()
        lag, place, since = line.lag, line.place, line.waiting_since
        lag_s = 0.0 if since is None else max(0.0, now - since)
        node = self._system.node(sink_path(settings.id))
        return {
            "id": settings.id,
            "kind": line.sink.kind,
            "where": line.sink.where,
            "unit": line.sink.unit,
            "on_full": settings.on_full,
            "max_lag": settings.max_lag,
            "state": part.state,
            "paused_at": place.paused_at,
            "stale": lag_s > settings.stale_after,
            "full": line.is_full,
            "position": place.position,
            "lag_entries": lag,
            "lag_seconds": None if lag is None else round(lag_s, 3),
            "delivered": place.delivered,
            "refused": place.refused,
            "dropped_entries": place.dropped,
            "lost_entries": place.lost,
            "forgotten_receipts": place.gone,
            "dead_letters": place.dead_count,
            "sending_again": bool(place.again),
            "failed_batches": status.failed_batches,
            "last_error": status.last_error,
            "last_error_at": status.last_error_at,
            "last_success_at": line.delivered_at,
            "next_attempt_at": status.next_attempt_at if part.state == "failing" else None,
            "restarts": 0 if node is None else node.restarts,
        }


def _stretch(stretch: Stretch) -> Facts:
    return msgspec.structs.asdict(stretch)
