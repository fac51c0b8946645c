"""Going through the receipts that have become old, newest first, some at a time: what of them is to go, and how far it was gone.

What was gone through is not read again, neither an hour later nor by a process that begins where another one died: after each step the
course says how far it has come, and is kept under a mark in the store.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

from wardwright.ports.storage import ReceiptReader
from wardwright.receipts.erasure import erased
from wardwright.receipts.events import Closed, ContentCaptured, Entry
from wardwright.receipts.fading import faded

MOST_RECEIPTS = 5000
MOST_BYTES = 8_388_608


class Course(NamedTuple):
    """How far it was gone: through all receipts below the id `done`, and through those from `top` down to `reached`, if there are such."""

    done: str = ""
    top: str = ""
    reached: str = ""

    @classmethod
    def decode(cls, mark: bytes | None) -> Self:
        """Read what `encode` made; without a mark nothing was gone through. Purity: pure."""
        return cls(*(mark or b"").decode().split(" "))

    def encode(self) -> bytes:
        """The value of the mark. Purity: pure."""
        return " ".join(self if self.top else (self.done,)).encode()


class Old(NamedTuple):
    """What is to take the place of entries of one receipt, and how many bytes of it were to be looked at for that.

    A receipt that `goes_on` may yet come to have more that is to go: it is looked at again.
    """

    left: Sequence[bytes]
    size: int
    goes_on: bool


class Step(NamedTuple):
    """What is to take the place of stored entries, perhaps nothing, and how far it is gone when it has."""

    left: Sequence[bytes]
    course: Course


Choice = Callable[[ReceiptReader, Sequence[Entry]], Old]
"""What of an old receipt is to go."""


def content_of(store: ReceiptReader, entries: Sequence[Entry]) -> Old:
    """Its content, of one that is open as far as it is there: a term may be shorter than a request. Raises: StorageUnavailable."""
    is_open = not isinstance(entries[-1].event, Closed)
    if not any(isinstance(entry.event, ContentCaptured) for entry in entries):
        return Old((), 0, is_open)
    payloads = store.payloads(entries[0].receipt_id)
    left = [
        payload
        for entry, stored in zip(entries, payloads, strict=False)
        if isinstance(entry.event, ContentCaptured) and (payload := erased(stored)) is not None
    ]
    return Old(left, sum(map(len, payloads)), is_open)


def events_of(store: ReceiptReader, entries: Sequence[Entry]) -> Old:
    """Its events between opening and closing, which stay while it is open: whoever closes it counts them. Purity: pure."""
    left = faded(entries)
    return Old(left, sum(map(len, left)), not isinstance(entries[-1].event, Closed))


def steps(store: ReceiptReader, choose: Choice, course: Course, below: str, pace: Callable[[], None]) -> Iterator[Step]:
    """Go on from a course through all receipts below an id. `pace` is called for each of them.

    Those that have become old since come first: where a damaged one bars the way to older ones, they go all the same.

    Raises: StorageUnavailable.
    """
    done, top, reached = course
    newer_than = top or done
    if below > newer_than:
        walk = _Walk(done, top=below, begin=below, end=newer_than)
        yield from walk.steps(store, choose, pace)
        # What was gone through before joins it: all from the new top down to where it had come.
        course = Course(done, walk.top, reached) if top else Course(walk.top)
        yield Step(walk.left, course)
    if top:
        walk = _Walk(done, top=course.top, begin=reached, end=done)
        yield from walk.steps(store, choose, pace)
        yield Step(walk.left, Course(walk.top))


class _Walk:
    """A stretch of the receipts, gone through from below the id `begin` down to the id `end`."""

    def __init__(self, done: str, *, top: str, begin: str, end: str) -> None:
        self._done = done
        self._begin = begin
        self._end = end
        self.top = top
        """Below which all are gone through when the walk is over; of what is above, some is to be looked at again."""
        self.left: list[bytes] = []
        """What is to take the place of entries behind the last step."""

    def steps(self, store: ReceiptReader, choose: Choice, pace: Callable[[], None]) -> Iterator[Step]:
        """The steps on the way. What is left for the last one is for whoever walks."""
        size = 0
        for number, entries in enumerate(store.newest(self._begin), 1):
            receipt_id = entries[0].receipt_id
            if receipt_id < self._end:
                return
            old = choose(store, entries)
            if old.goes_on:
                self.top = receipt_id  # so that all from here on are gone through again
            self.left += old.left
            size += old.size
            pace()
            if number % MOST_RECEIPTS == 0 or size >= MOST_BYTES:
                yield Step(self.left, Course(self._done, self.top, receipt_id))
                self.left, size = [], 0
