"""One sink and its place in the log: what is done in the sink's thread, step by step. The actor says when.

A step reads from the log, delivers, and keeps the place; nothing that was read outlives it. So a sink that is down for a week holds no
more memory than one that keeps up: what waits for it is in the log.
"""

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import msgspec
import structlog

from wardwright.config.sinks import SinkBase
from wardwright.domain.errors import StorageUnavailable
from wardwright.ports.sink import BATCH_BYTES, Record, Sink, SinkRefused, SinkUnavailable
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.runtime.backlog import Backlog
from wardwright.runtime.pace import unpaced
from wardwright.runtime.sink_batch import Batch, Wanted, read_batch, recorded_at, refused_stretches
from wardwright.runtime.sink_mark import PlaceLost, kept_place
from wardwright.runtime.sink_place import (
    Ahead,
    SinkPlace,
    Stretch,
    bury,
    encode_place,
    mark_name,
    raise_dead,
    send_again,
)

_KEPT_EVERY_S = 1.0
_COUNT_KEPT_EVERY_S = 10.0
COUNTED_AT_ONCE = 5_000

_log = structlog.get_logger("wardwright.sinks")


class _Known(NamedTuple):
    """What is known of what waits: so many entries when the daemon had appended so many, and whether others lie behind them."""

    waiting: int
    appended: int
    has_more: bool = False


