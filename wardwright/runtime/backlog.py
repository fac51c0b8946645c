"""How much of the log lies before a sink that has fallen behind: counted, not kept.

Entries are counted in blocks, and of a block only its size and its last position are known. That is what is needed to pass over the
oldest ones, and to see that some have gone by the time the sink comes to them. When there are very many blocks, each two become one.
What was counted is kept with the sink's place, in fewer blocks: so it need not be counted again after a start, and what was taken
meanwhile is missed.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from wardwright.ports.storage import ReceiptReader
from wardwright.runtime.pace import unpaced
from wardwright.runtime.sink_place import Ahead

_MOST_BLOCKS = 4096
_MOST_KEPT = 200
_LARGEST_GRAIN = 1000


@dataclass(slots=True)
class Block:
    """So many entries that have not been read yet, up to a position."""

    count: int
    last: int


class Backlog:
    """The blocks before one sink. Nothing is counted while it keeps up."""

    def __init__(self, max_lag: int) -> None:
        self.total = 0
        self._blocks: deque[Block] = deque()
        self._grain = min(_LARGEST_GRAIN, max(1, max_lag // 100))

    @property
    def front_end(self) -> int | None:
        """Where the first block ends: nobody reads over it in one go. None while nothing is counted."""
        return self._blocks[0].last if self._blocks else None

    def count(self, store: ReceiptReader, position: int, at_most: int, pace: Callable[[], None] = unpaced) -> bool:
        """Count on from where counting has come to, or from the sink's position; so many entries at most. Tell whether there are more.

        Raises: StorageUnavailable, ValueError when the position is none of this log.
        """
        start = self._blocks[-1].last if self._blocks else position
        before = self.total
        for stored in islice(store.replay(start), at_most):
            if not self._blocks or self._blocks[-1].count >= self._grain:
                self._blocks.append(Block(0, stored.position))
            block = self._blocks[-1]
            block.count += 1
            block.last = stored.position
            self.total += 1
            pace()
        if len(self._blocks) > _MOST_BLOCKS:
            self._grain *= 2
            self._blocks = _coarser(self._blocks)
        return self.total - before == at_most

    def passed(self, end: int, entries: int) -> int:
        """The sink has read so many entries, up to a position; tell how many it should have met and has not."""
        if not self._blocks:
            return 0
        front = self._blocks[0]
        read = min(entries, front.count)
        front.count -= read
        self.total -= read
        return self.skip_front().count if end >= front.last else 0

    def skip_front(self) -> Block:
        """Take away what is left of the first block, which there must be."""
        front = self._blocks.popleft()
        self.total -= front.count
        return front

    def kept(self) -> tuple[Ahead, ...]:
        """What was counted, in a form to be kept: of a bounded size."""
        blocks = self._blocks
        while len(blocks) > _MOST_KEPT:
            blocks = _coarser(blocks)
        return tuple(Ahead(block.count, block.last) for block in blocks)

    def restore(self, kept: Iterable[Ahead]) -> None:
        """Go on from what was kept, in the place of what was counted here."""
        self._blocks = deque(Block(*each) for each in kept)
        self.total = sum(block.count for block in self._blocks)


def _coarser(blocks: Iterable[Block]) -> deque[Block]:
    """Other blocks, each for two of these."""
    coarser: deque[Block] = deque()
    rest = iter(blocks)
    for block in rest:
        after = next(rest, Block(0, block.last))
        coarser.append(Block(block.count + after.count, after.last))
    return coarser
