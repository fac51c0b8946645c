"""Storage in memory: every promise of the port but durability. For tests and for trying Wardwright out.

It keeps all it is given until the process ends.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from wardwright.domain.control import ControlEntry
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog
from wardwright.ports.storage import Capability, ReceiptReader, ReceiptStore, Stored, StoreHealth, checked_mark
from wardwright.storage.control import MemoryControlLog
from wardwright.storage.index import Head, ReceiptIndex, check_replacement, head_of, session_of
from wardwright.storage.indexed import IndexedReceipts

CAPABILITIES = frozenset(
    {
        Capability.RUNTIME_HOT_STORE,
        Capability.TRANSACTIONAL,
        Capability.EVENT_REPLAY,
        Capability.RETENTION_JOBS,
        Capability.CONSUMER_OFFSETS,
        Capability.TIME_RANGE_INDEXES,
    }
)


class MemoryLog:
    """What outlives every store that is opened over it: entries in the order they came, the index over them, and the marks."""

    def __init__(self) -> None:
        self.index = ReceiptIndex[bytes](list)
        self.payloads: list[bytes | None] = []
        self.marks: dict[str, bytes] = {}
        self.writing = threading.Lock()


class _Change(NamedTuple):
    """An entry, and the one whose place it takes, with their heads."""

    before: bytes
    payload: bytes
    head_before: Head
    head: Head


class MemoryReceiptStore(IndexedReceipts[bytes]):
    """Receipt entries in memory, its own or shared. Implements `ports.storage.ReceiptStore`."""

    capabilities = CAPABILITIES

    def __init__(self, log: MemoryLog | None = None) -> None:
        self._log = log or MemoryLog()
        super().__init__(self._log.index)
        self._closed = False

    def append(self, payloads: Sequence[bytes]) -> None:
        """Keep the entries that are not known yet.

        Raises: StorageUnavailable when the store is closed. ValueError when a payload is no entry or comes too early.
        """
        with self._log.writing:
            self.check_writable()
            chosen = self._log.index.unknown(payloads)
            kept = [payload for _, payload in chosen]
            self._log.index.add([head for head, _ in chosen], kept)
            self._log.payloads.extend(kept)
            if any(head.receipt_id < self._log.index.forgotten_below for head, _ in chosen):
                self._let_go()

    def enlist(self, boot: str) -> frozenset[str]:
        """See `ReceiptStore.enlist`. Nobody else writes here."""
        return frozenset()

    def replay(self, after: int = 0, until: int | None = None) -> Iterator[Stored]:
        """See `ReceiptReader.replay`. Positions count from 1."""
        payloads = self._log.payloads
        if not 0 <= after <= len(payloads):
            raise ValueError(f"nothing was stored at position {after}")
        places = range(after, len(payloads) if until is None else min(until, len(payloads)))
        return (Stored(place + 1, payload) for place in places if (payload := payloads[place]) is not None)

    def cuts(self, apart: int) -> Sequence[int]:
        """See `ReceiptReader.cuts`. There are no readers elsewhere."""
        return ()

    def id_cuts(self, apart: int) -> Sequence[str]:
        """See `ReceiptReader.id_cuts`. There are no readers elsewhere."""
        return ()

    def forget(self, before: str, at_most: int = 1000) -> int:
        """See `ReceiptStore.forget`."""
        with self._log.writing:
            self.check_writable()
            chosen, bound = self._log.index.forgettable(before, at_most)
            self._log.index.forget(chosen, bound)
            self._log.index.let_sessions_go()
            self._let_go()
        return len(chosen)

    def replace(self, payloads: Sequence[bytes]) -> None:
        """See `ReceiptStore.replace`."""
        with self._log.writing:
            self.check_writable()
            wanted = {(head.receipt_id, head.seq): payload for payload in payloads for head in [head_of(payload)]}
            changes = [change for payload in wanted.values() if (change := self._change(payload)) is not None]
            gone = {change.before: change.payload for change in changes}
            self._log.payloads[:] = [None if each is None else gone.get(each, each) for each in self._log.payloads]
            for change in changes:
                self._log.index.replace(change.head.receipt_id, change.before, change.payload)
            self._change_sessions((change.head_before, change.head) for change in changes)

    def _change(self, payload: bytes) -> "_Change | None":
        head = head_of(payload)
        for stored in self._log.index.places(head.receipt_id):
            if (before := head_of(stored)).seq == head.seq:
                check_replacement(payload, head, stored, before)
                return _Change(stored, payload, before, head)
        return None

    def _change_sessions(self, changes: Iterable[tuple[Head, Head]]) -> None:
        """Take note of entries that stand where others stood, and look for the newest receipts of sessions that lost theirs by it."""
        index = self._log.index
        lost = {session for before, head in changes if (session := index.change_session(before, head)) is not None}
        below = None
        while lost and (below := index.below(below)) is not None:
            opening = self._fetch(index.places(below)[:1])
            session = session_of(head_of(opening[0])) if opening else None
            if session is not None and session in lost:
                lost.discard(session)
                index.note_newest(session, below)
        for session in lost:
            index.note_newest(session, None)

    def mark(self, name: str) -> bytes | None:
        """See `ReceiptReader.mark`."""
        return self._log.marks.get(checked_mark(name))

    def set_mark(self, name: str, value: bytes) -> None:
        """See `ReceiptStore.set_mark`."""
        self.check_writable()
        self._log.marks[checked_mark(name)] = value

    def _let_go(self) -> None:
        """Keep what the index knows; what is forgotten leaves its position behind."""
        payloads = self._log.payloads
        for place, payload in enumerate(payloads):
            if payload is not None and not self._log.index.holds(payload, payload):
                payloads[place] = None

    def health(self) -> StoreHealth:
        """Counts and facts."""
        receipt_count, open_count = self._log.index.counts()
        return StoreHealth(
            kind="memory",
            durable=False,
            receipt_count=receipt_count,
            open_count=open_count,
            capabilities=tuple(sorted(CAPABILITIES)),
        )

    def tend(self) -> bool:
        """See `ReceiptStore.tend`. Nothing is put off."""
        return False

    def check_writable(self) -> None:
        """Raise StorageUnavailable when the store is closed."""
        if self._closed:
            raise StorageUnavailable("the receipt store is closed")

    def close(self) -> None:
        """Refuse further appends. Idempotent; what is stored can still be read."""
        self._closed = True

    def _fetch(self, places: Sequence[bytes]) -> list[bytes]:
        return list(places)


class MemoryStorage:
    """Storage that lasts as long as this object. Implements `ports.storage.StorageProvider`."""

    kind = "memory"
    capabilities = CAPABILITIES
    where = "memory"

    def __init__(self) -> None:
        self._log = MemoryLog()
        self._control = MemoryControlLog()

    def is_new(self) -> bool:
        """See `StorageProvider.is_new`."""
        return not self._log.payloads and not self._control.entries()

    def open(self) -> ReceiptStore:
        """See `StorageProvider.open`."""
        return MemoryReceiptStore(self._log)

    def read(self) -> ReceiptReader:
        """See `StorageProvider.read`."""
        return MemoryReceiptStore(self._log)

    def open_control(self) -> ControlLog:
        """See `StorageProvider.open_control`."""
        return self._control

    def read_control(self) -> Sequence[ControlEntry]:
        """See `StorageProvider.read_control`."""
        return self._control.entries()
