"""The reading half that all stores share: everything the port can be asked, answered from an index and a way to fetch payloads."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.events import Entry, decode_entry
from wardwright.receipts.query import Page, ReceiptFilter, page
from wardwright.storage.index import ReceiptIndex

P = TypeVar("P")


class IndexedReceipts(ABC, Generic[P]):
    """Reads receipts through an index of places `P`. Safe for any number of threads."""

    def __init__(self, index: ReceiptIndex[P]) -> None:
        self._index = index

    @abstractmethod
    def _fetch(self, places: Sequence[P]) -> list[bytes]:
        """Fetch the payloads at these places."""

    def _refresh(self) -> None:
        """Bring the index up to date, in stores that somebody else writes to."""

    def payloads(self, receipt_id: str) -> tuple[bytes, ...]:
        """The entries of one receipt as they are stored, byte for byte, for `receipts.chain.verify`; empty when unknown."""
        self._refresh()
        return tuple(self._fetch(self._index.places(receipt_id)))

    def entries(self, receipt_id: str) -> tuple[Entry, ...]:
        """All entries of one receipt in order; empty when unknown."""
        self._refresh()
        return self._entries(receipt_id)

    def newest(self, before: str | None = None) -> Iterator[tuple[Entry, ...]]:
        """Receipts by descending id, strictly below `before` when given; each is read when it is asked for."""
        self._refresh()
        while (before := self._index.below(before)) is not None:
            yield self._entries(before)

    def page(self, wanted: ReceiptFilter) -> Page:
        """A page of the receipts that a filter matches, found by looking at one after the other."""
        return page(self.newest(wanted.before), wanted)

    def open_receipts(self) -> tuple[tuple[Entry, ...], ...]:
        """Every receipt that has no closing entry yet, by id."""
        self._refresh()
        return tuple(self._entries(receipt_id) for receipt_id in self._index.open_ids())

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The id of a session's newest receipt; None when it has none."""
        self._refresh()
        return self._index.newest_of_session(model_id, session_id)

    def _entries(self, receipt_id: str) -> tuple[Entry, ...]:
        try:
            return tuple(decode_entry(payload) for payload in self._fetch(self._index.places(receipt_id)))
        except msgspec.DecodeError as error:
            raise StorageUnavailable(f"{receipt_id} holds an entry that this version cannot read: {error}") from error
