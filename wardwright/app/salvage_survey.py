"""Which receipts of a damaged log are whole: each followed through what is left, and compared with what the index beside the log remembers.

A receipt is whole when every entry that it ever had is there and its chain holds. One that has lost entries is not: its beginning alone
would be a receipt that is still open, which the next start would close as `interrupted`, and that is not how it ended.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.chain import Standing, fault_of, read_link
from wardwright.receipts.events import Closed
from wardwright.storage.harmed import NOWHERE, End, Gap
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.witness import Witness

_CLOSED = Closed.__struct_config__.tag

Left = Iterable[bytes | Gap | End]


class LostReceipt(msgspec.Struct, frozen=True):
    """A receipt that is not whole any more. `readable` of its entries are; `entries` is how many it had, as far as the index tells."""

    receipt_id: str
    readable: int
    entries: int | None
    reason: str


class Judgement:
    """What was found: the gaps, and which receipts are whole: all but the `lost`, and of those below the bound of forgetting the `open_below`."""

    def __init__(self, gaps: list[Gap], unreadable: int, torn: int) -> None:
        self.gaps = gaps
        self.unreadable = unreadable
        self.torn = torn
        self.lost: dict[str, LostReceipt] = {}
        self.open_below: set[str] = set()
        self.is_all_named = True
        """Whether no receipt can be lost that is not among the lost."""


def judge(log: LogFolder, left: Callable[[], Left], witness: Witness | None, bound: str) -> Judgement:
    """Decide of every receipt whether it is whole. Goes through what is left twice, so that little is kept of receipts.

    `bound` is the id below which closed receipts were forgotten.
    """
    survey = _Survey(left())
    if witness is not None:
        survey.gaps += _missing_behind(log, survey.end.place, witness.covered)
    memory = _remembered(witness, survey, bound)
    traces = _Survey(left(), memory.entries.keys() | survey.traces.keys()).traces
    judged = Judgement(survey.gaps, survey.unreadable, survey.end.torn)
    judged.is_all_named = not survey.unreadable and all(map(memory.is_of_all_in, survey.gaps))
    for receipt_id in sorted(memory.entries.keys() | survey.traces.keys()):
        trace = traces.get(receipt_id, _Trace())
        if receipt_id < bound and trace.has_end:
            continue  # it was forgotten, whatever is left of it
        entries = memory.entries.get(receipt_id)
        reason = _reason(trace, entries, survey.gaps, memory)
        if reason is not None:
            judged.lost[receipt_id] = LostReceipt(receipt_id, trace.readable, entries, reason)
        elif receipt_id < bound:
            judged.open_below.add(receipt_id)
    return judged


class _Trace:
    """How far one receipt can be followed."""

    __slots__ = ("fault", "gaps", "has_end", "readable", "stands")

    def __init__(self) -> None:
        self.stands: Standing | None = None
        self.fault: str | None = None
        self.has_end = False
        self.readable = 0
        self.gaps = 0
        """How many gaps there had been when its last entry came."""

    @property
    def seq(self) -> int:
        """The number of the last entry up to which its chain holds."""
        return 0 if self.stands is None else self.stands.seq

    @property
    def is_closed(self) -> bool:
        """Whether it is there from its beginning to its end."""
        return self.fault is None and self.has_end


class _Survey:
    """Follows receipts through what is left of a log: those that are watched, or all, of which it remembers none that is closed."""

    def __init__(self, left: Left, watched: Collection[str] | None = None) -> None:
        self.traces: dict[str, _Trace] = {}
        self.gaps: list[Gap] = []
        self.unreadable = 0
        self.end = End(Place(0, 0))
        self._watched = watched
        for found in left:
            match found:
                case Gap():
                    self.gaps.append(found)
                case End():
                    self.end = found
                case payload:
                    self._take(payload)

    def _take(self, payload: bytes) -> None:
        link = read_link(payload)
        if link is None:
            self.unreadable += 1
            return
        receipt_id = link.receipt_id
        if self._watched is not None and receipt_id not in self._watched:
            return
        trace = self.traces.setdefault(receipt_id, _Trace())
        if link.seq <= trace.seq:
            return  # a writer that did not know whether it was stored has sent it again
        trace.readable += 1
        trace.gaps = len(self.gaps)
        trace.has_end = trace.has_end or link.event.type == _CLOSED
        if trace.fault is None:
            fault = fault_of(payload, link, trace.stands)
            if fault is None:
                trace.stands = Standing(receipt_id, link.seq, link.hash, trace.has_end)
            else:
                trace.fault = fault[1]
        if trace.is_closed and self._watched is None:
            del self.traces[receipt_id]


class _Memory(NamedTuple):
    """What the index remembers of receipts that cannot be told without it: how many entries each had, up to a place of the log."""

    entries: Mapping[str, int]
    covered: Place

    def is_of_all_in(self, gap: Gap) -> bool:
        """Whether it remembers all receipts of which anything stood in a gap."""
        return not gap.loses or gap.reaches <= self.covered


_NOTHING = _Memory({}, Place(0, 0))


def _remembered(witness: Witness | None, survey: _Survey, bound: str) -> _Memory:
    if witness is None:
        return _NOTHING
    harmed = {gap.reaches.segment for gap in survey.gaps if gap.loses}
    # Where the beginning of a segment is lost, nothing tells any more where the one before it ended.
    harmed |= {gap.reaches.segment - 1 for gap in survey.gaps if gap.begin == 0}
    entries = {}
    try:
        for known in witness.everything() if harmed else ():
            is_there = known.is_open or known.receipt_id >= bound
            if is_there and not harmed.isdisjoint(Place.unpacked(place).segment for place in known.places):
                entries[known.receipt_id] = known.last_seq
        for receipt_id in survey.traces:
            last_seq = witness.last_seq(receipt_id)
            if last_seq is not None:
                entries[receipt_id] = last_seq
    except StorageUnavailable:
        return _NOTHING  # it is damaged itself
    return _Memory(entries, witness.covered)


def _reason(trace: _Trace, entries: int | None, gaps: list[Gap], memory: _Memory) -> str | None:
    """Why a receipt is not whole; None when it is."""
    if not trace.readable:
        return "nothing of it is left"
    if trace.fault is not None:
        return trace.fault
    if entries is not None and trace.seq < entries:
        return f"what followed entry {trace.seq} is gone"
    doubts = [gap for gap in gaps[trace.gaps :] if gap.loses]
    if entries == trace.seq:
        doubts = [gap for gap in doubts if not memory.is_of_all_in(gap)]
    return "it has no end, which may have stood where something is lost" if doubts and not trace.is_closed else None


def _missing_behind(log: LogFolder, end: Place, covered: Place) -> list[Gap]:
    """What is missing behind the end of a log that was on disk up to where its index says, the segment of the end itself included."""
    if covered < end:
        return []
    missing = [
        Gap(log.segment(number), 0, None, Place(number, NOWHERE)) for number in range(end.segment + 1, covered.segment)
    ]
    if covered.segment > end.segment:
        missing.append(Gap(log.segment(covered.segment), 0, None, covered))
    else:
        missing.append(Gap(log.segment(end.segment), end.offset, None, covered))
    return missing
