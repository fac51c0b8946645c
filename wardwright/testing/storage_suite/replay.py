"""Clauses on the log as a log: replaying it from a position, and the places of those who follow it."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import msgspec
import pytest

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptStore, StorageProvider
from wardwright.receipts.query import ReceiptFilter
from wardwright.testing.sample_receipts import (
    plain,
)
from wardwright.testing.storage_machine import whole_answer
from wardwright.testing.storage_suite.clauses import PATIENCE_S, Clauses, ids


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
            marking.result(PATIENCE_S)
        assert receipts.mark("m") == b"49"
        assert len(ids(receipts)) == 50
