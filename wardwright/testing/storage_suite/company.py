"""Clauses on several at one place: one writer who keeps others out, or many writers."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlMovedOn
from wardwright.ports.storage import Capability, ReceiptStore, StorageProvider, Stored
from wardwright.receipts.chain import resume, verify
from wardwright.receipts.events import Closed
from wardwright.testing.fellow_writer import DONE, Fellow, Task, fellows
from wardwright.testing.sample_receipts import (
    AT,
    plain,
    receipt_id,
)
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.storage_suite.clauses import CONTROL, PATIENCE_S, Clauses, ids


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
        assert ids(second) == [receipt_id(2), receipt_id(1)]
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
            done.result(PATIENCE_S)
            seen += reader.replay(last)
            reader.close()
        assert seen == list(receipts.replay()), "something came to be seen behind a reader's back"
        assert [stored.position for stored in seen] == sorted({stored.position for stored in seen})
        numbers = [100 * one + number for one in range(4) for number in shared]
        assert sorted(ids(receipts)) == [receipt_id(number) for number in numbers]
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
            deadline = time.monotonic() + PATIENCE_S
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
