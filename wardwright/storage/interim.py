"""What a store knows of its receipts while the index of its log is made anew: enough to append, and no more.

Appending must tell what is stored already. That is known of the receipts that are open, of those that were closed lately, and of new ones,
whose ids are above those of all others. Of anything else it cannot be told before there is an index again, and whoever appends or asks is
told to come back.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.index import CLOSED, Candidates, Head, unknown
from wardwright.storage.log_folder import Place

KEPT_CLOSED = 16_384


class Remembered(NamedTuple):
    """What is left of an index that was given up.

    `going_on` has the last numbers of all open receipts, and `closed` those of some that are closed; the ids of the others are `newest`
    at most. `impure` are the segments in which not every entry counts; None when there may be such entries anywhere.
    """

    going_on: dict[str, int]
    closed: dict[str, int]
    newest: str
    forgotten_below: str
    receipt_count: int
    impure: frozenset[int] | None


class Interim:
    """Takes note of appends, and refuses every question. Implements `storage.file_reading.LogPlaces`."""

    def __init__(self, remembered: Remembered) -> None:
        self.forgotten_below = remembered.forgotten_below
        self.appended = 0
        """How many entries were appended meanwhile."""
        self.progress = 0.0
        """Which part of the log the new index covers."""
        self.problem: str | None = None
        """Why it cannot be gone on with, if it cannot."""
        self._going_on = remembered.going_on
        self._closed = remembered.closed
        self._newest = remembered.newest
        self._receipts = remembered.receipt_count
        self._impure = remembered.impure

    def refusal(self) -> StorageUnavailable:
        """What whoever asks is told."""
        if self.problem is not None:
            return StorageUnavailable(f"the index of the receipts cannot be made anew from the log: {self.problem}")
        return StorageUnavailable(
            "the index of the receipts was damaged and is being made anew from the log "
            f"({self.progress:.0%} of it so far): ask again when it is done"
        )

    def unknown(self, payloads: Iterable[bytes]) -> list[tuple[Head, bytes]]:
        """Choose those of a batch that are not stored yet; see `index.unknown`.

        Raises: StorageUnavailable where that cannot be told.
        """
        return unknown(payloads, self._last_seq, self.forgotten_below)

    def add(self, heads: Sequence[Head], places: Sequence[int]) -> None:
        """Take note of entries that were chosen by `unknown` and are stored now."""
        self.appended += len(places)
        for head in heads:
            receipt_id = head.receipt_id
            self._receipts += head.seq == 1
            self._going_on[receipt_id] = head.seq
            if head.event.type == CLOSED:
                self._close(receipt_id)

    def counts(self) -> tuple[int, int]:
        """How many receipts there are, and how many of them are open."""
        return self._receipts, len(self._going_on)

    def holder(self) -> Callable[[bytes, int], bool]:
        """How to tell whether an entry of the log counts. Raises: StorageUnavailable, from the function, where it cannot be told."""

        def holds(payload: bytes, place: int) -> bool:
            if self._impure is None or Place.unpacked(place).segment in self._impure:
                raise self.refusal()
            return True

        return holds

    def cuts(self, apart: int) -> list[int]:
        """None: see `ReceiptReader.cuts`."""
        return []

    def id_cuts(self, apart: int) -> list[str]:
        """None: see `ReceiptReader.id_cuts`."""
        return []

    def places(self, receipt_id: str) -> Sequence[int]:
        """Refused."""
        self._refuse()

    def below(self, receipt_id: str | None) -> str | None:
        """Refused."""
        self._refuse()

    def candidates(self, wanted: ReceiptFilter, before: str | None, at_most: int) -> Candidates[int]:
        """Refused."""
        self._refuse()

    def first_that(self, is_later: Callable[[Sequence[int]], bool]) -> str | None:
        """Refused."""
        self._refuse()

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """Refused."""
        self._refuse()

    def open_ids(self) -> list[str]:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise self.refusal()

    def _last_seq(self, receipt_id: str) -> int:
        known = self._going_on.get(receipt_id) or self._closed.get(receipt_id)
        if known is not None:
            return known
        if receipt_id > self._newest or receipt_id < self.forgotten_below:
            return 0
        raise self.refusal()

    def _close(self, receipt_id: str) -> None:
        last_seq = self._going_on.pop(receipt_id)
        if receipt_id < self.forgotten_below:
            self._receipts -= 1
            self._impure = None  # what the log holds of it counts no more, wherever that is
            return
        self._closed[receipt_id] = last_seq
        if len(self._closed) > KEPT_CLOSED:
            oldest = next(iter(self._closed))
            del self._closed[oldest]
            self._newest = max(self._newest, oldest)