class SinkLine:
    """The line to one sink. One thread at a time takes steps; others may read its facts meanwhile.

    `appended` tells how many entries this daemon has appended so far. It outlives the actor's incarnations, each of which begins with
    `begin`, `pass_over_the_past` and `look_ahead`, until there is no more of either.
    """

    def __init__(
        self,
        settings: SinkBase,
        sink: Sink,
        *,
        store: Callable[[], ReceiptStore],
        appended: Callable[[], int],
        now: Callable[[], float],
        pace: Callable[[], None] = unpaced,
    ) -> None:
        self.settings = settings
        self.sink = sink
        self.place = SinkPlace()
        self.waiting_since: float | None = None
        self.delivered_at: float | None = None
        """When records were delivered last, in Unix seconds."""
        self.deliveries = 0
        """How many batches the far side has answered for."""
        self.has_failed = False
        """Whether the last batch that was handed to the far side was not answered for."""
        self.has_other_writers = False
        """Whether the log may grow without this daemon's knowing."""
        self.is_left = False
        """Whether it was left in the midst of a step: whatever comes of that is kept no more, and nobody may take another."""
        self._store = store
        self._appended = appended
        self._now = now
        self._pace = pace
        self._backlog = Backlog(settings.max_lag)
        self._known: _Known | None = None
        self._has_place = False
        self._place_lost: PlaceLost | None = None
        self._is_open = False
        self._kept: SinkPlace | None = None
        self._kept_at = 0.0
        self._unkept_bytes = 0
        self._keeping = Lock()

    @property
    def lag(self) -> int | None:
        """How many entries of the log it is behind, those included that are just being sent; None as long as nobody knows.

        Only what other daemons have appended since it was looked for last is not in it. Any thread may ask.
        """
        known = self._known
        if known is None:
            return None
        return max(known.waiting + max(0, self._appended() - known.appended), int(known.has_more))

    @property
    def is_full(self) -> bool:
        """Whether it is further behind than it may be."""
        return self._backlog.total > self.settings.max_lag

    @property
    def is_paused(self) -> bool:
        """Whether nothing is sent, until somebody resumes it."""
        return self.place.paused_at is not None

    # --- steps --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go to the place that was kept, or to where a new sink begins. Raises: StorageUnavailable, as PlaceLost until another is set."""
        self._close()
        self._forget_what_waits()
        self.waiting_since = None
        appended, store = self._appended(), self._store()
        self.has_other_writers = Capability.CONCURRENT_WRITERS in store.capabilities
        kept = self._kept_place(store)
        self._has_place, self._place_lost = True, None
        if kept is not None:
            self._go_to(kept, store)
            return
        self.place = SinkPlace()
        if self.settings.start_at == "now":
            self.place = SinkPlace(since=self._now())
            self._known = _Known(0, appended)
        self._keep()

    def pass_over_the_past(self) -> bool:
        """Pass over what was recorded before a new sink began, some thousands of entries; tell whether there may be more of it.

        Raises: StorageUnavailable.
        """
        place, passed = self.place, 0
        if place.since is None:
            return False
        end, has_more = place.position, False
        try:
            for stored in self._store().replay(place.position):
                has_more = passed == COUNTED_AT_ONCE
                if has_more or recorded_at(stored.payload) >= place.since:
                    break
                end, passed = stored.position, passed + 1
                self._pace()
        except ValueError:
            self._begin_anew()
            return True
        self.place = msgspec.structs.replace(place, position=end, since=place.since if has_more else None)
        self._keep_now_and_then(has_more=has_more)
        return has_more

    def step(self) -> bool:
        """Send what comes next, unless it is paused; tell whether there may be more.

        Raises: SinkUnavailable, StorageUnavailable; the step can be taken again.
        """
        if self.is_paused:
            return False
        try:
            return self._send_again() if self.place.again else self._send_on()
        except SinkUnavailable:
            self._close()
            raise

    def look_ahead(self, at_most: int = COUNTED_AT_ONCE) -> bool:
        """Count on what waits, and do what is to be done when it is too much; tell whether there is more to count.

        Raises: StorageUnavailable.
        """
        appended, before = self._appended(), self._backlog.total
        try:
            has_more = self._backlog.count(self._store(), self.place.position, at_most, self._pace)
        except ValueError:
            self._begin_anew()
            return True
        counted = self._backlog.total - before
        if self.settings.on_full in ("drop", "dead_letter"):
            while self.is_full:
                self._pass_over_front()
            self._keep_now_and_then(has_more=has_more)
        elif self._is_due(_COUNT_KEPT_EVERY_S):
            self._keep()
        if self._backlog.total and self.waiting_since is None:
            # A step will know it better, when one comes to it; to one that is paused none does.
            self.waiting_since = self._first_recorded_at() if self.is_paused else self._now()
        elif not self._backlog.total and not has_more:
            self.waiting_since = None  # what rang was no append
        if not has_more:
            self._known = _Known(self._backlog.total, appended)
        elif self._known is not None:
            self._known = _Known(self._backlog.total, self._known.appended + counted, has_more=True)
        return has_more

    def raise_dead(self) -> int:
        """Have the dead letters sent again before anything else; tell how many there are. Raises: StorageUnavailable; then none is."""
        self._check_place()
        count = self.place.dead_count
        self._change_place(raise_dead(self.place))
        return count

    def send_again(self, after: int) -> bool:
        """Have everything sent again that was sent from behind a position. A place that is lost begins there; tell whether it was.

        Raises: ValueError when nothing was ever stored there. StorageUnavailable; then nothing is sent again.
        """
        next(iter(self._store().replay(after)), None)
        lost = self._place_lost
        if lost is None:
            self._check_place()
            self._change_place(send_again(self.place, after))
            return False
        self._has_place, self._place_lost = True, None
        try:
            self._change_place(SinkPlace(position=after))
        except StorageUnavailable:
            self._has_place, self._place_lost = False, lost
            raise
        return True

    def pause(self) -> None:
        """Send nothing from now on, and let go of the sink; what waits is counted as before. Raises: StorageUnavailable; then it is not paused."""
        self._check_place()
        if not self.is_paused:
            self._change_place(msgspec.structs.replace(self.place, paused_at=self._now()))
            self._close()

    def resume(self) -> None:
        """Send again. Raises: StorageUnavailable; then it stays paused."""
        self._check_place()
        self._change_place(msgspec.structs.replace(self.place, paused_at=None))

    def end(self) -> None:
        """Keep the place and let go of the sink. Raises: StorageUnavailable; the sink is closed all the same."""
        self._close()
        self._keep()

    def leave(self) -> None:
        """Keep the place beside a step that is still under way, of which nothing is kept. Any thread. Raises: StorageUnavailable."""
        with self._keeping:
            self.is_left = True
            place = self.place
            if self._has_place and (self._kept is None or place != msgspec.structs.replace(self._kept, ahead=())):
                self._set_mark(place)  # what was counted is not known beside a step: it will be counted again

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send_on(self) -> bool:
        place, front_end, appended = self.place, self._backlog.front_end, self._appended()
        try:
            batch = read_batch(self._store(), self._wanted(place.position, front_end), self._pace)
        except ValueError:
            self._begin_anew()
            return True
        self.waiting_since = batch.first_at
        after = self._after(place, batch, place.position)
        lost = self._backlog.passed(batch.end, batch.entries)
        self.place = msgspec.structs.replace(after, position=batch.end, lost=after.lost + lost)
        has_more = not batch.is_last or front_end is not None
        self._note_sent(batch, appended, was_counted=front_end is not None)
        self.waiting_since = batch.last_at if has_more else None
        self._keep_now_and_then(has_more=has_more)
        return has_more

    def _send_again(self) -> bool:
        place = self.place
        stretch, *others = place.again
        try:
            batch = read_batch(self._store(), self._wanted(stretch.after, stretch.last), self._pace)
        except ValueError:
            _log.warning("records to be sent again are not in this log any more", sink=self.settings.id)
            batch = Batch((), stretch.last, 0, is_last=True)
        after = self._after(place, batch, stretch.after)
        if not batch.is_last:
            others.insert(0, Stretch(batch.end, stretch.last, 0, stretch.reason))
        self.place = msgspec.structs.replace(after, again=tuple(others))
        self._keep_now_and_then(has_more=True)
        return True

    def _note_sent(self, batch: Batch, appended: int, *, was_counted: bool) -> None:
        """What waits is less by a batch, of the part that was counted or not; before it was read so many were appended."""
        if batch.is_last and not was_counted:
            self._known = _Known(0, appended)
        elif self._known is not None and was_counted:
            self._known = self._known._replace(waiting=self._backlog.total)
        elif self._known is not None:
            self._known = _Known(0, self._known.appended + batch.entries, has_more=True)

    def _wanted(self, after: int, last: int | None) -> Wanted:
        return Wanted(self.sink.unit, after, self.settings.batch, last)

    def _after(self, place: SinkPlace, batch: Batch, begin: int) -> SinkPlace:
        """Deliver a batch; tell what has become of its records."""
        reasons = self._deliver(batch.records)
        refused = refused_stretches(batch, begin, reasons)
        if refused:
            _log.warning(
                "a sink has refused records", sink=self.settings.id, records=len(refused), reason=refused[0].reason
            )
        return msgspec.structs.replace(
            bury(place, [*refused, *batch.unreadable]) if refused or batch.unreadable else place,
            delivered=place.delivered + len(batch.records) - len(refused),
            refused=place.refused + len(refused),
            gone=place.gone + batch.gone,
        )

    def _deliver(self, records: tuple[Record, ...]) -> dict[str, str]:
        """Hand records to the sink, open even if there are none; tell which ones it refused, and why. Raises: SinkUnavailable."""
        if not self._is_open:
            self.sink.open()
            self._is_open = True
        if not records:
            return {}
        reasons: dict[str, str] = {}
        self.has_failed = True
        try:
            self.sink.deliver(records)
        except SinkRefused as refusal:
            reasons = dict(refusal.reasons)
        self.has_failed = False
        self.deliveries += 1
        self._unkept_bytes += sum(len(record.body) for record in records)
        if len(reasons) < len(records):
            self.delivered_at = self._now()
        return reasons

    def _first_recorded_at(self) -> float:
        first = next(iter(self._store().replay(self.place.position)), None)
        return self._now() if first is None else recorded_at(first.payload)

    def _pass_over_front(self) -> None:
        if self.is_paused:
            self.waiting_since = None  # whoever looks on will see
        place, front = self.place, self._backlog.skip_front()
        if self.settings.on_full == "drop":
            place = msgspec.structs.replace(place, dropped=place.dropped + front.count)
        else:
            place = bury(place, [Stretch(place.position, front.last, front.count, "the sink was too far behind")])
        self.place = msgspec.structs.replace(place, position=front.last)

    # --- the place ----------------------------------------------------------------------------------------------------

    def _kept_place(self, store: ReceiptStore) -> SinkPlace | None:
        try:
            return kept_place(store, self.settings.id)
        except PlaceLost as lost:
            self._has_place, self._place_lost, self._kept = False, lost, None
            raise

    def _check_place(self) -> None:
        """Raises: StorageUnavailable as long as it is not known where the sink stands, lest another place is kept."""
        if self._place_lost is not None:
            raise self._place_lost
        if not self._has_place:
            raise StorageUnavailable(f"where in the log the sink {self.settings.id!r} stands could not be read yet")

    def _go_to(self, kept: SinkPlace, store: ReceiptStore) -> None:
        self._kept = kept
        self.place = msgspec.structs.replace(kept, ahead=())
        if _was_stored(kept.ahead, store):
            self._backlog.restore(kept.ahead)

    def _begin_anew(self) -> None:
        _log.error("the place of a sink is none of this log, so it begins at the start of it", sink=self.settings.id)
        self.place = msgspec.structs.replace(self.place, position=0, again=())
        self._forget_what_waits()

    def _change_place(self, place: SinkPlace) -> None:
        """Have another place, as somebody wishes, once it is kept. Raises: StorageUnavailable; then it is the one before."""
        before, self.place = self.place, place
        try:
            self._keep()
        except StorageUnavailable:
            self.place, self._kept = before, None  # what has come of the mark is not known, so it is set again
            raise

    def _forget_what_waits(self) -> None:
        self._backlog.restore(())
        self._known = None

    def _keep_now_and_then(self, *, has_more: bool) -> None:
        if not has_more or self._unkept_bytes >= BATCH_BYTES or self._is_due(_KEPT_EVERY_S):
            self._keep()

    def _is_due(self, every_s: float) -> bool:
        return not 0 <= self._now() - self._kept_at < every_s

    def _keep(self) -> None:
        place = msgspec.structs.replace(self.place, ahead=self._backlog.kept())
        with self._keeping:
            if self._has_place and place != self._kept and not self.is_left:
                self._set_mark(place)

    def _set_mark(self, place: SinkPlace) -> None:
        self._store().set_mark(mark_name(self.settings.id), encode_place(place))
        self._kept, self._kept_at, self._unkept_bytes = place, self._now(), 0

    def _close(self) -> None:
        self._is_open = False
        self.sink.close()


def keep_quietly(line: SinkLine) -> None:
    """End a line whose store may be gone already: what it has delivered since its place was kept will be delivered again."""
    try:
        line.end()
    except StorageUnavailable as error:
        _log.warning("the place of a sink could not be kept", sink=line.settings.id, problem=error.message)


def leave_quietly(line: SinkLine) -> None:
    """Leave a line whose store may be gone already, as `keep_quietly` ends one."""
    try:
        line.leave()
    except StorageUnavailable as error:
        _log.warning("the place of a sink could not be kept", sink=line.settings.id, problem=error.message)


def _was_stored(ahead: tuple[Ahead, ...], store: ReceiptStore) -> bool:
    """Whether the log has been as long as what was counted says: it may have lost its end where durability is not strict."""
    if not ahead:
        return False
    try:
        next(iter(store.replay(ahead[-1].last)), None)
    except ValueError:
        return False
    return True
