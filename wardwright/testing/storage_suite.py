"""The storage suite: every clause of `contracts/storage-provider-contract.md`, for any provider.

A provider's test module takes the whole suite and says what is to be tested:

    from wardwright.testing.storage_bench import FolderBench
    from wardwright.testing.storage_suite import *

    @pytest.fixture
    def store() -> StorageBench:
        return FolderBench(MyStorage)

Clauses of a class with `needs` are skipped for a provider that does not declare that capability. Nothing else may be skipped or left
out, and nothing may be declared that no clause proves: the last class checks both.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlMovedOn
from wardwright.ports.storage import CONTRACT, Capability, ReceiptReader, ReceiptStore, StorageProvider, Stored
from wardwright.receipts.chain import resume, verify
from wardwright.receipts.events import Closed, decode_entry
from wardwright.receipts.fold import fold, summarise
from wardwright.receipts.query import CLOCK_SLACK_S, MAX_SCANNED, ReceiptFilter
from wardwright.receipts.receipt import Receipt
from wardwright.testing.doomed_writer import RECEIPTS_IN_BATCH, kill_while_it_writes
from wardwright.testing.fellow_writer import DONE, Fellow, Task, fellows
from wardwright.testing.sample_receipts import (
    AT,
    Written,
    after_fading,
    erasures,
    fadings,
    governed,
    histories,
    opened,
    plain,
    queries,
    receipt_id,
    sealed,
    with_content,
)
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.storage_machine import BesideMemory, whole_answer
from wardwright.testing.tidy_storage import TidyStorage

__all__ = [
    "StorageBench",
    "TestAdvisoryLocks",
    "TestAppending",
    "TestBesideMemory",
    "TestConcurrentWriters",
    "TestConsumerOffsets",
    "TestControl",
    "TestDeclaration",
    "TestDurable",
    "TestEventReplay",
    "TestHealth",
    "TestQueries",
    "TestReading",
    "TestReplacing",
    "TestRetentionJobs",
    "TestRuntimeHotStore",
    "TestTimeRangeIndexes",
    "TestTransactional",
    "TestWhatWasSkipped",
]

_SKIPPED = pytest.StashKey[dict[str, set[Capability]]]()
_HISTORY = 25
_ONE_SESSION = tuple(plain(number, session_id="s", user_id=f"u{number}") for number in range(3))
_PATIENCE_S = 60
# A verdict never depends on how fast the machine is.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

CONTROL = (
    ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash")),
    ControlEntry(2, 2.0, KeyCreated("key_2", "m", "second", "wwk_2", "hash")),
    ControlEntry(3, 3.0, KeyRevoked("key_1")),
)


class Clauses:
    """What the classes below share. `store` is the fixture that each module which takes the suite has.

    `needs` is the capability without which a provider is not asked.
    """

    needs: ClassVar[Capability | None] = None

    @pytest.fixture(autouse=True)
    def only_where_declared(self, request: pytest.FixtureRequest, store: StorageBench, tmp_path: Path) -> None:
        """Skip what the provider does not declare, and take note of it."""
        skipped = request.session.stash.setdefault(_SKIPPED, {}).setdefault(request.node.path.as_posix(), set())
        if self.needs is not None and self.needs not in store.at(tmp_path / "asked").capabilities:
            skipped.add(self.needs)
            pytest.skip(f"the provider does not declare {self.needs}")

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A place where nothing was kept yet."""
        return tmp_path / "place"

    @pytest.fixture
    def provider(self, store: StorageBench, place: Path) -> Iterator[StorageProvider]:
        """The storage at that place. What it has opened is closed at the end."""
        with closing(TidyStorage(store.at(place))) as tidy:
            yield tidy

    @pytest.fixture
    def receipts(self, provider: StorageProvider) -> Iterator[ReceiptStore]:
        """Its receipts, open for writing."""
        opened = provider.open()
        yield opened
        opened.close()


