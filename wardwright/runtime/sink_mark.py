"""The place of a sink as its store keeps it, and what is said when it cannot be read.

A place that is lost is not guessed. Taken for the start of the log it would have everything sent again, to a sink that may never have been
meant to have the past, and which cannot unlearn it. Nothing is lost while the sink waits, so whoever runs it says where it goes on.
"""

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import MarkDamaged, ReceiptReader
from wardwright.runtime.sink_place import SinkPlace, decode_place, mark_name

LOST = b"lost"
"""Stands in a copy for a place that could not be read, so that nobody takes its sink for a new one there."""


class PlaceLost(StorageUnavailable):
    """The place that was kept cannot be read; the message says what sets another."""

    def __init__(self, sink_id: str, why: str) -> None:
        super().__init__(
            f"the place that the sink {sink_id!r} had reached cannot be read ({why}), so nothing is sent until it is told where to go on: "
            f"wardwright receipts export --to-sink {sink_id} --from SEQ, where 0 is everything that the log has"
        )


def kept_place(store: ReceiptReader, sink_id: str) -> SinkPlace | None:
    """The place that is kept of a sink; None when it has none yet. Raises: PlaceLost, StorageUnavailable."""
    try:
        mark = store.mark(mark_name(sink_id))
        return None if mark is None else decode_place(mark)
    except MarkDamaged as error:
        raise PlaceLost(sink_id, error.message) from error
    except msgspec.DecodeError as error:
        raise PlaceLost(sink_id, f"what is kept is no place: {error}") from error
