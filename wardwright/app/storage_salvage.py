"""What can be saved of storage whose log is damaged: every receipt that is still whole, in new storage that verifies, and a list of the rest.

The log is gone through three times: twice to judge which receipts are whole, and once to copy them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import msgspec

from wardwright.app.salvage_survey import Judgement, Left, LostReceipt, judge
from wardwright.app.storage_audit import audit_storage
from wardwright.domain.control import ControlEntry, decode_control
from wardwright.domain.errors import StorageUnavailable, WardwrightError
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.chain import read_link
from wardwright.runtime.sink_mark import LOST
from wardwright.runtime.sink_place import mark_name
from wardwright.storage.files import FileOps, FolderLock, disk_faults
from wardwright.storage.folder import FileStorage
from wardwright.storage.harmed import Gap, what_is_left
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.marks import read_mark
from wardwright.storage.retention import read_bound
from wardwright.storage.whole_file import write_whole
from wardwright.storage.witness import Witness, witness_of

REPORT = "salvage.json"

_BATCH = 500
_PASSES = 3


class CannotSalvage(WardwrightError):
    """There is nothing to salvage, or nowhere to put it; the message says why."""

    code = "cannot_salvage"


class LostBytes(msgspec.Struct, frozen=True):
    """Bytes of a file that are not what was written. `end` is None where the rest of the file, or all of it, is missing."""

    file: str
    begin: int
    end: int | None


class LostDecision(msgspec.Struct, frozen=True):
    """A decision that can be read and not be kept, for one before it is lost. `of` is the model or the key that it is about."""

    seq: int
    at: float
    type: str
    of: str


class Salvaged(msgspec.Struct, frozen=True):
    """What was saved, and what was not.

    `is_all_named` says that no receipt can be lost that is not named here. `torn_bytes` at the end were never written whole, which is no
    damage. `unreadable_entries` are whole, and no entries of this version. `sinks` have lost their places.
    """

    receipts: int
    entries: int
    control_entries: int
    lost_bytes: tuple[LostBytes, ...] = ()
    lost_receipts: tuple[LostReceipt, ...] = ()
    lost_decisions: tuple[LostDecision, ...] = ()
    unreadable_entries: int = 0
    torn_bytes: int = 0
    is_all_named: bool = True
    sinks: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost."""
        return not (self.lost_bytes or self.lost_receipts or self.lost_decisions or self.unreadable_entries)


def salvage(
    source: StorageProvider, folder: Path, on_progress: Callable[[float], None], sink_ids: Sequence[str] = ()
) -> Salvaged:
    """Copy what is whole of damaged storage to new storage of kind `file` in a folder, which has the list of the rest in `salvage.json`.

    Nothing is changed in the source, and no daemon can start there meanwhile. `on_progress` is told which part is done.

    Raises: CannotSalvage. StorageUnavailable.
    """
    target = FileStorage(folder)
    if not isinstance(source, FileStorage):
        raise CannotSalvage(f"storage of kind {source.kind!r} is no log of files: its database has means of its own")
    if source.is_new():
        raise CannotSalvage(f"there is nothing in {source.where} yet")
    if not target.is_new():
        raise CannotSalvage(f"there is something in {target.where} already: move it away first")
    lock = FolderLock(source.receipts)
    with disk_faults("read from", source.receipts):
        lock.keep_writers_away()
    try:
        salvaged = _salvaged(source, target, on_progress, sink_ids)
    finally:
        lock.release()
    write_whole(folder / REPORT, msgspec.json.format(msgspec.json.encode(salvaged), indent=2) + b"\n", FileOps())
    return salvaged


