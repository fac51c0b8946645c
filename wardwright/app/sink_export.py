"""Sending what a log holds to a sink without a daemon: everything behind a position, under the keys that a daemon would use."""

from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec

from wardwright.app.sinks import sink_of
from wardwright.app.storage import storage_of
from wardwright.config.settings import Settings
from wardwright.domain.errors import NotFound, RequestError, WardwrightError
from wardwright.ports.sink import Record, Sink, SinkRefused, SinkUnavailable
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.runtime.sink_batch import Wanted, read_batch
from wardwright.runtime.sink_mark import PlaceLost, kept_place
from wardwright.runtime.sink_place import SinkPlace, encode_place, mark_name


class Interrupted(WardwrightError):
    """The sink could not take everything; the message says from where on to ask again."""

    code = "sink_unavailable"


class Exported(msgspec.Struct, frozen=True):
    """What was sent: how many records, and why others were refused, by key.

    `place_was_lost`: the sink has a place again, behind everything that was sent.
    """

    records: int
    refused: dict[str, str]
    place_was_lost: bool


def export_to_sink(settings: Settings, sink_id: str, after: int, on_records: Callable[[int], None]) -> Exported:
    """Send everything behind a position to a sink; no daemon may be running.

    The sink's own place stays where it is. One that is lost is set behind what was sent.

    `on_records` is told how many were sent so far.

    Raises: NotFound when there is no such sink, or nothing that lasts to read from. RequestError for a position that is none. Interrupted.
    StorageUnavailable.
    """
    wanted = next((each for each in settings.sinks if each.id == sink_id), None)
    if wanted is None:
        raise NotFound(f"there is no sink {sink_id!r} in the configuration", "not_found")
    storage = storage_of(settings)
    if Capability.DURABLE not in storage.capabilities or storage.is_new():
        raise NotFound(f"there is nothing in {storage.where} that could be sent", "not_found")
    sink, records = sink_of(wanted), 0
    refused: dict[str, str] = {}
    with closing(storage.open()) as store, closing(sink):
        while True:
            try:
                batch = read_batch(store, Wanted(sink.unit, after, wanted.batch))
            except ValueError as error:
                raise RequestError(f"nothing was ever recorded at position {after}", param="from") from error
            try:
                refused |= _delivered(sink, batch.records, opens=records == 0)
            except SinkUnavailable as error:
                raise Interrupted(f"{error.message}; records sent: {records}, ask again with --from {after}") from error
            records += len(batch.records)
            on_records(records)
            after = batch.end
            if batch.is_last:
                return Exported(records - len(refused), refused, place_was_lost=_set_lost_place(store, sink_id, after))


def _set_lost_place(store: ReceiptStore, sink_id: str, position: int) -> bool:
    """Set the place of a sink if it is lost; tell whether it was. Raises: StorageUnavailable."""
    try:
        kept_place(store, sink_id)
    except PlaceLost:
        store.set_mark(mark_name(sink_id), encode_place(SinkPlace(position=position)))
        return True
    return False


def _delivered(sink: Sink, records: Sequence[Record], *, opens: bool) -> dict[str, str]:
    """Deliver records; tell which ones were refused. Raises: SinkUnavailable."""
    if not records:
        return {}
    if opens:
        sink.open()
    try:
        sink.deliver(records)
    except SinkRefused as refusal:
        return dict(refusal.reasons)
    return {}
