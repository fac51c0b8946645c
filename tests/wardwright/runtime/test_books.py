"""The books: what receipts say was used is the same however they are read, and wherever a process was killed."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import opened
from wardwright.app.storage import storage_at
from wardwright.domain.chat import Usage
from wardwright.domain.control import KeyLimits
from wardwright.domain.control_state import ApiKey
from wardwright.domain.errors import StorageUnavailable
from wardwright.policy.allowance import DAY_S
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import AttemptFinished, AttemptStarted, Closed, Entry, Event, decode_entry
from wardwright.runtime.book_keeper import BookKeeper
from wardwright.runtime.books import Books, Request, books_of, day_of
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.snapshot import Covered, Unusable, decode_snapshot, encode_covered, encode_snapshot
from wardwright.storage.memory import MemoryReceiptStore

MIDNIGHT = 20_000.0 * DAY_S
KEYS = {name: ApiKey(name, "m", name, "wwk_x", "hash", {}, KeyLimits(), 0.0) for name in ("key_1", "key_2", "key_3")}
TARGETS = ("p/a", "p/b")


def finished(target: str, tokens: int, usd: float | None) -> AttemptFinished:
    usage = Usage(tokens, 0) if tokens else None
    return AttemptFinished(1, target, "completed", 0.0, 1.0, usage=usage, cost_usd=usd)


class Receipts:
    """Receipts in the making; each event is sealed with the time it is given."""

    def __init__(self) -> None:
        self.chains: dict[int, Chain] = {}
        self.payloads: list[bytes] = []

    def add(self, number: int, event: Event, at: float) -> None:
        chain = self.chains.setdefault(number, Chain(f"rcpt_{number:04}"))
        self.payloads.append(chain.seal(event, at))

    def open(self, number: int, at: float, key_id: str | None = None) -> None:
        self.add(number, msgspec.structs.replace(opened(model_id="m"), key_id=key_id), at)


def entries(payloads: Sequence[bytes]) -> list[Entry]:
    return [decode_entry(payload) for payload in payloads]


def fold(payloads: Sequence[bytes]) -> Books:
    books = Books()
    for entry in entries(payloads):
        books.take(entry)
    return books


def told(books: Books, now: float) -> object:
    """Everything that a ledger made from these books answers."""
    ledger = Ledger(now=lambda: now)
    ledger.restore(books, KEYS)
    spent = ledger.spent_usd("m", {target: frozenset({target}) for target in TARGETS})
    recent = {key_id: books.requests(key_id, now) for key_id in KEYS}
    return spent, {key_id: ledger.used(key_id) for key_id in KEYS}, recent


def test_an_attempt_counts_on_the_day_it_ended_and_for_its_key_on_the_day_the_request_began() -> None:
    receipts = Receipts()
    receipts.open(1, MIDNIGHT - 5, "key_1")
    receipts.add(1, finished("p/a", 3, 0.25), MIDNIGHT - 1)
    receipts.add(1, finished("p/b", 4, 0.5), MIDNIGHT + 1)
    receipts.add(1, Closed("completed", 2), MIDNIGHT + 1)
    books, day = fold(receipts.payloads), day_of(MIDNIGHT)
    assert books.spent_at_targets(day - 1) == {("m", "p/a"): 250_000_000}
    assert books.spent_at_targets(day) == {("m", "p/b"): 500_000_000}
    assert (books.spent_with("key_1", day - 1), books.spent_with("key_1", day)) == (750_000_000, 0)
    assert books.requests("key_1", MIDNIGHT + 50) == [Request(MIDNIGHT - 5, 7)]
    assert books.requests("key_1", MIDNIGHT + 55) == []


def test_what_is_open_counts_with_what_it_has_come_to() -> None:
    receipts = Receipts()
    receipts.open(1, MIDNIGHT, "key_1")
    receipts.add(1, finished("p/a", 3, 0.25), MIDNIGHT + 1)
    books = fold(receipts.payloads)
    assert books.key_ids() == {"key_1"}
    assert books.requests("key_1", MIDNIGHT + 2) == [Request(MIDNIGHT, 3)]
    assert books.spent_with("key_1", day_of(MIDNIGHT)) == 250_000_000


def test_entries_of_a_receipt_without_its_opening_say_nothing() -> None:
    receipts = Receipts()
    receipts.open(1, MIDNIGHT, "key_1")
    receipts.add(1, finished("p/a", 3, 0.25), MIDNIGHT)
    receipts.add(1, Closed("completed", 1), MIDNIGHT)
    assert fold(receipts.payloads[1:]) == Books()


def test_a_request_that_began_after_now_by_a_clock_that_was_set_back_is_taken_to_have_begun_now() -> None:
    receipts = Receipts()
    receipts.open(1, MIDNIGHT + 30, "key_1")
    receipts.open(2, MIDNIGHT + 3600, "key_1")
    assert fold(receipts.payloads).requests("key_1", MIDNIGHT) == [Request(MIDNIGHT, 0)]


def test_what_can_count_no_more_is_let_go() -> None:
    receipts = Receipts()
    for number, at in enumerate((MIDNIGHT - 2 * DAY_S, MIDNIGHT - 1, MIDNIGHT + 300, MIDNIGHT + 3 * DAY_S)):
        receipts.open(number, at, f"key_{number}")
        receipts.add(number, finished("p/a", 3, 0.25), at)
        receipts.add(number, Closed("completed", 1), at)
    receipts.open(9, MIDNIGHT - 3 * DAY_S, "key_9")
    books, day = fold(receipts.payloads), day_of(MIDNIGHT)
    books.let_go(MIDNIGHT + 310)
    assert set(books.spent) == {str(day - 1), str(day)}
    assert set(books.keys) == {"key_1", "key_2", "key_3"}, "the clock may have been ahead when key_3 was used"
    assert (books.keys["key_1"].recent, books.keys["key_2"].recent) == ([], [Request(MIDNIGHT + 300, 3)])
    assert set(books.open) == {"rcpt_0009"}, "what is open may still be charged"


def test_receipts_are_read_back_only_as_far_as_they_may_count() -> None:
    receipts = Receipts()
    store = MemoryReceiptStore()
    for number, at in enumerate((MIDNIGHT - 9000, MIDNIGHT - 7200, MIDNIGHT - 1800, MIDNIGHT + 60)):
        receipts.open(number, at, "key_1")
        receipts.add(number, finished("p/a", 3, 0.25), max(at, MIDNIGHT + 1))
        receipts.add(number, Closed("completed", 1), at)
    store.append(receipts.payloads)
    newest = store.newest()
    books = books_of(newest, MIDNIGHT + 90)
    assert [record[0].at for record in newest] == [MIDNIGHT - 9000], "nothing was read behind the first that is too old"
    assert books.spent_at_targets(day_of(MIDNIGHT)) == {("m", "p/a"): 500_000_000}, "of the request before midnight too"


steps = st.one_of(
    st.tuples(st.just("open"), st.sampled_from([None, *KEYS])),
    st.tuples(
        st.just("attempt"),
        st.integers(0, 10**6),
        st.sampled_from(TARGETS),
        st.integers(0, 50),
        st.sampled_from([None, 0.0, 0.1, 0.000000001, 2.5]),
    ),
    st.tuples(st.just("close"), st.integers(0, 10**6)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 20.0, 59.5, 300.0, 40_000.0])),
    st.tuples(st.just("read"), st.integers(1, 5)),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("kill")),
    st.tuples(st.just("forget"), st.integers(0, 10**6)),
)


class Life:
    """A store, whoever keeps the books of it, the snapshot on disk, and what was appended since the beginning."""

    def __init__(self) -> None:
        self.now = MIDNIGHT - 600.0
        self.store = MemoryReceiptStore()
        self.keeper = BookKeeper(self.store)
        self.mark: bytes | None = None
        self.receipts = Receipts()
        self.began: list[float] = []
        self.open: list[int] = []
        self.restarts_from_snapshots = 0

    def append(self, number: int, event: Event) -> None:
        self.receipts.add(number, event, self.now)
        self.store.append(self.receipts.payloads[-1:])

    def take(self, step: tuple[object, ...]) -> None:
        match step:
            case ("open", key_id):
                number = len(self.receipts.chains)
                self.append(number, msgspec.structs.replace(opened(model_id="m"), key_id=key_id))
                self.open.append(number)
                self.began.append(self.now)
            case ("attempt", int(which), str(target), int(tokens), usd) if self.open:
                self.append(self.open[which % len(self.open)], finished(target, tokens, usd))  # type: ignore[arg-type]
            case ("close", int(which)) if self.open:
                self.append(self.open.pop(which % len(self.open)), Closed("completed", 1))
            case ("wait", float(seconds)):
                self.wait(seconds)
            case ("read", int(count)):
                self.keeper.read_on(count)
            case ("snapshot",):
                self.snapshot()
            case ("kill",):
                self.restart()
            case ("forget", int(which)) if self.receipts.chains:
                self.forget(which % len(self.receipts.chains))

    def wait(self, seconds: float) -> None:
        """No request lasts longer than is read back for where there is no snapshot."""
        self.now += seconds
        for number in [number for number in self.open if self.now - self.began[number] > 1000]:
            self.open.remove(number)
            self.receipts.add(number, Closed("deadline_exceeded", 0), self.began[number] + 1000)
            self.store.append(self.receipts.payloads[-1:])

    def snapshot(self) -> None:
        covered = self.keeper.covered(self.now)
        self.mark = encode_snapshot("boot", self.now, {}, encode_covered(covered))
        again = None if covered is None else decode_snapshot(self.mark).covered
        assert encode_snapshot("boot", self.now, {}, encode_covered(again)) == self.mark

    def forget(self, number: int) -> None:
        """As retention does, whose term is longer than anything counts."""
        closed = [entry for entry in entries(self.receipts.payloads) if entry.at > self.now - 3 * DAY_S]
        oldest = min((entry.receipt_id for entry in closed), default="rcpt_9999")
        self.store.forget(min(oldest, f"rcpt_{number:04}"))

    def restart(self) -> None:
        self.keeper = BookKeeper(self.store)
        covered = None if self.mark is None else decode_snapshot(self.mark).covered
        if covered is None:
            books = books_of(self.store.newest(), self.now)
        else:
            self.keeper.go_on_from(covered)
            while self.keeper.read_on(3):
                pass
            books = self.keeper.books
            self.restarts_from_snapshots += 1
        assert told(books, self.now) == told(fold(self.receipts.payloads), self.now)


@settings(max_examples=200)
@given(st.lists(steps, min_size=10, max_size=60))
def test_wherever_a_process_was_killed_the_next_one_knows_what_all_receipts_tell(
    history: list[tuple[object, ...]],
) -> None:
    life = Life()
    for step in history:
        life.take(step)
    life.restart()


def test_a_story_of_every_step_does_restart_from_snapshots() -> None:
    life = Life()
    for step in (
        ("open", "key_1"),
        ("attempt", 0, "p/a", 5, 0.1),
        ("read", 5),
        ("snapshot",),
        ("attempt", 0, "p/b", 7, 2.5),
        ("kill",),
        ("wait", 590.0),
        ("open", "key_2"),
        ("close", 0),
        ("close", 0),
        ("wait", 20.0),
        ("read", 9),
        ("snapshot",),
        ("wait", 20.0),
        ("open", "key_2"),
        ("attempt", 0, "p/a", 1, 0.1),
        ("kill",),
        ("kill",),
    ):
        life.take(step)
    assert life.restarts_from_snapshots == 3
    assert fold(life.receipts.payloads).spent_at_targets(day_of(MIDNIGHT)) == {("m", "p/a"): 100_000_000}
    assert life.keeper.books.requests("key_2", life.now) == [Request(MIDNIGHT - 10, 0), Request(MIDNIGHT + 30, 1)]


class TestKeeping:
    def kept(self, payloads: Sequence[bytes]) -> tuple[MemoryReceiptStore, BookKeeper]:
        store = MemoryReceiptStore()
        store.append(payloads)
        return store, BookKeeper(store)

    def story(self, number: int) -> list[bytes]:
        receipts = Receipts()
        receipts.open(number, MIDNIGHT, "key_1")
        receipts.add(number, AttemptStarted(1, "p/a", "p", "a"), MIDNIGHT)
        receipts.add(number, finished("p/a", 5, 0.25), MIDNIGHT)
        receipts.add(number, Closed("completed", 1), MIDNIGHT)
        return receipts.payloads

    def test_a_log_is_read_in_slices_and_what_comes_later_after_them(self) -> None:
        store, keeper = self.kept(self.story(1))
        assert keeper.read_on(3)
        store.append(self.story(2))
        assert keeper.read_on(3), "what has come since may be more"
        assert keeper.place == (3, 4, "rcpt_0001", 4)
        assert not keeper.read_on(9)
        assert not keeper.read_on(9)
        assert keeper.books == fold([*self.story(1), *self.story(2)])
        assert keeper.place == (7, 8, "rcpt_0002", 4)

    def test_of_large_entries_fewer_are_read_at_a_time(self) -> None:
        receipts = Receipts()
        receipts.open(1, MIDNIGHT)
        for number in range(1, 9):
            receipts.add(1, AttemptStarted(number, "p/a", "p", "x" * 300_000), MIDNIGHT)
        _, keeper = self.kept(receipts.payloads)
        stops = set()
        while keeper.read_on(100):
            assert keeper.place is not None
            stops.add(keeper.place.position)
        assert stops == {5, 9}

    def test_an_empty_log_covers_nothing(self) -> None:
        _, keeper = self.kept([])
        assert not keeper.read_on(3)
        assert keeper.covered(MIDNIGHT) is None

    @pytest.mark.parametrize("other", [[], [2], [2, 3]], ids=["empty", "of other receipts", "longer"])
    def test_books_of_another_log_are_not_taken_up(self, other: list[int]) -> None:
        _, keeper = self.kept(self.story(1))
        keeper.read_on(9)
        covered = keeper.covered(MIDNIGHT)
        assert covered is not None
        _, stranger = self.kept([payload for number in other for payload in self.story(number)])
        with pytest.raises(Unusable, match="not of this log"):
            stranger.go_on_from(covered)
        assert (stranger.books, stranger.place) == (Books(), None)

    def test_a_disk_that_fails_in_the_middle_is_asked_again_behind_what_was_read(self) -> None:
        class Failing(MemoryReceiptStore):
            failures = 1

            def replay(self, after: int = 0, until: int | None = None):  # type: ignore[no-untyped-def]
                for stored in super().replay(after, until):
                    if stored.position == 3 and self.failures:
                        self.failures -= 1
                        raise StorageUnavailable("a cable is loose")
                    yield stored

        store = Failing()
        store.append(self.story(1))
        keeper = BookKeeper(store)
        with pytest.raises(StorageUnavailable, match="cable"):
            keeper.read_on(9)
        assert not keeper.read_on(9)
        assert keeper.books == fold(self.story(1))


@pytest.mark.parametrize("kind", ["file", "sqlite"])
class TestOnDisk:
    def stored(self, storage: StorageProvider, numbers: Sequence[int]) -> list[bytes]:
        """Receipts that are on disk, each of a hundredth of a dollar and of a minute of its own."""
        made = []
        with closing(storage.open()) as store:
            for number in numbers:
                receipts = Receipts()
                receipts.open(number, MIDNIGHT + number, "key_1")
                receipts.add(number, finished("p/a", number, 0.01), MIDNIGHT + number)
                receipts.add(number, Closed("completed", 1), MIDNIGHT + number)
                store.append(receipts.payloads)
                made += receipts.payloads
        return made

    def covered(self, storage: StorageProvider) -> Covered:
        with closing(storage.open()) as store:
            keeper = BookKeeper(store)
            while keeper.read_on(2):
                pass
            covered = keeper.covered(MIDNIGHT + 10)
        assert covered is not None
        return covered

    def test_the_next_process_goes_on_behind_the_last_entry_whatever_was_forgotten_before(
        self, tmp_path: Path, kind: str
    ) -> None:
        storage = storage_at(kind, tmp_path)
        payloads = self.stored(storage, range(5))
        covered = self.covered(storage)
        payloads += self.stored(storage, range(5, 8))
        with closing(storage.open()) as store:
            assert store.forget("rcpt_0004") == 4
            keeper = BookKeeper(store)
            keeper.go_on_from(covered)
            while keeper.read_on(2):
                pass
        assert told(keeper.books, MIDNIGHT + 10) == told(fold(payloads), MIDNIGHT + 10)

    def test_without_the_last_entry_there_is_no_going_on(self, tmp_path: Path, kind: str) -> None:
        storage = storage_at(kind, tmp_path)
        self.stored(storage, range(5))
        covered = self.covered(storage)
        self.stored(storage, range(5, 8))
        with closing(storage.open()) as store:
            assert store.forget("rcpt_0005") == 5
            with pytest.raises(Unusable, match="not of this log"):
                BookKeeper(store).go_on_from(covered)

    def test_a_log_of_the_same_kind_is_told_apart(self, tmp_path: Path, kind: str) -> None:
        self.stored(storage_at(kind, tmp_path / "one"), range(5))
        covered = self.covered(storage_at(kind, tmp_path / "one"))
        other = storage_at(kind, tmp_path / "other")
        self.stored(other, range(5, 20))
        with closing(other.open()) as store, pytest.raises(Unusable, match="not of this log"):
            BookKeeper(store).go_on_from(covered)
