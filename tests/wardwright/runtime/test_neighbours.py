"""A checkpointer whose storage others write to as well: what it may close, and how decisions of several daemons follow each other."""

from collections.abc import Sequence

import anyio
import msgspec
import pytest

from supervisors.testing import settle
from tests.wardwright.receipts.receipt_samples import opened, sealed
from tests.wardwright.runtime.stage import InlineThreads, ScriptedStore
from tests.wardwright.runtime.test_checkpointer import PATH, desk, story
from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.domain.control_state import Contradiction
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlMovedOn
from wardwright.ports.storage import Capability
from wardwright.runtime.control import decide
from wardwright.storage.control import MemoryControlLog

pytestmark = pytest.mark.anyio

HALF_A_MINUTE = 31
KEYS = tuple(KeyCreated(f"key_{number}", "m", f"number {number}", f"wwk_{number}", "hash") for number in range(4))


class SharedStore(ScriptedStore):
    """A store that other daemons write to: those whose boots are `there`."""

    capabilities = ScriptedStore.capabilities | {Capability.CONCURRENT_WRITERS}

    def __init__(self, *there: str) -> None:
        super().__init__()
        self.there = set(there)
        self.is_lost = False

    def enlist(self, boot: str) -> frozenset[str]:
        if self.is_lost:
            raise StorageUnavailable("the server is away")
        self.there.add(boot)
        return frozenset(self.there - {boot})


def of_boot(boot: str, receipt_id: str) -> list[bytes]:
    return sealed([msgspec.structs.replace(opened(), boot=boot)], receipt_id=receipt_id)


class TestWhatOthersHaveOpen:
    async def test_receipts_of_a_daemon_that_is_there_are_left_to_it_until_it_is_gone(
        self, threads: InlineThreads
    ) -> None:
        store = SharedStore("neighbour")
        store.append([*of_boot("neighbour", "rcpt_1"), *of_boot("gone", "rcpt_2")])

        async with desk(lambda: store, boot="mine") as storage:
            assert storage.shows("interrupted_receipts_closed") == 1
            await storage.send("run", of_boot("mine", "rcpt_3"))
            await anyio.sleep(HALF_A_MINUTE)
            assert [record[0].receipt_id for record in store.open_receipts()] == ["rcpt_1", "rcpt_3"]

            store.there.remove("neighbour")
            await anyio.sleep(HALF_A_MINUTE)
            assert [record[0].receipt_id for record in store.open_receipts()] == ["rcpt_3"]
            assert storage.shows("interrupted_receipts_closed") == 2

        assert [store.closing(receipt_id).status for receipt_id in ("rcpt_1", "rcpt_2")] == ["interrupted"] * 2

    async def test_a_daemon_that_opens_a_receipt_while_the_others_are_counted_is_not_taken_for_gone(
        self, threads: InlineThreads
    ) -> None:
        class Busy(SharedStore):
            def enlist(self, boot: str) -> frozenset[str]:
                there = super().enlist(boot)
                self.append(of_boot("newcomer", "rcpt_1"))
                return there

        store = Busy()
        async with desk(lambda: store, boot="mine"):
            assert len(store.open_receipts()) == 1
            store.there.add("newcomer")
            await anyio.sleep(HALF_A_MINUTE)
            assert len(store.open_receipts()) == 1

    async def test_a_server_that_is_away_is_asked_again(self, threads: InlineThreads) -> None:
        store = SharedStore("neighbour")
        store.append(of_boot("neighbour", "rcpt_1"))
        async with desk(lambda: store, boot="mine") as storage:
            store.there.remove("neighbour")
            store.is_lost = True
            await anyio.sleep(HALF_A_MINUTE)
            assert storage.shows("interrupted_receipts_closed") == 0
            store.is_lost = False
            await anyio.sleep(HALF_A_MINUTE)
            assert storage.shows("interrupted_receipts_closed") == 1

    async def test_where_nobody_else_can_write_nobody_is_looked_for(self, threads: InlineThreads) -> None:
        store = ScriptedStore()
        async with desk(lambda: store, boot="mine"):
            store.append(of_boot("test", "rcpt_1"))
            await anyio.sleep(10 * HALF_A_MINUTE)
            assert len(store.open_receipts()) == 1

    async def test_who_waits_for_entries_hears_of_those_of_others_within_half_a_minute(
        self, threads: InlineThreads
    ) -> None:
        store = SharedStore("neighbour")
        async with desk(lambda: store, boot="mine") as storage:
            ring = storage.board.appended.next_ring()
            store.append(of_boot("neighbour", "rcpt_1"))
            await anyio.sleep(HALF_A_MINUTE)
            assert ring.is_set()


class TestDecisionsOfSeveral:
    async def test_a_decision_goes_behind_those_that_were_made_elsewhere(self, threads: InlineThreads) -> None:
        log, store = MemoryControlLog(), SharedStore()
        async with (
            desk(lambda: store, lambda: log, boot="one") as one,
            desk(lambda: store, lambda: log, boot="two") as two,
        ):
            for key, storage in zip(KEYS, (one, two, two, one), strict=True):
                state = await decide(storage.system.named(PATH), key)
                assert key.key_id in state.keys
        assert [entry.seq for entry in log.entries()] == [1, 2, 3, 4]
        assert [entry.event for entry in log.entries()] == list(KEYS)
        assert one.control.state.seq == 4

    async def test_what_contradicts_a_decision_made_elsewhere_is_refused(self, threads: InlineThreads) -> None:
        log, store = MemoryControlLog(), SharedStore()
        async with (
            desk(lambda: store, lambda: log, boot="one") as one,
            desk(lambda: store, lambda: log, boot="two") as two,
        ):
            await decide(one.system.named(PATH), KEYS[0])
            another = msgspec.structs.replace(KEYS[0], key_hash="another")
            with pytest.raises(Contradiction):
                await decide(two.system.named(PATH), another)
            assert two.control.state == one.control.state
        assert len(log.entries()) == 1

    async def test_what_is_decided_elsewhere_is_known_within_half_a_minute(self, threads: InlineThreads) -> None:
        log, store = MemoryControlLog(), SharedStore()
        log.append([ControlEntry(1, 1.0, KEYS[0])])
        async with desk(lambda: store, lambda: log) as storage:
            changed = storage.control.changed
            await anyio.sleep(HALF_A_MINUTE)
            assert not changed.is_set(), "nothing is shown again that is known"
            log.append([ControlEntry(2, 2.0, KeyRevoked("key_0"))])
            await anyio.sleep(HALF_A_MINUTE)
            assert changed.is_set()
            assert storage.control.state.keys["key_0"].revoked_at == 2.0

    async def test_a_log_that_has_moved_on_to_nowhere_is_not_asked_for_ever(self, threads: InlineThreads) -> None:
        class Lost(MemoryControlLog):
            def append(self, entries: Sequence[ControlEntry]) -> None:
                raise ControlMovedOn("gone on, and back")

        async with desk(SharedStore, Lost) as storage:
            with pytest.raises(StorageUnavailable, match="gone on, and back"):
                await decide(storage.system.named(PATH), KEYS[0])
            await storage.send("next", story("rcpt_1"))
            await settle()
        assert storage.outcomes == {"next": None}
