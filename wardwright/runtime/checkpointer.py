"""The checkpointer: the one writer of the receipt log, and of the control log beside it.

Appends of concurrent requests are joined: while one batch is on its way to the disk, the next ones gather, and all of them share
the following write and sync (group commit). The store is blocking, so it is driven from a worker thread; a kill waits for the
write in progress, which is why two incarnations never write at the same time.

What a crash here loses: nothing that was acknowledged. Appends under way fail with "outcome unknown", and their senders send them
again: the store drops what it already has. At the first start after the process died, receipts that it left open are closed as
`interrupted`. Threads of their own do, beside the batches, what a store puts off while it is busy, keep a snapshot of the books and of
providers' health (`runtime.snapshot_keeper`), and let go of what is older than it is kept for (`runtime.retention`) or is erased.

Where other daemons write to the same place, receipts of theirs are closed only when they are gone, and every half a minute it is seen
whether one is, and what was decided elsewhere.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import structlog

from supervisors import NO_REPLY, Actor, Call, ExitReason, ReplyTo, Stop
from wardwright.domain.control import ControlEntry
from wardwright.domain.control_state import Contradiction, ControlState, fold_control
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.control import ControlLog, ControlMovedOn
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.receipts.chain import resume
from wardwright.receipts.events import Closed, Entry, Opened
from wardwright.runtime.bell import Bell
from wardwright.runtime.control import ControlBoard, Decide
from wardwright.runtime.erasure import Chosen, Erased, erase
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.pace import Pace
from wardwright.runtime.retention import KEEP_EVERYTHING, Retention, Terms
from wardwright.runtime.snapshot_keeper import SnapshotKeeper
from wardwright.runtime.visible import StorageLost, StorageRecovered, Tell, tell_nobody
from wardwright.runtime.worker import Worker

_TENDED_EVERY = 1024  # entries
_TENDED_EVERY_S = 10.0
_NEIGHBOURS_INTERVAL_S = 30.0

_log = structlog.get_logger("wardwright.storage")


@dataclass(frozen=True, slots=True)
class Append(Call[None]):
    """Make these encoded entries durable. Sent by runs; answered when they are; fails with StorageUnavailable.

    Sending the same entries again is harmless.
    """

    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Erase(Call[Erased]):
    """Erase the next of the chosen receipts, or only count them. Sent by the edge; answered when they are gone from disk.

    Fails with StorageUnavailable. Sending the same again is harmless.
    """

    chosen: Chosen
    dry_run: bool = False


class StoreBoard:
    """Where readers find the store of the checkpointer's current incarnation. Written by the checkpointer alone."""

    def __init__(self, tell: Tell = tell_nobody) -> None:
        self._store: ReceiptStore | None = None
        self._tell = tell
        self._is_well = True
        self.appended = Bell()
        """Rung whenever entries were appended."""
        self.entries_appended = 0
        """How many entries this process has appended, over all incarnations; what was stored before counts when it is sent again."""

    @property
    def store(self) -> ReceiptStore:
        """The open store.

        Raises: StorageUnavailable while there is none.
        """
        if self._store is None:
            raise StorageUnavailable("the receipt store is not open yet")
        return self._store

    def replace(self, store: ReceiptStore | None) -> None:
        """Make `store` the current one and close the one before it."""
        before, self._store = self._store, store
        if before is not None and before is not store:
            before.close()

    def report(self, problem: StorageUnavailable | None) -> None:
        """Receipts could not be written, or None when they could; whoever watches is told when that has changed."""
        if problem is None and not self._is_well:
            self._is_well = True
            _log.info("receipts can be stored again")
            self._tell(StorageRecovered())
        elif problem is not None and self._is_well:
            self._is_well = False
            if self._store is not None:  # else this is a start that is refused, and who started it is told why
                _log.warning("receipts cannot be stored, so no request is answered", problem=problem.message)
            self._tell(StorageLost(problem=problem.message))


@dataclass(frozen=True, slots=True)
class Logs:
    """How to open what the checkpointer writes to. The store comes first: its lock covers the control log too."""

    open_store: Callable[[], ReceiptStore]
    open_control: Callable[[], ControlLog]


