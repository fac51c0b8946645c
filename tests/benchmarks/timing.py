"""How long a function takes when nothing disturbs it, and how long the disk takes."""

import os
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

_WANTED_S = 0.02
_REPETITIONS = 5
_SYNCED_EVERY_S = 0.02
_SYNCED_BYTES = bytes(1500)  # about what the entries of a receipt have


def best(function: Callable[[], object]) -> float:
    """Microseconds of a call: the best of several repetitions."""
    timer = timeit.Timer(function)
    once = max(timer.timeit(1), 1e-7)
    number = max(1, int(_WANTED_S / once))
    return min(timer.repeat(_REPETITIONS, number)) / number * 1e6


@contextmanager
def syncs_meanwhile(folder: Path) -> Iterator[list[float]]:
    """Sync, from a thread, a file that has grown by the entries of a receipt, again and again as long as the block lasts.

    Yields a list that has the milliseconds of each once the block is over: of one at least.
    """
    taken: list[float] = []
    is_over = Event()

    def sync_on() -> None:
        with (folder / "synced").open("ab", buffering=0) as file:
            while True:
                taken.append(timeit.timeit(lambda: _write_and_sync(file.fileno()), number=1) * 1000)
                if is_over.wait(_SYNCED_EVERY_S):
                    return

    thread = Thread(target=sync_on)
    thread.start()
    try:
        yield taken
    finally:
        is_over.set()
        thread.join()


def _write_and_sync(fd: int) -> None:
    os.write(fd, _SYNCED_BYTES)
    os.fdatasync(fd)
