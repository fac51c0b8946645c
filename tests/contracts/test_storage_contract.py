"""What every receipt store promises (`contracts/storage-provider-contract.md`), checked for each of them by the same clauses."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.wardwright.receipts.receipt_samples import opened
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import ReceiptStore
from wardwright.receipts.chain import Chain, verify
from wardwright.receipts.events import AttemptStarted, Closed, decode_entry
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.memory import MemoryReceiptStore

Store = MemoryReceiptStore | FileReceiptStore


def payloads(number: int, count: int = 3, *, closed: bool = True) -> list[bytes]:
    """The entries of one receipt: attempts, and at the end what closes it. What they say does not matter to a store."""
    chain = Chain(f"rcpt_{number:04d}")
    made = [chain.seal(AttemptStarted(at, "local/small", "local", "small:7b"), at) for at in range(1, count)]
    return [*made, chain.seal(Closed("completed", count), count)] if closed else made


def ids(store: ReceiptStore, before: str | None = None) -> list[str]:
    return [record[0].receipt_id for record in store.newest(before)]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryReceiptStore() if request.param == "memory" else FileReceiptStore(tmp_path, segment_bytes=2000)
    yield made
    made.close()


class TestAppending:
    def test_entries_come_back_in_order_and_byte_for_byte(self, store: Store) -> None:
        first, second = payloads(1), payloads(2)
        store.append([first[0], second[0]])
        store.append([second[1], first[1], first[2]])
        assert store.payloads("rcpt_0001") == tuple(first)
        assert store.entries("rcpt_0001") == tuple(decode_entry(payload) for payload in first)
        assert store.payloads("rcpt_0002") == tuple(second[:2])
        assert verify(store.payloads("rcpt_0001")) is None

    def test_an_entry_that_is_stored_is_skipped(self, store: Store) -> None:
        record = payloads(1)
        store.append(record[:2])
        store.append(record)
        store.append([*record, *record])
        assert store.payloads("rcpt_0001") == tuple(record)

    def test_an_entry_repeated_within_a_batch_is_stored_once(self, store: Store) -> None:
        record = payloads(1)
        store.append([record[0], record[0], record[1], record[0], record[2]])
        assert store.payloads("rcpt_0001") == tuple(record)

    def test_an_empty_batch_is_nothing(self, store: Store) -> None:
        store.append([])
        assert store.health().receipt_count == 0

    @pytest.mark.parametrize("sent", [[1], [0, 2], [0, 1, 3]])
    def test_an_entry_before_its_predecessor_is_refused_with_its_whole_batch(
        self, store: Store, sent: list[int]
    ) -> None:
        record, other = payloads(1, 4), payloads(2)
        with pytest.raises(ValueError, match=f"entry {sent[-1] + 1} of rcpt_0001 cannot be stored before entry"):
            store.append([*other, *(record[index] for index in sent)])
        assert ids(store) == []
        store.append([*other, *record])
        assert ids(store) == ["rcpt_0002", "rcpt_0001"]

    @pytest.mark.parametrize(
        "payload", [b"", b"{", b"[]", b'{"receipt_id":"r"}', b'{"receipt_id":"\xff"}', b"[" * 9999]
    )
    def test_what_is_no_entry_is_refused(self, store: Store, payload: bytes) -> None:
        with pytest.raises(ValueError, match="not an encoded receipt entry"):
            store.append([payload])
        store.append(payloads(1))
        assert ids(store) == ["rcpt_0001"]

    def test_a_closed_store_refuses_appends_and_can_be_closed_again_and_read(self, store: Store) -> None:
        store.append(payloads(1))
        store.check_writable()
        store.close()
        store.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            store.append(payloads(2))
        with pytest.raises(StorageUnavailable, match="closed"):
            store.check_writable()
        assert ids(store) == ["rcpt_0001"]


class TestReading:
    def test_an_unknown_receipt_has_no_entries(self, store: Store) -> None:
        assert store.entries("rcpt_0001") == ()
        assert store.payloads("rcpt_0001") == ()

    def test_newest_goes_by_descending_id_whatever_the_order_of_writing(self, store: Store) -> None:
        for number in (3, 1, 5, 2, 4):
            store.append(payloads(number))
        assert ids(store) == [f"rcpt_000{number}" for number in (5, 4, 3, 2, 1)]

    @pytest.mark.parametrize(
        ("before", "first"), [("rcpt_0003", 2), ("rcpt_0002x", 2), ("rcpt_0001", 0), ("z", 4), ("", 0)]
    )
    def test_before_is_strict_and_need_not_exist(self, store: Store, before: str, first: int) -> None:
        for number in (1, 2, 3, 4):
            store.append(payloads(number))
        assert ids(store, before) == [f"rcpt_000{number}" for number in range(first, 0, -1)]

    def test_the_newest_receipt_of_a_session_is_known_whatever_the_order_of_writing(self, store: Store) -> None:
        for number, session_id in ((2, "a"), (3, "b"), (1, "a"), (4, None)):
            caller = Caller() if session_id is None else Caller(session_id=Attributed(session_id, "header"))
            store.append([Chain(f"rcpt_{number:04d}").seal(opened(model_id="m", caller=caller), 1.0)])
        found = [store.newest_of_session(*session) for session in (("m", "a"), ("m", "b"), ("m", "c"), ("n", "a"))]
        assert found == ["rcpt_0002", "rcpt_0003", None, None]

    def test_newest_is_read_as_it_is_asked_for_and_unmoved_by_newer_receipts(self, store: Store) -> None:
        store.append(payloads(1, closed=False) + payloads(3))
        newest = store.newest()
        assert next(newest)[0].receipt_id == "rcpt_0003"
        store.append(payloads(4) + payloads(1))
        (record,) = newest
        assert len(record) == 3

    def test_open_receipts_are_those_without_a_closing_entry(self, store: Store) -> None:
        store.append(payloads(1) + payloads(3, closed=False) + payloads(2, closed=False))
        assert [record[0].receipt_id for record in store.open_receipts()] == ["rcpt_0002", "rcpt_0003"]
        store.append(payloads(2))
        assert store.open_receipts() == (store.entries("rcpt_0003"),)

    def test_health_counts(self, store: Store) -> None:
        store.append(payloads(1) + payloads(2, closed=False))
        health = store.health()
        assert (health.receipt_count, health.open_count) == (2, 1)
        assert health.durable is (health.kind == "file")

    def test_readers_see_whole_prefixes_while_a_writer_writes(self, store: Store) -> None:
        done = threading.Event()

        def read() -> int:
            seen = 0
            while not (done.is_set() and seen == 60):
                records = list(store.newest())
                assert [r[0].receipt_id for r in records] == sorted((r[0].receipt_id for r in records), reverse=True)
                assert all([entry.seq for entry in r] == list(range(1, len(r) + 1)) for r in records)
                assert len(records) >= seen
                seen = len(records)
                store.open_receipts()
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            for number in range(60):
                record = payloads(number)
                store.append(record[:1])
                store.append(record[1:])
            done.set()
            assert [reader.result(30) for reader in readers] == [60, 60, 60]


class TestDurability:
    """Clauses for stores that outlive their process."""

    def test_what_was_appended_is_there_after_closing(self, tmp_path: Path) -> None:
        store = FileReceiptStore(tmp_path)
        store.append(payloads(1) + payloads(2, closed=False))
        store.close()
        again = FileReceiptStore(tmp_path)
        assert again.payloads("rcpt_0001") == tuple(payloads(1))
        assert [record[0].receipt_id for record in again.open_receipts()] == ["rcpt_0002"]
        again.append(payloads(1) + payloads(2))
        assert again.payloads("rcpt_0002") == tuple(payloads(2))
        again.close()

    def test_what_was_appended_is_there_without_closing(self, tmp_path: Path) -> None:
        store = FileReceiptStore(tmp_path / "log")
        store.append(payloads(1))
        shutil.copytree(tmp_path / "log", tmp_path / "copy")
        store.close()
        survivor = FileReceiptStore(tmp_path / "copy")
        assert survivor.payloads("rcpt_0001") == tuple(payloads(1))
        survivor.close()


class FileStoreBesideMemory(RuleBasedStateMachine):
    """Drives a file store, with small segments, restarts and crashes, and the memory store as its oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="receipts-"))
        self.life = 0
        self.expected = MemoryReceiptStore()
        self.store = self.opened()

    def opened(self) -> FileReceiptStore:
        return FileReceiptStore(self.folder / str(self.life), "none", segment_bytes=900)

    @rule(numbers=st.lists(st.integers(0, 6), max_size=4), upto=st.integers(1, 4), closed=st.booleans())
    def append(self, numbers: list[int], upto: int, closed: bool) -> None:
        batch = [payload for number in numbers for payload in payloads(number, 4, closed=closed)[:upto]]
        self.both(lambda store: store.append(batch))

    @rule(number=st.integers(0, 6), start=st.integers(0, 3))
    def append_from_the_middle(self, number: int, start: int) -> None:
        self.both(lambda store: store.append(payloads(number, 4)[start:]))

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.opened()

    @rule(torn=st.binary(max_size=80))
    def crash(self, torn: bytes) -> None:
        shutil.copytree(self.folder / str(self.life), self.folder / str(self.life + 1))
        self.store.close()
        self.life += 1
        last = max((self.folder / str(self.life)).glob("*.log"))
        last.write_bytes(last.read_bytes() + torn)
        self.store = self.opened()
        assert self.store.health().recovered_bytes == len(torn)

    @invariant()
    def they_are_alike(self) -> None:
        reader = FileReceiptStore.read_only(self.folder / str(self.life))
        for store in (self.store, reader):
            assert list(store.newest()) == list(self.expected.newest())
            assert store.open_receipts() == self.expected.open_receipts()
            assert all(store.payloads(name) == self.expected.payloads(name) for name in ids(self.expected))

    def both(self, action: Callable[[Store], None]) -> None:
        """Do the same to both stores; either both accept it or both refuse it."""
        outcomes = []
        for store in (self.store, self.expected):
            try:
                action(store)
            except ValueError as refused:
                outcomes.append(str(refused))
            else:
                outcomes.append("done")
        assert outcomes[0] == outcomes[1]

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestFileStoreBesideMemory = FileStoreBesideMemory.TestCase
TestFileStoreBesideMemory.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
