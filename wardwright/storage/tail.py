"""What the end of a log holds: the receipts that the index beside it (`storage.index_file`) does not know yet, or not wholly.

A receipt is in the tail with all of its entries or not at all. One whose entries lie on both sides of what the index covers is in both
then, and the tail's word goes before the index's.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from wardwright.storage.index import Head, ReceiptIndex
from wardwright.storage.index_file import Known
from wardwright.storage.log_folder import Place


class Portion(NamedTuple):
    """The oldest entries of the tail: of each receipt among them all places up to the last of these, `covered`.

    `known` are those of the receipts that the index knows already, each with whether it is open there. `segments` has how many payloads
    they are in each segment, and how many of them are some receipt's.
    """

    places: Mapping[str, "array[int]"]
    known: Mapping[str, bool]
    segments: Mapping[int, tuple[int, int]]
    covered: int


class Tail(ReceiptIndex[int]):
    """The index in memory of the log's end. Takes note of the order in which entries came."""

    def __init__(self, forgotten_below: str = "") -> None:
        super().__init__(_no_places, forgotten_below)
        self._order: deque[tuple[int, str]] = deque()
        # Those that the index knows too, each with whether it is open there.
        self._known: dict[str, bool] = {}
        self._held = frozenset[str]()

    def __len__(self) -> int:
        """How many entries are still to be taken into the index."""
        return len(self._order)

    def __contains__(self, receipt_id: str) -> bool:
        return receipt_id in self._places

    def adopt(self, known: Known) -> None:
        """Take in a receipt from the index, whole, because it goes on."""
        with self._lock:
            self._places[known.receipt_id] = known.places
            insort(self._ids, known.receipt_id)
            self._known[known.receipt_id] = known.is_open
            if known.is_open:
                self._open[known.receipt_id] = known.session
            if known.last_seq > len(known.places):
                self._lost[known.receipt_id] = known.last_seq - len(known.places)
            if known.session is not None:
                newest = self._newest_of_session.get(known.session, "")
                self._newest_of_session[known.session] = max(known.receipt_id, newest)

    def hold(self, receipt_ids: frozenset[str]) -> None:
        """Let go of none of these, whatever the index takes in, until others are to be held: entries of theirs are being stored."""
        with self._lock:
            self._held = receipt_ids

    def last_seqs(self, *, are_open: bool) -> dict[str, int]:
        """The receipts that are open, or those that are not, each with the number of its last entry."""
        with self._lock:
            return {one: self.last_seq(one) for one in self._places if (one in self._open) is are_open}

    def portion(self, at_most: int) -> Portion | None:
        """The oldest entries, so many at most; None when there are none."""
        with self._lock:
            taken = list(islice(self._order, at_most))
            if not taken:
                return None
            covered = taken[-1][0]
            receipt_ids = {receipt_id: None for _, receipt_id in taken if receipt_id in self._places}
            places = {receipt_id: self._upto(receipt_id, covered) for receipt_id in receipt_ids}
            known = {receipt_id: self._known[receipt_id] for receipt_id in receipt_ids if receipt_id in self._known}
        segments: dict[int, tuple[int, int]] = {}
        for place, receipt_id in taken:
            number = Place.unpacked(place).segment
            payloads, held = segments.get(number, (0, 0))
            segments[number] = payloads + 1, held + (receipt_id in places)
        return Portion(places, known, segments, covered)

    def known(self, receipt_ids: Mapping[str, object]) -> dict[str, bool]:
        """Which of these the index knows too, and whether each is open there."""
        with self._lock:
            return {receipt_id: self._known[receipt_id] for receipt_id in receipt_ids if receipt_id in self._known}

    def known_counts(self) -> tuple[int, int]:
        """How many receipts the index knows too, and how many of them are open there."""
        with self._lock:
            return len(self._known), sum(self._known.values())

    def settle(self, covered: int, are_open: Mapping[str, bool]) -> list[str]:
        """Let go of what the index covers now, the receipts that do not go on and are not held; `are_open` tells of those in doubt.

        Tells which of the receipts that the index has taken in are gone from here meanwhile: it must not keep them.
        """
        with self._lock:
            touched: dict[str, None] = {}
            while self._order and self._order[0][0] <= covered:
                touched[self._order.popleft()[1]] = None
            vanished = [receipt_id for receipt_id in are_open if receipt_id not in self._places]
            done = set()
            for receipt_id in touched:
                places = self._places.get(receipt_id)
                if places is None:
                    continue
                if places[-1] > covered or receipt_id in self._held:
                    self._known[receipt_id] = are_open.get(receipt_id, True)
                else:
                    done.add(receipt_id)
            self._let_go(done)
            return vanished

    def drop_before(self, place: int) -> None:
        """Have nothing to take into the index that lies before a place: nothing of any receipt does any more."""
        with self._lock:
            while self._order and self._order[0][0] < place:
                self._order.popleft()

    def was_known(self, receipt_id: str) -> bool:
        """Whether the index knows a receipt that was let go of here just now; from now on nobody asks."""
        with self._lock:
            return receipt_id not in self._places and self._known.pop(receipt_id, None) is not None

    def forget(self, receipt_ids: Sequence[str], bound: str) -> None:
        """See `ReceiptIndex.forget`; those that are not here are passed over."""
        super().forget([receipt_id for receipt_id in receipt_ids if receipt_id in self._places], bound)
        with self._lock:
            for receipt_id in receipt_ids:
                self._known.pop(receipt_id, None)

    def pass_over_segments(self, last: int) -> None:
        """Let go of the order of entries in segments up to one. All of them are of receipts that were forgotten."""
        with self._lock:
            while self._order and Place.unpacked(self._order[0][0]).segment <= last:
                self._order.popleft()

    def _upto(self, receipt_id: str, covered: int) -> "array[int]":
        places = self._places[receipt_id]
        return array("Q", places[: bisect_right(places, covered)])

    def _let_go(self, receipt_ids: "set[str]") -> None:
        for receipt_id in receipt_ids:
            del self._places[receipt_id], self._ids[bisect_left(self._ids, receipt_id)]
            self._open.pop(receipt_id, None)
            self._lost.pop(receipt_id, None)
            self._known.pop(receipt_id, None)
        self._newest_of_session = self._living_sessions()

    def _add(self, head: Head, place: int) -> None:
        self._order.append((place, head.receipt_id))
        super()._add(head, place)

    def _pass_over(self, place: int) -> None:
        super()._pass_over(place)
        self._order.append((place, ""))


def _no_places() -> "array[int]":
    return array("Q")