def _salvaged(
    source: FileStorage, target: FileStorage, on_progress: Callable[[float], None], sink_ids: Sequence[str]
) -> Salvaged:
    judged = _copied_receipts(source, target, on_progress)
    sinks = [sink_id for sink_id in sink_ids if _had_place(source.receipts, sink_id)]
    with closing(target.open()) as store:
        for sink_id in sinks:
            store.set_mark(mark_name(sink_id), LOST)
        control = _Control(source.control)
        with closing(target.open_control()) as decisions:
            if control.kept:
                decisions.append(control.kept)
    audit = audit_storage(target, 1, lambda _: None)
    if audit.findings:
        raise CannotSalvage(f"what was copied to {target.where} does not verify: {', '.join(audit.findings)}")
    return Salvaged(
        audit.receipts,
        audit.entries,
        len(control.kept),
        lost_bytes=tuple(dict.fromkeys(map(_lost_bytes, [*judged.gaps, *control.gaps]))),
        lost_receipts=tuple(judged.lost.values()),
        lost_decisions=tuple(control.lost),
        unreadable_entries=judged.unreadable,
        torn_bytes=judged.torn,
        is_all_named=judged.is_all_named,
        sinks=tuple(sinks),
    )


def _copied_receipts(source: FileStorage, target: FileStorage, on_progress: Callable[[float], None]) -> Judgement:
    """Copy those that are whole; tell what was found."""
    log, passes = LogFolder(source.receipts), iter(range(_PASSES))
    witness = witness_of(log)
    try:
        bound = _bound(source.receipts, witness)
        first = 1 if not bound else None if witness is None else witness.first_segment

        def left() -> Left:
            done = next(passes)
            return what_is_left(log, first=first, on_segment=lambda part: on_progress((done + part) / _PASSES))

        judged = judge(log, left, witness, bound)
        with closing(target.open()) as store:
            for batch in _batches(_whole(left(), judged, bound)):
                store.append(batch)
        return judged
    finally:
        if witness is not None:
            witness.close()


def _bound(receipts: Path, witness: Witness | None) -> str:
    """The id below which closed receipts were forgotten. Raises: CannotSalvage when nobody knows."""
    try:
        return read_bound(receipts)
    except StorageUnavailable as error:
        if witness is not None:
            return witness.below
        raise CannotSalvage(
            f"{error.message}. Without it receipts would come back that were forgotten. Restore the file from a copy; or, if they may, "
            "remove it"
        ) from error


def _whole(left: Left, judged: Judgement, bound: str) -> Iterator[bytes]:
    """The entries of receipts that are whole."""
    for found in left:
        if not isinstance(found, bytes) or (link := read_link(found)) is None or link.receipt_id in judged.lost:
            continue
        if link.receipt_id >= bound or link.receipt_id in judged.open_below:
            yield found


def _batches(payloads: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(payloads, _BATCH)):
        yield batch


def _had_place(receipts: Path, sink_id: str) -> bool:
    try:
        return read_mark(receipts, mark_name(sink_id)) is not None
    except StorageUnavailable:
        return True


class _Control:
    """The decisions of operators up to the first that is lost, and what can be read behind that."""

    def __init__(self, path: Path) -> None:
        self.kept: list[ControlEntry] = []
        self.lost: list[LostDecision] = []
        self.gaps: list[Gap] = []
        if not path.is_dir():
            return
        for found in what_is_left(LogFolder(path, "control"), first=1, on_segment=lambda part: None):
            if isinstance(found, Gap):
                self.gaps.append(found)
            elif isinstance(found, bytes):
                self._take(found)

    def _take(self, payload: bytes) -> None:
        try:
            entry = decode_control(payload)
        except msgspec.DecodeError as error:
            raise StorageUnavailable(f"there is a decision that this version cannot read: {error}") from error
        if entry.seq == len(self.kept) + 1 and not self.lost:
            self.kept.append(entry)
        elif entry.seq > len(self.kept):
            of = getattr(entry.event, "key_id", None) or getattr(entry.event, "model_id", "")
            self.lost.append(LostDecision(entry.seq, entry.at, entry.event.__struct_config__.tag, of))  # type: ignore[arg-type]


def _lost_bytes(gap: Gap) -> LostBytes:
    return LostBytes(str(gap.path), gap.begin, gap.end)
