"""Where the entries of a log's receipts are: in the index beside it, up to what that covers, and in memory for the tail behind.

The log is the only truth. The index is made from it, moved on portion by portion (`move`), and made anew when it does not fit. An
answer is put together of both, the tail asked first: what moves from the one to the other meanwhile is found twice rather than not at all.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import summary_of
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.files import disk_faults
from wardwright.storage.index import CLOSED, Candidates, Head, head_of, just_above, unknown
from wardwright.storage.index_file import Addition, IndexDamaged, IndexFile, Row, State, Unfit, discard
from wardwright.storage.interim import Interim, Remembered
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.segments import read_payloads
from wardwright.storage.sqlite_query import facets_of
from wardwright.storage.tail import Portion, Tail

_KEPT_LOOKUPS = 256

_log = structlog.get_logger("wardwright.storage")


class LogIndex:
    """The index of a log. One thread adds entries, and one at a time moves and forgets; any number ask meanwhile.

    Implements `storage.index.Places`. Raises: StorageUnavailable, everywhere, when the index beside the log fails.
    """

    def __init__(self, log: LogFolder, forgotten_below: str, *, is_writer: bool) -> None:
        self._log = log
        self._is_writer = is_writer
        self._path = index_path(log)
        self._state = State()
        self._impure = frozenset[int]()
        self._file = self._opened(forgotten_below)
        self._tail = Tail(forgotten_below)
        self._moving = threading.Lock()
        self._is_recovering = is_writer
        self._unsure: set[str] = set()  # receipts of which the index may say what the log no longer does
        # What went on behind what the index covers and is forgotten: open there until it is removed, before the index is moved on. No
        # answer has it meanwhile. To remove it at once would be to change the index from the thread that appends.
        self._gone: set[str] = set()
        # The last numbers of open receipts: so much appends must know whatever becomes of the index.
        self._going_on: dict[str, int] = {}

    @classmethod
    def anew(cls, log: LogFolder, forgotten_below: str) -> "LogIndex":
        """An index that knows nothing, in the place of any other; whoever calls this reads the log from its beginning."""
        with disk_faults("remove", index_path(log)):
            discard(index_path(log))
        return cls(log, forgotten_below, is_writer=True)

    @property
    def is_damaged(self) -> bool:
        """Whether the index beside the log was given up: then another is to be made, and this one asked no more."""
        return self._file is not None and self._file.is_damaged

    @property
    def covered(self) -> Place | None:
        """The place of the last entry that the index beside the log knows of; None when it knows of none."""
        return Place.unpacked(self._state.covered) if self._state.covered else None

    @property
    def forgotten_below(self) -> str:
        """The id below which closed receipts are gone."""
        return self._tail.forgotten_below

    @property
    def is_unsure(self) -> bool:
        """Whether something was replaced of which the index beside the log may say what the log no longer does."""
        return bool(self._unsure)

    def tail_length(self) -> int:
        """How many entries are held in memory alone."""
        return len(self._tail)

    def follow(self) -> None:
        """Take note of how far whoever writes has moved the index on. For readers, before they read what the log goes on with."""
        if self._file is not None:
            self._state, self._impure = self._file.state(), self._file.impure_segments()
            self._gone = {receipt_id for receipt_id in self._gone if self._file.known(receipt_id) is not None}

    def settle(self) -> None:
        """Let go of what the index covers by now. For readers, after they have read the log."""
        self._tail.settle(self._state.covered, {})

    def recovered(self) -> None:
        """End what a start or `anew` has begun: from now on the index is asked questions, and moved on bit by bit."""
        while self.complete_a_little():
            pass
        self._is_recovering = False
        there = {} if self._file is None else self._file.open_seqs()
        there = {receipt_id: last_seq for receipt_id, last_seq in there.items() if receipt_id not in self._tail}
        self._going_on = {**there, **self._tail.last_seqs(are_open=True)}

    def complete_a_little(self) -> bool:
        """Do something of what `recovered` does; tell whether more of it is left that takes long."""
        return self._file is not None and self._file.complete_a_little()

    def give_up(self) -> None:
        """Take the index beside the log for damaged."""
        if self._file is not None:
            self._file.give_up()

    def interim(self) -> Interim:
        """What is to be known while another index is made in the place of this one."""
        with self._moving:
            return Interim(
                Remembered(
                    going_on=self._going_on.copy(),
                    closed=self._tail.last_seqs(are_open=False),
                    newest=self._state.newest,
                    forgotten_below=self.forgotten_below,
                    receipt_count=self._counted()[0],
                    impure=self._impure if self._is_sure_of_impure() else None,
                )
            )

    def _is_sure_of_impure(self) -> bool:
        """Whether whatever does not count is in the segments that are known for it."""
        return not self._gone and not self._tail.has_strays and self._state.below == self.forgotten_below

    def unknown(self, payloads: Iterable[bytes]) -> list[tuple[Head, bytes]]:
        """Choose those of a batch that are not stored yet; see `index.unknown`.

        Their receipts are in the tail then, and are held there, so that taking note of them when they are stored asks nothing that
        could fail.
        """
        chosen = unknown(payloads, self._last_seq, self.forgotten_below)
        with self._moving:
            self._tail.hold(frozenset(head.receipt_id for head, _ in chosen))
            for head, _ in chosen:
                self._adopt(head.receipt_id)
        return chosen

    def add(self, heads: Sequence[Head], places: Sequence[int]) -> None:
        """Take note of entries that were chosen by `unknown` and are stored now."""
        with self._moving:
            self._tail.add(heads, places)
            self._tail.hold(frozenset())
            for head in heads:
                self._going_on[head.receipt_id] = head.seq
                if head.event.type == CLOSED:
                    del self._going_on[head.receipt_id]
            self._drop([head.receipt_id for head in heads if head.event.type == CLOSED])

    def recover(self, payload: bytes, place: int) -> None:
        """Take note of an entry found in the log; see `ReceiptIndex.recover`. What the index covers is passed over."""
        if place == self._state.covered:
            return
        head = head_of(payload)
        with self._moving:
            self._adopt(head.receipt_id)
            self._tail.recover_head(head, place)
            self._drop([head.receipt_id] if head.event.type == CLOSED else [])

    def move(self, at_most: int, before: Callable[[Iterable[int]], None]) -> None:
        """Take the oldest entries of the tail into the index, so many at most; `before` is called with their segments first."""
        with self._moving:
            if self._gone:
                self._remove(())  # they must not be left in an index that goes beyond their ends
            portion = self._tail.portion(at_most)
        if portion is None:
            return
        before(portion.segments)
        payloads = self._read(portion)
        rows = [_row(receipt_id, places, payloads) for receipt_id, places in portion.places.items()]
        (last,) = read_payloads(self._log, [portion.covered])
        file = self._begun()
        state = file.add(Addition(rows, portion.known, portion.segments, portion.covered, head_of(last)))
        impure = file.impure_segments()
        with self._moving:
            # In this order: whoever finds that the tail knows of something no more must find that the index does.
            self._impure = impure
            self._state = state
            vanished = self._tail.settle(portion.covered, {row.receipt_id: row.is_open for row in rows})
            if vanished:
                self._remove(vanished)

    @contextmanager
    def remaking(self, receipt_ids: Iterable[str]) -> Iterator[None]:
        """Let the index count for nothing while the log's entries of these receipts change, and then say of them what the log says.

        Only with an empty tail. When the block or this fails, the index counts for nothing until it was done for these receipts too: for
        whoever opens it, that is; asked here it still knows every place.
        """
        file = self._file
        if file is None:
            yield
            return
        self._unsure.update(receipt_ids)
        with self._moving:
            file.disown()
        yield
        known = [one for receipt_id in self._unsure if (one := file.known(receipt_id)) is not None]
        payloads = self._read_places(place for one in known for place in one.places)
        rows = [_row(one.receipt_id, one.places, payloads) for one in known]
        with self._moving:
            file.remake(rows)
        self._unsure.clear()

    def forgettable(self, before: str, at_most: int) -> tuple[list[str], str]:
        """The first closed receipts below an id, so many at most, and the bound below which all such are among them."""
        chosen, bound = self._tail.forgettable(before, at_most)
        if self._file is None:
            return chosen, bound
        kept = [one for one in self._file.closed_below(before, at_most + len(self._tail)) if one not in self._tail]
        chosen = sorted({*chosen, *kept})[:at_most]
        is_all = len(chosen) < at_most
        return chosen, max(self.forgotten_below, before if is_all else just_above(chosen[-1]))

    def forget(self, receipt_ids: Sequence[str], bound: str) -> None:
        """Know these receipts no more. From now on a receipt below the bound is forgotten when it is closed."""
        with self._moving:
            self._gone.update(self._tail.known(dict.fromkeys(receipt_ids)))
            self._tail.forget(receipt_ids, bound)
            self._tail.let_sessions_go()
            self._remove(receipt_ids)

    def pass_over(self, number: int) -> None:
        """Take nothing more into the index from segments up to this one: they were given back, and cannot be read."""
        self._tail.pass_over_segments(number)

    def drop_segments(self, before: int) -> None:
        """Know nothing any more of segments that were given back."""
        self._tail.drop_before(Place(before, 0).packed())
        if self._file is not None:
            self._file.drop_segments(before)
            self._impure = self._file.impure_segments()

    def oldest_segment(self) -> int | None:
        """The first segment in which anything is needed; None when nothing is."""
        oldest = self._tail.oldest_place()
        needed = [] if oldest is None else [Place.unpacked(oldest).segment]
        if self._file is not None and (kept := self._file.oldest_segment()) is not None:
            needed.append(kept)
        return min(needed, default=None)

    def places(self, receipt_id: str) -> Sequence[int]:
        """Where a receipt's entries are, in order; empty when unknown."""
        if (places := self._tail.places(receipt_id)) or self._file is None:
            return places
        known = self._file.known(receipt_id)
        if known is None or self._is_forgotten(receipt_id, is_open=known.is_open):
            return ()
        return known.places

    def last_place(self, receipt_id: str) -> int:
        """Where the last entry of a receipt is that can be forgotten: also of one whose forgetting failed half-way, which `places` hides."""
        places = self._tail.places(receipt_id)
        if not places and self._file is not None and (known := self._file.known(receipt_id)) is not None:
            places = tuple(known.places)
        return places[-1] if places else 0

    def holder(self) -> Callable[[bytes, int], bool]:
        """How to tell whether an entry of the log counts, and counts as the one at its place. Remembers some that it has looked up."""
        looked_up: dict[str, frozenset[int]] = {}

        def holds(payload: bytes, place: int) -> bool:
            if place > self._state.covered and self._tail.holds(payload, place):
                return True
            if place > self._state.covered:  # still: else it has moved into the index since the tail was asked for it
                return False
            if self._gone and head_of(payload).receipt_id in self._gone:
                return False
            if not self._impure or Place.unpacked(place).segment not in self._impure:
                return True
            receipt_id = head_of(payload).receipt_id
            if receipt_id not in looked_up:
                if len(looked_up) == _KEPT_LOOKUPS:
                    looked_up.clear()
                looked_up[receipt_id] = frozenset(self.places(receipt_id))
            return place in looked_up[receipt_id]

        return holds

    def below(self, receipt_id: str | None) -> str | None:
        """The greatest id below another, or of all; None when there is none."""
        found = self._tail.below(receipt_id)
        if self._file is None:
            return found
        kept = self._file.select(ReceiptFilter(), receipt_id, self.forgotten_below, 1).receipts
        return max((one for one in (found, kept[0][0] if kept else None) if one is not None), default=None)

    def candidates(self, wanted: ReceiptFilter, before: str | None, at_most: int) -> Candidates[int]:
        """The next receipts below an id that may match a filter: those of the tail, and those in the index that do."""
        if self._file is None:
            return self._tail.candidates(wanted, before, at_most)
        latest = dict(self._tail.candidates(wanted, before, len(self._tail) + at_most).receipts)
        scan = self._file.select(wanted, before, self.forgotten_below, at_most)
        kept = [one for one in scan.receipts if one[0] not in self._gone]
        found = {receipt_id: places for receipt_id, places in kept if receipt_id not in latest}
        for receipt_id, places in latest.items():
            if scan.reached is None or receipt_id >= scan.reached:
                found[receipt_id] = places
        receipts = sorted(found.items(), reverse=True)
        return Candidates(receipts, scan.reached, scan.looked_at - len(kept))

    def first_that(self, is_later: Callable[[Sequence[int]], bool]) -> str | None:
        """See `Places.first_that`. Those in the index are found by their times."""
        return self._tail.first_that(is_later)

    def cuts(self, apart: int) -> list[int]:
        """The beginnings of segments, about so many entries apart, as far as the index covers them: another reader has it, too."""
        found, between = [], 0
        for number, payloads in ({} if self._file is None else self._file.payloads()).items():
            if between >= apart:
                found.append(Place(number, 0).packed())
                between = 0
            between += payloads
        return found

    def id_cuts(self, apart: int) -> list[str]:
        """Ids of those in the index, so many receipts apart, descending."""
        return [] if self._file is None else self._file.ids_apart(apart)

    def newest_of_session(self, model_id: str, session_id: str) -> str | None:
        """The greatest id of a session's receipts; None when there is none."""
        found = self._tail.newest_of_session(model_id, session_id)
        if self._file is None:
            return found
        kept = self._file.newest_of_session((model_id, session_id), self.forgotten_below, 1 + len(self._gone))
        return max((one for one in (found, *kept) if one is not None and one not in self._gone), default=None)

    def open_ids(self) -> list[str]:
        """The receipts without a closing entry, by id."""
        found = self._tail.open_ids()
        if self._file is None:
            return found
        kept = (one for one in self._file.open_ids() if one not in self._tail and one not in self._gone)
        return sorted({*found, *kept})

    def counts(self) -> tuple[int, int]:
        """How many receipts there are, and how many of them are open."""
        with self._moving:
            state, (receipts, are_open) = self._state, self._counted()
        if self._file is not None and state.below < self.forgotten_below:
            receipts -= self._file.count_closed_below(self.forgotten_below)
        return receipts, are_open

    def close(self) -> None:
        """Let go of the index's connections. Idempotent; reading stays possible."""
        if self._file is not None:
            self._file.close()

    def _opened(self, bound: str) -> IndexFile | None:
        if not self._path.exists():
            return None
        file = IndexFile(self._path, is_writer=self._is_writer)
        try:
            self._state = file.checked(self._log)
            if self._is_writer:
                file.bring_forward()
                self._catch_up_forgetting(file, bound)
            self._impure = file.impure_segments()
        except (Unfit, IndexDamaged) as unfit:
            file.close()
            self._state = State()
            if self._is_writer:
                _log.warning(
                    "the index of the receipts is made anew from the log", index=str(self._path), reason=str(unfit)
                )
                with disk_faults("remove", self._path):
                    discard(self._path)
            return None
        return file

    def _begun(self) -> IndexFile:
        if self._file is None:
            file = IndexFile.create(self._path)
            if not self._is_recovering:
                while file.complete_a_little():
                    pass
            self._file = file  # which may be asked anything from now on, unless it is still to be completed
        return self._file

    def _catch_up_forgetting(self, file: IndexFile, bound: str) -> None:
        """A death may have come between the bound and the index."""
        while self._state.below < bound:
            gone = file.closed_below(bound, 1000)
            self._state = file.remove(gone, self._state.below if gone else bound)

    def _counted(self) -> tuple[int, int]:
        state, tail, known, gone = self._state, self._tail.counts(), self._tail.known_counts(), len(self._gone)
        return state.receipt_count + tail[0] - known[0] - gone, state.open_count + tail[1] - known[1] - gone

    def _is_forgotten(self, receipt_id: str, *, is_open: bool) -> bool:
        return receipt_id in self._gone or (receipt_id < self.forgotten_below and not is_open)

    def _last_seq(self, receipt_id: str) -> int:
        last_seq = self._tail.last_seq(receipt_id)
        if last_seq or self._file is None or receipt_id > self._state.newest or receipt_id in self._gone:
            return last_seq
        known = self._file.known(receipt_id)
        return 0 if known is None else known.last_seq

    def _adopt(self, receipt_id: str) -> None:
        """Have a receipt in the tail that is going on there."""
        if self._file is None or receipt_id > self._state.newest:
            return
        if receipt_id in self._tail or receipt_id in self._gone:
            return
        known = self._file.known(receipt_id)
        if known is not None:
            self._tail.adopt(known)

    def _drop(self, closed: Sequence[str]) -> None:
        """Have no answer show what the index still knows of receipts that were forgotten as soon as they were closed."""
        self._gone.update(receipt_id for receipt_id in closed if self._tail.was_known(receipt_id))

    def _remove(self, receipt_ids: Sequence[str]) -> None:
        if self._file is not None:
            self._state = self._file.remove({*receipt_ids, *self._gone}, self.forgotten_below)
            self._impure = self._file.impure_segments()
        self._gone.clear()

    def _read(self, portion: Portion) -> dict[int, bytes]:
        return self._read_places(place for places in portion.places.values() for place in places)

    def _read_places(self, wanted: Iterable[int]) -> dict[int, bytes]:
        places = sorted(set(wanted))
        return dict(zip(places, read_payloads(self._log, places), strict=True))


def index_path(log: LogFolder) -> Path:
    """Where the index of a log is."""
    return log.path / "index" / "receipts.db"


def _row(receipt_id: str, places: Sequence[int], payloads: dict[int, bytes]) -> Row:
    """What the index keeps of a receipt."""
    encoded = [payloads[place] for place in places]
    last = head_of(encoded[-1])
    try:
        summary = summary_of([decode_entry(payload) for payload in encoded])
    except (msgspec.DecodeError, ValueError):
        summary = None  # which whoever reads it will be told
    return Row(receipt_id, last.event.type != CLOSED, last.seq, places, facets_of(summary))
