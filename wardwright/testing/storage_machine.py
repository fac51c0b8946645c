"""A state machine that drives a provider and the memory store alike: appends good and bad, restarts, deaths, and compares all they show."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wardwright.ports.storage import Capability, ReceiptReader, ReceiptStore
from wardwright.receipts.query import ReceiptFilter
from wardwright.receipts.receipt import Summary
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import Written, erasures, fadings, plain, queries, receipt_id
from wardwright.testing.storage_bench import StorageBench

Places = Callable[[], Path]

_RECEIPTS = 7
_SESSIONS = (None, "a", "b")


def _record(number: int, *, closed: bool = True) -> Written:
    return plain(number, attempts=2, closed=closed, session_id=_SESSIONS[number % 3])


class BesideMemory(RuleBasedStateMachine):
    """One life of a place. `places` makes new ones."""

    def __init__(self, bench: StorageBench, places: Places) -> None:
        super().__init__()
        self.bench = bench
        self.places = places
        self.place = places()
        self.expected = MemoryReceiptStore()
        self.store: ReceiptStore = bench.at(self.place).open()
        self.capabilities = bench.at(self.place).capabilities

    @rule(numbers=st.lists(st.integers(0, _RECEIPTS - 1), max_size=4), upto=st.integers(1, 4), closed=st.booleans())
    def append(self, numbers: list[int], upto: int, closed: bool) -> None:
        """Append the beginnings of some receipts."""
        batch = [payload for number in numbers for payload in _record(number, closed=closed).payloads[:upto]]
        self._both(lambda store: store.append(batch))

    @rule(number=st.integers(0, _RECEIPTS - 1), start=st.integers(0, 3))
    def append_from_the_middle(self, number: int, start: int) -> None:
        """Append the end of a receipt, whose beginning may be missing."""
        self._both(lambda store: store.append(_record(number).payloads[start:]))

    @precondition(lambda self: Capability.RETENTION_JOBS in self.capabilities)
    @rule(before=st.integers(0, _RECEIPTS - 2), at_most=st.integers(1, 3))
    def forget(self, before: int, at_most: int) -> None:
        """Let go of some of the oldest receipts."""
        forgotten = [store.forget(receipt_id(before), at_most) for store in (self.store, self.expected)]
        assert forgotten[0] == forgotten[1]

    @rule()
    def tend(self) -> None:
        """Let the store do what it has put off, or some of it."""
        self.store.tend()

    @precondition(lambda self: Capability.RETENTION_JOBS in self.capabilities)
    @rule(numbers=st.lists(st.integers(0, _RECEIPTS - 1), max_size=3), closed=st.booleans())
    def erase(self, numbers: list[int], closed: bool) -> None:
        """Erase the callers of some receipts, stored or not."""
        payloads = [left for number in numbers for left in erasures(_record(number, closed=closed))]
        self._both(lambda store: store.replace(payloads))

    @precondition(lambda self: Capability.RETENTION_JOBS in self.capabilities)
    @rule(numbers=st.lists(st.integers(0, _RECEIPTS - 1), max_size=3))
    def fade(self, numbers: list[int]) -> None:
        """Let the events of some receipts fade, stored and closed or not."""
        payloads = [left for number in numbers for left in fadings(_record(number))]
        self._both(lambda store: store.replace(payloads))

    @rule(wanted=queries(_RECEIPTS))
    def ask(self, wanted: ReceiptFilter) -> None:
        """Ask for all pages of an answer."""
        assert whole_answer(self.store, wanted) == whole_answer(self.expected, wanted)

    @precondition(lambda self: Capability.DURABLE in self.capabilities)
    @rule()
    def restart(self) -> None:
        """Close and open again."""
        self.store.close()
        self.store = self.bench.at(self.place).open()

    @precondition(lambda self: Capability.DURABLE in self.capabilities)
    @rule()
    def die(self) -> None:
        """Go on with what a process leaves that is killed now."""
        left = self.places()
        self.bench.crash(self.place, left)
        self.store.close()
        self.place = left
        self.store = self.bench.at(left).open()

    @invariant()
    def they_are_alike(self) -> None:
        """The store, and a reader beside it, show what memory shows."""
        reader = self.bench.at(self.place).read()
        for store in (self.store, reader):
            self._compare(store)
        reader.close()

    def teardown(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _compare(self, store: ReceiptReader) -> None:
        expected, names = self.expected, [receipt_id(number) for number in range(_RECEIPTS)]
        assert list(store.newest()) == list(expected.newest())
        assert store.open_receipts() == expected.open_receipts()
        assert [store.payloads(name) for name in names] == [expected.payloads(name) for name in names]
        sessions = [("coding", session) for session in _SESSIONS if session is not None]
        assert [store.newest_of_session(*one) for one in sessions] == [
            expected.newest_of_session(*one) for one in sessions
        ]
        counts = [(health.receipt_count, health.open_count) for health in (store.health(), expected.health())]
        assert counts[0] == counts[1]
        if Capability.EVENT_REPLAY in self.capabilities:
            assert [stored.payload for stored in store.replay()] == [stored.payload for stored in expected.replay()]

    def _both(self, action: Callable[[ReceiptStore], None]) -> None:
        """Do the same to both stores; either both accept it or both refuse it in the same words."""
        outcomes = []
        for store in (self.store, self.expected):
            try:
                action(store)
            except ValueError as refused:
                outcomes.append(str(refused))
            else:
                outcomes.append("done")
        assert outcomes[0] == outcomes[1]


def whole_answer(receipts: ReceiptReader, wanted: ReceiptFilter) -> list[Summary]:
    """All pages of an answer. Where each page ends is the store's own business."""
    found: list[Summary] = []
    page = receipts.page(wanted)
    while True:
        assert len(page.data) <= wanted.limit
        found += page.data
        if page.next_cursor is None:
            return found
        page = receipts.page(wanted.going_on(page.next_cursor))
