"""The same history for every provider: what a store goes through in its life, beside the memory store that says what must be there.

Small receipts and small segments, so that few steps meet everything: segments that fill up, receipts left open, forgetting, decisions,
a restart.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.verdict import Broken
from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.ports.storage import ReceiptReader, ReceiptStore, StorageProvider
from wardwright.receipts.events import decode_entry
from wardwright.storage.folder import FileStorage
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import plain, receipt_id

At = Callable[[Path], StorageProvider]

_RECEIPTS = 14
_MARK = "sink.cursor"
_SESSIONS = (None, "a", "b")
_CONTROL = (
    ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash")),
    ControlEntry(2, 2.0, KeyCreated("key_2", "m", "second", "wwk_2", "hash")),
    ControlEntry(3, 3.0, KeyRevoked("key_1")),
)


def record(number: int, *, closed: bool = True) -> tuple[bytes, ...]:
    """The entries of one receipt of the history."""
    return plain(number, closed=closed, session_id=_SESSIONS[number % len(_SESSIONS)]).payloads


def shortened(payload: bytes) -> bytes:
    """What may be put in the place of an entry: the same with less to tell."""
    return payload.replace(b'"small:7b"', b'"small"')


class Life:
    """A place, what is open of it, and what it must hold: `expected` and `decided` are what was acknowledged.

    `attempted` are the entries of an append that was refused, of which a beginning may be there; receipts below `forgetting` may be gone
    already, and entries may be what they are `replacing`, by what is to be there instead.
    """

    def __init__(self, at: At, place: Path) -> None:
        self._at = at
        self.place = place
        self.expected = MemoryReceiptStore()
        self.decided: list[ControlEntry] = []
        self.attempted: Sequence[bytes] = ()
        self.replacing: dict[bytes, bytes] = {}
        self.forgotten = self.forgetting = 0
        self.marked: bytes | None = None
        self.marking: bytes | None = None
        self.deciding: Sequence[ControlEntry] = ()
        self._store: ReceiptStore | None = None
        self._control: ControlLog | None = None

    def open(self) -> None:
        """Open what is not open yet."""
        self._store = self._store or self._at(self.place).open()
        self._control = self._control or self._at(self.place).open_control()

    def append(self, *payloads: bytes) -> None:
        """Append, and know it."""
        self.attempted = payloads
        self._opened().append(payloads)
        self.expected.append(payloads)
        self.attempted = ()

    def forget(self, before: int, at_most: int = 1000) -> None:
        """Forget until nothing is left to forget, and know it."""
        self.forgetting = before
        while self._opened().forget(receipt_id(before), at_most):
            pass
        self.expected.forget(receipt_id(before))
        self.forgotten = before
        self.forgetting = 0

    def decide(self, number: int) -> None:
        """Append one entry to the control log, unless it is there, and know it."""
        assert self._control is not None
        if number < len(self.decided):
            return
        self.deciding = _CONTROL[number : number + 1]
        self._control.append(self.deciding)
        self.decided += self.deciding
        self.deciding = ()

    def replace(self, *payloads: bytes) -> None:
        """Put other bytes in the place of entries, and know it."""
        before = {
            (entry.receipt_id, entry.seq): payload for payload in self._all() for entry in [decode_entry(payload)]
        }
        given = {(entry.receipt_id, entry.seq): payload for payload in payloads for entry in [decode_entry(payload)]}
        self.replacing = {payload: before[key] for key, payload in given.items()}
        self._opened().replace(payloads)
        self.expected.replace(payloads)
        self.replacing = {}

    def tend(self) -> None:
        """Have everything done that the store puts off."""
        while self._opened().tend():
            pass

    def compact(self) -> None:
        """Give space back, where the provider has a way, as the command does: with nobody else there."""
        provider = self._at(self.place)
        if isinstance(provider, FileStorage):
            self.close()
            provider.compact(lambda _: None)
            self.open()

    def mark(self, value: bytes) -> None:
        """Set a mark, and know it."""
        self.marking = value
        self._opened().set_mark(_MARK, value)
        self.marked = value

    def close(self) -> None:
        """Close everything. Closing again what could not be closed succeeds."""
        control, store, self._control, self._store = self._control, self._store, None, None
        try:
            if control is not None:
                control.close()
        finally:
            if store is not None:
                store.close()

    def is_writable(self) -> bool:
        """What readiness would say."""
        try:
            self._opened().check_writable()
        except StorageUnavailable:
            return False
        return True

    @property
    def is_open(self) -> bool:
        """Whether receipts can be appended."""
        return self._store is not None

    def take_over(self) -> None:
        """Know what a dead process had attempted and stored, as whoever starts after it does."""
        self.decided = list(self._at(self.place).read_control())
        self.marked = self._opened().mark(_MARK)

    def check_acknowledged(self) -> None:
        """Everything acknowledged is there, and of what was refused at most a beginning: in this store and to a reader beside it."""
        if not (self.decided or self.expected.health().receipt_count):
            return  # there may be nothing to read yet
        reader = self._at(self.place).read()
        for receipts in (reader,) if self._store is None else (self._store, reader):
            self._check_prefixes(receipts)
        reader.close()

    def check_alike(self) -> None:
        """The store, and a reader beside it, hold what memory holds, and nothing else."""
        provider = self._at(self.place)
        reader = provider.read()
        for receipts in (self._opened(), reader):
            _compare(receipts, self.expected)
            if receipts.mark(_MARK) != self.marked:
                raise Broken(f"the mark is {receipts.mark(_MARK)!r} instead of {self.marked!r}")
        reader.close()
        if list(provider.read_control()) != self.decided:
            raise Broken(f"the control log holds {provider.read_control()} instead of {self.decided}")

    def left_by_a_death(self, copy: Path) -> "Life":
        """A life that goes on with what a process leaves behind that is killed now."""
        if self.place.exists():
            shutil.copytree(self.place, copy)
        return self.going_on_at(copy)

    def going_on_at(self, copy: Path) -> "Life":
        """Another life that must hold what this one must, and of which the rest is known as little."""
        left = Life(self._at, copy)
        left.expected.append(self._all())
        left.expected.forget(receipt_id(self.forgotten))  # what is open below goes when it is closed
        left.decided, left.forgotten = list(self.decided), self.forgotten
        left.marked, left.marking, left.replacing = self.marked, self.marking, self.replacing
        left.attempted, left.deciding, left.forgetting = self.attempted, self.deciding, self.forgetting
        return left

    def _check_prefixes(self, receipts: ReceiptReader) -> None:
        if receipts.mark(_MARK) not in (self.marked, self.marking):
            raise Broken(f"the mark is {receipts.mark(_MARK)!r} instead of {self.marked!r}")
        for number in range(_RECEIPTS):
            name = receipt_id(number)
            known = self.expected.payloads(name)
            possible = known + tuple(one for one in self.attempted if one in record(number) and one not in known)
            found = tuple(self.replacing.get(payload, payload) for payload in receipts.payloads(name))
            is_closing = number < self.forgotten and len(possible) > len(known)
            if not found and (number < self.forgetting or is_closing):
                continue
            if not len(known) <= len(found) or found != possible[: len(found)]:
                raise Broken(f"{name} has {len(found)} entries; {len(known)} were acknowledged, {len(possible)} sent")
        if list(self._at(self.place).read_control()) not in (self.decided, [*self.decided, *self.deciding]):
            raise Broken("the control log lacks what was acknowledged")

    def _all(self) -> list[bytes]:
        return [stored.payload for stored in self.expected.replay()]

    def _opened(self) -> ReceiptStore:
        assert self._store is not None
        return self._store


Step = Callable[[Life], None]

HISTORY: tuple[Step, ...] = (
    lambda life: life.open(),
    lambda life: life.append(*record(0), *record(1, closed=False)),
    lambda life: life.decide(0),
    lambda life: life.append(*record(2), *record(3)[:1]),
    lambda life: life.append(*record(3)[1:], *record(4)),
    lambda life: life.forget(2),
    lambda life: life.append(*record(5)),
    lambda life: life.tend(),
    lambda life: life.replace(shortened(record(2)[1]), shortened(record(4)[1])),
    lambda life: life.mark(b"1"),
    lambda life: life.append(*record(6), *record(7, closed=False)),
    lambda life: life.decide(1),
    lambda life: life.append(*record(1)[2:]),
    lambda life: life.forget(5, 2),
    lambda life: life.close(),
    lambda life: life.open(),
    lambda life: life.append(*record(7)[2:], *record(8)),
    lambda life: life.append(*record(9)),
    lambda life: life.forget(9),
    lambda life: life.tend(),
    lambda life: life.compact(),
    lambda life: life.mark(b"2"),
    lambda life: life.decide(2),
    lambda life: life.append(*record(10)),
    lambda life: life.close(),
    lambda life: life.open(),
)
"""Each step may be taken again when it was refused."""

LATER = record(11)
"""What somebody else appends between a refusal and the next attempt."""


def _compare(receipts: ReceiptReader, expected: MemoryReceiptStore) -> None:
    for what, question in _QUESTIONS.items():
        found, meant = question(receipts), question(expected)
        if found != meant:
            raise Broken(f"{what}: {found} instead of {meant}")


_QUESTIONS: dict[str, Callable[[ReceiptReader], object]] = {
    "receipts": lambda receipts: [[entry.seq for entry in entries] for entries in receipts.newest()],
    "payloads": lambda receipts: [receipts.payloads(receipt_id(number)) for number in range(_RECEIPTS)],
    "open receipts": lambda receipts: [entries[0].receipt_id for entries in receipts.open_receipts()],
    "sessions": lambda receipts: [receipts.newest_of_session("coding", name) for name in _SESSIONS if name],
    "counts": lambda receipts: (receipts.health().receipt_count, receipts.health().open_count),
    "replay": lambda receipts: sorted(stored.payload for stored in receipts.replay()),
}
