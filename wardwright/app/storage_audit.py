"""The check of everything that is stored, in several processes where there is enough of it: each checks pieces, and they are joined here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise

from wardwright.app.side_by_side import side_by_side
from wardwright.ports.storage import ReceiptReader, StorageProvider, Stored
from wardwright.receipts.audit import Audit, Piece, PieceAudit

SMALL_STORE = 50_000
"""Of fewer receipts are checked sooner than a process is started."""

PIECE = 50_000
"""About so many entries are checked at once, or a segment of the log."""

_TOLD_EVERY = 1_000

_Span = tuple[int, int | None]
"""Behind which position a piece begins, and at which it ends: None for the last."""


def audit_storage(provider: StorageProvider, processes: int, on_receipts: Callable[[int], None]) -> Audit:
    """Check every chain; `on_receipts` is told how many receipts have been met so far.

    Raises: StorageUnavailable.
    """
    audit = Audit()
    with closing(provider.read()) as store:
        is_small = processes < 2 or store.health().receipt_count < SMALL_STORE
        cuts: Sequence[int] = () if is_small else store.cuts(PIECE)
        if cuts:
            _join_pieces(audit, provider, store, [*pairwise((0, *cuts)), (cuts[-1], None)], processes, on_receipts)
        else:
            _take_all(audit, store.replay(), on_receipts)
    return audit


def _join_pieces(
    audit: Audit,
    provider: StorageProvider,
    store: ReceiptReader,
    spans: Sequence[_Span],
    processes: int,
    on_receipts: Callable[[int], None],
) -> None:
    with closing(side_by_side(partial(_checking, provider), spans, processes)) as pieces:
        for span, piece in zip(spans, pieces, strict=True):
            if not audit.join(piece):
                _take_all(audit, store.replay(*span), on_receipts)
            on_receipts(audit.receipts)


def _take_all(audit: Audit, entries: Iterable[Stored], on_receipts: Callable[[int], None]) -> None:
    for stored in entries:
        audit.take(stored.payload)
        if not audit.entries % _TOLD_EVERY:
            on_receipts(audit.receipts)


@contextmanager
def _checking(provider: StorageProvider) -> Iterator[Callable[[_Span], Piece]]:
    """What a process does: it has a reader of its own."""
    with closing(provider.read()) as store:

        def check(span: _Span) -> Piece:
            audit = PieceAudit()
            for stored in store.replay(*span):
                audit.take(stored.payload)
            return audit.piece()

        yield check
