"""The actor of a sink: when it sends, how it waits, what its crashes cost, and that nobody else notices any of it."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from supervisors import ActorDown, restart_child, terminate_child
from supervisors.testing import Harm, every_await, settle
from tests.support.sinks import ScriptedSink
from tests.wardwright.runtime.sink_rig import EPOCH, Works, settings, works
from tests.wardwright.runtime.stage import InlineThreads, ScriptedStore, inline_threads
from wardwright.config.sinks import SinkRetry
from wardwright.domain.errors import RequestError, StorageUnavailable
from wardwright.ports.sink import SinkUnavailable
from wardwright.ports.storage import Capability
from wardwright.runtime.checkpointer import Append
from wardwright.runtime.sink import Pause, ReplayDeadLetters, Resume, SendAgain
from wardwright.runtime.sink_line import SinkLine
from wardwright.runtime.sink_place import decode_place
from wardwright.runtime.visible import SinkLost, SinkPaused, SinkRecovered, SinkResumed
from wardwright.runtime.worker import Worker
from wardwright.testing.sample_receipts import plain, receipt_id

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> InlineThreads:
    return inline_threads(monkeypatch)


async def test_what_is_appended_is_delivered_in_batches_that_had_time_to_form() -> None:
    async with works(settings(linger_ms=200)) as on:
        await anyio.sleep(1)
        sink = on.sinks["s"]
        assert (on.part().status.state, sink.is_open) == ("idle", True)
        for number in range(10):
            await on.write([number])
            await anyio.sleep(0.01)
        assert sink.batches == []
        await anyio.sleep(0.2)
        assert sink.keys == on.written
        assert sink.batches == [30]


async def test_it_is_idle_only_while_nothing_waits() -> None:
    async with works(settings(linger_ms=10_000)) as on:
        part, before = on.part(), on.part().state
        await anyio.sleep(1)
        seen = [(part.state, part.line.lag)]
        await on.write([1])
        await settle()
        seen.append((part.state, part.line.lag))
        waited_since = part.line.waiting_since
        await anyio.sleep(60)
        seen.append((part.state, part.line.lag))
        assert (before, seen) == ("starting", [("idle", 0), ("sending", 3), ("idle", 0)])
        assert waited_since == pytest.approx(EPOCH + 1)


async def test_how_far_it_is_behind_is_unknown_until_the_store_has_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with works(settings(linger_ms=10_000)) as on:
        await anyio.sleep(1)
        await on.write([1])
        with monkeypatch.context() as patched:
            patched.setattr(on.store, "replay", _refuse)
            on.kill()
            await anyio.sleep(60)
            unknown = on.part().line.lag
        await on.wait_delivered()
        assert (unknown, on.part().line.lag) == (None, 0)


async def test_an_idle_sink_does_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async with works(settings()) as on:
        await on.write([1])
        await on.wait_delivered()
        await settle()
        with monkeypatch.context() as patched:
            patched.setattr(SinkLine, "step", _refuse)
            patched.setattr(SinkLine, "look_ahead", _refuse)
            await anyio.sleep(80_000)
        assert on.part().status.failed_batches == 0


async def test_what_another_daemon_writes_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = ScriptedStore.capabilities | {Capability.CONCURRENT_WRITERS}
    monkeypatch.setattr(ScriptedStore, "capabilities", capabilities)
    async with works(settings()) as on:
        await anyio.sleep(5)
        on.store.append(plain(1).payloads)
        await anyio.sleep(1.5)
        assert on.sinks["s"].keys == [f"{receipt_id(1)}:{seq}" for seq in (1, 2, 3)]


@pytest.mark.parametrize("harm", ["crash", "kill"])
async def test_wherever_it_ends_everything_arrives_in_order(harm: Harm, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(_: Worker, step: Callable[[], Any]) -> Any:
        await checkpoint()
        done = step()  # a thread takes a step to its end, whatever becomes of who waits for it
        await checkpoint()
        return done

    def gone_once(sink: ScriptedSink) -> None:
        faults = [SinkUnavailable("gone")]
        sink.fault = lambda: faults.pop() if faults and len(sink.batches) == 1 else None

    monkeypatch.setattr(Worker, "run", run)
    for point in every_await(harm):
        async with works(settings(batch=4), harm=point) as on:
            sink = on.sinks["s"]
            gone_once(sink)
            sink.refuses = lambda record: "too large" if record.key.endswith(":2") else None
            await on.write(range(3))
            await anyio.sleep(3)
            await on.write(range(3, 5))
            await on.wait_delivered()
            sink.mend()
            with suppress(ActorDown):
                await on.system.named("top/sinks/s").call(ReplayDeadLetters(), timeout=10)
            await on.wait_delivered()
        missing = [key for key in on.written if key not in sink.keys]
        place = on.part().line.place
        assert len(missing) == place.dead_count + sum(each.count for each in place.again), point.where
        assert all(key.endswith(":2") for key in missing), point.where
        firsts = [key for key in dict.fromkeys(sink.keys) if not key.endswith(":2")]
        assert firsts == [key for key in on.written if not key.endswith(":2")], point.where
    assert point.number > 15


async def test_it_waits_longer_after_each_failure_and_not_for_ever() -> None:
    async with works(settings(retry=SinkRetry(base_ms=1000, max_ms=8000)), draw=0.5) as on:
        sink, tries = on.sinks["s"], list[float]()

        def gone() -> Exception:
            tries.append(on.system.now())
            return SinkUnavailable("the far side is gone")

        await on.wait_delivered()
        sink.fault = gone
        await on.write([1])
        await anyio.sleep(30)
        pauses = [round(after - before, 2) for before, after in pairwise(tries)]
        assert pauses == [0.5, 1, 2, 4, 4, 4, 4, 4, 4]
        status = on.part().status
        assert (status.state, status.last_error, status.failures_in_row) == ("failing", "the far side is gone", 10)
        assert status.next_attempt_at == pytest.approx(EPOCH + tries[-1] + 4)
        sink.mend()
        await on.wait_delivered()
        await settle()
        assert (status.state, status.failures_in_row, status.failed_batches) == ("idle", 0, 10)
        assert sink.keys == on.written
        await on.write([2])
        sink.fault = gone
        tries.clear()
        await anyio.sleep(1)
        assert len(tries) == 2, "the next failure begins anew"


@pytest.mark.parametrize(("asked", "waited"), [(90.0, 90.0), (1e9, 3600.0), (0.001, 0.25)])
async def test_what_the_far_side_asks_for_is_heeded_within_reason(asked: float, waited: float) -> None:
    async with works(settings()) as on:
        sink, tries = on.sinks["s"], list[float]()

        def busy() -> Exception | None:
            tries.append(on.system.now())
            return SinkUnavailable("come later", retry_after_s=asked) if len(tries) == 1 else None

        await anyio.sleep(1)
        sink.fault = busy
        await on.write([1])
        await anyio.sleep(waited + 1)
        assert tries[1] - tries[0] == pytest.approx(waited)
        assert sink.keys == on.written


async def test_a_crash_or_a_kill_loses_nothing_and_touches_nobody_else() -> None:
    async with works(settings(), settings("other")) as on:
        await on.write(range(10))
        on.kill()
        await on.write(range(10, 20))
        on.sinks["s"].fault = lambda: ZeroDivisionError("a bug of the adapter")
        await on.write(range(20, 30))
        await anyio.sleep(600)
        node = on.system.node("top/sinks/s")
        assert node is not None
        assert 10 < node.restarts < 30, "ever more rarely, and never too often"
        assert on.sinks["other"].keys == on.written
        assert "ZeroDivisionError" in str(on.part().status.last_error)
        assert on.part().status.failures_in_row > 10
        states = [on.part().status.state]
        on.sinks["s"].mend()
        await on.wait_delivered()
        await settle()
        assert [*states, on.part().status.state] == ["failing", "idle"]
        assert on.part().status.failures_in_row == 0
        told = [(type(fact).__name__, getattr(fact, "sink", None)) for fact in on.told]
        assert told == [("SinkLost", "s"), ("SinkRecovered", "s")], "once, however often it crashed"
        assert list(dict.fromkeys(on.sinks["s"].keys)) == on.written


async def test_only_a_delivery_shows_that_one_which_failed_is_well_again() -> None:
    async with works(settings()) as on:
        sink, status = on.sinks["s"], on.part().status
        sink.fault = lambda: SinkUnavailable("the far side is gone") if sink.is_open else None
        await on.write([1])
        await anyio.sleep(10)
        on.store.forget(receipt_id(2))
        await anyio.sleep(100)
        seen = [(status.state, status.next_attempt_at, _told(on))]
        sink.mend()
        await on.write([2])
        await on.wait_delivered()
        await settle()
        assert seen == [("failing", None, ["SinkLost"])], "nothing waits for it any more, and nothing was delivered"
        assert (status.state, _told(on)[:2]) == ("idle", ["SinkLost", "SinkRecovered"])


async def test_a_store_that_was_gone_leaves_a_sink_idle_and_not_yet_shown_to_be_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with works(settings()) as on:
        on.sinks["s"].unit = "receipts"
        await on.wait_delivered()
        with monkeypatch.context() as patched:
            patched.setattr(on.store, "replay", _refuse)
            await on.system.named("top/storage").call(Append(plain(1, closed=False).payloads), timeout=10)
            await anyio.sleep(10)
            seen = [on.part().state]
        await anyio.sleep(100)
        assert [*seen, on.part().state, *_told(on)] == ["failing", "idle", "SinkLost"]


async def test_one_whose_place_is_lost_waits_until_it_is_told_where_to_go_on_and_then_goes_on_at_once() -> None:
    slow = SinkRetry(base_ms=3_000_000, max_ms=3_000_000)
    async with works(settings(on_full="fail_closed", retry=slow), mark=b"damaged") as on:
        await on.write(range(3))
        await anyio.sleep(10)
        ref = on.system.named("top/sinks/s")
        seen = [(on.part().state, on.part().line.lag, on.roster.closed_by is None)]
        assert "--to-sink s --from SEQ" in str(on.part().status.last_error)
        with pytest.raises(StorageUnavailable, match="cannot be read"):
            await ref.call(ReplayDeadLetters(), timeout=10)
        assert await ref.call(SendAgain(6), timeout=10)
        await anyio.sleep(10)
        assert seen == [("failing", None, False)]
        assert (on.part().state, on.part().line.lag, on.roster.closed_by) == ("idle", 0, None)
        assert on.sinks["s"].keys == on.written[6:]


async def test_a_crash_over_a_request_is_told_to_whoever_asked() -> None:
    async with works(settings()) as on:
        await on.wait_delivered()
        on.kill()
        with pytest.raises(ActorDown):
            await on.system.named("top/sinks/s").call(ReplayDeadLetters(), timeout=0)


async def test_an_orderly_end_sends_what_is_left_and_keeps_the_place() -> None:
    async with works(settings(linger_ms=60_000)) as on:
        await anyio.sleep(1)
        await on.write(range(5))
        assert on.sinks["s"].keys == []
    assert on.sinks["s"].keys == on.written
    assert on.part().line.place.position == 15
    mark = on.store.mark("sink.s")
    assert mark is not None
    assert b'"position":15' in mark
    assert not on.sinks["s"].is_open


async def test_an_orderly_end_does_not_wait_for_a_sink_that_is_gone() -> None:
    async with works(settings(linger_ms=60_000)) as on:
        await anyio.sleep(1)
        on.sinks["s"].break_down()
        await on.write(range(5))
        began = on.system.now()
    assert on.system.now() - began < 1
    assert on.sinks["s"].keys == []


class HangingThreads(InlineThreads):
    """Work of some workers never ends; what they were to do is kept."""

    def __init__(self, *hanging: str) -> None:
        super().__init__()
        self.hanging = {f"sink {sink_id}" for sink_id in hanging}
        self.posted: list[Callable[[], object]] = []

    async def run_in_worker(self, worker: Worker, work: Callable[[], Any]) -> Any:
        if worker._name in self.hanging:
            with anyio.CancelScope(shield=worker.is_patient):
                await anyio.sleep_forever()
        return await super().run_in_worker(worker, work)


def hanging_threads(monkeypatch: pytest.MonkeyPatch) -> HangingThreads:
    """Threads that hang as soon as they are told whose."""
    threads = HangingThreads()
    monkeypatch.setattr(Worker, "run", lambda worker, work: threads.run_in_worker(worker, work))
    monkeypatch.setattr(Worker, "post", lambda worker, work: threads.posted.append(work))
    return threads


async def test_an_orderly_end_waits_a_bounded_time_for_sinks_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, names = hanging_threads(monkeypatch), ("a", "b", "c", "d")
    async with works(*(settings(name, linger_ms=60_000) for name in names)) as on:
        await anyio.sleep(1)
        threads.hanging = {"sink a", "sink c", "sink d"}
        await on.write(range(5))
        began = on.system.now()
    assert 5 <= on.system.now() - began < 8, "they share the time, and the last ones have a little each"
    assert on.sinks["b"].keys == on.written, "whoever is well gets what is left all the same"
    for name in ("a", "c", "d"):
        mark = on.store.mark(f"sink.{name}")
        assert mark is not None
        assert decode_place(mark).position == 0


async def test_whoever_comes_after_one_that_hangs_takes_up_another_line(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = hanging_threads(monkeypatch)
    async with works(settings(linger_ms=100)) as on:
        await on.write([1])
        await on.wait_delivered()
        threads.hanging = {"sink s"}
        left = on.part().line
        await on.write([2])
        branch = on.system.named("top/sinks")
        await terminate_child(branch, "s")
        threads.hanging = set()
        for work in threads.posted:
            work()
        await restart_child(branch, "s")
        await on.wait_delivered()
        assert (left.is_left, on.part().line is left) == (True, False)
        assert on.sinks["s"].keys == on.written


async def test_dead_letters_and_everything_from_somewhere_on_are_sent_again_when_asked() -> None:
    async with works(settings()) as on:
        sink, ref = on.sinks["s"], on.system.named("top/sinks/s")
        sink.refuses = lambda record: "too large" if record.key.endswith(":2") else None
        await on.write(range(4))
        await on.wait_delivered()
        assert on.part().line.place.dead_count == 4
        sink.mend()
        assert await ref.call(ReplayDeadLetters(), timeout=10) == 4
        await on.wait_delivered()
        assert sorted(sink.keys) == sorted(on.written)
        await ref.call(SendAgain(6), timeout=10)
        await on.wait_delivered()
        assert sink.keys[-6:] == on.written[6:]
        with pytest.raises(RequestError, match="nothing was ever recorded"):
            await ref.call(SendAgain(1000), timeout=10)


async def test_one_that_is_paused_is_sent_nothing_until_it_is_resumed_also_after_it_was_killed() -> None:
    async with works(settings()) as on:
        sink, ref = on.sinks["s"], on.system.named("top/sinks/s")
        await on.write([1])
        await on.wait_delivered()
        for _ in range(2):
            await ref.call(Pause(), timeout=10)
        seen = [(on.part().state, sink.is_open)]
        await on.write([2])
        await anyio.sleep(100)
        on.kill()
        await on.write([3])
        await anyio.sleep(100)
        seen.append((on.part().state, sink.is_open))
        await ref.call(SendAgain(0), timeout=10)
        await anyio.sleep(100)
        assert (on.part().line.lag, sink.keys) == (6, on.written[:3])
        assert seen == [("paused", False), ("paused", False)]
        for _ in range(2):
            await ref.call(Resume(), timeout=10)
        await on.wait_delivered()
        assert sink.keys == [*on.written[:3], *on.written]
        turns = [type(fact) for fact in on.told if isinstance(fact, SinkPaused | SinkResumed)]
        assert turns == [SinkPaused, SinkResumed]


async def test_nothing_waits_for_one_that_is_paused_before_something_is_recorded() -> None:
    async with works(settings()) as on:
        ref = on.system.named("top/sinks/s")
        await on.write([1])
        await on.wait_delivered()
        await ref.call(Pause(), timeout=10)
        await anyio.sleep(100)
        assert on.part().line.waiting_since is None
        await on.write([2])
        await anyio.sleep(100)
        assert on.part().line.waiting_since is not None


async def test_one_that_is_resumed_tries_at_once() -> None:
    slow = SinkRetry(base_ms=3_000_000, max_ms=3_000_000)
    async with works(settings(retry=slow)) as on:
        sink, ref = on.sinks["s"], on.system.named("top/sinks/s")
        await on.wait_delivered()
        sink.break_down()
        await on.write([1])
        await anyio.sleep(10)
        await ref.call(Pause(), timeout=10)
        seen = [on.part().state]
        sink.mend()
        await ref.call(Resume(), timeout=10)
        await anyio.sleep(10)
        assert [*seen, on.part().state, *sink.keys] == ["paused", "idle", *on.written]


@pytest.mark.parametrize("on_full", ["block", "drop", "dead_letter", "fail_closed"])
async def test_what_is_done_with_too_much_is_done_while_it_is_paused(on_full: Any) -> None:
    async with works(settings(on_full=on_full, max_lag=6)) as on:
        ref = on.system.named("top/sinks/s")
        await on.wait_delivered()
        await ref.call(Pause(), timeout=10)
        await on.write(range(4))
        await anyio.sleep(10)
        place, said = on.part().line.place, on.roster.closed_by
        await ref.call(Resume(), timeout=10)
        await on.wait_delivered()
        await settle()
        passed_over = 12 - len(on.sinks["s"].keys)
        assert (place.dropped, place.dead_count) == {"drop": (6, 0), "dead_letter": (0, 6)}.get(on_full, (0, 0))
        assert passed_over == place.dropped + place.dead_count
        assert said == ("the sink 's' is paused, and too far behind" if on_full == "fail_closed" else None)
        assert on.roster.closed_by is None


async def test_an_orderly_end_sends_nothing_to_one_that_is_paused() -> None:
    async with works(settings(linger_ms=60_000)) as on:
        await anyio.sleep(1)
        await on.write([1])
        await on.system.named("top/sinks/s").call(Pause(), timeout=10)
    assert on.sinks["s"].keys == []
    mark = on.store.mark("sink.s")
    assert mark is not None
    assert decode_place(mark).paused_at is not None


async def test_a_store_that_is_gone_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with works(settings()) as on:
        await on.write(range(3))
        with monkeypatch.context() as patched:
            patched.setattr(on.store, "replay", _refuse)
            await anyio.sleep(60)
        assert on.part().status.last_error == "the disk is gone"
        await on.wait_delivered()
        assert on.sinks["s"].keys == on.written


def _told(on: Works) -> list[str]:
    """What was told of the sink by itself, without what it was told to have passed over."""
    return [type(fact).__name__ for fact in on.told if isinstance(fact, SinkLost | SinkRecovered)]


def _refuse(*_: object) -> Any:
    raise StorageUnavailable("the disk is gone")


async def test_one_that_fails_closed_closes_while_it_is_too_far_behind_and_no_longer() -> None:
    async with works(settings(on_full="fail_closed", max_lag=10), settings("other", max_lag=1)) as on:
        await on.wait_delivered()
        for sink in on.sinks.values():
            sink.break_down()
        await on.write(range(3))
        await anyio.sleep(5)
        said = [on.roster.closed_by]
        await on.write(range(3, 5))
        await anyio.sleep(5)
        said.append(on.roster.closed_by)
        on.sinks["s"].mend()
        await on.wait_delivered()
        await settle()
        assert [*said, on.roster.closed_by] == [None, "the sink 's' is too far behind", None]


async def test_nothing_is_taken_on_before_it_is_known_what_waits_for_one_that_fails_closed() -> None:
    async with works(settings(on_full="fail_closed")) as on:
        said = [on.roster.closed_by]
        await on.wait_delivered()
        await settle()
        said.append(on.roster.closed_by)
        on.kill()
        await anyio.sleep(5)
        assert [*said, on.roster.closed_by] == ["how far the sink 's' is behind is not known yet", None, None]


async def test_one_that_is_not_wanted_any_more_closes_nothing() -> None:
    async with works(settings(on_full="fail_closed", max_lag=1)) as on:
        on.sinks["s"].break_down()
        await on.write(range(3))
        await anyio.sleep(5)
        said = [on.roster.closed_by]
        on.roster.replace([])
        said.append(on.roster.closed_by)
        await anyio.sleep(100)
        assert [*said, on.roster.closed_by] == ["the sink 's' is too far behind", None, None]
