"""Erasing step by step: whose receipts, how many at a time, and what is left alone."""

import pytest

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.chain import verify
from wardwright.receipts.events import Closed, Event
from wardwright.receipts.query import ReceiptFilter
from wardwright.runtime import erasure
from wardwright.runtime.erasure import Erased, erase, receipts_of
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import AT, SPACING_S, opened, plain, receipt_id, sealed

RECEIPTS = 10


@pytest.fixture
def store() -> MemoryReceiptStore:
    """Receipts of two users in turn, of which the last is open."""
    made = MemoryReceiptStore()
    for number in range(RECEIPTS):
        user = "anna" if number % 2 else "bert"
        made.append(plain(number, user_id=user, session_id=user, closed=number < RECEIPTS - 1).payloads)
    return made


def users(store: MemoryReceiptStore) -> list[str | None]:
    """The users of the receipts, oldest first; None for those that are erased."""
    return [summary.consuming_user_id for summary in store.page(ReceiptFilter()).data][::-1]


def every_step(store: MemoryReceiptStore, user: str, *, dry_run: bool = False) -> list[Erased]:
    done: list[Erased] = []
    cursor = None
    while True:
        done.append(erase(store, receipts_of(user, going_on=cursor), dry_run=dry_run))
        cursor = done[-1].next_cursor
        if cursor is None:
            return done


def test_a_persons_receipts_are_erased_and_nobody_elses(store: MemoryReceiptStore) -> None:
    assert every_step(store, "anna", dry_run=True) == [Erased(4, 4, 1)]
    assert users(store) == ["bert", "anna"] * 5
    assert every_step(store, "anna") == [Erased(4, 4, 1)]
    assert users(store) == ["bert", None] * 4 + ["bert", "anna"], "what is open is left until it is closed"
    assert all(verify(store.payloads(receipt_id(number))) is None for number in range(RECEIPTS))
    assert every_step(store, "anna") == [Erased(0, 0, 1)]
    assert every_step(store, "nobody") == [Erased()]


@pytest.mark.parametrize(
    ("pages", "steps"), [(1, [(1, 1), (2, 0), (1, 0)]), (2, [(3, 1), (1, 0)]), (3, [(4, 1)]), (9, [(4, 1)])]
)
def test_so_many_are_erased_at_a_time(
    store: MemoryReceiptStore, monkeypatch: pytest.MonkeyPatch, pages: int, steps: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(erasure, "PAGE", 2)
    monkeypatch.setattr(erasure, "MOST_PAGES", pages)
    assert [(one.receipts, one.open) for one in every_step(store, "anna")] == steps
    assert users(store) == ["bert", None] * 4 + ["bert", "anna"]


def test_a_step_ends_when_it_has_read_enough(store: MemoryReceiptStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "MOST_BYTES", 1)
    assert [(one.receipts, one.open) for one in every_step(store, "bert")] == [(1, 0)] * 5
    assert users(store) == [None, "anna"] * 5


def test_only_of_a_tenant_and_only_from_before_a_time(store: MemoryReceiptStore) -> None:
    assert erase(store, receipts_of("anna", tenant_id="acme")) == Erased()
    until = AT + 5 * SPACING_S
    assert erase(store, receipts_of("anna", before=until)) == Erased(2, 2)
    assert erase(store, receipts_of("anna", before=until + 0.5)) == Erased(1, 1)
    assert users(store) == ["bert", None] * 3 + ["bert", "anna"] * 2


@pytest.mark.parametrize(
    ("before", "numbers"), [(AT, []), (AT + 0.25, []), (AT + 0.5, [0]), (AT + 0.75, [0, 1]), (AT + 1, [0, 1, 2])]
)
@pytest.mark.parametrize("closed", [True, False])
def test_the_time_is_exact_within_a_second(before: float, numbers: list[int], closed: bool) -> None:
    store, events = MemoryReceiptStore(), list[Event]([opened(Caller(consuming_user_id=Attributed("anna", "header")))])
    for number, at in enumerate((0.25, 0.5, 0.75)):
        store.append(sealed(number, [*events, *[Closed("completed", 0)] * closed], at=AT + at).payloads)
    done = erase(store, receipts_of("anna", before=before))
    assert (done.receipts, done.open) == ((len(numbers), 0) if closed else (0, len(numbers)))
    assert users(store) == [None if closed and number in numbers else "anna" for number in range(3)]


def test_a_store_that_cannot_erase_says_so(store: MemoryReceiptStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryReceiptStore, "capabilities", frozenset())
    with pytest.raises(StorageUnavailable, match="cannot erase"):
        erase(store, receipts_of("anna"))
