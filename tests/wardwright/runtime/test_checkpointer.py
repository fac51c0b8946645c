"""The one writer of the receipt log: group commit, failures that stay with those they concern, and what a restart closes."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from supervisors import (
    ActorDown,
    Call,
    ChildSpec,
    CrashReport,
    StartFailed,
    Supervisor,
    SupervisorError,
    System,
    UnexpectedRequest,
)
from supervisors.testing import EventLog, settle
from tests.wardwright.receipts.receipt_samples import fallback_story, full_story, numbered_salts, opened, sealed
from tests.wardwright.runtime.conftest import Logs as CapturedLogs
from tests.wardwright.runtime.stage import InlineThreads, ScriptedStore
from tests.wardwright.storage.faulty_files import NO_SPACE, FaultyFiles
from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.domain.control_state import Contradiction, ControlState, fold_control
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.ports.storage import ReceiptStore
from wardwright.receipts.chain import verify
from wardwright.receipts.events import AttemptStarted, Closed, decode_entry
from wardwright.receipts.fold import fold
from wardwright.runtime import old_receipts
from wardwright.runtime.checkpointer import Append, Checkpointer, Erase, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard, decide
from wardwright.runtime.erasure import Erased, receipts_of
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.identity import first_receipt_id
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.retention import Terms
from wardwright.storage.control import FileControlLog, MemoryControlLog, read_control
from wardwright.storage.file import FileReceiptStore

pytestmark = pytest.mark.anyio

PATH = "test/storage"
NOW = 1_900_000_000.5
STARTED = AttemptStarted(1, "local/small", "local", "small:7b")


class Desk:
    """A system with a checkpointer, and senders at it."""

    def __init__(self, system: System, board: StoreBoard, control: ControlBoard, events: EventLog) -> None:
        self.system = system
        self.board = board
        self.control = control
        self.events = events
        self.outcomes: dict[str, BaseException | None] = {}

    async def send(self, name: str, payloads: Sequence[bytes]) -> None:
        """Append, and keep what came of it."""
        try:
            await self.system.named(PATH).call(Append(tuple(payloads)), timeout=1000)
        except (SupervisorError, StorageUnavailable) as error:
            self.outcomes[name] = error
        else:
            self.outcomes[name] = None

    def kill(self) -> None:
        ref = self.system.whereis(PATH)
        assert ref is not None
        ref.kill()

    def shows(self, fact: str) -> object:
        ref = self.system.whereis(PATH)
        assert ref is not None
        return ref.info().details[fact]


@asynccontextmanager
async def desk(
    open_store: Callable[[], ReceiptStore],
    open_control: Callable[[], ControlLog] = MemoryControlLog,
    *,
    boot: str = "boot-1",
    keep_s: float | None = None,
    keep_content_s: float | None = None,
    keep_events_s: float | None = None,
) -> AsyncIterator[Desk]:
    board, control, events = StoreBoard(), ControlBoard(), EventLog()
    logs = Logs(open_store, open_control)
    start = partial(
        Checkpointer,
        logs,
        board=board,
        control=control,
        ledger=Ledger(now=lambda: 0.0),
        health=HealthBoard(),
        boot=boot,
        now=lambda: NOW,
        terms=Terms(keep_s, keep_content_s, keep_events_s),
    )
    children = [ChildSpec("storage", start, shutdown=30.0)]
    async with System("test", Supervisor(children), on_event=events) as system:
        yield Desk(system, board, control, events)


def story(name: str) -> list[bytes]:
    """The entries of one receipt that was never closed."""
    return sealed([opened(), STARTED], receipt_id=name)


class TestGroupCommit:
    async def test_appends_that_come_during_a_write_share_the_next_one(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "first", story("rcpt_1"))
            await settle()
            for number in range(2, 7):
                tasks.start_soon(storage.send, f"later {number}", story(f"rcpt_{number}"))
            await anyio.sleep(1.5)
            assert storage.outcomes == {"first": None}, "nobody is told before the own write is done"

        assert [len(append) for append in store.appends] == [2, 10]
        assert len(storage.outcomes) == 6
        assert set(storage.outcomes.values()) == {None}
        assert all(verify(store.payloads(f"rcpt_{number}")) is None for number in range(1, 7))

    async def test_two_appends_of_one_receipt_in_one_write_keep_their_order(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        entries = sealed(fallback_story())
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "other", story("rcpt_other"))
            await settle()
            tasks.start_soon(storage.send, "front", entries[:3])
            await settle()
            tasks.start_soon(storage.send, "back", entries[3:])

        assert [len(append) for append in store.appends] == [2, len(entries)]
        assert list(store.payloads("rcpt_0190c2a5d9f0")) == entries

    async def test_a_caller_that_went_away_has_its_entries_stored_all_the_same(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "gone", story("rcpt_1"))
            await settle()
            tasks.cancel_scope.cancel()
        assert len(store.entries("rcpt_1")) == 2

    async def test_it_shows_its_counts_and_no_payload(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "first", story("rcpt_1"))
            await settle()
            tasks.start_soon(storage.send, "second", story("rcpt_2"))
            await settle()
            assert storage.shows("waiting") == 1
            await anyio.sleep(5)
            assert storage.shows("waiting") == 0
            assert storage.shows("batches") == 2
            assert storage.shows("entries_appended") == 4


class TestFailure:
    async def test_a_failing_write_fails_those_who_wait_for_it_and_nobody_else(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        store.fail_at(2)
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "before", story("rcpt_1"))
            await anyio.sleep(0.5)
            tasks.start_soon(storage.send, "in it", story("rcpt_2"))
            tasks.start_soon(storage.send, "in it too", story("rcpt_3"))
            await anyio.sleep(1.0)
            tasks.start_soon(storage.send, "after", story("rcpt_4"))

        failed = {name for name, error in storage.outcomes.items() if error is not None}
        assert failed == {"in it", "in it too"}
        assert all(isinstance(storage.outcomes[name], StorageUnavailable) for name in failed)
        assert len(storage.outcomes) == 4
        assert storage.events.of(CrashReport) == []

    @pytest.mark.parametrize(
        "nonsense", [b"this is no entry", sealed([opened(), STARTED], receipt_id="rcpt_2")[1]], ids=["garbage", "gap"]
    )
    async def test_entries_that_make_no_sense_fail_their_sender_alone(
        self, threads: InlineThreads, nonsense: bytes
    ) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "first", story("rcpt_1"))
            await settle()
            for name, payloads in {"good": story("rcpt_3"), "bad": [nonsense], "fine": story("rcpt_4")}.items():
                tasks.start_soon(storage.send, name, payloads)

        refused = storage.outcomes.pop("bad")
        assert isinstance(refused, StorageUnavailable)
        assert "refused an entry" in refused.message
        assert storage.outcomes == {"first": None, "good": None, "fine": None}
        assert [len(store.entries(name)) for name in ("rcpt_1", "rcpt_2", "rcpt_3", "rcpt_4")] == [2, 0, 2, 2]

    async def test_when_the_disk_fails_while_bad_entries_are_sorted_out_the_good_ones_are_told_so(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "first", story("rcpt_1"))
            await settle()
            tasks.start_soon(storage.send, "good", story("rcpt_3"))
            tasks.start_soon(storage.send, "bad", [b"this is no entry"])
            await anyio.sleep(2.5)  # the joint write has been refused by now
            store.fail_always()

        failed = {name: type(error) for name, error in storage.outcomes.items() if error is not None}
        assert failed == {"good": StorageUnavailable, "bad": StorageUnavailable}

    async def test_a_bug_in_the_store_crashes_the_actor_which_writes_what_waits_on_its_way_out(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        store.refuses = lambda payloads: RuntimeError("a bug") if payloads[0] in story("rcpt_1") else None
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "in it", story("rcpt_1"))
            await settle()
            tasks.start_soon(storage.send, "waiting", story("rcpt_2"))
            await anyio.sleep(10)
            await storage.send("after", story("rcpt_3"))

        assert [str(report.reason) for report in storage.events.of(CrashReport)] == ["crashed: RuntimeError: a bug"]
        down = storage.outcomes.pop("in it")
        assert isinstance(down, ActorDown)
        assert down.started, "the outcome is unknown to the sender"
        assert storage.outcomes == {"waiting": None, "after": None}

    async def test_a_request_it_does_not_know_is_refused(self, threads: InlineThreads) -> None:
        class Odd(Call[None]):
            pass

        async with desk(ScriptedStore) as storage:
            with pytest.raises(UnexpectedRequest):
                await storage.system.named(PATH).call(Odd())
            await storage.send("after", story("rcpt_1"))
            assert storage.outcomes == {"after": None}


class TestKill:
    async def test_a_kill_waits_for_the_write_in_progress(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 0.5
            tasks.start_soon(storage.send, "in it", story("rcpt_1"))
            await settle()
            tasks.start_soon(storage.send, "waiting", story("rcpt_2"))
            await settle()
            storage.kill()
            await anyio.sleep(0.4)
            assert storage.system.whereis(PATH) is not None, "it is not dead before its write is done"

        assert storage.outcomes.pop("in it") is None
        waiting = storage.outcomes.pop("waiting")
        assert isinstance(waiting, ActorDown)
        assert waiting.started, "its sender does not know the outcome and sends again"
        assert len(store.entries("rcpt_1")) == 2
        assert store.entries("rcpt_2") == ()

    async def test_a_disk_that_hangs_longer_than_a_kill_waits_still_stores_each_entry_once(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 20.0
            tasks.start_soon(storage.send, "in it", story("rcpt_1"))
            await settle()
            storage.kill()
            await anyio.sleep(5)
            assert isinstance(storage.outcomes["in it"], ActorDown)
            threads.takes_s = 0.0
            await storage.send("in it", story("rcpt_1"))
            assert storage.outcomes == {"in it": None}
            await anyio.sleep(30)  # the first write comes through at last

        assert len(store.entries("rcpt_1")) == 2
        assert verify(store.payloads("rcpt_1")) is None

    async def test_an_orderly_stop_writes_what_still_waits_and_closes_the_store(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with anyio.create_task_group() as tasks, desk(lambda: store) as storage:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "in it", story("rcpt_1"))
            await settle()
            tasks.start_soon(storage.send, "waiting", story("rcpt_2"))
            await settle()
            assert storage.board.store is store
            assert store.closes == 0

        assert storage.outcomes == {"in it": None, "waiting": None}
        assert len(store.entries("rcpt_2")) == 2
        assert store.closes == 1
        with pytest.raises(StorageUnavailable):
            _ = storage.board.store
        assert storage.events.of(CrashReport) == []


KEY = KeyCreated("key_1", "m", "a label", "wwk_abc", "hash")


class TestDecisions:
    async def test_a_decision_is_on_the_board_when_its_sender_hears_of_it(self, threads: InlineThreads) -> None:
        log = MemoryControlLog()
        async with desk(ScriptedStore, lambda: log) as storage:
            threads.takes_s = 1.0
            changed = storage.control.changed
            state = await decide(storage.system.named(PATH), KEY, KeyRevoked("key_1"))
            assert state is storage.control.state
            assert changed.is_set()
            assert state.seq == storage.shows("control_seq") == 2
            assert state.keys["key_1"].revoked_at == 1_900_000_000.5
        assert [entry.event for entry in log.entries()] == [KEY, KeyRevoked("key_1")]

    async def test_decisions_of_many_senders_follow_each_other(self, threads: InlineThreads) -> None:
        async with desk(ScriptedStore) as storage:
            threads.takes_s = 0.1
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    event = KeyCreated(f"key_{number}", "m", "", "wwk", "hash")
                    tasks.start_soon(decide, storage.system.named(PATH), event)
            assert len(storage.control.state.keys) == 5

    async def test_what_contradicts_is_refused_before_it_is_written(self, threads: InlineThreads) -> None:
        log = MemoryControlLog()
        async with desk(ScriptedStore, lambda: log) as storage:
            with pytest.raises(Contradiction, match="there is no key 'key_9'"):
                await decide(storage.system.named(PATH), KEY, KeyRevoked("key_9"))
            assert storage.control.state == ControlState()
            assert log.entries() == []

    async def test_a_failing_disk_leaves_everything_as_it_was(self, tmp_path: Path, threads: InlineThreads) -> None:
        files = FaultyFiles()
        async with desk(ScriptedStore, lambda: FileControlLog(tmp_path, files=files)) as storage:
            files.fail("write", NO_SPACE)
            with pytest.raises(StorageUnavailable, match="No space left"):
                await decide(storage.system.named(PATH), KEY)
            assert storage.control.state == ControlState()
            files.heal()
            await decide(storage.system.named(PATH), KEY)
            assert list(storage.control.state.keys) == ["key_1"]
        assert [entry.event for entry in read_control(tmp_path)] == [KEY]

    @pytest.mark.parametrize("after_s", [0.0, 0.25, 0.75])
    async def test_a_kill_in_the_middle_makes_the_sender_ask_again_and_the_decision_count_once(
        self, threads: InlineThreads, after_s: float
    ) -> None:
        log = MemoryControlLog()
        async with desk(ScriptedStore, lambda: log) as storage, anyio.create_task_group() as tasks:
            threads.takes_s = 0.5
            tasks.start_soon(decide, storage.system.named(PATH), KEY)
            await anyio.sleep(after_s)
            storage.kill()
        assert storage.control.state.keys["key_1"].label == "a label"
        assert fold_control(log.entries()) == storage.control.state

    async def test_an_orderly_stop_writes_the_decisions_that_wait(self, threads: InlineThreads) -> None:
        log = MemoryControlLog()
        async with anyio.create_task_group() as tasks, desk(ScriptedStore, lambda: log) as storage:
            threads.takes_s = 1.0
            tasks.start_soon(storage.send, "in it", story("rcpt_1"))
            await settle()
            tasks.start_soon(decide, storage.system.named(PATH), KEY)
            await settle()
        assert [entry.event for entry in log.entries()] == [KEY]

    async def test_a_log_that_contradicts_itself_keeps_the_tree_from_starting(self, threads: InlineThreads) -> None:
        log = MemoryControlLog()
        log.append([ControlEntry(1, 0.0, KeyRevoked("key_1"))])
        with pytest.raises(StartFailed, match="contradicts itself: there is no key"):
            async with desk(ScriptedStore, lambda: log):
                pass

    async def test_without_the_checkpointer_a_decision_is_refused(self, threads: InlineThreads) -> None:
        async with desk(ScriptedStore) as storage:
            with pytest.raises(StorageUnavailable, match="was not back in time"):
                await decide(storage.system.named("test/nobody"), KEY)


class TestOpening:
    async def test_receipts_that_a_dead_process_left_open_are_closed_as_interrupted(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        store.append(sealed([opened()], receipt_id="rcpt_1"))
        store.append(story("rcpt_2"))
        store.append(sealed(fallback_story(), receipt_id="rcpt_3"))

        async with desk(lambda: store, boot="another boot") as storage:
            assert storage.shows("interrupted_receipts_closed") == 2

        for receipt_id, attempts in (("rcpt_1", 0), ("rcpt_2", 1)):
            closed = store.closing(receipt_id)
            assert (closed.status, closed.attempts, closed.error_code) == ("interrupted", attempts, None)
            assert store.entries(receipt_id)[-1].at == 1_900_000_000.5
        assert list(store.payloads("rcpt_3")) == sealed(fallback_story(), receipt_id="rcpt_3")

    async def test_receipts_of_this_boot_are_left_to_their_runs(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with desk(lambda: store, boot="boot-1") as storage:
            await storage.send("run", story("rcpt_1"))
            storage.kill()
            await storage.send("run", sealed([opened(), STARTED, Closed("completed", 1)], receipt_id="rcpt_1"))

        assert storage.outcomes == {"run": None}
        assert store.closing("rcpt_1").status == "completed"

    async def test_it_is_open_for_readers_before_anybody_else_starts(self, threads: InlineThreads) -> None:
        threads.takes_s = 1.0
        store = ScriptedStore()
        async with desk(lambda: store) as storage:
            assert storage.board.store is store

    async def test_a_store_that_cannot_be_opened_keeps_the_tree_from_starting(self, threads: InlineThreads) -> None:
        def refuse() -> ReceiptStore:
            raise StorageUnavailable("another daemon writes here")

        with pytest.raises(StartFailed) as caught:
            async with desk(refuse):
                pass
        assert "another daemon writes here" in str(caught.value)


def of(at: float) -> list[bytes]:
    """A closed receipt that was made at a time."""
    return sealed([opened(), Closed("completed", 0)], receipt_id=f"{first_receipt_id(at)}0123456789abc")


def full_of(at: float) -> list[bytes]:
    """A closed receipt with content that was made at a time."""
    return sealed(full_story(), receipt_id=f"{first_receipt_id(at)}0123456789abc", draw_salt=numbered_salts())


def has_content(store: ScriptedStore) -> list[bool]:
    """Which receipts have their content, newest first."""
    contents = [fold(record).content for record in store.newest()]
    return [
        content is not None and content.answer is not None and content.answer.erased is None for content in contents
    ]


class TestErasing:
    async def test_a_persons_receipts_are_erased_while_others_are_written(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        store.append(full_of(NOW))
        async with desk(lambda: store) as storage, anyio.create_task_group() as tasks:
            tasks.start_soon(storage.send, "other", story("rcpt_1"))
            counted = await storage.system.named(PATH).call(Erase(receipts_of("u1"), dry_run=True), timeout=1000)
            assert (counted, storage.shows("entries_erased")) == (Erased(1, 3), 0)
            done = await storage.system.named(PATH).call(Erase(receipts_of("u1")), timeout=1000)
            assert (done, storage.shows("entries_erased")) == (Erased(1, 3), 3)
        assert storage.outcomes == {"other": None}
        assert b"u1" not in b"".join(store.payloads(decode_entry(full_of(NOW)[0]).receipt_id))

    async def test_a_disk_that_fails_fails_the_step(
        self, threads: InlineThreads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(store: ScriptedStore, payloads: Sequence[bytes]) -> None:
            raise StorageUnavailable("the disk is full")

        monkeypatch.setattr(ScriptedStore, "replace", refuse)
        store = ScriptedStore()
        store.append(full_of(NOW))
        async with desk(lambda: store) as storage:
            with pytest.raises(StorageUnavailable, match="the disk is full"):
                await storage.system.named(PATH).call(Erase(receipts_of("u1")), timeout=1000)
            await storage.send("run", story("rcpt_1"))
        assert storage.outcomes == {"run": None}


class TestRetention:
    async def test_what_is_older_than_it_is_kept_for_is_forgotten_at_the_start_and_every_hour(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        store.append([*of(NOW - 5000), *of(NOW - 4000.5), *of(NOW - 3999)])
        async with desk(lambda: store, keep_s=4000) as storage:
            await anyio.sleep(1)
            assert [record[0].receipt_id for record in store.newest()] == [decode_entry(of(NOW - 3999)[0]).receipt_id]
            assert storage.shows("receipts_forgotten") == 2

    async def test_content_is_erased_when_it_is_older_than_it_is_kept_for_and_its_receipt_stays(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        store.append([*full_of(NOW - 5000), *full_of(NOW - 4000.5), *full_of(NOW - 3999)])
        async with desk(lambda: store, keep_content_s=4000) as storage:
            await anyio.sleep(1)
            assert has_content(store) == [True, False, False]
            assert storage.shows("entries_erased") == 4
            await anyio.sleep(3600)
            assert has_content(store) == [True, False, False], "the clock of this test stands still"
        assert [verify(store.payloads(record[0].receipt_id)) for record in store.newest()] == [None] * 3
        assert store.mark("content-erased-below") == first_receipt_id(NOW - 4000).encode()

    async def test_what_was_gone_through_is_not_read_again(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        store.append(full_of(NOW - 5000))
        store.set_mark("content-erased-below", first_receipt_id(NOW - 4500).encode())
        async with desk(lambda: store, keep_content_s=4000):
            await anyio.sleep(1)
        assert has_content(store) == [True]

    async def test_events_fade_when_they_are_older_than_they_are_kept_for_and_why_and_how_it_ended_stays(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        store.append([*full_of(NOW - 5000), *full_of(NOW - 4000.5), *full_of(NOW - 3999)])
        whole = [fold(record) for record in store.newest()]
        async with desk(lambda: store, keep_events_s=4000) as storage:
            await anyio.sleep(1)
            assert (storage.shows("entries_faded"), storage.shows("entries_erased")) == (8, 0)
            await anyio.sleep(3600)
            assert storage.shows("entries_faded") == 8, "the clock of this test stands still"
        left = [fold(record) for record in store.newest()]
        assert left[0] == whole[0]
        assert [receipt.faded_events for receipt in left] == [0, 4, 4]
        for before, after in zip(whole, left, strict=True):
            assert (after.decision, after.final, after.content) == (before.decision, before.final, before.content)
        assert [verify(store.payloads(record[0].receipt_id)) for record in store.newest()] == [None] * 3
        assert store.mark("events-faded-below") == first_receipt_id(NOW - 4000).encode()

    async def test_what_a_dead_process_left_open_is_closed_with_all_that_it_did_before_it_fades(
        self, threads: InlineThreads
    ) -> None:
        store = ScriptedStore()
        store.append(full_of(NOW - 5000)[:-1])
        async with desk(lambda: store, boot="boot-2", keep_events_s=4000):
            await anyio.sleep(1)
        (receipt,) = (fold(record) for record in store.newest())
        assert receipt.final is not None
        assert (receipt.final.status, receipt.final.attempts, receipt.faded_events) == ("interrupted", 2, 4)

    async def test_a_disk_that_fails_on_the_way_is_gone_on_with_from_there(
        self, threads: InlineThreads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(old_receipts, "MOST_RECEIPTS", 1)
        store = UnwillingStore(refused=2)
        for age in (4003, 4002, 4001):
            store.append(full_of(NOW - age))
        async with desk(lambda: store, keep_events_s=4000) as storage:
            await anyio.sleep(3500)
            assert [fold(record).faded_events for record in store.newest()] == [4, 0, 0]
            asked, store.replaced = store.replaced, []
            await anyio.sleep(200)
            assert [fold(record).faded_events for record in store.newest()] == [4, 4, 4]
            assert storage.shows("entries_faded") == 12
        assert (asked, store.replaced) == ([4, 4], [4, 4, 0]), "the first receipt was not gone through again"

    async def test_what_keeps_content_keeps_no_events(self, threads: InlineThreads) -> None:
        store = UnwillingStore(refused=1)
        store.append(full_of(NOW - 5000))
        async with desk(lambda: store, keep_content_s=4000, keep_events_s=4000):
            await anyio.sleep(1)
        assert has_content(store) == [True]
        assert [fold(record).faded_events for record in store.newest()] == [4]

    async def test_without_a_term_everything_is_kept(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        store.append(of(0))
        async with desk(lambda: store):
            await anyio.sleep(10_000)
        assert len(list(store.newest())) == 1

    async def test_a_disk_that_fails_is_asked_again_an_hour_later(self, threads: InlineThreads) -> None:
        store = ForgetfulStore(failures=1)
        store.append(of(NOW - 5000))
        async with desk(lambda: store, keep_s=4000) as storage:
            await anyio.sleep(3500)
            assert storage.shows("receipts_forgotten") == 0
            await anyio.sleep(200)
            assert storage.shows("receipts_forgotten") == 1


class UnwillingStore(ScriptedStore):
    """A store whose disk fails when it is asked for the time of that number to replace something."""

    def __init__(self, refused: int) -> None:
        super().__init__()
        self.refused = refused
        self.replaced: list[int] = []

    def replace(self, payloads: Sequence[bytes]) -> None:
        self.replaced.append(len(payloads))
        self.refused -= 1
        if not self.refused:
            raise StorageUnavailable("the disk is full")
        super().replace(payloads)


class ForgetfulStore(ScriptedStore):
    """A store whose disk fails when it is to forget, so many times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def forget(self, before: str, at_most: int = 1000) -> int:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("the disk is full")
        return super().forget(before, at_most)


