"""Going through old receipts: what of them is to go, in which steps, and that no way is gone twice."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.events import Closed, ContentCaptured, ContentPart, Entry, decode_entry
from wardwright.runtime import old_receipts
from wardwright.runtime.old_receipts import Choice, Course, Old, Step, content_of, events_of, steps
from wardwright.runtime.pace import unpaced
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import Written, opened, plain, receipt_id, sealed, with_content

RECEIPTS = 9
BEGINNING = Course()


def stored(*written: Written) -> MemoryReceiptStore:
    store = MemoryReceiptStore()
    for one in written:
        store.append(one.payloads)
    return store


@pytest.fixture
def store() -> MemoryReceiptStore:
    """Receipts with a step of their own each, all closed."""
    return stored(*(plain(number) for number in range(RECEIPTS)))


def through(
    store: MemoryReceiptStore, course: Course = BEGINNING, *, choose: Choice = events_of, below: int = RECEIPTS
) -> list[Step]:
    """The steps from a course through all receipts below the one of a number."""
    return list(steps(store, choose, course, receipt_id(below), unpaced))


def numbers(some: Sequence[Step]) -> list[list[int]]:
    """Of which receipts something is to go, step by step."""
    return [[int(decode_entry(payload).receipt_id.removeprefix("rcpt_")) for payload in step.left] for step in some]


class Watched:
    """A choice that takes everything of a receipt, and knows of which it was asked."""

    def __init__(self, *undecided: int) -> None:
        self.undecided = {receipt_id(number) for number in undecided}
        self.asked: list[str] = []

    def __call__(self, store: object, entries: Sequence[Entry]) -> Old:
        self.asked.append(entries[0].receipt_id)
        old = events_of(MemoryReceiptStore(), entries)
        return old._replace(goes_on=entries[0].receipt_id in self.undecided)

    def told(self) -> Iterator[int]:
        asked, self.asked = self.asked, []
        return (int(one.removeprefix("rcpt_")) for one in asked)


def test_content_goes_and_everything_else_stays() -> None:
    store = stored(*(with_content(number, "text") if number % 3 else plain(number) for number in range(RECEIPTS)))
    (step,) = through(store, Course(receipt_id(2)), choose=content_of, below=8)
    assert numbers([step]) == [[7, 5, 4, 2]]
    store.replace(step.left)
    kept = [
        number
        for number in range(RECEIPTS)
        for entry in store.entries(receipt_id(number))
        if isinstance(entry.event, ContentCaptured) and b"text" in bytes(entry.event.content)
    ]
    assert kept == [1, 8]
    assert numbers(through(store, Course(receipt_id(2)), choose=content_of, below=8)) == [[]]


def test_content_that_comes_when_its_term_is_over_goes_too() -> None:
    asked, answered = (ContentCaptured(part, content=msgspec.Raw(b'"a poem"')) for part in get_args(ContentPart))
    whole = sealed(1, [opened(), asked, answered, Closed("completed", 0)])
    store = stored(Written(whole.receipt_id, whole.payloads[:2]), plain(2))
    (step,) = through(store, choose=content_of)
    store.replace(step.left)
    store.append(whole.payloads)
    assert b"a poem" in b"".join(store.payloads(whole.receipt_id))
    for later in through(store, step.course, choose=content_of):
        store.replace(later.left)
    assert b"a poem" not in b"".join(store.payloads(whole.receipt_id))


def test_events_go_from_closed_receipts_alone() -> None:
    store = stored(plain(1), plain(2, attempts=2), plain(3, closed=False), plain(4))
    (step,) = through(store)
    assert numbers([step]) == [[4, 2, 2, 1]]
    store.replace(step.left)
    assert [store.entries(receipt_id(number)) == decoded(plain(number, closed=False)) for number in (3,)] == [True]
    assert numbers(through(store)) == [[]]


def decoded(written: Written) -> tuple[Entry, ...]:
    return tuple(decode_entry(payload) for payload in written.payloads)


def test_a_step_is_bounded_by_how_many_it_looks_at_and_by_what_it_has_read(
    store: MemoryReceiptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_receipts, "MOST_RECEIPTS", 4)
    assert numbers(through(store)) == [[8, 7, 6, 5], [4, 3, 2, 1], [0]]
    monkeypatch.setattr(old_receipts, "MOST_BYTES", 1)
    assert numbers(through(store, below=3)) == [[2], [1], [0], []]


def test_what_was_gone_through_is_not_asked_again(store: MemoryReceiptStore) -> None:
    watched = Watched()
    course = through(store, choose=watched, below=5)[-1].course
    assert (course, list(watched.told())) == (Course(receipt_id(5)), [4, 3, 2, 1, 0])
    course = through(store, course, choose=watched)[-1].course
    assert (course, list(watched.told())) == (Course(receipt_id(9)), [8, 7, 6, 5])
    assert through(store, course, choose=watched) == []
    assert through(store, course, choose=watched, below=2) == [], "a clock that was set back"


@pytest.mark.parametrize("taken", range(4))
@pytest.mark.parametrize("going_on", [RECEIPTS, RECEIPTS + 3])
def test_who_dies_on_the_way_is_followed_by_one_who_goes_on_from_there(
    store: MemoryReceiptStore, monkeypatch: pytest.MonkeyPatch, taken: int, going_on: int
) -> None:
    monkeypatch.setattr(old_receipts, "MOST_RECEIPTS", 3)
    watched, mark = Watched(), None
    way = steps(store, watched, Course.decode(mark), receipt_id(RECEIPTS), unpaced)
    for _ in range(taken):
        mark = next(way).course.encode()
    before = set(list(watched.told())[: 3 * taken])
    for number in range(RECEIPTS, going_on):
        store.append(plain(number).payloads)
    *_, last = through(store, Course.decode(mark), choose=watched, below=going_on)
    after = list(watched.told())
    assert sorted([*before, *after]) == list(range(going_on)), "each once"
    assert last.course == Course(receipt_id(going_on))


@pytest.mark.parametrize("most", [1, 3, 100])
def test_what_could_not_be_told_is_asked_again_with_all_above_it(
    store: MemoryReceiptStore, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(old_receipts, "MOST_RECEIPTS", most)
    watched = Watched(3, 6)
    course = Course.decode(through(store, choose=watched)[-1].course.encode())
    assert (course, len(list(watched.told()))) == (Course(receipt_id(3)), RECEIPTS)
    watched.undecided.clear()
    course = through(store, course, choose=watched)[-1].course
    assert (course, list(watched.told())) == (Course(receipt_id(9)), [8, 7, 6, 5, 4, 3])


def test_what_becomes_old_goes_also_where_damage_bars_the_way_to_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_receipts, "MOST_RECEIPTS", 1)
    store = FileReceiptStore(tmp_path, segment_bytes=1, tail_entries=1)  # a segment for each receipt
    for number in range(6):
        store.append(with_content(number, f"poem {number}").payloads)
    (spoilt,) = (path for path in tmp_path.glob("*.log") if b"poem 1" in path.read_bytes())
    spoilt.write_bytes(spoilt.read_bytes().replace(b"poem 1", b"spoilt"))
    course = as_far_as_can_be(store, Course(), below=3)
    assert (course, poems(tmp_path)) == (Course("", receipt_id(3), receipt_id(2)), [0, 3, 4, 5])
    course = as_far_as_can_be(store, course, below=5)
    assert (course, poems(tmp_path)) == (Course("", receipt_id(5), receipt_id(2)), [0, 5])
    spoilt.write_bytes(spoilt.read_bytes().replace(b"spoilt", b"poem 1"))
    course = as_far_as_can_be(store, course, below=6)
    assert (course, poems(tmp_path)) == (Course(receipt_id(6)), [])
    store.close()


def as_far_as_can_be(store: FileReceiptStore, course: Course, below: int) -> Course:
    """Take the steps from a course until one fails, and tell how far it was gone."""
    with suppress(StorageUnavailable):
        for step in steps(store, content_of, course, receipt_id(below), unpaced):
            store.replace(step.left)
            course = step.course
    return course


def poems(folder: Path) -> list[int]:
    """Those that are in some file."""
    stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return [number for number in range(6) if b"poem %d" % number in stored]


def test_a_mark_says_the_course() -> None:
    for course in (Course(), Course("a"), Course("", "c", "b"), Course("a", "c", "b")):
        assert Course.decode(course.encode()) == course
    assert Course.decode(None) == Course()