class TestDeclaration(Clauses):
    """What a provider says of itself, before it is opened and after."""

    def test_a_place_is_new_until_something_is_kept_there(self, provider: StorageProvider, place: Path) -> None:
        assert provider.is_new()
        assert not place.exists(), "to ask changes nothing"
        assert list(provider.read_control()) == []
        kept = provider.open()
        kept.append(plain(1).payloads)
        kept.close()
        assert not provider.is_new()

    def test_an_open_store_says_the_same_as_its_provider(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        health = receipts.health()
        assert health.kind == provider.kind
        assert health.contract == CONTRACT
        assert frozenset(health.capabilities) == receipts.capabilities == provider.capabilities
        assert health.capabilities == tuple(sorted(health.capabilities))
        assert not (health.durable and Capability.DURABLE not in provider.capabilities)
        assert provider.where


class TestAppending(Clauses):
    """Order, completion, all or prefix, idempotence, no gaps."""

    def test_entries_come_back_in_order_and_byte_for_byte(self, receipts: ReceiptStore) -> None:
        first, second = plain(1).payloads, plain(2).payloads
        receipts.append([first[0], second[0]])
        receipts.append([second[1], first[1], first[2]])
        assert receipts.payloads(receipt_id(1)) == first
        assert receipts.entries(receipt_id(1)) == tuple(decode_entry(payload) for payload in first)
        assert receipts.payloads(receipt_id(2)) == second[:2]
        assert verify(receipts.payloads(receipt_id(1))) is None

    def test_an_entry_that_is_stored_is_skipped(self, receipts: ReceiptStore) -> None:
        record = plain(1).payloads
        receipts.append(record[:2])
        receipts.append(record)
        receipts.append([*record, *record])
        assert receipts.payloads(receipt_id(1)) == record

    def test_an_entry_repeated_within_a_batch_is_stored_once(self, receipts: ReceiptStore) -> None:
        record = plain(1).payloads
        receipts.append([record[0], record[0], record[1], record[0], record[2]])
        assert receipts.payloads(receipt_id(1)) == record

    def test_an_empty_batch_is_nothing(self, receipts: ReceiptStore) -> None:
        receipts.append([])
        assert receipts.health().receipt_count == 0

    @pytest.mark.parametrize("sent", [[1], [0, 2], [0, 1, 3]])
    def test_an_entry_before_its_predecessor_is_refused_with_its_whole_batch(
        self, receipts: ReceiptStore, sent: list[int]
    ) -> None:
        record, other = plain(1, attempts=2).payloads, plain(2).payloads
        expected = f"entry {sent[-1] + 1} of {receipt_id(1)} cannot be stored before entry"
        with pytest.raises(ValueError, match=expected):
            receipts.append([*other, *(record[index] for index in sent)])
        assert _ids(receipts) == []
        receipts.append([*other, *record])
        assert _ids(receipts) == [receipt_id(2), receipt_id(1)]

    @pytest.mark.parametrize(
        "payload", [b"", b"{", b"[]", b'{"receipt_id":"r"}', b'{"receipt_id":"\xff"}', b"[" * 9999]
    )
    def test_what_is_no_entry_is_refused(self, receipts: ReceiptStore, payload: bytes) -> None:
        with pytest.raises(ValueError, match="not an encoded receipt entry"):
            receipts.append([*plain(2).payloads, payload])
        receipts.append(plain(1).payloads)
        assert _ids(receipts) == [receipt_id(1)]

    def test_a_closed_store_refuses_appends_and_can_be_closed_again_and_read(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads)
        receipts.check_writable()
        receipts.close()
        receipts.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            receipts.append(plain(2).payloads)
        with pytest.raises(StorageUnavailable, match="closed"):
            receipts.check_writable()
        assert _ids(receipts) == [receipt_id(1)]


class TestReading(Clauses):
    """One receipt, receipts by id, the newest of a session, the open ones; beside the writer."""

    def test_an_unknown_receipt_has_no_entries(self, receipts: ReceiptStore) -> None:
        assert receipts.entries(receipt_id(1)) == ()
        assert receipts.payloads(receipt_id(1)) == ()

    def test_newest_goes_by_descending_id_whatever_the_order_of_writing(self, receipts: ReceiptStore) -> None:
        for number in (3, 1, 5, 2, 4):
            receipts.append(plain(number).payloads)
        assert _ids(receipts) == [receipt_id(number) for number in (5, 4, 3, 2, 1)]

    @pytest.mark.parametrize(
        ("before", "first"), [("rcpt_0003", 2), ("rcpt_0002x", 2), ("rcpt_0001", 0), ("z", 4), ("", 0)]
    )
    def test_before_is_strict_and_need_not_exist(self, receipts: ReceiptStore, before: str, first: int) -> None:
        for number in (1, 2, 3, 4):
            receipts.append(plain(number).payloads)
        assert _ids(receipts, before) == [receipt_id(number) for number in range(first, 0, -1)]

    def test_newest_is_read_as_it_is_asked_for_and_unmoved_by_newer_receipts(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1, closed=False).payloads + plain(3).payloads)
        newest = receipts.newest()
        assert next(newest)[0].receipt_id == receipt_id(3)
        receipts.append(plain(4).payloads + plain(1).payloads)
        (record,) = newest
        assert len(record) == 3

    def test_the_newest_receipt_of_a_session_is_known_whatever_the_order_of_writing(
        self, receipts: ReceiptStore
    ) -> None:
        for number, session_id in ((2, "a"), (3, "b"), (1, "a"), (4, None)):
            receipts.append(plain(number, session_id=session_id).payloads)
        sessions = (("coding", "a"), ("coding", "b"), ("coding", "c"), ("other", "a"))
        found = [receipts.newest_of_session(*session) for session in sessions]
        assert found == [receipt_id(2), receipt_id(3), None, None]

    def test_open_receipts_are_those_without_a_closing_entry(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads + plain(3, closed=False).payloads + plain(2, closed=False).payloads)
        assert [record[0].receipt_id for record in receipts.open_receipts()] == [receipt_id(2), receipt_id(3)]
        receipts.append(plain(2).payloads)
        assert receipts.open_receipts() == (receipts.entries(receipt_id(3)),)

    def test_a_reader_of_its_own_follows_the_writer(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads)
        reader = provider.read()
        assert _ids(reader) == [receipt_id(1)]
        receipts.append(plain(2, session_id="a").payloads)
        assert _ids(reader) == [receipt_id(2), receipt_id(1)]
        assert reader.payloads(receipt_id(2)) == plain(2, session_id="a").payloads
        assert reader.newest_of_session("coding", "a") == receipt_id(2)
        assert reader.health().receipt_count == 2
        reader.close()
        reader.close()
        assert _ids(reader) == _ids(receipts)

    def test_readers_see_whole_prefixes_while_a_writer_writes(self, receipts: ReceiptStore) -> None:
        done = threading.Event()

        def read() -> int:
            seen = 0
            while not (done.is_set() and seen == 60):
                records = list(receipts.newest())
                assert [r[0].receipt_id for r in records] == sorted((r[0].receipt_id for r in records), reverse=True)
                assert all([entry.seq for entry in r] == list(range(1, len(r) + 1)) for r in records)
                assert len(records) >= seen
                seen = len(records)
                receipts.open_receipts()
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            for number in range(60):
                record = plain(number).payloads
                receipts.append(record[:1])
                receipts.append(record[1:])
            done.set()
            assert [reader.result(_PATIENCE_S) for reader in readers] == [60, 60, 60]