class Checkpointer(Actor):
    """Owns the receipt store and the control log; see the module's page for its promises.

    The first one of a process restores the ledger, and what was known of the health of providers.
    """

    def __init__(
        self,
        logs: Logs,
        *,
        board: StoreBoard,
        control: ControlBoard,
        ledger: Ledger,
        health: HealthBoard,
        boot: str,
        now: Callable[[], float],
        terms: Terms = KEEP_EVERYTHING,
    ) -> None:
        self._logs = logs
        self._board = board
        self._control = control
        self._ledger = ledger
        self._boot = boot
        self._now = now
        self._snapshots = SnapshotKeeper(health, boot=boot, now=now)
        self._waiting: list[tuple[Append, ReplyTo[None]]] = []
        self._undecided: deque[tuple[Decide, ReplyTo[ControlState]]] = deque()
        self._to_erase: deque[tuple[Erase, ReplyTo[Erased]]] = deque()
        self._erasing = anyio.Event()
        self._work = anyio.Event()
        self._worker = Worker("receipts")
        self._eraser = Worker("receipts-erasing")
        self._retention = Retention(terms, lambda: board.store, self._eraser, now=now)
        self._tender = Worker("receipts-tending")
        self._untended = anyio.Event()
        self._batches = 0
        self._appended = 0
        self._tended_at = 0
        self._interrupted = 0
        self._erased = 0

    async def init(self) -> Stop | None:
        """Open the logs (which recovers their tails) and close what a dead process left open.

        A store that cannot be opened is no crash of ours: the start is refused with the store's own sentence.
        """
        try:
            self._control.show(await self._worker.run(self._open))
        except StorageUnavailable as error:
            self._board.report(error)
            return Stop(ExitReason.shutdown(error))
        self.spawn(self._write_batches)
        self.spawn(self._erase_what_is_asked)
        self.spawn(self._tend)
        self._untended.set()
        if self._snapshots.is_wanted:
            self.spawn(self._snapshots.follow_log)
            self.spawn(self._snapshots.follow_health)
        if Capability.CONCURRENT_WRITERS in self._board.store.capabilities:
            self.spawn(self._look_at_neighbours)
        if self._retention.is_wanted:
            self.spawn(self._retention.follow)
        return None

    async def handle_call(self, request: object, reply_to: ReplyTo[Any]) -> object:
        """Take an `Append` into the next batch, a `Decide` behind it; the reply comes when it is on disk. An `Erase` is done beside them."""
        match request:
            case Append():
                self._waiting.append((request, reply_to))
            case Decide():
                self._undecided.append((request, reply_to))
            case Erase():
                self._to_erase.append((request, reply_to))
                self._erasing.set()
                return NO_REPLY
            case _:
                return await super().handle_call(request, reply_to)
        self._work.set()
        return NO_REPLY

    async def terminate(self, reason: ExitReason) -> None:
        """Write what is still waiting and a last snapshot, then close the logs."""
        await self._write_what_waits()
        await self._snapshots.finish()
        await self._worker.run(self._close)

    def format_status(self) -> Mapping[str, object]:
        """Counts of this incarnation; never a payload."""
        return {
            "waiting": len(self._waiting) + len(self._undecided) + len(self._to_erase),
            "batches": self._batches,
            "entries_appended": self._appended,
            "interrupted_receipts_closed": self._interrupted,
            "receipts_forgotten": self._retention.forgotten,
            "entries_erased": self._erased + self._retention.content.replaced,
            "entries_faded": self._retention.events.replaced,
            "control_seq": self._control.state.seq,
            "snapshot": self._snapshots.described(),
        }

    async def _write_batches(self) -> None:
        while True:
            await self._work.wait()
            await self._write_what_waits()

    async def _write_what_waits(self) -> None:
        self._work = anyio.Event()
        if self._waiting:
            await self._write_batch()
        while self._undecided:
            await self._write_decision(*self._undecided.popleft())

    async def _erase_what_is_asked(self) -> None:
        while True:
            await self._erasing.wait()
            self._erasing = anyio.Event()
            while self._to_erase:
                await self._erase(*self._to_erase.popleft())

    async def _erase(self, request: Erase, reply_to: ReplyTo[Erased]) -> None:
        try:
            step = partial(erase, self._board.store, request.chosen, dry_run=request.dry_run, pace=Pace())
            done = await self._eraser.run(step)
        except StorageUnavailable as error:
            reply_to.fail(error)
        else:
            self._erased += 0 if request.dry_run else done.entries
            reply_to.reply(done)

    async def _write_decision(self, request: Decide, reply_to: ReplyTo[ControlState]) -> None:
        try:
            state = await self._decided(request)
        except (StorageUnavailable, Contradiction) as error:
            reply_to.fail(error)
        else:
            self._control.show(state, request.events)
            reply_to.reply(state)

    async def _decided(self, request: Decide) -> ControlState:
        """Write a decision; it is checked before that, so that what contradicts itself never gets into the log."""
        while True:
            before = self._control.state
            entries = [
                ControlEntry(seq, self._now(), event) for seq, event in enumerate(request.events, before.seq + 1)
            ]
            state = fold_control(entries, before)
            try:
                await self._worker.run(partial(self._control.log.append, entries))
            except ControlMovedOn:
                await self._catch_up_with_control()
                if self._control.state.seq == before.seq:
                    raise
            else:
                return state

    async def _look_at_neighbours(self) -> None:
        while True:
            await anyio.sleep(_NEIGHBOURS_INTERVAL_S)
            try:
                await self._worker.run(partial(self._close_what_was_left, self._board.store))
                await self._catch_up_with_control()
                self._board.appended.ring()  # others may have appended: nobody tells of that
            except StorageUnavailable as error:
                _log.warning("what other daemons have left or decided could not be seen", problem=error.message)

    async def _catch_up_with_control(self) -> None:
        """Show what other daemons have decided meanwhile."""
        state = await self._worker.run(self._folded_control)
        if state.seq > self._control.state.seq:
            self._control.show(state)

    async def _write_batch(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await self._append(batch)
        except ValueError:
            # somebody's entries make no sense to the store: they must not fail the others' in the same batch
            for one in batch:
                try:
                    await self._append([one])
                except ValueError as error:
                    one[1].fail(StorageUnavailable(f"the receipt store refused an entry: {error}"))

    async def _append(self, batch: list[tuple[Append, ReplyTo[None]]]) -> None:
        payloads = [payload for request, _ in batch for payload in request.payloads]
        try:
            await self._worker.run(partial(self._board.store.append, payloads))
        except StorageUnavailable as error:
            self._board.report(error)
            for _, reply_to in batch:
                reply_to.fail(error)
            return
        self._board.report(None)
        self._batches += 1
        self._appended += len(payloads)
        self._board.entries_appended += len(payloads)
        if self._appended - self._tended_at >= _TENDED_EVERY:
            self._tended_at = self._appended
            self._untended.set()
        self._board.appended.ring()
        self._snapshots.note_appended()
        for _, reply_to in batch:
            reply_to.reply(None)

    async def _tend(self) -> None:
        while True:
            # Now and then also where little is appended: what is to be mended nobody tells of.
            with anyio.move_on_after(_TENDED_EVERY_S):
                await self._untended.wait()
            self._untended = anyio.Event()
            try:
                store = self._board.store  # stays the one: closed by a stop meanwhile, it has nothing left to tend
                while await self._tender.run(store.tend):
                    pass
            except StorageUnavailable as error:
                _log.warning("the receipt store could not be tended", problem=error.message)

    def _open(self) -> ControlState:
        self._control.replace_log(None)
        self._board.replace(None)
        store = self._logs.open_store()
        self._board.replace(store)
        self._close_what_was_left(store)
        self._control.replace_log(self._logs.open_control())
        state = self._folded_control()
        self._snapshots.begin(store, is_new_process=not self._ledger.is_restored)
        if not self._ledger.is_restored:
            self._ledger.restore(self._snapshots.books(), state.keys)
        return state

    def _close_what_was_left(self, store: ReceiptStore) -> None:
        """Close what daemons left open that are gone."""
        left = store.open_receipts()  # first: a daemon that opens one after this is there before it does
        there = store.enlist(self._boot) | {self._boot}
        for entries in left:
            if _boot_of(entries) not in there:
                store.append([_interruption(entries, self._now())])
                self._interrupted += 1

    def _folded_control(self) -> ControlState:
        try:
            return fold_control(self._control.log.entries())
        except Contradiction as error:
            raise StorageUnavailable(f"the control log contradicts itself: {error}") from error

    def _close(self) -> None:
        self._control.replace_log(None)
        self._board.replace(None)


def _boot_of(entries: tuple[Entry, ...]) -> str | None:
    opened = entries[0].event
    return opened.boot if isinstance(opened, Opened) else None


def _interruption(entries: tuple[Entry, ...], at: float) -> bytes:
    """The entry that closes a receipt whose process died."""
    attempts = sum(entry.event.__struct_config__.tag == "attempt.started" for entry in entries)
    closed = Closed(
        status="interrupted",
        attempts=attempts,
        error_message="the daemon stopped before this request ended",
    )
    return resume(entries).seal(closed, at)
