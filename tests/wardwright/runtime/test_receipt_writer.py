"""The writing side of one receipt, at a real checkpointer that is killed, slow, full, failing or gone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from supervisors import ChildSpec, Mailbox, Supervisor, System, terminate_child
from supervisors.testing import settle
from tests.wardwright.receipts.receipt_samples import opened
from tests.wardwright.runtime.stage import InlineThreads, ScriptedStore, event_names
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.events import AttemptStarted, Closed
from wardwright.runtime.bus import Bus
from wardwright.runtime.checkpointer import Checkpointer, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.receipt_writer import ReceiptWriter
from wardwright.storage.control import MemoryControlLog

pytestmark = pytest.mark.anyio

STARTED = AttemptStarted(1, "local/small", "local", "small:7b")
CLOSED = Closed("completed", 1)
WHOLE = ["receipt.opened", "attempt.started", "receipt.closed"]


class Office:
    """A system with a checkpointer, for writers."""

    def __init__(self, system: System, store: ScriptedStore) -> None:
        self.system = system
        self.store = store
        self.bus = Bus("boot-1")
        self.told: list[str] = []

    def writer(self, receipt_id: str = "rcpt_1") -> ReceiptWriter:
        return ReceiptWriter(
            receipt_id,
            checkpointer=self.system.named("test/storage"),
            now=lambda: 1_800_000_000.25,
            bus=self.bus,
            tell=lambda event: self.told.extend(event_names([event])),
        )

    def kill(self) -> None:
        ref = self.system.whereis("test/storage")
        assert ref is not None
        ref.kill()

    def stored(self, receipt_id: str = "rcpt_1") -> list[str]:
        return event_names(self.store.events(receipt_id))


@asynccontextmanager
async def office(*, capacity: int = 1000) -> AsyncIterator[Office]:
    store = ScriptedStore()
    logs = Logs(lambda: store, MemoryControlLog)
    start = partial(
        Checkpointer,
        logs,
        board=StoreBoard(),
        control=ControlBoard(),
        ledger=Ledger(now=lambda: 0.0),
        health=HealthBoard(),
        boot="boot-1",
        now=lambda: 0.0,
    )
    spec = ChildSpec("storage", start, shutdown=60.0, mailbox=Mailbox(capacity=capacity))
    async with System("test", Supervisor([spec]), shutdown_budget=300.0) as system:
        yield Office(system, store)


async def test_noted_facts_reach_the_disk_with_the_next_recorded_one_and_in_order(threads: InlineThreads) -> None:
    async with office() as at:
        writer = at.writer()
        writer.note(opened())
        assert at.stored() == []

        await writer.record(STARTED)
        assert at.stored() == WHOLE[:2]
        assert [len(append) for append in at.store.appends] == [2]

        await writer.record(CLOSED)
        assert at.stored() == WHOLE
        assert [entry.at for entry in at.store.entries("rcpt_1")] == [1_800_000_000.25] * 3


async def test_it_is_settled_once_it_is_closed_and_everything_is_durable(threads: InlineThreads) -> None:
    async with office() as at:
        writer = at.writer()
        states = [(writer.is_closed, writer.is_settled)]
        await writer.record(opened())
        states.append((writer.is_closed, writer.is_settled))
        writer.note(CLOSED)
        states.append((writer.is_closed, writer.is_settled))
        await writer.record()
        states.append((writer.is_closed, writer.is_settled))

    assert states == [(False, False), (False, False), (True, False), (True, True)]


async def test_watchers_are_told_of_what_is_on_disk_and_of_nothing_while_there_are_none(threads: InlineThreads) -> None:
    async with office() as at:
        await at.writer("rcpt_1").record(opened(), CLOSED)
        assert at.told == []

        at.bus.watch(["receipts"])
        writer = at.writer("rcpt_2")
        at.store.fail_always()
        with pytest.raises(StorageUnavailable):
            await writer.record(opened(), STARTED)
        assert at.told == []

        at.store.heal()
        writer.note(CLOSED)
        assert at.told == []
        await writer.record()
        assert at.told == WHOLE
        await writer.record()
        assert at.told == WHOLE, "each fact is told once"


async def test_what_is_noted_while_others_are_being_written_is_told_with_its_own(threads: InlineThreads) -> None:
    async with office() as at, anyio.create_task_group() as tasks:
        at.bus.watch(["receipts"])
        threads.takes_s = 1.0
        writer = at.writer()
        tasks.start_soon(writer.record, opened())
        await settle()
        writer.note(STARTED)
        await anyio.sleep(1.5)
        assert at.told == WHOLE[:1]
        await anyio.sleep(1.0)
        assert at.told == WHOLE[:2]


async def test_nothing_follows_the_closing_fact(threads: InlineThreads) -> None:
    async with office() as at:
        writer = at.writer()
        await writer.record(opened(), CLOSED)
        writer.note(STARTED)
        await writer.record(Closed("internal_error", 1))

    assert at.stored() == ["receipt.opened", "receipt.closed"]
    assert at.store.closing("rcpt_1").status == "completed"


async def test_recording_nothing_new_asks_nobody(threads: InlineThreads) -> None:
    async with office() as at:
        await at.writer().record()
        assert at.store.appends == []


async def test_killed_with_the_outcome_unknown_the_same_entries_are_sent_again(threads: InlineThreads) -> None:
    async with office() as at, anyio.create_task_group() as tasks:
        threads.takes_s = 0.25
        first, second = at.writer("rcpt_1"), at.writer("rcpt_2")
        tasks.start_soon(first.record, opened(), STARTED, CLOSED)
        await settle()
        tasks.start_soon(second.record, opened(), STARTED, CLOSED)
        await settle()
        at.kill()

    assert first.is_settled
    assert second.is_settled
    assert at.stored("rcpt_1") == WHOLE
    assert at.stored("rcpt_2") == WHOLE


@pytest.mark.parametrize("hang_s", [0.0, 0.5, 3.0], ids=["before", "during", "longer than a kill waits"])
async def test_killed_again_and_again_each_entry_is_stored_once(threads: InlineThreads, hang_s: float) -> None:
    async with office() as at:
        threads.takes_s = hang_s
        for number in range(3):
            writer = at.writer(f"rcpt_{number}")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(writer.record, opened(), STARTED, CLOSED)
                await anyio.sleep(hang_s / 2)
                at.kill()
            assert writer.is_settled
            assert at.stored(f"rcpt_{number}") == WHOLE
            at.store.closing(f"rcpt_{number}")
            await anyio.sleep(60)


async def test_while_the_store_restarts_it_waits(threads: InlineThreads) -> None:
    async with office() as at:
        threads.takes_s = 4.0  # it opens slowly
        at.kill()
        writer = at.writer()
        await writer.record(opened())
        assert at.stored() == WHOLE[:1]


async def test_a_store_that_does_not_come_back_is_unavailable_and_the_entries_stay_in_hand(
    threads: InlineThreads,
) -> None:
    async with office() as at:
        await terminate_child(at.system.named("test"), "storage")
        writer = at.writer()
        began = anyio.current_time()
        with pytest.raises(StorageUnavailable, match="not back in time"):
            await writer.record(opened())

        assert anyio.current_time() - began == pytest.approx(10.0)
        assert not writer.is_settled


async def test_a_store_that_does_not_answer_is_unavailable_and_a_later_try_stores_each_entry_once(
    threads: InlineThreads,
) -> None:
    async with office() as at:
        threads.takes_s = 25.0
        writer = at.writer()
        with pytest.raises(StorageUnavailable, match="did not answer within 10 seconds"):
            await writer.record(opened(), STARTED)
        await anyio.sleep(60)
        threads.takes_s = 0.0
        await writer.record(CLOSED)

    assert writer.is_settled
    assert at.stored() == WHOLE
    at.store.closing("rcpt_1")


async def test_after_a_failed_write_a_later_one_stores_everything(threads: InlineThreads) -> None:
    async with office() as at:
        at.store.fail_at(1)
        writer = at.writer()
        with pytest.raises(StorageUnavailable, match="the disk is full"):
            await writer.record(opened())
        await writer.record(STARTED, CLOSED)

    assert at.stored() == WHOLE
    at.store.closing("rcpt_1")


async def test_a_full_queue_is_storage_that_is_not_available(threads: InlineThreads) -> None:
    async with office(capacity=1) as at:
        writers = [at.writer(f"rcpt_{number}") for number in range(3)]
        refused: dict[ReceiptWriter, str] = {}

        async def record(writer: ReceiptWriter) -> None:
            try:
                await writer.record(opened())
            except StorageUnavailable as error:
                refused[writer] = error.message

        async with anyio.create_task_group() as tasks:
            for writer in writers:
                tasks.start_soon(record, writer)
        assert list(refused.values()) == ["more receipts are waiting for the disk than the store may queue"] * 2

        for writer in refused:
            await writer.record()
        assert [at.stored(writer.receipt_id) for writer in writers] == [WHOLE[:1]] * 3


async def test_cancelled_while_it_waits_it_can_be_asked_again(threads: InlineThreads) -> None:
    async with office() as at:
        threads.takes_s = 1.0
        writer = at.writer()
        with anyio.move_on_after(0.5):
            await writer.record(opened(), STARTED)
        assert at.stored() == [], "it is still being written"
        await writer.record(CLOSED)

    assert writer.is_settled
    assert at.stored() == WHOLE
    at.store.closing("rcpt_1")
