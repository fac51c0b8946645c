"""Clauses on what may still be done to a record: replacing what it says by less, and forgetting it."""

from contextlib import closing
from pathlib import Path

import pytest

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptReader, ReceiptStore, StorageProvider
from wardwright.receipts.chain import verify
from wardwright.receipts.events import Closed
from wardwright.receipts.query import ReceiptFilter
from wardwright.testing.sample_receipts import (
    after_fading,
    erasures,
    fadings,
    governed,
    opened,
    plain,
    receipt_id,
    sealed,
    with_content,
)
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.storage_suite.clauses import Clauses, ids

_ONE_SESSION = tuple(plain(number, session_id="s", user_id=f"u{number}") for number in range(3))


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
            assert ids(each) == [third, second, first]
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
            assert ids(receipts) == [kept.receipt_id]
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
            assert ids(each) == [receipt_id(4), receipt_id(3)]
            assert [summary.receipt_id for summary in each.page(ReceiptFilter()).data] == ids(each)
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
        assert (ids(receipts), receipts.open_receipts()) == ([], ())
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
        assert ids(receipts) == [receipt_id(4), receipt_id(3)]

    def test_so_many_are_forgotten_at_a_time_the_oldest_first(self, receipts: ReceiptStore) -> None:
        for number in range(7):
            receipts.append(plain(number, closed=number != 1).payloads)
        assert [receipts.forget(receipt_id(6), 2) for _ in range(4)] == [2, 2, 1, 0]
        assert ids(receipts) == [receipt_id(6), receipt_id(1)]

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
        assert ids(again) == [*(receipt_id(number) for number in range(39, 29, -1)), receipt_id(5)]
        assert [record[0].receipt_id for record in again.open_receipts()] == [receipt_id(5)]
        again.append(plain(0).payloads + plain(5, session_id="s").payloads)
        again.close()
        with closing(provider.read()) as reader:
            assert len(ids(reader)) == 10
