"""Snapshots as the checkpointer keeps them: when they are written, what the next process makes of them, and that none is needed."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest

from supervisors import ChildSpec, Supervisor, System
from tests.wardwright.receipts.receipt_samples import opened
from tests.wardwright.runtime.conftest import Logs as Logged
from tests.wardwright.runtime.stage import InlineThreads, ScriptedStore
from wardwright.config.settings import CannedSettings
from wardwright.domain.chat import Usage
from wardwright.domain.control import ControlEntry, KeyCreated, KeyLimits
from wardwright.domain.errors import Failure, StorageUnavailable
from wardwright.ports.storage import Capability, Stored
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import AttemptFinished, AttemptStarted, Closed, Event
from wardwright.runtime.books import Books, Request
from wardwright.runtime.checkpointer import Append, Checkpointer, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.gate import Admission
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger, Used
from wardwright.runtime.snapshot import MARK, Snapshot, decode_snapshot
from wardwright.runtime.snapshot_keeper import BOOKS_INTERVAL_S, HEALTH_INTERVAL_S, SnapshotKeeper
from wardwright.storage.control import MemoryControlLog
from wardwright.storage.folder import FileStorage
from wardwright.storage.memory import CAPABILITIES

pytestmark = pytest.mark.anyio

WALL = 1_900_000_000.0
SETTINGS = CannedSettings(id="local", outputs=("unused",))
USD = 1_000_000_000


class Disk(ScriptedStore):
    """A store that outlives its process. `reads` counts what was asked of it to make books; marks may fail."""

    capabilities = CAPABILITIES | {Capability.DURABLE}

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[bytes] = []
        self.newest_reads = 0
        self.replayed: list[int] = []
        self.marks_fail = False

    def newest(self, before: str | None = None):  # type: ignore[no-untyped-def]
        self.newest_reads += 1
        return super().newest(before)

    def replay(self, after: int = 0, until: int | None = None):  # type: ignore[no-untyped-def]
        self.replayed.append(after)
        return super().replay(after, until)

    def set_mark(self, name: str, value: bytes) -> None:
        if self.marks_fail:
            raise StorageUnavailable("the disk is full")
        super().set_mark(name, value)
        self.marks.append(value)

    @property
    def snapshot(self) -> Snapshot:
        found = self.mark(MARK)
        assert found is not None
        return decode_snapshot(found)

    def receipt(self, number: int, *, at: float, usd: float, is_closed: bool = True) -> list[bytes]:
        """The entries of a receipt whose one attempt has cost so much."""
        chain = Chain(f"rcpt_{number:04}")
        events: list[Event] = [
            msgspec.structs.replace(opened(model_id="m"), key_id="key_1", boot="boot-1"),
            AttemptStarted(1, "local/a", "local", "a"),
            AttemptFinished(1, "local/a", "completed", at, 1.0, usage=Usage(5, 2), cost_usd=usd),
        ]
        if is_closed:
            events.append(Closed("completed", 1))
        return [chain.seal(event, at) for event in events]


class Process:
    """One process: what it knows, and its checkpointer."""

    def __init__(self, system: System, ledger: Ledger, health: HealthBoard, disk: Disk) -> None:
        self.system = system
        self.ledger = ledger
        self.health = health
        self.disk = disk

    async def append(self, number: int, *, usd: float = 0.25, is_closed: bool = True) -> None:
        payloads = self.disk.receipt(number, at=now(), usd=usd, is_closed=is_closed)
        await self.system.named("test/storage").call(Append(tuple(payloads)), timeout=1000)

    def fails(self, times: int = 5) -> None:
        gate = self.health.furnish(SETTINGS, self.system.now)
        for _ in range(times):
            admission = gate.enter_nowait("local/a")
            assert isinstance(admission, Admission)
            with admission:
                admission.settle(Failure("connect", "nobody listens"), 1.0)

    def status(self) -> dict[str, object]:
        ref = self.system.whereis("test/storage")
        assert ref is not None
        return dict(ref.info().details)

    def spent_today(self) -> float:
        return self.ledger.spent_usd("m", {"all": frozenset({"local/a"})})["all"]


def now() -> float:
    """Unix seconds: the wall's clock goes with the loop's."""
    return WALL + anyio.current_time()


@asynccontextmanager
async def process(disk: Disk, *, boot: str = "boot-2", is_killed: bool = False) -> AsyncIterator[Process]:
    """A process on a disk. One that is killed leaves the disk as it is at that moment."""
    ledger, health, control = Ledger(now=now), HealthBoard(wall_clock=now), MemoryControlLog()
    control.append([ControlEntry(1, WALL, KeyCreated("key_1", "m", "robots", "wwk_x", "hash", {}, KeyLimits()))])
    start = partial(
        Checkpointer,
        Logs(lambda: disk, lambda: control),
        board=StoreBoard(),
        control=ControlBoard(),
        ledger=ledger,
        health=health,
        boot=boot,
        now=now,
    )
    async with System("test", Supervisor([ChildSpec("storage", start, shutdown=30.0)])) as system:
        yield Process(system, ledger, health, disk)
        if is_killed:
            disk.marks_fail, disk.refuses = True, lambda payloads: StorageUnavailable("the process is gone")
    disk.marks_fail, disk.refuses = False, lambda payloads: None


async def test_an_orderly_stop_leaves_everything_in_the_snapshot(threads: InlineThreads) -> None:
    disk = Disk()
    async with process(disk) as first:
        await first.append(1, usd=0.5)
        await first.append(2, usd=0.25)
        first.fails()
        first.health.forget("local")  # providers stop before storage does
        await anyio.sleep(0.5)
    assert disk.snapshot.covered is not None
    assert disk.snapshot.covered.place == (7, 8, "rcpt_0002", 4)
    assert disk.snapshot.health["local"].open_until == pytest.approx(now() - 0.5 + 15, abs=0.01)
    disk.newest_reads, disk.replayed = 0, []
    async with process(disk) as second:
        assert (second.spent_today(), disk.newest_reads, disk.replayed) == (0.75, 0, [7, 8])
        assert second.ledger.used("key_1") == Used(2, 14, USD * 3 // 4, 0)
        gate = second.health.furnish(SETTINGS, second.system.now)
        assert [one.retry_after_s for one in second.health.snapshot(gate.now())] == [15.0]


async def test_books_are_written_every_half_minute_while_there_is_something_to_write(threads: InlineThreads) -> None:
    disk = Disk()
    async with process(disk) as running:
        assert disk.marks == []
        await running.append(1)
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        assert disk.snapshot.covered is not None
        assert disk.snapshot.covered.place.position == 4
        await anyio.sleep(1000)
        assert len(disk.marks) == 1
        await running.append(2)
        await running.append(3, is_closed=False)
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        assert len(disk.marks) == 2
        assert disk.snapshot.covered.place.position == 11
        assert running.status()["snapshot"] == {
            "written_at": disk.snapshot.written_at,
            "covers": 11,
            "bytes": len(disk.marks[-1]),
            "age_s": round(now() - disk.snapshot.written_at, 3),
        }


async def test_health_is_written_a_second_after_it_has_changed(threads: InlineThreads) -> None:
    disk = Disk()
    async with process(disk) as running:
        running.fails(3)
        await anyio.sleep(HEALTH_INTERVAL_S + 0.1)
        assert len(disk.snapshot.health["local"].marks) == 3
        running.fails(2)
        await anyio.sleep(HEALTH_INTERVAL_S + 0.1)
        assert disk.snapshot.health["local"].open_until is not None
        assert disk.snapshot.covered is None
        assert len(disk.marks) == 2
        running.health.changed.set()
        await anyio.sleep(HEALTH_INTERVAL_S + 0.1)
        assert len(disk.marks) == 2, "it is as it was"


async def test_a_killed_process_leaves_no_more_open_than_the_log_tells(threads: InlineThreads) -> None:
    disk = Disk()
    async with process(disk, boot="boot-1", is_killed=True) as first:
        await first.append(1, usd=0.5)
        await first.append(2, usd=0.25, is_closed=False)
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        await first.append(3, usd=4.0)
        await first.append(4, usd=8.0, is_closed=False)
    assert disk.snapshot.covered is not None
    assert disk.snapshot.covered.place.position == 7
    disk.newest_reads = 0
    async with process(disk, is_killed=True) as second:
        assert (second.spent_today(), disk.newest_reads) == (12.75, 0)
        assert second.ledger.used("key_1") == Used(4, 28, USD * 51 // 4, 0)
        assert [disk.closing(f"rcpt_000{number}").status for number in (2, 4)] == ["interrupted", "interrupted"]
    async with process(disk) as third:
        assert third.spent_today() == 12.75


async def test_a_checkpointer_that_crashes_goes_on_from_the_last_snapshot(threads: InlineThreads) -> None:
    disk = Disk()
    async with process(disk) as running:
        await running.append(1)
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        running.fails()
        ref = running.system.whereis("test/storage")
        assert ref is not None
        ref.kill()
        await running.append(2)
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        assert disk.snapshot.covered is not None
        assert disk.snapshot.covered.place.position == 8
        assert disk.snapshot.covered.books.requests("key_1", now()) == [Request(now() - BOOKS_INTERVAL_S - 1, 7)]
        assert disk.snapshot.health["local"].open_until is not None
        assert running.spent_today() == 0.0, "the ledger is the process's and was not made again"


@pytest.mark.parametrize("damage", ["bytes", "format", "log"])
async def test_a_snapshot_that_cannot_be_used_is_left_aside(threads: InlineThreads, logs: Logged, damage: str) -> None:
    disk = Disk()
    async with process(disk) as first:
        await first.append(1, usd=0.5)
        first.fails()
    found = disk.mark(MARK)
    assert found is not None
    if damage == "log":
        other = Disk()
        other.append(disk.receipt(7, at=now(), usd=2.0))
        disk = other
    disk.set_mark(MARK, {"bytes": found[:-9], "format": b'{"format": 99}', "log": found}[damage])
    disk.marks.clear()
    async with process(disk) as second:
        assert second.spent_today() == (2.0 if damage == "log" else 0.5)
        gate = second.health.furnish(SETTINGS, second.system.now)
        assert second.health.snapshot(gate.now()) == ()
        assert [entry["problem"] for entry in logs if "left aside" in entry["event"]] != []
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        assert disk.snapshot.covered is not None, "there is a good one again"


async def test_a_snapshot_that_the_disk_has_spoilt_keeps_nobody_from_starting(tmp_path: Path, logs: Logged) -> None:
    store = FileStorage(tmp_path).open()
    store.set_mark(MARK, b"{}")
    (tmp_path / "receipts" / "marks" / MARK).write_bytes(b"")  # as a power failure may leave it where nothing is synced
    keeper = SnapshotKeeper(HealthBoard(), boot="boot-2", now=now)
    keeper.begin(store, is_new_process=True)
    assert keeper.books() == Books()
    assert ["is damaged" in entry["problem"] for entry in logs if "left aside" in entry["event"]] == [True]
    store.close()


async def test_a_disk_that_takes_no_snapshot_is_told_of_once_and_tried_again(
    threads: InlineThreads, logs: Logged
) -> None:
    disk = Disk()
    async with process(disk) as running:
        disk.marks_fail = True
        for number in (1, 2):
            await running.append(number)
            await anyio.sleep(BOOKS_INTERVAL_S + 1)
        assert [entry["problem"] for entry in logs if "no snapshot" in entry["event"]] == ["the disk is full"]
        disk.marks_fail = False
        await running.append(3)
        await anyio.sleep(BOOKS_INTERVAL_S + 1)
        assert disk.snapshot.covered is not None
        assert disk.snapshot.covered.place.position == 12


async def test_a_long_log_is_read_a_bit_at_a_time_and_appends_go_between(threads: InlineThreads) -> None:
    disk = Disk()
    disk.append([payload for number in range(1000) for payload in disk.receipt(number, at=WALL - 9e5, usd=1.0)])
    async with process(disk) as running:
        threads.takes_s = 0.1
        await anyio.sleep(BOOKS_INTERVAL_S + 0.5)
        began = anyio.current_time()
        await running.append(5000)
        assert anyio.current_time() - began == pytest.approx(0.1), "it has waited for its own write alone"
        assert disk.marks == []
        await anyio.sleep(BOOKS_INTERVAL_S * 2)
        assert disk.snapshot.covered is not None
        assert disk.snapshot.covered.place.position == 4004
        assert set(disk.snapshot.covered.books.keys["key_1"].spent.values()) == {USD // 4}


async def test_a_stop_waits_for_some_seconds_and_leaves_the_rest_to_the_next_start(threads: InlineThreads) -> None:
    disk = Disk()
    disk.append([payload for number in range(1000) for payload in disk.receipt(number, at=now(), usd=1.0)])
    async with process(disk) as first:
        threads.takes_s = 2.0
        first.fails()
    threads.takes_s = 0.0
    assert disk.snapshot.covered is None
    assert "local" in disk.snapshot.health
    async with process(disk) as second:
        assert second.spent_today() == 1000.0


@pytest.mark.parametrize("lacking", [Capability.DURABLE, Capability.EVENT_REPLAY, Capability.CONSUMER_OFFSETS])
async def test_where_a_store_cannot_keep_one_receipts_are_read_as_ever(
    threads: InlineThreads, lacking: Capability
) -> None:
    class Lesser(Disk):
        capabilities = Disk.capabilities - {lacking}

        def mark(self, name: str) -> bytes | None:
            raise AssertionError("it is not asked")

        def replay(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
            raise AssertionError("it is not asked")

    disk = Lesser()
    disk.append(disk.receipt(1, at=now(), usd=0.5))
    async with process(disk) as running:
        running.fails()
        await running.append(2)
        await anyio.sleep(100)
        assert running.spent_today() == 0.5
        assert running.status()["snapshot"] is None
    assert disk.marks == []
