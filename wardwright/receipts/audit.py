"""The check of a whole store: every receipt's chain at once, from entries in the order in which they were stored."""

from collections.abc import Mapping

import msgspec

from wardwright.receipts.chain import Break, Link, fault_of, is_faded, is_unprovable, read_link
from wardwright.receipts.events import Closed

_CLOSED = Closed.__struct_config__.tag


class Finding(msgspec.Struct, frozen=True):
    """A receipt whose chain does not hold, and the first place where."""

    receipt_id: str
    broken: Break


class Audit:
    """Takes entries one by one. Of a receipt it remembers the last entry until it is closed, and of a broken one nothing but that."""

    def __init__(self) -> None:
        self.entries = 0
        self.receipts = 0
        self.unprovable = 0
        """Entries from before there were commitments that were erased: their own hash says nothing any more."""
        self.faded = 0
        """Entries that have faded: that they stood where they stood is all that is proved of them."""
        self._last: dict[str, Link] = {}
        self._broken: dict[str, Finding] = {}

    @property
    def open_receipts(self) -> int:
        """How many receipts have no closing entry yet, broken ones left out."""
        return len(self._last)

    @property
    def findings(self) -> Mapping[str, Finding]:
        """What was found so far, by receipt."""
        return self._broken

    def take(self, payload: bytes) -> Finding | None:
        """Check the next entry; tell a fault when it is its receipt's first. Purity: no I/O."""
        self.entries += 1
        link = read_link(payload)
        if link is None:
            return self._found(
                "?", Break(self.entries, "unreadable", f"entry {self.entries} of the store cannot be read")
            )
        receipt_id = link.receipt_id
        self.receipts += link.seq == 1
        if receipt_id in self._broken:
            return None
        fault = fault_of(payload, link, self._last.get(receipt_id))
        if fault is not None:
            self._last.pop(receipt_id, None)
            return self._found(receipt_id, Break(link.seq, *fault))
        self.unprovable += is_unprovable(payload, link)
        self.faded += is_faded(link)
        if link.event.type == _CLOSED:
            self._last.pop(receipt_id, None)
        else:
            self._last[receipt_id] = link
        return None

    def _found(self, receipt_id: str, broken: Break) -> Finding:
        finding = self._broken[receipt_id] = Finding(receipt_id, broken)
        return finding