class TestQueries(Clauses):
    """The answer to a query is what its words mean, whatever the store makes of them."""

    def test_every_page_holds_what_the_filter_means(
        self, store: StorageBench, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        @settings(_PATIENT, max_examples=round(40 * store.effort))
        @given(history=histories(_HISTORY), asked=st.lists(queries(_HISTORY), min_size=1, max_size=12), data=st.data())
        def ask(history: list[Written], asked: list[ReceiptFilter], data: st.DataObject) -> None:
            receipts = store.at(tmp_path_factory.mktemp("queries") / "place").open()
            try:
                for record in data.draw(st.permutations(history)):
                    receipts.append(record.payloads)
                if Capability.RETENTION_JOBS in receipts.capabilities:
                    old = data.draw(st.integers(0, len(history)))
                    receipts.replace([left for record in history[:old] for left in fadings(record)])
                    history = [*map(after_fading, history[:old]), *history[old:]]
                for wanted in asked:
                    meant = _meant(history, wanted)
                    assert whole_answer(receipts, wanted) == [summarise(receipt) for receipt in meant]
                    assert list(receipts.select(wanted)) == meant
            finally:
                receipts.close()

        ask()

    def test_a_page_is_unmoved_by_newer_receipts(self, receipts: ReceiptStore) -> None:
        for number in (1, 2, 3):
            receipts.append(plain(number).payloads)
        first = receipts.page(ReceiptFilter.parse({"limit": "2"}))
        receipts.append(plain(4).payloads)
        assert first.next_cursor is not None
        second = receipts.page(ReceiptFilter.parse({"limit": "2", "cursor": first.next_cursor}))
        assert [summary.receipt_id for summary in (*first.data, *second.data)] == [receipt_id(n) for n in (3, 2, 1)]

    def test_a_query_sees_what_has_become_of_a_receipt(self, receipts: ReceiptStore) -> None:
        record = plain(1).payloads
        receipts.append(record[:-1])
        completed = ReceiptFilter.parse({"status": "completed"})
        unfinished = ReceiptFilter.parse({"status": "open"})
        assert receipts.page(completed).data == ()
        assert [summary.receipt_id for summary in receipts.page(unfinished).data] == [receipt_id(1)]
        receipts.append(record[-1:])
        assert [summary.receipt_id for summary in receipts.page(completed).data] == [receipt_id(1)]
        assert receipts.page(unfinished).data == ()


class TestHealth(Clauses):
    """Counts that are there without looking for them."""

    def test_health_counts(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads + plain(2, closed=False).payloads)
        health = receipts.health()
        assert (health.receipt_count, health.open_count) == (2, 1)
        receipts.append(plain(2).payloads)
        assert receipts.health().open_count == 0


class TestControl(Clauses):
    """The control log: versions of models, what became of them, keys; as facts in order."""

    def test_entries_come_back_in_order(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        log = provider.open_control()
        assert list(log.entries()) == []
        log.append(CONTROL[:2])
        log.append(CONTROL[2:])
        assert tuple(log.entries()) == tuple(provider.read_control()) == CONTROL
        log.close()
        log.close()

    def test_the_log_outlives_who_has_opened_it(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        first = provider.open_control()
        first.append(CONTROL[:1])
        first.close()
        second = provider.open_control()
        second.append(CONTROL[1:])
        assert tuple(second.entries()) == CONTROL
        second.close()

    def test_control_entries_are_no_receipts(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        log = provider.open_control()
        log.append(CONTROL)
        receipts.append(plain(1).payloads)
        log.close()
        assert _ids(receipts) == [receipt_id(1)]


class TestEventReplay(Clauses):
    """Every entry in the order of storing, and from any position on."""

    needs = Capability.EVENT_REPLAY

    def test_replay_goes_in_the_order_of_storing(self, receipts: ReceiptStore) -> None:
        first, second = plain(1).payloads, plain(2).payloads
        for batch in ([second[0]], [first[0], second[1]], [*first, *second]):
            receipts.append(batch)
        stored = list(receipts.replay())
        assert [entry.payload for entry in stored] == [second[0], first[0], second[1], *first[1:], *second[2:]]
        positions = [entry.position for entry in stored]
        assert positions == sorted(set(positions))
        assert positions[0] > 0

    def test_replay_goes_on_after_any_position(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        for number in range(5):
            receipts.append(plain(number).payloads)
        stored, reader = list(receipts.replay()), provider.read()
        for place, entry in enumerate(stored, start=1):
            assert list(receipts.replay(entry.position)) == stored[place:]
            assert list(reader.replay(entry.position)) == stored[place:]
        receipts.append(plain(9).payloads)
        assert [entry.payload for entry in receipts.replay(stored[-1].position)] == list(plain(9).payloads)
        reader.close()

    def test_what_is_no_position_is_refused(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads)
        last = list(receipts.replay())[-1].position
        for position in (last + 1, -1):
            with pytest.raises(ValueError, match="nothing was stored at position"):
                list(receipts.replay(position))

    def test_an_empty_store_replays_nothing(self, receipts: ReceiptStore) -> None:
        assert list(receipts.replay()) == []

    def test_replay_ends_where_it_is_told_to(self, receipts: ReceiptStore) -> None:
        for number in range(4):
            receipts.append(plain(number).payloads)
        stored = list(receipts.replay())
        for place, entry in enumerate(stored, start=1):
            assert list(receipts.replay(until=entry.position)) == stored[:place]
            assert list(receipts.replay(stored[1].position, entry.position)) == stored[2:place]

    def test_pieces_between_cuts_are_everything_that_is_stored(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        for number in range(30):
            receipts.append(plain(number).payloads)
            while receipts.tend():
                pass
        stored = list(receipts.replay())
        reader = provider.read()
        for apart in (1, 7, 1000):
            cuts = receipts.cuts(apart)
            assert list(cuts) == sorted(cuts)
            for one in (receipts, reader):
                pieces = [one.replay(begin or 0, end) for begin, end in pairwise([None, *cuts, None])]
                assert [entry for piece in pieces for entry in piece] == stored
        reader.close()

    def test_receipts_selected_between_id_cuts_are_all_there_are(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        for number in (*range(10, 30), *range(10)):
            receipts.append(plain(number, session_id=f"s{number % 2}").payloads)
            while receipts.tend():
                pass
        reader = provider.read()
        for filters, apart in ((filters, apart) for filters in ({}, {"session_id": "s1"}) for apart in (1, 7, 1000)):
            wanted = ReceiptFilter.parse(filters)
            cuts = receipts.id_cuts(apart)
            assert list(cuts) == sorted(cuts, reverse=True)
            pieces = [
                msgspec.structs.replace(wanted, before=before, least=least or "")
                for before, least in pairwise([None, *cuts, None])
            ]
            for one in (receipts, reader):
                assert [receipt for piece in pieces for receipt in one.select(piece)] == list(one.select(wanted))
            assert [summary for piece in pieces for summary in whole_answer(reader, piece)] == whole_answer(
                reader, wanted
            )
        reader.close()


class TestDurable(Clauses):
    """What was acknowledged outlives its process: after closing, and after a death without it."""

    needs = Capability.DURABLE

    def test_what_was_appended_is_there_after_closing(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads + plain(2, closed=False, session_id="a").payloads)
        before = list(receipts.replay()) if Capability.EVENT_REPLAY in provider.capabilities else None
        receipts.close()
        again = provider.open()
        assert again.payloads(receipt_id(1)) == plain(1).payloads
        assert [record[0].receipt_id for record in again.open_receipts()] == [receipt_id(2)]
        assert again.newest_of_session("coding", "a") == receipt_id(2)
        assert before is None or list(again.replay()) == before
        again.append(plain(1).payloads + plain(2, session_id="a").payloads)
        assert again.payloads(receipt_id(2)) == plain(2, session_id="a").payloads
        again.close()

    def test_what_was_appended_is_there_without_closing(
        self, store: StorageBench, provider: StorageProvider, receipts: ReceiptStore, place: Path, tmp_path: Path
    ) -> None:
        log = provider.open_control()
        receipts.append(plain(1).payloads)
        log.append(CONTROL)
        store.crash(place, tmp_path / "left")
        log.close()
        survivor = store.at(tmp_path / "left")
        assert not survivor.is_new()
        with closing(survivor.read()) as reader:
            assert _ids(reader) == [receipt_id(1)]
        again = survivor.open()
        assert again.payloads(receipt_id(1)) == plain(1).payloads
        assert tuple(survivor.read_control()) == CONTROL
        again.append(plain(2).payloads)
        assert _ids(again) == [receipt_id(2), receipt_id(1)]
        again.close()

    def test_a_killed_process_leaves_what_it_acknowledged_and_a_prefix_of_the_rest(
        self, store: StorageBench, provider: StorageProvider, place: Path
    ) -> None:
        acknowledged = kill_while_it_writes(store, place, batches=20)
        receipts = provider.open()
        found = sorted(_ids(receipts))
        assert found == [receipt_id(number) for number in range(len(found))]
        assert len(found) >= acknowledged
        for number, name in enumerate(found):
            record = receipts.payloads(name)
            assert record == plain(number).payloads[: len(record)]
            assert len(record) == 3 or number + 1 == len(found)
        if Capability.TRANSACTIONAL in provider.capabilities:
            assert len(found) % RECEIPTS_IN_BATCH == 0
            assert receipts.open_receipts() == ()
        receipts.append(plain(len(found)).payloads)
        assert len(_ids(receipts)) == len(found) + 1
        receipts.close()


class TestReplacing(Clauses):
    """What was replaced is gone, what took its place is in every answer, and nothing else has changed."""

    needs = Capability.RETENTION_JOBS

    @pytest.fixture
    def replaced(self, provider: StorageProvider, receipts: ReceiptStore) -> ReceiptReader:
        """A store in which the second of three receipts of a session was erased; the reader was there before."""
        for written in _ONE_SESSION:
            receipts.append(written.payloads)
        reader = provider.read()
        receipts.replace(erasures(_ONE_SESSION[1]))
        return reader

    def test_what_is_there_now_is_in_every_answer(
        self, provider: StorageProvider, receipts: ReceiptStore, replaced: ReceiptReader
    ) -> None:
        first, second, third = (written.receipt_id for written in _ONE_SESSION)
        for each in (receipts, replaced, provider.read()):
            assert each.payloads(second) == (*erasures(_ONE_SESSION[1]), *_ONE_SESSION[1].payloads[1:])
            assert verify(each.payloads(second)) is None
            assert [each.payloads(first), each.payloads(third)] == [_ONE_SESSION[0].payloads, _ONE_SESSION[2].payloads]
            assert _ids(each) == [third, second, first]
            users = [
                [summary.receipt_id for summary in each.page(ReceiptFilter.parse({"consuming_user_id": user})).data]
                for user in ("u0", "u1", "u2")
            ]
            assert users == [[first], [], [third]]
            assert [receipt.caller.erased is not None for receipt in each.select(ReceiptFilter())] == [
                False,
                True,
                False,
            ]
            assert (each.health().receipt_count, each.health().open_count) == (3, 0)
            if Capability.EVENT_REPLAY in provider.capabilities:
                assert {stored.payload for stored in each.replay()} == {
                    payload for one in (first, second, third) for payload in each.payloads(one)
                }

    def test_a_receipt_without_its_caller_is_of_no_session(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        for written in _ONE_SESSION:
            receipts.append(written.payloads)
        for left in (2, 1, 0):
            for each in (receipts, provider.read()):
                assert each.newest_of_session("coding", "s") == _ONE_SESSION[left].receipt_id
            receipts.replace(erasures(_ONE_SESSION[left]))
        for each in (receipts, provider.read()):
            assert each.newest_of_session("coding", "s") is None
        receipts.append(plain(9, session_id="s").payloads)
        assert receipts.newest_of_session("coding", "s") == receipt_id(9)

    def test_positions_stay_what_they_were(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        if Capability.EVENT_REPLAY not in provider.capabilities:
            return
        for number in range(20):
            receipts.append(with_content(number, f"answer {number}").payloads)
        before = list(receipts.replay())
        for number in (3, 4, 11, 19):
            receipts.replace(erasures(with_content(number, f"answer {number}")))
        receipts.append(plain(20).payloads)
        after = list(receipts.replay())
        assert [stored.position for stored in after[: len(before)]] == [stored.position for stored in before]
        assert sum(one.payload != two.payload for one, two in zip(before, after, strict=False)) == 4
        for number, stored in enumerate(before):
            assert list(receipts.replay(stored.position)) == after[number + 1 :]

    def test_what_is_not_stored_is_skipped_and_replacing_again_changes_nothing(self, receipts: ReceiptStore) -> None:
        gone, kept, other = (with_content(number, "text") for number in (1, 2, 3))
        for written in (gone, kept):
            receipts.append(written.payloads)
        receipts.forget(kept.receipt_id)
        for _ in range(2):
            receipts.replace([])
            receipts.replace([*erasures(gone), *erasures(kept), *erasures(other)])
            assert _ids(receipts) == [kept.receipt_id]
            assert receipts.payloads(kept.receipt_id) == (kept.payloads[0], *erasures(kept), kept.payloads[2])
        receipts.append([*gone.payloads, *kept.payloads])
        assert receipts.payloads(kept.receipt_id)[1:2] == erasures(kept), "sent again, it stays what it has become"

    def test_an_open_receipt_goes_on_from_what_is_there(self, receipts: ReceiptStore) -> None:
        written = with_content(1, "text")
        receipts.append(written.payloads[:2])
        receipts.replace(erasures(written))
        receipts.append(written.payloads)
        assert receipts.payloads(written.receipt_id) == (written.payloads[0], *erasures(written), written.payloads[2])
        assert verify(receipts.payloads(written.receipt_id)) is None
        assert receipts.health().open_count == 0

    @pytest.mark.parametrize("unfit", ["longer", "of another kind", "no entry"])
    def test_what_cannot_take_the_place_is_refused_and_nothing_is_replaced(
        self, receipts: ReceiptStore, unfit: str
    ) -> None:
        written = with_content(1, "text")
        receipts.append(written.payloads)
        payload = {
            "longer": with_content(1, "a longer text").payloads[1],
            "of another kind": sealed(1, [opened(), Closed("completed", 0)]).payloads[1],
            "no entry": b"{}",
        }[unfit]
        with pytest.raises(ValueError, match=r"cannot be replaced|not an encoded receipt entry"):
            receipts.replace([*erasures(written), payload] if unfit == "no entry" else [payload])
        assert receipts.payloads(written.receipt_id) == written.payloads

    def test_an_event_fades_in_its_place_and_in_every_answer(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        old, young = governed(1), governed(2)
        receipts.append(old.payloads + young.payloads)
        reader, left = provider.read(), after_fading(old)
        for _ in range(2):
            receipts.replace(fadings(old))
            for each in (receipts, reader, provider.read()):
                assert (each.payloads(old.receipt_id), each.payloads(young.receipt_id)) == (
                    left.payloads,
                    young.payloads,
                )
                assert verify(each.payloads(old.receipt_id)) is None
                blocked = ReceiptFilter.parse({"stream_policy_action": "block"})
                assert [summary.receipt_id for summary in each.page(blocked).data] == [young.receipt_id]
                assert [receipt.faded_events for receipt in each.select(ReceiptFilter())] == [0, 2]
                assert each.newest_of_session("coding", "s") == young.receipt_id
                assert (each.health().receipt_count, each.health().open_count) == (2, 0)
        receipts.append(old.payloads)
        assert receipts.payloads(old.receipt_id) == left.payloads, "sent again, it stays what it has become"

    @pytest.mark.parametrize("unfit", ["opening", "closing", "of another kind", "as it was"])
    def test_nothing_else_fades_and_nothing_that_has_faded_comes_back(self, receipts: ReceiptStore, unfit: str) -> None:
        written = governed(1)
        receipts.append(written.payloads)
        receipts.replace(fadings(written)[:1])
        before, started, finished = receipts.payloads(written.receipt_id), *fadings(written)
        payload = {
            "opening": started.replace(b'"seq":2', b'"seq":1'),
            "closing": started.replace(b'"seq":2', b'"seq":4'),
            "of another kind": finished.replace(b'"was":"attempt.finished"', b'"was":"stream.resumed"'),
            "as it was": written.payloads[1],
        }[unfit]
        with pytest.raises(ValueError, match="cannot be replaced"):
            receipts.replace([finished, payload])
        assert receipts.payloads(written.receipt_id) == before

    def test_a_closed_store_refuses(self, receipts: ReceiptStore) -> None:
        written = with_content(1, "text")
        receipts.append(written.payloads)
        receipts.close()
        with pytest.raises(StorageUnavailable):
            receipts.replace(erasures(written))

    def test_what_was_replaced_stays_so_after_a_restart_and_a_death(
        self, provider: StorageProvider, receipts: ReceiptStore, store: StorageBench, place: Path, tmp_path: Path
    ) -> None:
        if Capability.DURABLE not in provider.capabilities:
            return
        for written in _ONE_SESSION:
            receipts.append(written.payloads)
        receipts.replace([left for written in _ONE_SESSION for left in erasures(written)])
        left_behind = tmp_path / "left"
        store.crash(place, left_behind)
        receipts.close()
        for reopened in (store.at(left_behind).open(), provider.open()):
            for written in _ONE_SESSION:
                assert reopened.payloads(written.receipt_id)[:1] == erasures(written)
            assert reopened.newest_of_session("coding", "s") is None
            reopened.append(plain(9).payloads)
            assert reopened.payloads(receipt_id(9)) == plain(9).payloads
            reopened.close()


class TestRetentionJobs(Clauses):
    """What was forgotten is gone for good, and nothing else is."""

    needs = Capability.RETENTION_JOBS

    def test_closed_receipts_below_the_bound_are_in_no_answer(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        for number in (2, 1, 3, 4):
            receipts.append(plain(number, session_id=f"s{number}").payloads)
        reader = provider.read()
        assert receipts.forget(receipt_id(3)) == 2
        assert receipts.forget(receipt_id(3)) == 0
        later = provider.read()
        for each in (receipts, reader, later):
            assert _ids(each) == [receipt_id(4), receipt_id(3)]
            assert [summary.receipt_id for summary in each.page(ReceiptFilter()).data] == _ids(each)
            assert (each.entries(receipt_id(1)), each.payloads(receipt_id(2))) == ((), ())
            assert each.newest_of_session("coding", "s1") is None
            assert each.newest_of_session("coding", "s3") == receipt_id(3)
            assert each.health().receipt_count == 2
            if Capability.EVENT_REPLAY in provider.capabilities:
                kept = [*plain(3, session_id="s3").payloads, *plain(4, session_id="s4").payloads]
                assert [stored.payload for stored in each.replay()] == kept
            each.close()

    def test_an_open_receipt_goes_when_it_is_closed(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1, closed=False).payloads + plain(2).payloads)
        assert receipts.forget(receipt_id(9)) == 1
        assert receipts.payloads(receipt_id(1)) == plain(1, closed=False).payloads
        assert receipts.health().open_count == 1
        receipts.append(plain(1).payloads)
        assert (_ids(receipts), receipts.open_receipts()) == ([], ())
        assert (receipts.health().receipt_count, receipts.health().open_count) == (0, 0)

    @pytest.mark.parametrize("rounds", [1, 2])
    def test_of_a_session_an_open_receipt_may_be_left(self, receipts: ReceiptStore, rounds: int) -> None:
        receipts.append(plain(1, closed=False, session_id="a").payloads + plain(2, session_id="a").payloads)
        receipts.append(plain(0, closed=False, session_id="a").payloads)
        for _ in range(rounds):
            receipts.forget(receipt_id(9), 1)
        assert receipts.newest_of_session("coding", "a") == receipt_id(1)
        receipts.append(plain(1, session_id="a").payloads)
        assert receipts.newest_of_session("coding", "a") == receipt_id(0)
        receipts.append(plain(0, session_id="a").payloads)
        assert receipts.newest_of_session("coding", "a") is None
        receipts.append(plain(10, session_id="a").payloads)
        assert receipts.newest_of_session("coding", "a") == receipt_id(10)

    def test_what_is_sent_again_stays_forgotten(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads + plain(3).payloads)
        receipts.forget(receipt_id(2))
        receipts.append([*plain(1).payloads, *plain(1).payloads[1:], *plain(3).payloads, *plain(4).payloads])
        assert _ids(receipts) == [receipt_id(4), receipt_id(3)]

    def test_so_many_are_forgotten_at_a_time_the_oldest_first(self, receipts: ReceiptStore) -> None:
        for number in range(7):
            receipts.append(plain(number, closed=number != 1).payloads)
        assert [receipts.forget(receipt_id(6), 2) for _ in range(4)] == [2, 2, 1, 0]
        assert _ids(receipts) == [receipt_id(6), receipt_id(1)]

    def test_positions_stay_valid(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        if Capability.EVENT_REPLAY not in provider.capabilities:
            return
        for number in range(40):
            receipts.append(plain(number).payloads)
        before = list(receipts.replay())
        receipts.forget(receipt_id(40))
        receipts.append(plain(41).payloads)
        after = list(receipts.replay())
        assert [stored.payload for stored in after] == list(plain(41).payloads)
        assert after[0].position > before[-1].position
        for stored in before:
            assert list(receipts.replay(stored.position)) == after

    def test_what_was_forgotten_stays_so_after_a_restart(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        if Capability.DURABLE not in provider.capabilities:
            return
        for number in range(40):
            receipts.append(plain(number, closed=number != 5, session_id="s").payloads)
        receipts.forget(receipt_id(30))
        receipts.close()
        again = provider.open()
        assert _ids(again) == [*(receipt_id(number) for number in range(39, 29, -1)), receipt_id(5)]
        assert [record[0].receipt_id for record in again.open_receipts()] == [receipt_id(5)]
        again.append(plain(0).payloads + plain(5, session_id="s").payloads)
        again.close()
        with closing(provider.read()) as reader:
            assert len(_ids(reader)) == 10


class TestTransactional(Clauses):
    """A batch is there as a whole or not at all, to whoever looks. What a dead writer leaves is asked among the durable clauses."""

    needs = Capability.TRANSACTIONAL

    def test_a_reader_sees_a_whole_batch_or_nothing_of_it(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        receipts.append(plain(9999).payloads)
        reader, done = provider.read(), threading.Event()

        def read() -> None:
            number = 0
            while not done.is_set():
                while reader.payloads(receipt_id(number)):
                    assert reader.payloads(receipt_id(number + 1)) == plain(number + 1).payloads
                    number += 2

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(read)
            try:
                for number in range(0, 100, 2):
                    receipts.append(plain(number).payloads + plain(number + 1).payloads)
            finally:
                done.set()
            watching.result(_PATIENCE_S)
        reader.close()


class TestRuntimeHotStore(Clauses):
    """What the runtime asks on its event loop is answered from memory."""

    needs = Capability.RUNTIME_HOT_STORE

    def test_sessions_and_health_are_known_without_what_is_kept(
        self, store: StorageBench, receipts: ReceiptStore, place: Path
    ) -> None:
        receipts.append(plain(1, session_id="a").payloads + plain(2, closed=False).payloads)
        store.cut_off(place)
        assert receipts.newest_of_session("coding", "a") == receipt_id(1)
        assert receipts.newest_of_session("coding", "b") is None
        assert (receipts.health().receipt_count, receipts.health().open_count) == (2, 1)


class TestTimeRangeIndexes(Clauses):
    """A time that lies behind very many receipts is found at once."""

    needs = Capability.TIME_RANGE_INDEXES

    def test_a_page_of_a_narrow_span_is_whole_however_much_is_newer_and_older(self, receipts: ReceiptStore) -> None:
        later = AT + 10 * CLOCK_SLACK_S
        times = {1: AT - 10 * CLOCK_SLACK_S, 2: AT, 3: AT + 1, 4: AT + 2}
        times |= dict.fromkeys(range(5, 6 + MAX_SCANNED), later)
        receipts.append([sealed(number, [opened()], at).payloads[0] for number, at in times.items()])
        asked = {"created_at_min": str(AT), "created_at_max": str(AT + 1)}
        for filters in (asked, {**asked, "model": "coding"}, {**asked, "simulation": "false"}):
            page = receipts.page(ReceiptFilter.parse(filters))
            assert [summary.receipt_id for summary in page.data] == [receipt_id(3), receipt_id(2)]
            assert page.next_cursor is None


class TestAdvisoryLocks(Clauses):
    """Only one process writes, and a second one is told who does."""

    needs = Capability.ADVISORY_LOCKS

    def test_nobody_else_is_there(self, receipts: ReceiptStore) -> None:
        assert receipts.enlist("boot-1") == frozenset()

    def test_a_second_writer_is_refused_until_the_first_has_closed(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        receipts.append(plain(1).payloads)
        with pytest.raises(StorageUnavailable, match=r"in use by process \d+"):
            provider.open()
        receipts.append(plain(2).payloads)
        receipts.close()
        second = provider.open()
        assert _ids(second) == [receipt_id(2), receipt_id(1)]
        second.close()


class TestConcurrentWriters(Clauses):
    """Several processes at once, each with receipts of its own, and all of them with some that they share."""

    needs = Capability.CONCURRENT_WRITERS

    def test_what_several_processes_append_is_all_there_once_and_no_reader_misses_any_of_it(
        self, store: StorageBench, place: Path, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        shared = range(40)
        tasks = [
            Task(store, place, f"boot-{one}", [[number, 100 * one + number] for number in shared]) for one in (1, 2, 3)
        ]
        with fellows(*tasks) as writers, ThreadPoolExecutor(1) as pool:
            for writer in writers:
                writer.begin()
            done = pool.submit(_wait_for_all, writers)
            reader, last, seen = provider.read(), 0, list[Stored]()
            while not done.done():
                for stored in reader.replay(last):
                    seen.append(stored)
                    last = stored.position
            done.result(_PATIENCE_S)
            seen += reader.replay(last)
            reader.close()
        assert seen == list(receipts.replay()), "something came to be seen behind a reader's back"
        assert [stored.position for stored in seen] == sorted({stored.position for stored in seen})
        numbers = [100 * one + number for one in range(4) for number in shared]
        assert sorted(_ids(receipts)) == [receipt_id(number) for number in numbers]
        assert all(receipts.payloads(receipt_id(number)) == plain(number).payloads for number in numbers)
        health = receipts.health()
        assert (health.receipt_count, health.open_count, len(seen)) == (160, 0, 160 * len(plain(1).payloads))

    def test_each_is_told_of_those_that_are_there_and_of_none_that_is_gone(
        self, store: StorageBench, place: Path, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        assert receipts.enlist("first") == frozenset()
        second = provider.open()
        assert second.enlist("second") == {"first"}
        with fellows(Task(store, place, "third", ())) as (third,):
            assert receipts.enlist("first") == {"second", "third"}
            assert second.enlist("second") == {"first", "third"}
            second.close()
            third.kill()
            deadline = time.monotonic() + _PATIENCE_S
            while (there := _told_to_a_newcomer(provider)) != {"first"}:
                assert time.monotonic() < deadline, there

    def test_what_comes_behind_the_closing_entry_of_somebody_else_changes_nothing(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        record, other = plain(1, attempts=3).payloads, provider.open()
        receipts.append(record[:2])
        closing_entry = resume(other.entries(receipt_id(1))).seal(Closed("interrupted", 1), AT)
        other.append([closing_entry])
        receipts.append(record[2:4])
        receipts.append(record[4:])
        assert receipts.payloads(receipt_id(1)) == (*record[:2], closing_entry)
        assert verify(receipts.payloads(receipt_id(1))) is None
        other.close()

    def test_a_control_log_that_has_gone_on_takes_nothing_that_does_not_follow(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        one, other = provider.open_control(), provider.open_control()
        one.append(CONTROL[:1])
        with pytest.raises(ControlMovedOn):
            other.append(CONTROL[:2])
        assert tuple(other.entries()) == CONTROL[:1]
        other.append(CONTROL[1:])
        assert tuple(one.entries()) == CONTROL
        one.close()
        other.close()


def _wait_for_all(writers: Sequence[Fellow]) -> None:
    for writer in writers:
        writer.wait_until(DONE)


def _told_to_a_newcomer(provider: StorageProvider) -> frozenset[str]:
    with closing(provider.open()) as newcomer:
        return newcomer.enlist("newcomer") - {"newcomer"}


class TestConsumerOffsets(Clauses):
    """Small values under names of their own, by which whoever reads on keeps its place."""

    needs = Capability.CONSUMER_OFFSETS

    def test_a_mark_is_what_was_last_set_under_its_name(self, receipts: ReceiptStore) -> None:
        assert receipts.mark("sink.one") is None
        receipts.set_mark("sink.one", b"\x00 1")
        receipts.set_mark("sink.two", b"2")
        assert (receipts.mark("sink.one"), receipts.mark("sink.two")) == (b"\x00 1", b"2")
        receipts.set_mark("sink.one", b"")
        assert (receipts.mark("sink.one"), receipts.mark("sink.two")) == (b"", b"2")

    def test_marks_and_receipts_know_nothing_of_each_other(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads)
        before = [stored.position for stored in receipts.replay()]
        receipts.set_mark("m", b"value")
        receipts.append(plain(2).payloads)
        assert [stored.position for stored in receipts.replay()][: len(before)] == before
        assert len(list(receipts.replay())) == len(plain(1).payloads) + len(plain(2).payloads)
        assert receipts.mark("m") == b"value"

    def test_a_mark_outlives_its_store_wherever_receipts_do(
        self, provider: StorageProvider, receipts: ReceiptStore
    ) -> None:
        receipts.set_mark("m", b"kept" * 10_000)
        receipts.close()
        with pytest.raises(StorageUnavailable):
            receipts.set_mark("m", b"too late")
        again = provider.open()
        assert again.mark("m") == b"kept" * 10_000
        again.close()

    def test_a_reader_of_its_own_sees_the_newest_mark(self, provider: StorageProvider, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads)
        reader = provider.read()
        assert reader.mark("m") is None
        receipts.set_mark("m", b"1")
        assert reader.mark("m") == b"1"
        reader.close()

    @pytest.mark.parametrize("name", ["", "A", "../m", "a/b", ".m", "m\n", "x" * 101])
    def test_what_can_be_no_name_is_refused(self, receipts: ReceiptStore, name: str) -> None:
        with pytest.raises(ValueError, match="cannot name a mark"):
            receipts.set_mark(name, b"")
        with pytest.raises(ValueError, match="cannot name a mark"):
            receipts.mark(name)

    def test_marks_may_be_set_while_entries_are_appended(self, receipts: ReceiptStore) -> None:
        def mark() -> None:
            for number in range(50):
                receipts.set_mark("m", str(number).encode())

        with ThreadPoolExecutor(1) as pool:
            marking = pool.submit(mark)
            for number in range(50):
                receipts.append(plain(number).payloads)
            marking.result(_PATIENCE_S)
        assert receipts.mark("m") == b"49"
        assert len(_ids(receipts)) == 50


class TestBesideMemory(Clauses):
    """Any history at all: the provider and the memory store, driven alike, never differ."""

    def test_no_history_tells_it_from_the_memory_store(
        self, store: StorageBench, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        class Life(BesideMemory):
            """One of this provider."""

            def __init__(self) -> None:
                super().__init__(store, lambda: tmp_path_factory.mktemp("life") / "place")

        run_state_machine_as_test(
            Life, settings=settings(_PATIENT, max_examples=round(30 * store.effort), stateful_step_count=15)
        )


class TestWhatWasSkipped(Clauses):
    """Nothing is skipped in silence. Says everything only of a whole run of its module, in which it comes last."""

    def test_the_suite_is_whole_and_skips_just_what_is_not_declared(
        self, request: pytest.FixtureRequest, provider: StorageProvider
    ) -> None:
        collected = [item for item in request.session.items if item.path == request.node.path]
        asked = {getattr(item, "originalname", item.name) for item in collected}
        missing = sorted(set(_clauses()) - asked)
        if missing and _is_partial(request.config):
            pytest.skip("only a part of the suite was asked for")
        assert not missing, f"clauses left out: {missing}"
        assert not [item.name for item in collected if any(map(item.get_closest_marker, ("skip", "skipif", "xfail")))]
        assert provider.capabilities <= PROVABLE, "declared, and no clause proves it"
        skipped = request.session.stash[_SKIPPED][request.node.path.as_posix()]
        undeclared = PROVABLE - provider.capabilities
        assert skipped <= undeclared
        if collected[-1] is request.node:
            assert skipped == undeclared


def _suite() -> list[type[Clauses]]:
    return [found for name in __all__ if isinstance(found := globals()[name], type) and issubclass(found, Clauses)]


def _clauses() -> list[str]:
    return [name for each in _suite() for name in vars(each) if name.startswith("test_")]


def _is_partial(config: pytest.Config) -> bool:
    selected: Sequence[Any] = (config.option.keyword, config.option.markexpr, *(a for a in config.args if "::" in a))
    return any(selected)


PROVABLE = frozenset(each.needs for each in _suite() if each.needs is not None)
"""The capabilities that have clauses: the only ones that can be declared yet."""


def _ids(receipts: ReceiptReader, before: str | None = None) -> list[str]:
    return [record[0].receipt_id for record in receipts.newest(before)]


def _meant(history: list[Written], wanted: ReceiptFilter) -> list[Receipt]:
    """The receipts that a filter means, newest first."""
    folded = [fold([decode_entry(payload) for payload in record.payloads]) for record in reversed(history)]
    below = (receipt for receipt in folded if wanted.before is None or receipt.receipt_id < wanted.before)
    return [receipt for receipt in below if wanted.matches(receipt)]
