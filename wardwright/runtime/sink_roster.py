"""Which sinks there are to be, how each one is, and whether one of them closes the gateway.

Written by the catalog (what is wanted) and by each sink's actor (how it is); it outlives all of them. Everybody reads it, on the one event loop.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from supervisors import Actor, Backoff, ChildSpec
from wardwright.config.sinks import SinkBase
from wardwright.domain.errors import NotFound
from wardwright.domain.sink import SinkState
from wardwright.runtime.sink_line import SinkLine
from wardwright.runtime.visible import GatewayClosed, GatewayOpened, SinkPassedOver, Tell, tell_nobody

_SHUTDOWN_S = 30.0
_ENDING_S = 5.0
_LEAST_ENDING_S = 0.5
_APART_S = 30.0
# A sink that crashes at every start comes back ever more rarely, so that its crashes never come to what its supervisor bears.
_BACKOFF = Backoff(min_seconds=1.0, max_seconds=60.0, reset_after=60.0)


class Losses(NamedTuple):
    """What a sink has not got: see `SinkPlace`."""

    refused: int
    dropped: int
    lost: int


@dataclass(slots=True)
class SinkStatus:
    """How a sink is doing, over the incarnations of its actor. Times are Unix seconds.

    `losses` are those that whoever watches knows of; None before the sink has found its place.
    """

    state: SinkState = "starting"
    failures_in_row: int = 0
    failed_batches: int = 0
    last_error: str | None = None
    last_error_at: float | None = None
    next_attempt_at: float | None = None
    losses: Losses | None = None


@dataclass(slots=True)
class SinkPart:
    """One sink as it is configured: its line, which each incarnation of its actor takes up, and its status.

    A line that was left in the midst of a step gets a successor with the next incarnation.
    """

    settings: SinkBase
    line: SinkLine
    status: SinkStatus = field(default_factory=SinkStatus)

    @property
    def state(self) -> SinkState:
        """What its actor is at. It is idle only as long as nothing waits, also when the actor has not come to that yet."""
        if self.line.is_paused:
            return "paused"
        if self.status.state == "idle" and (self.line.lag != 0 or self.line.place.again):
            return "sending"
        return self.status.state


def no_sinks() -> "SinkRoster":
    """A roster that stays empty."""

    def make(*_: object) -> Any:
        raise LookupError("there are to be no sinks here")

    return SinkRoster(make, make)


class SinkRoster:
    """The sinks by id. `make_line` makes the line to a sink, `make_actor` what drives one."""

    def __init__(
        self,
        make_line: Callable[[SinkBase], SinkLine],
        make_actor: Callable[[SinkPart, "SinkRoster"], Actor],
        sinks: Iterable[SinkBase] = (),
        *,
        tell: Tell = tell_nobody,
    ) -> None:
        self.tell = tell
        self.parts: Mapping[str, SinkPart] = MappingProxyType({})
        self.running: dict[str, SinkPart] = {}
        self.closed_by: str | None = None
        self._make_line = make_line
        self._make_actor = make_actor
        self._full: set[str] = set()
        self._told_closed: str | None = None
        self._ends_until = -_APART_S
        self.replace(sinks)

    def replace(self, sinks: Iterable[SinkBase]) -> None:
        """Want these, and no others; what stays as it was keeps what it has."""
        self.parts = MappingProxyType({settings.id: self._part(settings) for settings in sinks})
        self._full = {sink_id for sink_id, part in self.parts.items() if _keeps_out(part)}
        self._judge()

    def part(self, sink_id: str) -> SinkPart:
        """One sink. Raises: NotFound."""
        found = self.parts.get(sink_id)
        if found is None:
            raise NotFound(f"there is no sink {sink_id!r}", "not_found")
        return found

    def specs(self) -> dict[str, ChildSpec]:
        """The children that are wanted, by id."""
        return {sink_id: self.spec(sink_id) for sink_id in self.parts}

    def spec(self, sink_id: str) -> ChildSpec:
        """The child for a sink."""
        part = self.parts[sink_id]

        def start() -> Actor:
            self.running[sink_id] = part
            if part.line.is_left:
                part.line = self._make_line(part.settings)
            return self._make_actor(part, self)

        return ChildSpec(sink_id, start, shutdown=_SHUTDOWN_S, backoff=_BACKOFF)

    def note(self, part: SinkPart) -> None:
        """Take notice of how far behind a sink is: one that fails closed may keep requests out."""
        sink_id = part.settings.id
        if self.parts.get(sink_id) is part and _keeps_out(part):
            self._full.add(sink_id)
        else:
            self._full.discard(sink_id)
        self._judge()
        self._tell_losses(part)

    def patience(self, now: float) -> float:
        """How many seconds a sink that ends may take for that, by a monotonic clock.

        Those that end together, one after the other, share them; when they are used up each has a little, enough for one that is well.
        """
        if now > self._ends_until + _APART_S:
            self._ends_until = now + _ENDING_S
        return max(self._ends_until - now, _LEAST_ENDING_S)

    def _part(self, settings: SinkBase) -> SinkPart:
        known = self.parts.get(settings.id)
        return (
            known if known is not None and known.settings == settings else SinkPart(settings, self._make_line(settings))
        )

    def _judge(self) -> None:
        closing = min(self._full, default=None)
        self.closed_by = None if closing is None else _why(self.parts[closing])
        if closing is None and self._told_closed is not None:
            self.tell(GatewayOpened(sink=self._told_closed))
            self._told_closed = None
        elif closing is not None and self._told_closed is None and self.parts[closing].line.lag is not None:
            self.tell(GatewayClosed(sink=closing))
            self._told_closed = closing

    def _tell_losses(self, part: SinkPart) -> None:
        """Tell of what a sink has not got since it was last noted."""
        known, now = part.status.losses, losses_of(part.line)
        if known is None or now == known:
            return
        part.status.losses = now
        refused, dropped, lost = (after - before for after, before in zip(now, known, strict=True))
        self.tell(SinkPassedOver(sink=part.settings.id, refused=refused, dropped=dropped, lost=lost))


def losses_of(line: SinkLine) -> Losses:
    """What a sink has not got so far."""
    return Losses(line.place.refused, line.place.dropped, line.place.lost)


def _keeps_out(part: SinkPart) -> bool:
    """Whether requests have to wait for a sink: it may be too far behind, and nobody knows before what waits was counted."""
    return part.settings.on_full == "fail_closed" and (part.line.is_full or part.line.lag is None)


def _why(part: SinkPart) -> str:
    sink_id = part.settings.id
    if part.line.lag is not None:
        return f"the sink {sink_id!r} is {'paused, and ' if part.line.is_paused else ''}too far behind"
    return f"how far the sink {sink_id!r} is behind is not known yet"
