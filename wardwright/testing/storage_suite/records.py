"""Clauses on what is stored and how it is asked for: appending, reading, queries."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import CONTRACT, Capability, ReceiptStore, StorageProvider
from wardwright.receipts.chain import verify
from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import fold, summarise
from wardwright.receipts.query import CLOCK_SLACK_S, MAX_SCANNED, ReceiptFilter
from wardwright.receipts.receipt import Receipt
from wardwright.testing.sample_receipts import (
    AT,
    Written,
    after_fading,
    fadings,
    histories,
    opened,
    plain,
    queries,
    receipt_id,
    sealed,
)
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.storage_machine import BesideMemory, whole_answer
from wardwright.testing.storage_suite.clauses import CONTROL, PATIENCE_S, PATIENT, Clauses, ids

_HISTORY = 25


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
        assert ids(receipts) == []
        receipts.append([*other, *record])
        assert ids(receipts) == [receipt_id(2), receipt_id(1)]

    @pytest.mark.parametrize(
        "payload", [b"", b"{", b"[]", b'{"receipt_id":"r"}', b'{"receipt_id":"\xff"}', b"[" * 9999]
    )
    def test_what_is_no_entry_is_refused(self, receipts: ReceiptStore, payload: bytes) -> None:
        with pytest.raises(ValueError, match="not an encoded receipt entry"):
            receipts.append([*plain(2).payloads, payload])
        receipts.append(plain(1).payloads)
        assert ids(receipts) == [receipt_id(1)]

    def test_a_closed_store_refuses_appends_and_can_be_closed_again_and_read(self, receipts: ReceiptStore) -> None:
        receipts.append(plain(1).payloads)
        receipts.check_writable()
        receipts.close()
        receipts.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            receipts.append(plain(2).payloads)
        with pytest.raises(StorageUnavailable, match="closed"):
            receipts.check_writable()
        assert ids(receipts) == [receipt_id(1)]


class TestReading(Clauses):
    """One receipt, receipts by id, the newest of a session, the open ones; beside the writer."""

    def test_an_unknown_receipt_has_no_entries(self, receipts: ReceiptStore) -> None:
        assert receipts.entries(receipt_id(1)) == ()
        assert receipts.payloads(receipt_id(1)) == ()

    def test_newest_goes_by_descending_id_whatever_the_order_of_writing(self, receipts: ReceiptStore) -> None:
        for number in (3, 1, 5, 2, 4):
            receipts.append(plain(number).payloads)
        assert ids(receipts) == [receipt_id(number) for number in (5, 4, 3, 2, 1)]

    @pytest.mark.parametrize(
        ("before", "first"), [("rcpt_0003", 2), ("rcpt_0002x", 2), ("rcpt_0001", 0), ("z", 4), ("", 0)]
    )
    def test_before_is_strict_and_need_not_exist(self, receipts: ReceiptStore, before: str, first: int) -> None:
        for number in (1, 2, 3, 4):
            receipts.append(plain(number).payloads)
        assert ids(receipts, before) == [receipt_id(number) for number in range(first, 0, -1)]

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
        assert ids(reader) == [receipt_id(1)]
        receipts.append(plain(2, session_id="a").payloads)
        assert ids(reader) == [receipt_id(2), receipt_id(1)]
        assert reader.payloads(receipt_id(2)) == plain(2, session_id="a").payloads
        assert reader.newest_of_session("coding", "a") == receipt_id(2)
        assert reader.health().receipt_count == 2
        reader.close()
        reader.close()
        assert ids(reader) == ids(receipts)

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
            assert [reader.result(PATIENCE_S) for reader in readers] == [60, 60, 60]


class TestQueries(Clauses):
    """The answer to a query is what its words mean, whatever the store makes of them."""

    def test_every_page_holds_what_the_filter_means(
        self, store: StorageBench, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        @settings(PATIENT, max_examples=round(40 * store.effort))
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
        assert ids(receipts) == [receipt_id(1)]


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
            Life, settings=settings(PATIENT, max_examples=round(30 * store.effort), stateful_step_count=15)
        )


def _meant(history: list[Written], wanted: ReceiptFilter) -> list[Receipt]:
    """The receipts that a filter means, newest first."""
    folded = [fold([decode_entry(payload) for payload in record.payloads]) for record in reversed(history)]
    below = (receipt for receipt in folded if wanted.before is None or receipt.receipt_id < wanted.before)
    return [receipt for receipt in below if wanted.matches(receipt)]
