"""Where the entries of each receipt are: what a store knows without reading, and what it decides from it.

`ReceiptIndex` has it in memory, for every receipt: its id, in a dictionary and in a sorted list, and one place per entry. Places are
numbers for the file store, in arrays: about 0.3 KB for a receipt of four entries. Of every session the newest receipt is known as well,
at some 0.3 KB more. The file store keeps only its latest receipts so (`storage.log_index`).
"""

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, MutableSequence, Sequence
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from wardwright.receipts.events import Closed
from wardwright.receipts.fading import has_faded
from wardwright.receipts.query import ReceiptFilter

P = TypeVar("P")

Session = tuple[str, str]

CLOSED = Closed.__struct_config__.tag


class _Value(msgspec.Struct):
    value: str


class _Caller(msgspec.Struct):
    session_id: _Value | None = None


class _Fact(msgspec.Struct):
    type: str
    was: str = ""
    model_id: str = ""
    caller: _Caller | None = None


class Head(msgspec.Struct):
    """What a store needs to know of an encoded entry; the rest is not even parsed."""

    receipt_id: str
    seq: int
    event: _Fact


decode_head = msgspec.json.Decoder(Head).decode


class Candidates(NamedTuple, Generic[P]):
    """Receipts that may match a filter, and where their entries are, by descending id.

    None between them and `reached` do that are not here, nor any below when that is None. `passed` counts those that were looked at
    to find this out.
    """

    receipts: Sequence[tuple[str, Sequence[P]]]
    reached: str | None
    passed: int = 0


def unknown(
    payloads: Iterable[bytes], last_seq: Callable[[str], int], forgotten_below: str = ""
) -> list[tuple[Head, bytes]]:
    """Choose those of a batch that are not stored yet, each with its head. `last_seq` tells how far a receipt is stored.

    What is not stored below the bound of forgetting was stored once, so it is left out.

    Raises: ValueError when a payload is no entry, or its receipt lacks the entries before it.
    """
    chosen: list[tuple[Head, bytes]] = []
    last: dict[str, int] = {}
    for payload in payloads:
        head = head_of(payload)
        receipt_id, seq = head.receipt_id, head.seq
        expected = (last.get(receipt_id) or last_seq(receipt_id)) + 1
        if expected == 1 and receipt_id < forgotten_below:
            continue
        if seq > expected:
            raise ValueError(f"entry {seq} of {receipt_id} cannot be stored before entry {expected}")
        if seq == expected:
            chosen.append((head, payload))
            last[receipt_id] = seq
    return chosen


def check_replacement(payload: bytes, head: Head, stored: bytes, before: Head) -> None:
    """Make sure that an entry can take the place of the stored one of its receipt and number. Purity: pure.

    What has faded is of the kind that it was before.

    Raises: ValueError when it is longer, or of another kind.
    """
    if _kind(head) != _kind(before):
        raise ValueError(f"entry {head.seq} of {head.receipt_id} cannot be replaced by one of another kind")
    if len(payload) > len(stored):
        raise ValueError(f"entry {head.seq} of {head.receipt_id} cannot be replaced by a longer one")


def changes_summary(head: Head) -> bool:
    """Whether its receipt may come to something else in queries when this entry has taken the place of another. Purity: pure."""
    return head.seq == 1 or _is_faded(head)


def _kind(head: Head) -> str:
    return head.event.was if _is_faded(head) else head.event.type


def _is_faded(head: Head) -> bool:
    return has_faded(head.event.type, head.event.was, head.seq)


class Places(Protocol[P]):
    """What reading asks of an index."""

    def places(self, receipt_id: str) -> Sequence[P]:
        """Where a receipt's entries are, in order; empty when unknown."""
        ...

    def below(self, receipt_id: str | None) -> str | None:
        """The greatest id below another, or of all; None when there is none."""
        ...

    def candidates(self, wanted: ReceiptFilter, before: str | None, at_most: int) -> Candidates[P]:
        """The next receipts below an id that may match a filter; about so many at most."""
        ...

    def first_that(self, is_later: Callable[[Sequence[P]], bool]) -> str | None:
        """Among receipts that only `candidates` would pass over one by one, the one from which on all are later; None when there is none.

        `is_later` is asked of a receipt's places, and is true of all that follow upon one of which it is true, as far as anybody need care.
        """
        ...

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The greatest id of a session's receipts; None when there is none."""
        ...

    def open_ids(self) -> list[str]:
        """The receipts without a closing entry, by id."""
        ...


