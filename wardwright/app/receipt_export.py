"""Receipts as lines of text, in several processes where there are enough of them: each renders pieces, which come out in order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple

import msgspec

from wardwright.app.side_by_side import side_by_side
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.query import ReceiptFilter
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.table_text import csv_lines

SMALL_STORE = 20_000
"""Of fewer receipts are written sooner than a process is started."""

PIECE = 256
"""So many receipts are rendered at once: mostly some 600 kB of them, up to 130 MB where every one has content."""


class Block(NamedTuple):
    """The lines of so many receipts."""

    receipts: int
    lines: bytes


Lines = Callable[[Iterable[Receipt]], Iterator[Block]]
"""Renders receipts, a line each. It is sent to other processes, so it is a function of a module."""

_AT_ONCE = 32

_Span = tuple[str | None, str]
"""Below which id a piece begins, None for above all, and with which it ends."""


def ndjson_lines(receipts: Iterable[Receipt]) -> Iterator[Block]:
    """Whole receipts as JSON, some lines at a time."""
    encode, each = msgspec.json.Encoder().encode_lines, iter(receipts)
    while some := list(islice(each, _AT_ONCE)):
        yield Block(len(some), encode(some))


def csv_heading() -> bytes:
    """What stands above rows of CSV."""
    return next(csv_lines(())).encode()


def csv_rows(receipts: Iterable[Receipt]) -> Iterator[Block]:
    """Flat rows of CSV, without the heading, some at a time."""
    rows = islice(csv_lines(receipts), 1, None)
    while some := list(islice(rows, _AT_ONCE)):
        yield Block(len(some), "".join(some).encode())


def rendered(provider: StorageProvider, wanted: ReceiptFilter, lines: Lines, processes: int) -> Iterator[Block]:
    """The lines of every receipt that a filter without a cursor matches, newest first.

    Where facts are asked for one process makes them: few receipts may match, and to ask for them piece by piece takes longer than they do.

    Raises: StorageUnavailable.
    """
    with closing(provider.read()) as store:
        is_small = processes < 2 or bool(wanted.exact) or store.health().receipt_count < SMALL_STORE
        cuts: Sequence[str] = () if is_small else store.id_cuts(PIECE)
        if not cuts:
            yield from lines(store.select(wanted))
            return
    spans = [(None, cuts[0]), *pairwise((*cuts, ""))]
    with closing(side_by_side(partial(_rendering, provider, wanted, lines), spans, processes)) as blocks:
        yield from blocks


@contextmanager
def _rendering(provider: StorageProvider, wanted: ReceiptFilter, lines: Lines) -> Iterator[Callable[[_Span], Block]]:
    """What a process does: it has a reader of its own."""
    with closing(provider.read()) as store:

        def render(span: _Span) -> Block:
            before, least = span
            blocks = list(lines(store.select(msgspec.structs.replace(wanted, before=before, least=least))))
            return Block(sum(block.receipts for block in blocks), b"".join(block.lines for block in blocks))

        yield render
