"""The places of sinks in a copy of storage: positions mean something in one store only, so each becomes that of the same entry there."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from wardwright.ports.storage import Capability, ReceiptReader, ReceiptStore
from wardwright.runtime.sink_mark import LOST, PlaceLost, kept_place
from wardwright.runtime.sink_place import Ahead, SinkPlace, Stretch, encode_place, mark_name

Translate = Callable[[int], int]


class PlaceCopy:
    """The places of some sinks as they were in the source when this was made: before the first entry is copied.

    It is told of every position whose entry was copied, in order; then the places can be kept in the copy.

    Raises: StorageUnavailable.
    """

    def __init__(self, source: ReceiptReader, sink_ids: Iterable[str]) -> None:
        self._places = _places_in(source, sink_ids)
        known = [place for place in self._places.values() if place is not None]
        wanted = {position for place in known for position in _positions_in(place)}
        self._wanted = deque(sorted(wanted))
        self._copied_up_to: dict[int, int] = {}
        self._copied = 0

    def take(self, position: int) -> None:
        """An entry at this position of the source was copied."""
        while self._wanted and self._wanted[0] < position:
            self._copied_up_to[self._wanted.popleft()] = self._copied
        self._copied += 1

    def keep(self, target: ReceiptStore) -> int:
        """Keep the places in the copy, which has everything by now; tell how many. What is lost stays so. Raises: StorageUnavailable."""
        self._copied_up_to |= dict.fromkeys(self._wanted, self._copied)
        there = _positions_by_count(target, set(self._copied_up_to.values()))
        for sink_id, place in self._places.items():
            mark = LOST
            if place is not None:
                mark = encode_place(_translated(place, lambda position: there[self._copied_up_to[position]]))
            target.set_mark(mark_name(sink_id), mark)
        return len(self._places)


def _places_in(source: ReceiptReader, sink_ids: Iterable[str]) -> dict[str, SinkPlace | None]:
    """The places that sinks have come to, None of one whose place is lost; those that have begun nowhere are not among them."""
    if Capability.CONSUMER_OFFSETS not in source.capabilities:
        return {}
    places: dict[str, SinkPlace | None] = {}
    for sink_id in sink_ids:
        try:
            place = kept_place(source, sink_id)
        except PlaceLost:
            places[sink_id] = None
        else:
            if place is not None:
                places[sink_id] = place
    return places


def _positions_in(place: SinkPlace) -> Sequence[int]:
    stretches = (*place.dead, *place.again)
    ends = [end for stretch in stretches for end in (stretch.after, stretch.last)]
    return [place.position, *ends, *(ahead.last for ahead in place.ahead)]


def _translated(place: SinkPlace, to: Translate) -> SinkPlace:
    def moved(stretches: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
        return tuple(msgspec.structs.replace(each, after=to(each.after), last=to(each.last)) for each in stretches)

    return msgspec.structs.replace(
        place,
        position=to(place.position),
        dead=moved(place.dead),
        again=moved(place.again),
        ahead=tuple(Ahead(each.entries, to(each.last)) for each in place.ahead),
    )


def _positions_by_count(store: ReceiptReader, counts: set[int]) -> Mapping[int, int]:
    """The positions up to which a store holds so many entries."""
    most = max(counts, default=0)
    found = {0: 0}
    for count, stored in enumerate(islice(store.replay(), most), 1):
        if count in counts:
            found[count] = stored.position
    return found