class TestStoreBoard:
    def test_there_is_no_store_at_first(self) -> None:
        with pytest.raises(StorageUnavailable, match="not open yet"):
            _ = StoreBoard().store

    def test_a_replaced_store_is_closed_unless_it_is_the_same(self) -> None:
        board, first, second = StoreBoard(), ScriptedStore(), ScriptedStore()

        board.replace(first)
        board.replace(first)
        assert (board.store, first.closes) == (first, 0)

        board.replace(second)
        assert (board.store, first.closes, second.closes) == (second, 1, 0)

        board.replace(None)
        assert (first.closes, second.closes) == (1, 1)

    def test_what_is_wrong_is_logged_once_when_it_begins_and_when_it_ends(self, logs: CapturedLogs) -> None:
        board, problem = StoreBoard(), StorageUnavailable("the disk is full")
        board.report(problem)
        assert logs == [], "of a start that is refused, whoever started it is told"
        board.report(None)
        board.replace(ScriptedStore())
        logs.clear()

        for said in (problem, problem, None, None):
            board.report(said)

        assert [(entry["log_level"], entry.get("problem")) for entry in logs] == [
            ("warning", "the disk is full"),
            ("info", None),
        ]


@pytest.mark.real_time
class TestOnDisk:
    async def test_concurrent_appends_share_syncs_and_all_reach_the_disk(self, tmp_path: Path) -> None:
        count = 40
        async with desk(partial(FileReceiptStore, tmp_path)) as storage:
            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(storage.send, f"{number}", story(f"rcpt_{number:03}"))
            batches = storage.shows("batches")

        assert set(storage.outcomes.values()) == {None}
        assert isinstance(batches, int)
        assert batches < count / 4
        reader = FileReceiptStore.read_only(tmp_path)
        assert len(reader.open_receipts()) == count
        assert all(verify(reader.payloads(f"rcpt_{number:03}")) is None for number in range(count))

    async def test_killed_again_and_again_it_reopens_its_log_and_loses_nothing(self, tmp_path: Path) -> None:
        async with desk(partial(FileReceiptStore, tmp_path)) as storage:
            for number in range(3):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(storage.send, f"killed {number}", story(f"rcpt_{number}"))
                    await checkpoint()
                    storage.kill()
                await storage.send(f"again {number}", story(f"rcpt_{number}"))

        assert [storage.outcomes[f"again {number}"] for number in range(3)] == [None, None, None]
        reader = FileReceiptStore.read_only(tmp_path)
        assert [len(reader.entries(f"rcpt_{number}")) for number in range(3)] == [2, 2, 2]


async def test_an_index_that_turns_out_damaged_is_made_anew_though_nobody_writes(
    threads: InlineThreads, tmp_path: Path
) -> None:
    open_store = partial(FileReceiptStore, tmp_path, tail_entries=8)
    before = open_store()
    for number in range(20):
        before.append(of(NOW - number))
    told = list(before.newest())
    before.close()
    async with desk(open_store) as storage:
        store = storage.board.store
        assert isinstance(store, FileReceiptStore)
        await settle()  # what a start leaves to be tended is done
        store._index.give_up()
        with pytest.raises(StorageUnavailable, match="makes the index anew"):
            list(store.newest())
        await anyio.sleep(30)
        assert list(store.newest()) == told
