"""How long a function takes when nothing disturbs it, and how long the disk takes."""

import os
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median

_WANTED_S = 0.02
_REPETITIONS = 5
_SYNCS = 200
_SYNCED_BYTES = bytes(1500)  # about what the entries of a receipt have


def best(function: Callable[[], object]) -> float:
    """Microseconds of a call: the best of several repetitions."""
    timer = timeit.Timer(function)
    once = max(timer.timeit(1), 1e-7)
    number = max(1, int(_WANTED_S / once))
    return min(timer.repeat(_REPETITIONS, number)) / number * 1e6


def sync_ms(folder: Path) -> float:
    """Milliseconds of one sync of a file that has grown by the entries of a receipt: the median of many."""
    fd = os.open(folder / "synced", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return median(timeit.timeit(lambda: _write_and_sync(fd), number=1) for _ in range(_SYNCS)) * 1000
    finally:
        os.close(fd)


def _write_and_sync(fd: int) -> None:
    os.write(fd, _SYNCED_BYTES)
    os.fdatasync(fd)
