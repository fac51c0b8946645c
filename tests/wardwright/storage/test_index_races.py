"""What one thread of a file store meets that another leaves it: a step of the other is put right between two of its own."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage import index_making
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.index_file import IndexFile
from wardwright.storage.index_making import IndexMaking
from wardwright.storage.interim import Interim
from wardwright.storage.tail import Tail
from wardwright.testing.sample_receipts import plain, receipt_id

RECEIPTS = 6
ALL = 1000  # entries


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileReceiptStore]:
    """A store whose receipts are in the tail, the oldest of them forgotten, so that not every entry of the log counts."""
    store = FileReceiptStore(tmp_path)
    for number in range(RECEIPTS):
        store.append(plain(number, session_id="s").payloads)
    assert store.forget(receipt_id(1)) == 1
    yield store
    store.close()


def replayed(store: FileReceiptStore) -> list[bytes]:
    return [stored.payload for stored in store.replay()]


def move(store: FileReceiptStore) -> None:
    store._index.move(ALL, store._make_durable)


class HadBefore:
    """A lock that somebody else has had just before it is got for the first time."""

    def __init__(self, lock: threading.Lock, other: Callable[[], object]) -> None:
        self._lock = lock
        self._others = [other]

    def __enter__(self) -> None:
        if self._others:
            self._others.pop()()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_replay_passes_over_nothing_that_moves_into_the_index_meanwhile(
    store: FileReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, holds = replayed(store), Tail.holds

    def holds_later(tail: Tail, payload: bytes, place: int) -> bool:
        if receipt_id(3).encode() in payload:
            move(store)
        return holds(tail, payload, place)

    monkeypatch.setattr(Tail, "holds", holds_later)
    assert replayed(store) == before == [each for n in range(1, RECEIPTS) for each in plain(n, session_id="s").payloads]


def test_what_the_tail_has_let_go_of_is_the_index_asked_for(
    store: FileReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, settle, seen = replayed(store), Tail.settle, []

    def settle_and_be_asked(tail: Tail, covered: int, are_open: Mapping[str, bool]) -> list[str]:
        vanished = settle(tail, covered, are_open)
        seen.append(replayed(store))
        return vanished

    monkeypatch.setattr(Tail, "settle", settle_and_be_asked)
    move(store)
    assert seen == [before]


def test_a_receipt_goes_on_while_its_beginning_moves_into_the_index(
    store: FileReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, settle = plain(RECEIPTS, attempts=3).payloads, Tail.settle
    store.append(live[:2])
    looked, refused = threading.Event(), []

    def going_on() -> Iterator[bytes]:
        yield from live[2:]
        looked.set()

    def go_on() -> None:
        try:
            store.append(going_on())  # type: ignore[arg-type]  # told when all of them are looked at
        except ValueError as error:
            refused.append(error)
            looked.set()

    appending = threading.Thread(target=go_on)

    def settle_late(tail: Tail, covered: int, are_open: Mapping[str, bool]) -> list[str]:
        vanished = settle(tail, covered, are_open)
        appending.start()
        assert looked.wait(60)
        return vanished

    monkeypatch.setattr(Tail, "settle", settle_late)
    move(store)
    appending.join()
    assert refused == []
    assert store.payloads(receipt_id(RECEIPTS)) == live


def test_the_first_index_is_asked_nothing_before_it_can_answer(
    store: FileReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, opens, complete_a_little = (
        receipt_id(RECEIPTS - 1),
        ReceiptFilter.parse({"status": "open"}),
        IndexFile.complete_a_little,
    )
    asked = []

    def complete_and_be_asked(file: IndexFile) -> bool:
        asked.append((store.newest_of_session("coding", "s"), store.page(opens).data))
        return complete_a_little(file)

    monkeypatch.setattr(IndexFile, "complete_a_little", complete_and_be_asked)
    move(store)
    assert set(asked) == {(newest, ())}
    assert len(store.page(ReceiptFilter()).data) == RECEIPTS - 1


def test_an_index_that_could_not_be_completed_is_begun_again(
    store: FileReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: IndexFile) -> bool:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(IndexFile, "complete_a_little", fail)
        with pytest.raises(StorageUnavailable, match="the disk is full"):
            move(store)
    for _ in range(2):
        assert store.newest_of_session("coding", "s") == receipt_id(RECEIPTS - 1)
        assert len(store.page(ReceiptFilter()).data) == RECEIPTS - 1
        move(store)
    assert store._index.tail_length() == 0


def test_what_an_append_was_told_beside_a_damaged_index_is_not_forgotten_by_who_tends(store: FileReceiptStore) -> None:
    live = plain(RECEIPTS, attempts=3).payloads
    move(store)
    store._index.give_up()
    store._writing = HadBefore(store._writing, lambda: store.append(live[:2]))  # type: ignore[assignment]
    assert store.tend()
    store.append(live[2:])
    while store.tend():
        pass
    assert store.payloads(receipt_id(RECEIPTS)) == live


@pytest.mark.parametrize(("field", "kind"), [("_interim", Interim), ("_making", IndexMaking)])
def test_how_far_appending_is_ahead_is_told_while_an_index_takes_its_place(
    store: FileReceiptStore, monkeypatch: pytest.MonkeyPatch, field: str, kind: type
) -> None:
    move(store)
    store._index.give_up()
    monkeypatch.setattr(index_making, "STEP", 2)
    for _ in range(3):
        store.tend()
    now = [getattr(store, field)]
    assert isinstance(now[0], kind)
    # Whoever looks a second time sees that the other has come to its end.
    monkeypatch.setattr(FileReceiptStore, field, property(lambda store: now.pop() if now else None), raising=False)
    assert store._behind() <= 0
    assert now == []
