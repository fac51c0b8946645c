"""What lies before a sink is counted to the entry, and kept in blocks whose number is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.runtime import backlog as module
from wardwright.runtime.backlog import Backlog
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import plain


def store_of(receipts: int) -> MemoryReceiptStore:
    """A store with three entries for each receipt."""
    store = MemoryReceiptStore()
    for number in range(receipts):
        store.append(plain(number).payloads)
    return store


def test_counting_goes_on_where_it_has_come_to() -> None:
    store, backlog = store_of(10), Backlog(max_lag=1000)
    assert backlog.count(store, 6, at_most=20)
    assert backlog.total == 20
    assert not backlog.count(store, 6, at_most=20)
    assert backlog.total == 24
    store.append(plain(11).payloads)
    assert not backlog.count(store, 6, at_most=20)
    assert backlog.total == 27


@given(st.integers(1, 400), st.integers(1, 60), st.lists(st.integers(1, 17), max_size=60))
def test_what_is_read_is_no_backlog_any_more(max_lag: int, receipts: int, reads: list[int]) -> None:
    store, backlog = store_of(receipts), Backlog(max_lag)
    backlog.count(store, 0, at_most=10_000)
    position = 0
    for wanted in reads:
        end = backlog.front_end
        if end is None:
            break
        read = min(wanted, end - position)
        position += read
        assert backlog.passed(position, read) == 0
        assert backlog.total == 3 * receipts - position
    if backlog.total == 0:
        assert backlog.front_end is None


def test_the_front_is_skipped_with_what_is_left_of_it() -> None:
    store, backlog = store_of(100), Backlog(max_lag=1000)
    backlog.count(store, 0, at_most=300)
    assert backlog.front_end == 10
    assert backlog.passed(4, 4) == 0
    front = backlog.skip_front()
    assert (front.count, front.last) == (6, 10)
    assert backlog.total == 290


@given(st.integers(1, 400), st.integers(0, 700), st.integers(0, 300))
def test_what_was_counted_is_kept_in_few_blocks_and_gone_on_from(max_lag: int, receipts: int, more: int) -> None:
    store, backlog, after = store_of(receipts), Backlog(max_lag), Backlog(max_lag)
    backlog.count(store, 0, at_most=10_000)
    kept = backlog.kept()
    assert len(kept) <= 200
    after.restore(kept)
    assert (after.total, after.kept()) == (backlog.total, kept)
    for number in range(more):
        store.append(plain(receipts + number).payloads)
    after.count(store, 0, at_most=10_000)
    assert after.total == 3 * (receipts + more)
    position = 0
    while (end := after.front_end) is not None:
        assert after.passed(end, end - position) == 0
        position = end
    assert (position, after.total) == (3 * (receipts + more), 0)


def test_entries_that_went_meanwhile_are_noticed() -> None:
    store, backlog = store_of(100), Backlog(max_lag=1000)
    backlog.count(store, 0, at_most=300)
    assert backlog.passed(10, 7) == 3
    assert backlog.passed(20, 0) == 10
    assert backlog.total == 280


def test_there_are_never_very_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BLOCKS", 8)
    store, backlog = store_of(100), Backlog(max_lag=1)
    for _ in range(100):
        backlog.count(store, 0, at_most=3)
        assert len(backlog._blocks) <= 8
    assert backlog.total == 300
    position = 0
    while (end := backlog.front_end) is not None:
        assert backlog.passed(end, end - position) == 0
        position = end
    assert (position, backlog.total) == (300, 0)
