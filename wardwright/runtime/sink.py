"""The actor of one sink: says when its line takes its next step, waits after failures, and shows how it is.

It is woken when something was appended, waits a little so that batches form, and sends until nothing is left. The steps block, so they
are taken in a thread of its own. No request waits for it, and none knows of it, unless it fails closed.

What a crash here loses: nothing. The place is kept in the store; what was delivered after it was kept last is delivered again, under the
same keys. An adapter's mistake crashes the actor too: it is started again after ever longer pauses.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Any, TypeVar

import anyio
import structlog

from supervisors import NO_REPLY, Actor, Call, ExitReason, ReplyTo
from wardwright.domain.errors import RequestError, StorageUnavailable, WardwrightError
from wardwright.domain.sink import SinkState
from wardwright.ports.sink import SinkUnavailable
from wardwright.runtime.bell import Bell
from wardwright.runtime.sink_line import COUNTED_AT_ONCE, SinkLine, keep_quietly, leave_quietly
from wardwright.runtime.sink_roster import SinkPart, SinkRoster, losses_of
from wardwright.runtime.visible import SinkLost, SinkPaused, SinkRecovered, SinkResumed
from wardwright.runtime.worker import Worker

_LOOKS_EVERY_S = 1.0
_LONGEST_REST_S = 3600.0
_MOST_DOUBLINGS = 30

T = TypeVar("T")

_draw = SystemRandom().random

_log = structlog.get_logger("wardwright.sinks")


@dataclass(frozen=True, slots=True)
class ReplayDeadLetters(Call[int]):
    """Send the dead letters again, before anything else. Answered with how many there are; fails with StorageUnavailable."""


@dataclass(frozen=True, slots=True)
class SendAgain(Call[bool]):
    """Send everything again that was recorded behind a position, before anything else; a sink whose place is lost goes on from there.

    Answered with whether it was lost, when that is kept; fails with RequestError when it is no position of this log, and with StorageUnavailable.
    """

    after: int


@dataclass(frozen=True, slots=True)
class Pause(Call[None]):
    """Send nothing more until `Resume`, over restarts too. Answered when that is kept; fails with StorageUnavailable."""


@dataclass(frozen=True, slots=True)
class Resume(Call[None]):
    """Go on at once, from where it was paused or has failed. Answered when that is kept; fails with StorageUnavailable."""


class SinkActor(Actor):
    """Drives one line; see the module's page. `draw` gives numbers from 0 to less than 1, `now` Unix seconds."""

    def __init__(
        self,
        part: SinkPart,
        roster: SinkRoster,
        *,
        bell: Bell,
        now: Callable[[], float],
        draw: Callable[[], float] = _draw,
    ) -> None:
        self._part = part
        self._settings = part.settings
        self._line: SinkLine = part.line
        self._status = part.status
        self._roster = roster
        self._bell = bell
        self._now = now
        self._draw = draw
        self._thread = Worker(f"sink {part.settings.id}")
        self._is_ending = False
        self._rest_scope: anyio.CancelScope | None = None

    async def init(self) -> None:
        """Begin beside the mailbox: a sink that is down keeps nothing from starting."""
        if not self._status.failures_in_row:
            self._status.state = "starting"
        self.spawn(self._feed)

    async def handle_call(self, request: object, reply_to: ReplyTo[Any]) -> object:
        """See to it that records are sent again, or none at all for a while."""
        was_paused = self._line.is_paused
        match request:
            case ReplayDeadLetters():
                step: Callable[[], object] = self._line.raise_dead
            case SendAgain():
                step = partial(self._line.send_again, request.after)
            case Pause():
                step = self._line.pause
            case Resume():
                step = self._line.resume
            case _:
                return await super().handle_call(request, reply_to)
        try:
            answer = await self._thread.run(step)
        except StorageUnavailable as error:
            reply_to.fail(error)
            return NO_REPLY
        except ValueError:
            reply_to.fail(RequestError("nothing was ever recorded at that position", param="from"))
            return NO_REPLY
        if self._line.is_paused != was_paused:
            self._tell_paused()
        self._bell.ring()
        is_to_go_on = isinstance(request, Resume) or (isinstance(request, SendAgain) and answer)
        if is_to_go_on and self._rest_scope is not None:
            self._rest_scope.cancel()
        return answer

    async def terminate(self, reason: ExitReason) -> None:
        """Send what is left, if the sink takes it in time, and keep the place.

        A step that is still under way then is left to its thread: what it delivers is delivered again by whoever goes on from that place.
        """
        self._is_ending = True
        if not reason.is_normal:
            self._note_failure(f"its actor has ended: {reason}")
            await self._thread.run(partial(keep_quietly, self._line))
            return
        self._thread.is_patient = False
        patience = self._roster.patience(anyio.current_time())
        with anyio.move_on_after(patience) as limit:
            if self._status.state in ("idle", "sending"):
                with suppress(SinkUnavailable, StorageUnavailable):
                    while await self._thread.run(self._line.step):
                        pass
            await self._thread.run(partial(keep_quietly, self._line))
        if limit.cancelled_caught:
            _log.warning(
                "a sink took too long to end; what it has not got comes at the next start", sink=self._settings.id
            )
            await Worker(f"end of sink {self._settings.id}").run(partial(leave_quietly, self._line))
            self._thread.post(self._line.sink.close)

    def format_status(self) -> Mapping[str, object]:
        """How it is; never a record."""
        return {
            "state": self._part.state,
            "position": self._line.place.position,
            "lag_entries": self._line.lag,
            "failures_in_row": self._status.failures_in_row,
            "last_error": self._status.last_error,
        }

    # --- feeding ------------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        await self._insist(self._line.begin)
        self._status.losses = losses_of(self._line)
        for look in (self._line.pass_over_the_past, self._line.look_ahead):
            while await self._insist(look):
                self._roster.note(self._part)
        self._roster.note(self._part)
        while True:
            ring = self._bell.next_ring()
            if self._line.is_paused:
                while await self._look_ahead():
                    pass
            else:
                self._be("sending")
                while await self._insist(self._line.step):
                    await self._look_ahead(2 * self._settings.batch)
                self._be("idle")
            self._roster.note(self._part)
            with anyio.move_on_after(_LOOKS_EVERY_S if self._line.has_other_writers else math.inf):
                await ring.wait()
                if self._line.waiting_since is None:
                    self._line.waiting_since = self._now()  # a step will know it better
            await anyio.sleep(self._settings.linger_ms / 1000)

    def _be(self, state: SinkState) -> None:
        """Be at something, unless the far side has failed: until it has taken a batch nobody knows that it is well."""
        if not self._line.has_failed:
            self._status.state = state

    async def _insist(self, step: Callable[[], T]) -> T:
        """Take a step until it is taken; whatever time that needs. A step that delivers shows that the sink is well."""
        while True:
            if self._is_ending:
                await anyio.sleep_forever()
            before = self._line.deliveries
            try:
                done = await self._thread.run(step)
            except (SinkUnavailable, StorageUnavailable) as error:
                await self._rest(error)
            else:
                self._status.next_attempt_at = None
                if self._line.deliveries > before:
                    self._note_delivery()
                return done

    async def _rest(self, error: WardwrightError) -> None:
        """Leave the sink alone for a while, and see how much comes together meanwhile."""
        pause = self._pause(error.retry_after_s)
        self._note_failure(error.message)
        self._status.next_attempt_at = self._now() + pause
        with anyio.move_on_after(pause) as self._rest_scope:
            while True:
                ring = self._bell.next_ring()
                while self._line.lag is not None and await self._look_ahead():
                    pass
                await ring.wait()
                await anyio.sleep(_LOOKS_EVERY_S)
        self._rest_scope = None

    async def _look_ahead(self, at_most: int = COUNTED_AT_ONCE) -> bool:
        """Count on what waits, and let everybody know what that means; tell whether there is more to count."""
        has_more = False
        with suppress(StorageUnavailable):  # the next step says so
            has_more = await self._thread.run(partial(self._line.look_ahead, at_most))
        self._roster.note(self._part)
        return has_more

    def _pause(self, asked_s: float | None) -> float:
        retry = self._settings.retry
        doublings = min(self._status.failures_in_row, _MOST_DOUBLINGS)
        most = min(retry.max_ms, retry.base_ms << doublings) / 1000
        return max(self._draw() * most, min(asked_s or 0.0, _LONGEST_REST_S))

    def _tell_paused(self) -> None:
        is_paused = self._line.is_paused
        _log.info("a sink is paused" if is_paused else "a sink is resumed", sink=self._settings.id)
        self._roster.tell((SinkPaused if is_paused else SinkResumed)(sink=self._settings.id))

    def _note_failure(self, message: str) -> None:
        status = self._status
        if not status.failures_in_row:
            _log.warning("a sink is unavailable", sink=self._settings.id, problem=message)
            self._roster.tell(SinkLost(sink=self._settings.id, problem=message))
        status.state = "failing"
        status.failures_in_row += 1
        status.failed_batches += 1
        status.last_error, status.last_error_at = message, self._now()

    def _note_delivery(self) -> None:
        status = self._status
        if status.failures_in_row:
            _log.info("a sink is available again", sink=self._settings.id, after_failures=status.failures_in_row)
            self._roster.tell(SinkRecovered(sink=self._settings.id, after_failures=status.failures_in_row))
            status.state = "sending"
        status.failures_in_row = 0
