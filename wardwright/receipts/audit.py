"""The check of a whole store: every receipt's chain at once, from entries in the order in which they were stored.

A store may be checked in pieces, side by side: a `PieceAudit` checks one by itself, and `Audit.join` puts what they came to together
in order. Where a piece cannot be judged without what came before it, it is checked again from there, so that both ways say the same.
"""

from collections.abc import Mapping

import msgspec

from wardwright.receipts.chain import Break, Link, Standing, fault_of, is_faded, is_unprovable, read_link
from wardwright.receipts.events import Closed

_CLOSED = Closed.__struct_config__.tag
_NOBODY = "?"


class Finding(msgspec.Struct, frozen=True):
    """A receipt whose chain does not hold, and the first place where."""

    receipt_id: str
    broken: Break


class Piece(msgspec.Struct, frozen=True):
    """What the check of a piece of a store came to by itself.

    It holds where the receipts `begun` in it were never there before, and each of those it was `entered` by, which go on in it, stood
    there at its beginning; `left` has where receipts that are open stand at its end.
    """

    entries: int
    receipts: int
    unprovable: int
    faded: int
    begun: frozenset[str]
    entered: dict[str, Standing]
    left: dict[str, Standing]
    findings: tuple[Finding, ...]


class Audit:
    """Takes entries one by one. Of a receipt it remembers the last entry until it is closed, and of a broken one nothing but that."""

    def __init__(self) -> None:
        self.entries = 0
        self.receipts = 0
        self.unprovable = 0
        """Entries from before there were commitments that were erased: their own hash says nothing any more."""
        self.faded = 0
        """Entries that have faded: that they stood where they stood is all that is proved of them."""
        self._last: dict[str, Standing] = {}
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
                _NOBODY, Break(self.entries, "unreadable", f"entry {self.entries} of the store cannot be read")
            )
        receipt_id = link.receipt_id
        self.receipts += link.seq == 1
        if receipt_id in self._broken:
            return None
        fault = fault_of(payload, link, self._before(link))
        if fault is not None:
            self._last.pop(receipt_id, None)
            return self._found(receipt_id, Break(link.seq, *fault))
        self.unprovable += is_unprovable(payload, link)
        self.faded += is_faded(link)
        if link.event.type == _CLOSED:
            self._last.pop(receipt_id, None)
        else:
            self._last[receipt_id] = Standing(receipt_id, link.seq, link.hash)
        return None

    def join(self, piece: Piece) -> bool:
        """Take what the check of the next piece came to. Purity: no I/O.

        Returns: False when that cannot be told by itself; then nothing was taken, and whoever asks takes its entries one by one.
        """
        if not self._fits(piece):
            return False
        self.entries += piece.entries
        self.receipts += piece.receipts
        self.unprovable += piece.unprovable
        self.faded += piece.faded
        self._broken.update((finding.receipt_id, finding) for finding in piece.findings)
        for receipt_id in piece.entered:
            del self._last[receipt_id]
        self._last.update(piece.left)
        return True

    def _fits(self, piece: Piece) -> bool:
        return (
            piece.begun.isdisjoint(self._broken)
            and piece.begun.isdisjoint(self._last)
            and all(self._last.get(receipt_id) == stood for receipt_id, stood in piece.entered.items())
            and all(finding.receipt_id != _NOBODY for finding in piece.findings)  # it is told by its place in the store
        )

    def _before(self, link: Link) -> Standing | None:
        """Where its receipt stands that an entry is to follow; None at its beginning."""
        return self._last.get(link.receipt_id)

    def _found(self, receipt_id: str, broken: Break) -> Finding:
        finding = Finding(receipt_id, broken)
        self._broken.setdefault(receipt_id, finding)
        return finding


class PieceAudit(Audit):
    """The check of a piece of a store by itself. Of a receipt that does not begin in it, it takes the first entry at its word."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: set[str] = set()
        self._entered: dict[str, Standing] = {}

    def piece(self) -> Piece:
        """What it came to."""
        return Piece(
            self.entries,
            self.receipts,
            self.unprovable,
            self.faded,
            frozenset(self._begun),
            self._entered,
            self._last,
            tuple(self._broken.values()),
        )

    def _before(self, link: Link) -> Standing | None:
        receipt_id = link.receipt_id
        stands = self._last.get(receipt_id)
        if stands is not None or receipt_id in self._begun or receipt_id in self._entered:
            return stands
        if link.seq == 1 and not link.prev:
            self._begun.add(receipt_id)
            return None
        stood = self._entered[receipt_id] = Standing(receipt_id, link.seq - 1, link.prev)
        return stood
