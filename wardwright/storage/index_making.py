"""Making the index of a log anew while the log goes on: a little at a time, beside the appends, up to where the log ends by then."""

from collections.abc import Callable, Iterable

from wardwright.storage.file_reading import note
from wardwright.storage.files import disk_faults
from wardwright.storage.log_folder import LogFolder, Place
from wardwright.storage.log_index import LogIndex
from wardwright.storage.segments import LogReader

STEP = 256


class IndexMaking:
    """For one thread at a time. Nothing of the log may be given back or replaced meanwhile.

    Raises: StorageUnavailable, everywhere; then it can be gone on with, but for `IndexDamaged`.
    """

    def __init__(self, log: LogFolder, forgotten_below: str, make_durable: Callable[[Iterable[int]], None]) -> None:
        self.index = LogIndex.anew(log, forgotten_below)
        self.entries_read = 0
        self._reader = LogReader(log)
        self._make_durable = make_durable
        with disk_faults("read from", log.path):
            self._first = self._number = log.numbers()[0]

    def step(self, end: Place) -> bool:
        """Take in some of what the log holds before a place, up to which it is acknowledged; tell whether that was the last of it."""
        if self.index.tail_length() >= STEP:
            self.index.move(STEP, self._make_durable)
            return False
        last = end.packed()
        # One segment at a time, so that only its header and the next one are read at each step.
        for taken, (place, payload) in enumerate(self._reader.catch_up(self._number)):
            if place >= last:
                return True
            if taken == STEP:
                return False  # this one is met again
            note(self.index, self._reader, place, payload)
            self.entries_read += 1
        if self._number < end.segment:
            self._number += 1
            return False
        return True

    def progress(self, end: Place) -> float:
        """Which part of the log up to a place it covers, by segments, and in the last one by bytes."""
        reached = self._reader.tail or Place(self._first, 0)
        within = reached.offset / max(1, end.offset) if reached.segment == end.segment else 0.0
        return min(1.0, (reached.segment - self._first + within) / (end.segment - self._first + 1))
