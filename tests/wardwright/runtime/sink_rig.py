"""A log that is written to and scripted sinks that are fed from it, in a tree of their own."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from supervisors import ChildSpec, Supervisor, System
from supervisors.testing import CrashPoint, EventLog
from tests.support.sinks import ScriptedSink
from tests.wardwright.runtime.stage import ScriptedStore
from wardwright.config.sinks import JsonlSinkSettings, SinkBase
from wardwright.runtime.checkpointer import Append, Checkpointer, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.sink import SinkActor
from wardwright.runtime.sink_line import SinkLine
from wardwright.runtime.sink_roster import SinkPart, SinkRoster
from wardwright.runtime.visible import Fact
from wardwright.storage.control import MemoryControlLog
from wardwright.testing.sample_receipts import plain

EPOCH = 1_800_000_000.0


def settings(sink_id: str = "s", **changes: Any) -> SinkBase:
    return JsonlSinkSettings(id=sink_id, path="unused", **{"start_at": "start", **changes})


@dataclass
class Works:
    """A log with its writer, and sinks fed from it."""

    system: System
    store: ScriptedStore
    roster: SinkRoster
    sinks: dict[str, ScriptedSink]
    events: EventLog
    told: list[Fact] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    async def write(self, numbers: Iterable[int]) -> None:
        """Append receipts of three entries, as runs do."""
        for number in numbers:
            record = plain(number)
            await self.system.named("top/storage").call(Append(record.payloads), timeout=1000)
            self.written += [f"{record.receipt_id}:{seq}" for seq in (1, 2, 3)]

    def part(self, sink_id: str = "s") -> SinkPart:
        return self.roster.parts[sink_id]

    def kill(self, sink_id: str = "s") -> None:
        ref = self.system.whereis(f"top/sinks/{sink_id}")
        assert ref is not None
        ref.kill()

    async def wait_delivered(self, sink_id: str = "s") -> None:
        """Wait until nothing waits for the sink."""
        with anyio.fail_after(10_000):
            while not self.is_through(sink_id):  # noqa: ASYNC110 - virtual time costs nothing
                await anyio.sleep(0.5)

    def is_through(self, sink_id: str) -> bool:
        """Whether the sink has come to the end of the log."""
        place = self.part(sink_id).line.place
        return place.position == len(self.written) and not place.again


@asynccontextmanager
async def works(
    *sinks: SinkBase, draw: float = 0.5, harm: CrashPoint | None = None, mark: bytes | None = None
) -> AsyncIterator[Works]:
    """Run a tree with a checkpointer on a store in memory, and these sinks of single events; `harm` comes to their actors.

    `mark` is what the store has for the place of each.
    """
    store, board, events = ScriptedStore(), StoreBoard(), EventLog()
    if mark is not None:
        for each in sinks:
            store.set_mark(f"sink.{each.id}", mark)
    made = {each.id: ScriptedSink() for each in sinks}

    def now() -> float:
        return EPOCH + anyio.current_time()

    def line(wanted: SinkBase) -> SinkLine:
        return SinkLine(
            wanted, made[wanted.id], store=lambda: board.store, appended=lambda: board.entries_appended, now=now
        )

    def actor(part: SinkPart, roster: SinkRoster) -> SinkActor:
        make = partial(SinkActor, part, roster, bell=board.appended, now=now, draw=lambda: draw)
        return make() if harm is None else harm.into(make)()

    told: list[Fact] = []
    roster = SinkRoster(line, actor, sinks, tell=told.append)
    checkpointer = partial(
        Checkpointer,
        Logs(lambda: store, MemoryControlLog),
        board=board,
        control=ControlBoard(),
        ledger=Ledger(now=lambda: EPOCH),
        health=HealthBoard(),
        boot="boot-1",
        now=lambda: EPOCH,
    )
    tree = Supervisor(
        [
            ChildSpec("storage", checkpointer),
            ChildSpec(
                "sinks", lambda: Supervisor(list(roster.specs().values()), max_restarts=10_000), type="supervisor"
            ),
        ]
    )
    system = System("top", tree, on_event=events)
    async with system:
        yield Works(system, store, roster, made, events, told)
