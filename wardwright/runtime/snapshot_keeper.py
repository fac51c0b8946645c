"""Keeps the newest snapshot of what a new process cannot do without: the books as far as it has read the log, and the health of providers.

The books are made from the log itself, entry by entry in a thread of their own, and never from what the ledger holds: so whatever a crash
cuts off, a snapshot and the entries stored behind it are together what all receipts tell, each once. Health is in no log. It is written
down a second after it has changed, which is the most of it that `kill -9` can take.
"""

from collections.abc import Callable, Mapping
from functools import partial

import anyio
import msgspec
import structlog
from msgspec.structs import replace

from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.runtime.book_keeper import BookKeeper, kept_snapshot
from wardwright.runtime.books import Books, books_of
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.kept_health import KeptHealth
from wardwright.runtime.snapshot import (
    MARK,
    Covered,
    Snapshot,
    Unusable,
    decode_snapshot,
    encode_covered,
    encode_snapshot,
)
from wardwright.runtime.worker import Worker

BOOKS_INTERVAL_S = 30.0
HEALTH_INTERVAL_S = 1.0

_SLICE = 100
"""Entries read in one go, which takes less than a millisecond: so long the event loop may have to wait for the interpreter."""
_BETWEEN_SLICES_S = 0.005
_LAST_PATIENCE_S = 10.0
_WANTED = frozenset({Capability.DURABLE, Capability.EVENT_REPLAY, Capability.CONSUMER_OFFSETS})

_log = structlog.get_logger("wardwright.storage")


class SnapshotFacts(msgspec.Struct, frozen=True):
    """The newest snapshot for operators: when it was written, in Unix seconds, up to which position it covers the log, and its size."""

    written_at: float
    covers: int | None
    bytes: int


class SnapshotKeeper:
    """See the module's page. For the checkpointer, which begins with each store that it opens; where a store keeps no marks it does nothing."""

    def __init__(self, health: HealthBoard, *, boot: str, now: Callable[[], float]) -> None:
        self._health = health
        self._boot = boot
        self._now = now
        self._worker = Worker("snapshots")
        self._behind = anyio.Event()
        self._behind.set()  # nothing has been read yet
        self._writing = anyio.Lock()
        self._store: ReceiptStore | None = None
        self._keeper: BookKeeper | None = None
        self._covered = encode_covered(None)
        self._covers: int | None = None
        self._written: tuple[msgspec.Raw, Mapping[str, KeptHealth]] = (self._covered, {})
        self._is_failing = False
        self._is_over = False
        self.newest: SnapshotFacts | None = None

    # --- at the start; blocks on the store ----------------------------------------------------------------------------

    def begin(self, store: ReceiptStore, *, is_new_process: bool) -> None:
        """Go on from the snapshot that the store holds, if it can be used; a new process takes up the health of providers, too.

        Raises: StorageUnavailable.
        """
        self._store, self._keeper = store, None
        if not store.capabilities >= _WANTED:
            return
        self._keeper = BookKeeper(store)
        try:
            found = kept_snapshot(store)
            if found is None:
                return
            snapshot = decode_snapshot(found)
            self._take_up(snapshot)
        except Unusable as unusable:
            _log.warning(
                "the snapshot is left aside, and the receipts of the day are read instead", problem=str(unusable)
            )
            return
        if is_new_process:
            self._health.recall(snapshot.health)
        self.newest = SnapshotFacts(snapshot.written_at, self._covers, len(found))

    def books(self) -> Books:
        """What all receipts tell now, as far as it may count. Raises: StorageUnavailable."""
        keeper = self._keeper
        if keeper is None or keeper.place is None:
            return books_of(self._opened.newest(), self._now())
        while keeper.read_on(_SLICE):
            pass
        keeper.books.let_go(self._now())
        return keeper.books

    def _take_up(self, snapshot: Snapshot) -> None:
        if self._keeper is not None and snapshot.covered is not None:
            self._keeper.go_on_from(snapshot.covered)
            self._note(snapshot.covered)

    # --- from then on -------------------------------------------------------------------------------------------------

    @property
    def is_wanted(self) -> bool:
        """Whether the store can keep a snapshot, and what it holds outlives the process."""
        return self._keeper is not None

    def described(self) -> Mapping[str, object] | None:
        """The newest snapshot as operators see it; None when there is none."""
        newest = self.newest
        if newest is None:
            return None
        age_s = round(max(0.0, self._now() - newest.written_at), 3)
        return {**msgspec.structs.asdict(newest), "age_s": age_s}

    def note_appended(self) -> None:
        """There is more in the log than there was."""
        self._behind.set()

    async def follow_log(self) -> None:
        """Read on every half minute while entries come, some at a time, and write down what they have come to."""
        while True:
            await self._behind.wait()
            await anyio.sleep(BOOKS_INTERVAL_S)
            self._behind = anyio.Event()
            await self._catch_up(_BETWEEN_SLICES_S)
            await self._write()

    async def follow_health(self) -> None:
        """Write down what is known of providers, a second after it has changed."""
        while True:
            await self._health.changed.wait()
            self._health.changed = anyio.Event()
            await anyio.sleep(HEALTH_INTERVAL_S)
            await self._write()

    async def finish(self) -> None:
        """Write down everything, for the process is about to end. What cannot be read in some seconds is left to the next start."""
        if self.is_wanted:
            with anyio.move_on_after(_LAST_PATIENCE_S):
                await self._catch_up()
            await self._write(is_last=True)
            self._is_over = True

    async def _catch_up(self, pause_s: float = 0.0) -> None:
        try:
            is_behind = True
            while is_behind:
                is_behind = await self._worker.run(self._read_on)
                await anyio.sleep(pause_s)
            await self._worker.run(self._settle)
        except StorageUnavailable as error:
            self._complain(error)

    async def _write(self, *, is_last: bool = False) -> None:
        async with self._writing:
            health = self._health.kept()
            state = (self._covered, _timeless(health))
            if self._is_over or (state == self._written and not is_last):
                return
            try:
                self.newest = await self._worker.run(partial(self._put_down, health))
            except StorageUnavailable as error:
                self._complain(error)
            else:
                self._written, self._is_failing = state, False

    def _complain(self, error: StorageUnavailable) -> None:
        if not self._is_failing:
            _log.warning("no snapshot can be made; the next start will read more receipts", problem=error.message)
        self._is_failing = True

    # --- in the worker's thread ---------------------------------------------------------------------------------------

    @property
    def _opened(self) -> ReceiptStore:
        if self._store is None:
            raise StorageUnavailable("the receipt store is not open yet")
        return self._store

    def _read_on(self) -> bool:
        return self._keeper is not None and self._keeper.read_on(_SLICE)

    def _settle(self) -> None:
        covered = None if self._keeper is None else self._keeper.covered(self._now())
        if covered is not None:
            self._note(covered)

    def _note(self, covered: Covered) -> None:
        self._covered, self._covers = encode_covered(covered), covered.place.position

    def _put_down(self, health: Mapping[str, KeptHealth]) -> SnapshotFacts:
        at, covers = self._now(), self._covers
        payload = encode_snapshot(self._boot, at, health, self._covered)
        self._opened.set_mark(MARK, payload)
        return SnapshotFacts(at, covers, len(payload))


def _timeless(health: Mapping[str, KeptHealth]) -> Mapping[str, KeptHealth]:
    """Without the moment at which it was looked at, which is always another."""
    return {provider_id: replace(known, noted_at=0.0, needed_until=0.0) for provider_id, known in health.items()}
