"""Batches in waves, for far sides that acknowledge each record by itself and may take a later one although an earlier one failed."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from wardwright.ports.sink import Record


def waves_of(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The first record of each receipt, then the second of each that has one, and so on: a wave has no receipt twice. Purity: pure."""
    by_receipt: dict[str, list[Record]] = {}
    for record in records:
        by_receipt.setdefault(record.receipt_id, []).append(record)
    for wave in zip_longest(*by_receipt.values()):
        yield [record for record in wave if record is not None]
