"""An hour with every sink down, slow, flapping or rejecting: nobody who appends notices, nothing grows, and everything promised arrives."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import pytest

from tests.support.sinks import ScriptedSink
from tests.wardwright.runtime.sink_rig import Works, settings, works
from tests.wardwright.runtime.stage import InlineThreads
from wardwright.config.sinks import SinkRetry
from wardwright.ports.sink import SinkUnavailable
from wardwright.runtime.sink import ReplayDeadLetters
from wardwright.runtime.sink_place import encode_place
from wardwright.runtime.worker import Worker

pytestmark = pytest.mark.anyio

T = TypeVar("T")

_HOUR_S = 3600
_PER_TEN_SECONDS = 5
_MOST_LAG = 500
_SLOW_S = 30.0
_PATIENT = {"batch": 100, "retry": SinkRetry(base_ms=500, max_ms=60_000)}

SINKS = (
    settings("down", **_PATIENT),
    settings("down-drop", **_PATIENT, on_full="drop", max_lag=_MOST_LAG),
    settings("down-dead", **_PATIENT, on_full="dead_letter", max_lag=_MOST_LAG),
    settings("slow", **_PATIENT),
    settings("flapping", **_PATIENT),
    settings("rejecting", **_PATIENT),
    settings("buggy", **_PATIENT),
    settings("well", **_PATIENT),
)


class SlowThreads(InlineThreads):
    """Work for the sink `slow` takes half a minute each time; that for others none."""

    async def run_in_worker(self, worker: Worker, work: Callable[[], T]) -> T:
        if worker._name == "sink slow":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(_SLOW_S)
        return await super().run_in_worker(worker, work)


def misbehave(on: Works) -> None:
    """Give each sink its fault."""
    gone = SinkUnavailable("connection refused")
    for sink_id in ("down", "down-drop", "down-dead"):
        on.sinks[sink_id].break_down()
    on.sinks["flapping"].fault = lambda: gone if int(on.system.now()) // 60 % 2 else None
    on.sinks["rejecting"].refuses = lambda record: "too large" if record.position % 7 < 2 else None
    on.sinks["buggy"].fault = lambda: ZeroDivisionError("a bug") if int(on.system.now()) % 3 else None


@pytest.mark.slow
async def test_an_hour_of_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = SlowThreads()
    monkeypatch.setattr(Worker, "run", lambda worker, work: threads.run_in_worker(worker, work))
    async with works(*SINKS, draw=0.9) as on:
        misbehave(on)
        sizes: list[int] = []
        for at in range(0, _HOUR_S, 10):
            began = on.system.now()
            await on.write(range(at * 10, at * 10 + _PER_TEN_SECONDS))
            assert on.system.now() == began, "whoever appends waits for nobody"
            await anyio.sleep(10)
            sizes.append(_memory(on))
        assert max(sizes) < 120_000
        assert on.sinks["well"].keys == on.written
        assert on.sinks["down"].keys == []
        assert on.roster.closed_by is None
        _check_the_bad_hour(on)
        for sink in on.sinks.values():
            sink.mend()
        for sink_id in on.sinks:
            await on.wait_delivered(sink_id)
            await on.system.named(f"top/sinks/{sink_id}").call(ReplayDeadLetters(), timeout=1000)
            await on.wait_delivered(sink_id)
        _check_everything_arrived(on)


def _memory(on: Works) -> int:
    """What all sinks keep of the past, in bytes and blocks: their places, and the blocks of their backlogs."""
    lines = [part.line for part in on.roster.parts.values()]
    return sum(len(encode_place(line.place)) + 100 * len(line._backlog._blocks) for line in lines)


def _check_the_bad_hour(on: Works) -> None:
    facts = {sink_id: part.line for sink_id, part in on.roster.parts.items()}
    lags = {sink_id: part.line.lag or 0 for sink_id, part in on.roster.parts.items()}
    assert lags["down"] == len(on.written)
    for sink_id in ("down-drop", "down-dead"):
        assert _MOST_LAG * 0.98 < lags[sink_id] <= _MOST_LAG
    assert facts["down-drop"].place.dropped + lags["down-drop"] == len(on.written)
    assert facts["down-dead"].place.dead_count + lags["down-dead"] == len(on.written)
    assert facts["rejecting"].place.dead_count == sum(1 for each in range(1, len(on.written) + 1) if each % 7 < 2)


def _check_everything_arrived(on: Works) -> None:
    for sink_id, sink in on.sinks.items():
        place = on.part(sink_id).line.place
        promised = on.written[place.dropped :]
        assert set(sink.keys) == set(promised), sink_id
        assert place.dead_count == 0
        assert (place.dropped > 0) == (sink_id == "down-drop")
        if sink_id not in ("down-dead", "rejecting"):
            assert list(dict.fromkeys(sink.keys)) == promised, f"{sink_id} got them in the order of the log"
        if sink_id not in ("rejecting", "buggy", "flapping"):
            assert len(sink.keys) == len(promised), f"{sink_id} got each just once"
        _check_order_of_first_arrivals(sink)


def _check_order_of_first_arrivals(sink: ScriptedSink) -> None:
    """Repeats carry the bytes that the first arrival had."""
    bodies: dict[str, Any] = {}
    for record in sink.received:
        assert bodies.setdefault(record.key, record.body) == record.body
