"""Copies of storage: everything that one provider keeps, put into another that is new, every chain checked on the way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

import msgspec

from wardwright.app.place_copy import PlaceCopy
from wardwright.domain.errors import WardwrightError
from wardwright.ports.storage import ReceiptStore, StorageProvider, Stored
from wardwright.receipts.audit import Audit, Finding

_BATCH = 500


class CannotCopy(WardwrightError):
    """A copy that would not be one; the message says why."""

    code = "cannot_copy"


class Copied(msgspec.Struct, frozen=True):
    """What a copy holds. `findings` are receipts whose chain did not hold, and does not in the copy.

    `left_out` counts entries that lack those before them, which a power failure takes where durability is not strict. `sinks` is how many
    sinks go on in the copy where they are.
    """

    receipts: int
    entries: int
    control_entries: int
    findings: tuple[Finding, ...] = ()
    left_out: int = 0
    sinks: int = 0


def copy_storage(
    source: StorageProvider,
    target: StorageProvider,
    on_receipts: Callable[[int], None],
    sink_ids: Sequence[str] = (),
) -> Copied:
    """Copy what is stored at this moment. Whoever writes to the source may go on meanwhile; the copy is as of some moment in between.

    `on_receipts` is told how many were copied so far. The places of these sinks are copied too, so that each goes on where it is.

    Raises: CannotCopy when there is nothing to copy, or something at the target already. StorageUnavailable.
    """
    if source.is_new():
        raise CannotCopy(f"there is nothing in {source.where} yet")
    if not target.is_new():
        raise CannotCopy(f"there is something in {target.where} already: move it away first")
    audit, left_out = Audit(), 0
    with closing(source.read()) as reader, closing(target.open()) as store:
        places = PlaceCopy(reader, sink_ids)
        for batch in _batches(reader.replay()):
            for stored in batch:
                audit.take(stored.payload)
            copied = _append(store, batch)
            left_out += len(batch) - len(copied)
            for stored in copied:
                places.take(stored.position)
            on_receipts(audit.receipts)
        sinks = places.keep(store)
        # Read last: receipts name versions and keys that came before them.
        control = source.read_control()
        with closing(target.open_control()) as log:
            if control:
                log.append(control)
    return Copied(audit.receipts, audit.entries, len(control), tuple(audit.findings.values()), left_out, sinks)


def _append(store: ReceiptStore, batch: list[Stored]) -> list[Stored]:
    """Store what can be stored; tell which entries were."""
    try:
        store.append([stored.payload for stored in batch])
    except ValueError:
        if len(batch) == 1:
            return []
        return [stored for each in batch for stored in _append(store, [each])]
    return batch


def _batches(stored: Iterable[Stored]) -> Iterator[list[Stored]]:
    rest = iter(stored)
    while batch := list(islice(rest, _BATCH)):
        yield batch
