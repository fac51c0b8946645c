"""The reading half that all stores share: everything the port can be asked, answered from an index and a way to fetch payloads."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.events import Entry, decode_entry
from wardwright.receipts.query import CLOCK_SLACK_S, Page, ReceiptFilter, Unlike, page, select
from wardwright.receipts.receipt import Receipt
from wardwright.storage.index import CLOSED, Places, head_of

P = TypeVar("P")

_BATCH = 64
_WHOLE_BATCH = 128


class _Opening(msgspec.Struct):
    at: float


_decode_opening = msgspec.json.Decoder(_Opening).decode


class IndexedReceipts(ABC, Generic[P]):
    """Reads receipts through an index of places `P`. Safe for any number of threads."""

    def __init__(self, index: Places[P]) -> None:
        self._places = index

    @abstractmethod
    def _fetch(self, places: Sequence[P]) -> list[bytes]:
        """Fetch the payloads at these places."""

    def _refresh(self) -> None:
        """Bring the index up to date, in stores that somebody else writes to."""

    def payloads(self, receipt_id: str) -> tuple[bytes, ...]:
        """The entries of one receipt as they are stored, byte for byte, for `receipts.chain.verify`; empty when unknown."""
        self._refresh()
        return tuple(self._fetch(self._places.places(receipt_id)))

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        """All entries of one receipt in order; empty when unknown."""
        self._refresh()
        return self._entries(receipt_id)

    def newest(self, before: str | None = None) -> Iterator[tuple[Entry, ...]]:
        """Receipts by descending id, strictly below `before` when given; each is read when it is asked for."""
        self._refresh()
        while (before := self._places.below(before)) is not None:
            if entries := self._entries(before):  # else it was forgotten this very moment
                yield entries

    def page(self, wanted: ReceiptFilter) -> Page:
        """A page of the receipts that a filter matches, found by looking at one after the other, only as closely as need be."""
        self._refresh()
        return page(self._candidates(wanted, min(wanted.limit + 1, _BATCH)), wanted)

    def open_receipts(self) -> tuple[tuple[Entry, ...], ...]:
        """Every receipt that has no closing entry yet, by id."""
        self._refresh()
        found = (self._entries(receipt_id) for receipt_id in self._places.open_ids())
        return tuple(entries for entries in found if entries)  # else it was closed and forgotten this very moment

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The id of a session's newest receipt; None when it has none."""
        self._refresh()
        return self._places.newest_of_session(model_id, session_id)

    def select(self, wanted: ReceiptFilter) -> Iterator[Receipt]:
        """See `ReceiptReader.select`."""
        self._refresh()
        return select(self._candidates(wanted, _WHOLE_BATCH), wanted)

    def _candidates(self, wanted: ReceiptFilter, at_most: int) -> Iterator[tuple[Entry, ...] | Unlike]:
        """What may match, so many looked up and fetched at a time."""
        is_unlike, before = _unlikeness(wanted), self._beginning(wanted)
        while True:
            found = self._places.candidates(wanted, before, at_most)
            places = [places for _, places in found.receipts]
            for (receipt_id, _), payloads in zip(found.receipts, self._fetch_each(places), strict=True):
                if not payloads:
                    continue  # it was forgotten this very moment
                elif is_unlike(payloads):
                    yield self._unlike(receipt_id, payloads[0])
                else:
                    yield self._decoded(receipt_id, payloads)
            before = found.reached
            if before is None:
                return
            if found.passed:
                yield Unlike(before, inf, found.passed)

    def _beginning(self, wanted: ReceiptFilter) -> str | None:
        """Below which id to look: what was opened later than is asked for need not be read, except for as much as a clock may be set back."""
        if wanted.created_at_max == inf:
            return wanted.before
        last = wanted.created_at_max + 1 + CLOCK_SLACK_S
        later = self._places.first_that(lambda places: self._opened_at(places) > last)
        return min((one for one in (later, wanted.before) if one is not None), default=None)

    def _opened_at(self, places: Sequence[P]) -> float:
        """When a receipt was opened, in Unix seconds; long ago, when it was forgotten this very moment."""
        payloads = self._fetch(places[:1]) if places else []
        return self._unlike("a receipt", payloads[0]).at if payloads else -inf

    def _fetch_each(self, places: Sequence[Sequence[P]]) -> list[list[bytes]]:
        """Fetch the payloads of several receipts."""
        return [self._fetch(each) for each in places]

    def _entries(self, receipt_id: str) -> tuple[Entry, ...]:
        return self._decoded(receipt_id, self._fetch(self._places.places(receipt_id)))

    def _decoded(self, receipt_id: str, payloads: Sequence[bytes]) -> tuple[Entry, ...]:
        try:
            entries = tuple(map(decode_entry, payloads))
        except msgspec.DecodeError as error:
            raise _unreadable(receipt_id, error) from error
        for entry in entries:
            if entry.receipt_id != receipt_id:
                raise self._misled(f"where it has {receipt_id} is another receipt")
        return entries

    def _misled(self, how: str) -> StorageUnavailable:
        """What to raise where the index has led elsewhere than to what it names."""
        return StorageUnavailable(f"the index is damaged: {how}. It is made anew by a start without it")

    def _unlike(self, receipt_id: str, opening: bytes) -> Unlike:
        try:
            return Unlike(receipt_id, _decode_opening(opening).at)
        except msgspec.DecodeError as error:
            raise _unreadable(receipt_id, error) from error


def _unlikeness(wanted: ReceiptFilter) -> Callable[[Sequence[bytes]], bool]:
    """How to tell of most receipts that do not match, by their payloads, that they do not."""
    traces, only_open = wanted.traces(), wanted.takes_only_open()

    def is_unlike(payloads: Sequence[bytes]) -> bool:
        if only_open and _is_closing(payloads[-1]):
            return True
        return not all(any(trace in payload for payload in payloads) for trace in traces)

    return is_unlike


def _is_closing(payload: bytes) -> bool:
    try:
        return head_of(payload).event.type == CLOSED
    except ValueError:
        return False  # whoever decodes it will say what is wrong


def _unreadable(receipt_id: str, error: msgspec.DecodeError) -> StorageUnavailable:
    return StorageUnavailable(f"{receipt_id} holds an entry that this version cannot read: {error}")
