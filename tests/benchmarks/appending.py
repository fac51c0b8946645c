"""Group commit: what so many writers append in a second, and what the store takes beside a bare loop of appends and syncs.

The writers append entry by entry through the checkpointer, each when its last entry is on disk. The batches that come of it are noted,
and appended again by three that take turns: the store; the bare loop, which appends the entries' own bytes, without frames, to a file
that grows, and syncs it; and the same loop into zeros written ahead, as the store does it, which tells apart what the store gains by
them and what its own work takes. None of them waits for writers.

They take turns batch by batch, each following each of the others equally often, so that whatever else the disk has to do meets all alike.
Figures are of blocks of batches, long enough for zeros to be written within each, and what is told is the median over the blocks of all
rounds: a disk that stands still for a moment spoils a block and no figure. (Once each ran through all its batches before the next began:
a disk that others used could then be four times slower for one than for the other.)
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Self

import anyio

from supervisors import ChildSpec, Supervisor, System
from tests.benchmarks.many_receipts import made
from wardwright.runtime.checkpointer import Append, Checkpointer, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.storage.control import MemoryControlLog
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.log import ROOM_BYTES

WRITERS = 32
STORE, BARE, BARE_INTO_ZEROS = "store alone", "bare loop", "bare loop into zeros"

_APPENDED = 400  # by each writer
_ROUNDS = 5
_BLOCK = 50  # batches, of about 900 KB

Batch = Sequence[bytes]


def figures(folder: Path) -> dict[str, float]:
    """Rates in entries a second, and ratios of times: what `million.PROMISES` and `million.RATES` name among them."""
    joined: list[float] = []
    rates: dict[str, list[float]] = {STORE: [], BARE: [], BARE_INTO_ZEROS: []}
    sizes: list[int] = []
    for number in range(_ROUNDS):
        records = list(made(WRITERS * _APPENDED // 4, first=number * WRITERS * _APPENDED))
        took_s, batches = anyio.run(_append_all, folder / f"group-{number}", records)
        sizes += map(len, batches)
        joined.append(sum(map(len, batches)) / took_s)
        for name, found in _take_turns(folder / f"turns-{number}", batches).items():
            rates[name] += found
    beside = partial(_beside, rates)
    return {
        f"appended entries/s, {WRITERS} writers": median(joined),
        "entries in a batch": median(sizes),
        **{f"appended entries/s, {name}": median(found) for name, found in rates.items()},
        "store beside bare loop": beside(BARE),
        "store beside bare loop into zeros": beside(BARE_INTO_ZEROS),
        f"{WRITERS} writers beside bare loop": median(rates[BARE]) / median(joined),
    }


class _NotingStore(FileReceiptStore):
    """A store that notes the batches it was given."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "strict")
        self.batches: list[Batch] = []

    def append(self, payloads: Batch) -> None:
        self.batches.append(payloads)
        super().append(payloads)


async def _append_all(path: Path, records: list[list[bytes]]) -> tuple[float, list[Batch]]:
    """The seconds it took, and the batches that the writers' entries were joined in."""
    board = StoreBoard()
    start = partial(
        Checkpointer,
        Logs(lambda: _NotingStore(path), MemoryControlLog),
        board=board,
        control=ControlBoard(),
        ledger=Ledger(now=lambda: 0.0),
        health=HealthBoard(),
        boot="bench",
        now=time.time,
    )
    async with System("bench", Supervisor([ChildSpec("storage", start)])) as system:
        ref = system.whereis("bench/storage")
        assert ref is not None

        async def write(entries: Iterator[bytes]) -> None:
            for payload in entries:
                await ref.call(Append((payload,)), timeout=60)

        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for writer in range(WRITERS):
                tasks.start_soon(write, (payload for record in records[writer::WRITERS] for payload in record))
        took_s = time.perf_counter() - began
        store = board.store
        assert isinstance(store, _NotingStore)
        return took_s, store.batches


def _take_turns(folder: Path, batches: Sequence[Batch]) -> dict[str, list[float]]:
    """Entries a second of each, block by block."""
    folder.mkdir()
    with ExitStack() as stack:
        store = FileReceiptStore(folder / "store", "strict")
        stack.callback(store.close)
        appends: dict[str, Callable[[Batch], object]] = {
            STORE: store.append,
            BARE: stack.enter_context(_BareLoop(folder / "bare")).append,
            BARE_INTO_ZEROS: stack.enter_context(_BareLoopIntoZeros(folder / "zeros")).append,
        }
        taken: dict[str, list[float]] = {name: [] for name in appends}
        for number, batch in enumerate(batches):
            for name in _in_turn(list(appends), number):
                began = time.perf_counter()
                appends[name](batch)
                taken[name].append(time.perf_counter() - began)
    blocks = [slice(first, first + _BLOCK) for first in range(0, len(batches), _BLOCK)]
    entries = [sum(map(len, batches[block])) for block in blocks]
    return {
        name: [count / sum(seconds[block]) for count, block in zip(entries, blocks, strict=True)]
        for name, seconds in taken.items()
    }


def _in_turn(names: list[str], number: int) -> list[str]:
    """Each of three first, second and third as often as the others, and behind each of them."""
    first = number % len(names)
    return (names[first:] + names[:first])[:: -1 if number % 2 else 1]


def _beside(rates: dict[str, list[float]], floor: str) -> float:
    """How many times as long as a floor the store takes for the same batches: the median over blocks."""
    return median(bare / ours for ours, bare in zip(rates[STORE], rates[floor], strict=True))


class _BareLoop:
    """Appends each batch to a file in one write, and syncs it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def append(self, batch: Batch) -> None:
        os.write(self._fd, b"".join(batch))
        os.fdatasync(self._fd)


class _BareLoopIntoZeros(_BareLoop):
    """Does so within zeros, of which it writes more whenever it has come to their end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._end = self._zeros_end = 0

    def append(self, batch: Batch) -> None:
        data = b"".join(batch)
        os.pwrite(self._fd, data, self._end)
        self._end += len(data)
        if self._end > self._zeros_end:
            self._zeros_end = self._end + os.pwrite(self._fd, bytes(ROOM_BYTES), self._end)
        os.fdatasync(self._fd)
