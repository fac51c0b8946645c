"""Where a sink stands in the log, as it is kept in the store: small, whatever has happened. Pure.

Records that were passed over are not kept themselves: the log has them. Stretches of positions say which they are. A stretch has two
ends and a count, so that a million of them in a row are one; and when there are too many stretches, the nearest are joined. What lies
between them is then sent again with them, under the key it had.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

MOST_STRETCHES = 256
_OTHERS = ", and others"
_REASON_LENGTH = 300


class Stretch(msgspec.Struct, frozen=True):
    """Entries behind the position `after`, up to `last` and with it. `count` of them are meant, or unknown where it is 0."""

    after: int
    last: int
    count: int
    reason: str


class Ahead(NamedTuple):
    """So many entries that have not been read yet, behind what comes before them and up to a position."""

    entries: int
    last: int


class SinkPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything up to `position` was delivered, or it is said here what became of it.

    What was recorded before `since` is passed over, until something later is met. `again` is sent before anything else. Numbers are of
    records but for `dropped` and `lost`, which are of entries: passed over because the sink was too far behind, or taken by
    retention before it came to them. Of the receipts, `gone` were forgotten before they were whole. `ahead` is what was known to wait
    when the place was kept, in order. Since `paused_at`, in Unix seconds, nothing is sent, as somebody wished.
    """

    position: int = 0
    since: float | None = None
    delivered: int = 0
    refused: int = 0
    dropped: int = 0
    lost: int = 0
    gone: int = 0
    dead: tuple[Stretch, ...] = ()
    again: tuple[Stretch, ...] = ()
    ahead: tuple[Ahead, ...] = ()
    paused_at: float | None = None

    @property
    def dead_count(self) -> int:
        """How many dead letters there are."""
        return sum(stretch.count for stretch in self.dead)


_decode = msgspec.json.Decoder(SinkPlace).decode


def mark_name(sink_id: str) -> str:
    """Under which mark the place of a sink is kept."""
    return f"sink.{sink_id}"


def encode_place(place: SinkPlace) -> bytes:
    """Render a place for its mark."""
    return msgspec.json.encode(place)


def decode_place(mark: bytes) -> SinkPlace:
    """Parse what `encode_place` made. Raises: msgspec.DecodeError."""
    return _decode(mark)


def bury(place: SinkPlace, letters: Iterable[Stretch]) -> SinkPlace:
    """Add dead letters, which are joined with their neighbours."""
    dead = _joined([*place.dead, *letters])
    return msgspec.structs.replace(place, dead=dead)


def raise_dead(place: SinkPlace) -> SinkPlace:
    """Have every dead letter sent again."""
    return msgspec.structs.replace(place, dead=(), again=_joined([*place.again, *place.dead]))


def send_again(place: SinkPlace, after: int) -> SinkPlace:
    """Have everything behind a position sent again that has been sent."""
    if after >= place.position:
        return place
    wanted = Stretch(after, place.position, 0, "asked for")
    return msgspec.structs.replace(place, again=_joined([*place.again, wanted]))


def _joined(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """Stretches in order, those that touch made one, and as many more as there are too many."""
    touching: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.after):
        if touching and stretch.after <= touching[-1].last:
            touching[-1] = _both(touching[-1], stretch)
        else:
            touching.append(stretch)
    excess = len(touching) - MOST_STRETCHES
    if excess <= 0:
        return tuple(touching)
    gaps = sorted(range(1, len(touching)), key=lambda at: touching[at].after - touching[at - 1].last)
    closed = set(gaps[:excess])
    joined: list[Stretch] = []
    for at, stretch in enumerate(touching):
        if at in closed:
            joined[-1] = _both(joined[-1], stretch)
        else:
            joined.append(stretch)
    return tuple(joined)


def _both(one: Stretch, other: Stretch) -> Stretch:
    reason = one.reason
    if other.reason.removesuffix(_OTHERS) != reason.removesuffix(_OTHERS):
        reason = f"{reason.removesuffix(_OTHERS)[:_REASON_LENGTH]}{_OTHERS}"
    return Stretch(one.after, max(one.last, other.last), one.count + other.count, reason)
