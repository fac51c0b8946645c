"""Clauses on restarts and deaths: what is durable, and what happens whole or not at all."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from wardwright.ports.storage import Capability, ReceiptStore, StorageProvider
from wardwright.testing.doomed_writer import RECEIPTS_IN_BATCH, kill_while_it_writes
from wardwright.testing.sample_receipts import (
    plain,
    receipt_id,
)
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.storage_suite.clauses import CONTROL, PATIENCE_S, Clauses, ids


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
            assert ids(reader) == [receipt_id(1)]
        again = survivor.open()
        assert again.payloads(receipt_id(1)) == plain(1).payloads
        assert tuple(survivor.read_control()) == CONTROL
        again.append(plain(2).payloads)
        assert ids(again) == [receipt_id(2), receipt_id(1)]
        again.close()

    def test_a_killed_process_leaves_what_it_acknowledged_and_a_prefix_of_the_rest(
        self, store: StorageBench, provider: StorageProvider, place: Path
    ) -> None:
        acknowledged = kill_while_it_writes(store, place, batches=20)
        receipts = provider.open()
        found = sorted(ids(receipts))
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
        assert len(ids(receipts)) == len(found) + 1
        receipts.close()


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
            watching.result(PATIENCE_S)
        reader.close()
