"""CPU and memory of process trees, and of the machine, as the kernel counts them.

CPU is user and system time of every thread, ended ones included. It is read from each process's CPU clock, which counts
nanoseconds; `/proc/PID/stat` holds the same figure in hundredths of a second, too coarse for short windows.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_SCHEDULER_CLOCK = 2


def tree_of(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent_of(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds these processes have used. One that has ended counts nothing."""
    total = 0.0
    for pid in pids:
        try:
            total += time.clock_gettime(_cpu_clock_of(pid))
        except OSError:
            continue
    return total


def resident_mb(pids: Iterable[int]) -> float:
    """Memory of these processes that is in RAM."""
    pages = 0
    for pid in pids:
        try:
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Reading:
    """Counters at one moment: of the process tree in question, of everything that belongs to the benchmark, of the machine."""

    at: float
    tree_s: float
    benchmark_s: float
    machine_s: float

    @classmethod
    def take(cls, tree: Iterable[int], benchmark: Iterable[int]) -> "Reading":
        """`benchmark` includes `tree`."""
        return cls(time.perf_counter(), cpu_s(tree), cpu_s(benchmark), _machine_s())

    def others_cores(self, later: "Reading") -> float:
        """How many cores strangers kept busy between two readings: the noise of the figures taken meanwhile."""
        strangers_s = (later.machine_s - self.machine_s) - (later.benchmark_s - self.benchmark_s)
        return max(0.0, strangers_s / (later.at - self.at))


def _machine_s() -> float:
    """CPU seconds all processors were not idle, including what a hypervisor took away."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, (_PROC / "stat").read_text().partition("\n")[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_S


def _cpu_clock_of(pid: int) -> int:
    """The id of another process's CPU clock, as Linux composes it (see clock_getcpuclockid)."""
    return (~pid << 3) | _SCHEDULER_CLOCK


def _parent_of(pid: int) -> int | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])
