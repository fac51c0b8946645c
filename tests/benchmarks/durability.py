"""What it adds to a whole answer that its receipt is on disk: the daemon with `strict` beside itself with `none`, in times of a sync.

The two are asked in pairs, one right after the other, every other pair the other way round. While `none` is asked, which itself syncs
nothing, a thread syncs a file fifty times a second that has grown by the entries of a receipt: so a sync is one of the same seconds, on
a machine as busy as that. Each pair is judged by its own syncs, and the median over the pairs is told, with its middle half: a disk that
others use changes from one second to the next by more than what is looked for. (Once the median of all answers of a phase was
divided by the median of syncs in one go before and after it, half a minute apart.)

The upstream takes 50 ms, as models do. Where it takes no time the daemon is busy without a pause, and an answer waits for other answers.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median, quantiles

import msgspec

from tests.benchmarks.measure import Sample, measure
from tests.benchmarks.phases import PHASES
from tests.benchmarks.processes import Server
from tests.benchmarks.timing import syncs_meanwhile

PHASE = PHASES["d16"]
MOST_SYNCS = 2.0
"""The most that an answer may take longer, in syncs."""

_PAIRS = 8

Ask = Callable[[Server], Sample]
Syncs = Callable[[], AbstractContextManager[Sequence[float]]]
"""Syncs as long as a block lasts; has the milliseconds of each behind it."""


class Pair(msgspec.Struct, frozen=True):
    """The median answers of both, and a sync meanwhile, in milliseconds; `others_cores` is what was busy beside the benchmark."""

    strict: float
    none: float
    sync: float
    others_cores: float

    @property
    def added(self) -> float:
        """Milliseconds."""
        return self.strict - self.none

    @property
    def added_syncs(self) -> float:
        """So many times what one sync took."""
        return self.added / self.sync


class Durability(msgspec.Struct, frozen=True):
    """What the pairs come to."""

    pairs: list[Pair]

    @property
    def added_syncs(self) -> float:
        """The median over the pairs."""
        return median(pair.added_syncs for pair in self.pairs)

    @property
    def middle_half(self) -> tuple[float, float]:
        """Between what and what the middle half of the pairs lie."""
        low, _, high = quantiles([pair.added_syncs for pair in self.pairs], n=4, method="inclusive")
        return low, high

    @property
    def is_kept(self) -> bool:
        """Whether the promise is."""
        return self.added_syncs <= MOST_SYNCS


def measured(strict: Server, none: Server, folder: Path, seconds: float, benchmark: Sequence[int]) -> Durability:
    """Ask both for so many seconds in each pair; `folder` is on the disk that they write to.

    `benchmark` are the root processes of everything the benchmark runs.
    """
    return paired(
        strict,
        none,
        ask=lambda server: measure(server, PHASE.plan(server.url, seconds), benchmark),
        syncs=lambda: syncs_meanwhile(folder),
    )


def paired(strict: Server, none: Server, *, ask: Ask, syncs: Syncs, pairs: int = _PAIRS) -> Durability:
    """Ask both in turns, and the disk meanwhile. Raises: RuntimeError for a wrong answer, which would prove nothing."""

    def ask_none() -> Sample:
        with syncs() as taken:
            sample = ask(none)
        sync_ms.append(median(taken))
        return sample

    found, sync_ms = list[Pair](), list[float]()
    for number in range(pairs):
        if number % 2:
            bare, ours = ask_none(), ask(strict)
        else:
            ours, bare = ask(strict), ask_none()
        if ours.bad or bare.bad:
            raise RuntimeError(f"wrong answers: {ours.first_problem or bare.first_problem}")
        others = max(ours.others_cores, bare.others_cores)
        found.append(Pair(ours.latency.p50, bare.latency.p50, sync_ms[-1], others))
    return Durability(found)