class ReceiptIndex(Generic[P]):
    """The places of every receipt's entries, in order. One writer; readers may ask at the same time from other threads."""

    def __init__(self, new_places: Callable[[], MutableSequence[P]], forgotten_below: str = "") -> None:
        self._new_places = new_places
        self.forgotten_below = forgotten_below
        self._places: dict[str, MutableSequence[P]] = {}
        self._ids: list[str] = []
        self._open: dict[str, Session | None] = {}
        # Entries that a power failure took, by receipt: only without strict durability, so almost always empty.
        self._lost: dict[str, int] = {}
        # May name a receipt that was forgotten since; then only one that is open can be left of its session.
        self._newest_of_session: dict[Session, str] = {}
        self._lock = threading.Lock()
        self.has_strays = False
        """Whether a log may hold entries here that do not count."""

    def unknown(self, payloads: Iterable[bytes]) -> list[tuple[Head, bytes]]:
        """Choose those of a batch that are not stored yet, each with its head.

        Raises: ValueError when a payload is no entry, or its receipt lacks the entries before it.
        """
        return unknown(payloads, self.last_seq, self.forgotten_below)

    def add(self, heads: Sequence[Head], places: Sequence[P]) -> None:
        """Take note of entries that were chosen by `unknown` and are stored now."""
        with self._lock:
            for head, place in zip(heads, places, strict=True):
                self._add(head, place)

    def recover(self, payload: bytes, place: P) -> None:
        """Take note of an entry found in a log: one that is known is skipped, a missing one passed over.

        An entry whose receipt has no opening entry says nothing and is left out.

        Raises: ValueError when the payload is no entry.
        """
        self.recover_head(head_of(payload), place)

    def recover_head(self, head: Head, place: P) -> None:
        """What `recover` does, with the entry's head."""
        expected = self.last_seq(head.receipt_id) + 1
        if head.seq < expected or (head.seq > 1 and head.receipt_id not in self._places):
            self._pass_over(place)
            return
        with self._lock:
            if head.seq > expected:
                self._lost[head.receipt_id] = self._lost.get(head.receipt_id, 0) + head.seq - expected
            self._add(head, place)

    def forgettable(self, before: str, at_most: int) -> tuple[list[str], str]:
        """The first closed receipts below an id, so many at most, and the bound below which all such are among them."""
        with self._lock:
            below = self._ids[: bisect_left(self._ids, before)]
            chosen = list(islice((receipt_id for receipt_id in below if receipt_id not in self._open), at_most))
        is_all = len(chosen) < at_most
        return chosen, max(self.forgotten_below, before if is_all else just_above(chosen[-1]))

    def forget(self, receipt_ids: Sequence[str], bound: str) -> None:
        """Know these receipts no more. From now on a receipt below the bound is forgotten when it is closed."""
        gone = set(receipt_ids)
        with self._lock:
            self.forgotten_below = bound
            if receipt_ids:
                self.has_strays = True
                end = bisect_left(self._ids, receipt_ids[-1]) + 1
                self._ids[:end] = [receipt_id for receipt_id in self._ids[:end] if receipt_id not in gone]
            for receipt_id in gone:
                del self._places[receipt_id]
                self._lost.pop(receipt_id, None)

    def let_sessions_go(self) -> None:
        """Free what is kept of sessions whose receipts are all forgotten."""
        with self._lock:
            self._newest_of_session = self._living_sessions()

    def replace(self, receipt_id: str, before: P, place: P) -> None:
        """Take note that an entry is at another place than before. A receipt that is not known stays so."""
        with self._lock:
            places = self._places.get(receipt_id)
            if places is not None:
                places[places.index(before)] = place

    def change_session(self, before: Head, head: Head) -> Session | None:
        """Take note that a receipt is of another session than before, or of none.

        Returns: a session whose newest receipt it was; whoever has the entries says which is now, by `note_newest`.
        """
        was, now = session_of(before), session_of(head)
        with self._lock:
            if was == now:
                return None
            if head.receipt_id in self._open:
                self._open[head.receipt_id] = now
            return was if was is not None and self._newest_of_session.get(was) == head.receipt_id else None

    def note_newest(self, session: Session, receipt_id: str | None) -> None:
        """Take note of the newest receipt of a session; None when it has none."""
        with self._lock:
            if receipt_id is None:
                self._newest_of_session.pop(session, None)
            else:
                self._newest_of_session[session] = receipt_id

    def oldest_place(self) -> P | None:
        """The least place of all; None when there is none."""
        with self._lock:
            return min((places[0] for places in self._places.values()), default=None)  # type: ignore[type-var]

    def places(self, receipt_id: str) -> tuple[P, ...]:
        """Where a receipt's entries are, in order; empty when unknown."""
        with self._lock:
            return tuple(self._places.get(receipt_id, ()))

    def holds(self, payload: bytes, place: P) -> bool:
        """Whether an entry counts, and counts as the one at this place: a log may hold it twice, or without its opening entry.

        Raises: ValueError when the payload is no entry.
        """
        return not self.has_strays or place in self.places(head_of(payload).receipt_id)

    def below(self, receipt_id: str | None) -> str | None:
        """The greatest id below another, or of all; None when there is none."""
        with self._lock:
            position = len(self._ids) if receipt_id is None else bisect_left(self._ids, receipt_id)
            return self._ids[position - 1] if position else None

    def candidates(self, wanted: ReceiptFilter, before: str | None, at_most: int) -> Candidates[P]:
        """The next receipts below an id, or of all, by descending id; so many at most. No filter is looked at here."""
        with self._lock:
            position = len(self._ids) if before is None else bisect_left(self._ids, before)
            receipt_ids = self._ids[max(0, position - at_most) : position][::-1]
            return Candidates(
                [(receipt_id, tuple(self._places[receipt_id])) for receipt_id in receipt_ids],
                receipt_ids[-1] if len(receipt_ids) == at_most else None,
            )

    def first_that(self, is_later: Callable[[Sequence[P]], bool]) -> str | None:
        """See `Places.first_that`. Looks at one receipt for each time that their number can be halved."""
        with self._lock:
            ids = self._ids.copy()
        position = bisect_left(ids, True, key=lambda receipt_id: is_later(self.places(receipt_id)))
        return ids[position] if position < len(ids) else None

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The greatest id of a session's receipts; None when there is none."""
        session = (model_id, session_id)
        with self._lock:
            known = self._newest_of_session.get(session)
            if known is None or known in self._places:
                return known
            return max((receipt_id for receipt_id, of in self._open.items() if of == session), default=None)

    def open_ids(self) -> list[str]:
        """The receipts without a closing entry, by id."""
        with self._lock:
            return sorted(self._open)

    def counts(self) -> tuple[int, int]:
        """How many receipts there are, and how many of them are open."""
        with self._lock:
            return len(self._ids), len(self._open)

    def _living_sessions(self) -> dict[Session, str]:
        newest = {session: known for session, known in self._newest_of_session.items() if known in self._places}
        for receipt_id, session in self._open.items():
            if session is not None:
                newest[session] = max(receipt_id, newest.get(session, ""))
        return newest

    def _pass_over(self, place: P) -> None:
        self.has_strays = True

    def last_seq(self, receipt_id: str) -> int:
        """The number of a receipt's last entry; 0 when it is unknown."""
        return len(self._places.get(receipt_id, ())) + self._lost.get(receipt_id, 0)

    def _add(self, head: Head, place: P) -> None:
        places = self._places.get(head.receipt_id)
        if places is None:
            places = self._places[head.receipt_id] = self._new_places()
            insort(self._ids, head.receipt_id)
            self._open[head.receipt_id] = self._note_session(head)
        places.append(place)
        if head.event.type == CLOSED:
            self._open.pop(head.receipt_id, None)
            if head.receipt_id < self.forgotten_below:
                self._drop(head.receipt_id)

    def _drop(self, receipt_id: str) -> None:
        del self._places[receipt_id], self._ids[bisect_left(self._ids, receipt_id)]
        self._lost.pop(receipt_id, None)
        self.has_strays = True

    def _note_session(self, head: Head) -> Session | None:
        session = session_of(head)
        if session is not None:
            self._newest_of_session[session] = max(head.receipt_id, self._newest_of_session.get(session, ""))
        return session


def just_above(receipt_id: str) -> str:
    """A bound that a receipt is below, and the next one is not: ids have no spaces."""
    return f"{receipt_id} "


def session_of(head: Head) -> Session | None:
    """The session that an opening entry says its receipt is of. Purity: pure."""
    caller = head.event.caller
    return None if caller is None or caller.session_id is None else (head.event.model_id, caller.session_id.value)


def head_of(payload: bytes) -> Head:
    """What a store needs to know of an encoded entry. Raises: ValueError when it is none."""
    try:
        return decode_head(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not an encoded receipt entry: {error}") from error
