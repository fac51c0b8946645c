"""One sink and its place, step by step: what is delivered, kept, passed over, buried and sent again."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import zip_longest
from typing import Any

import msgspec
import pytest

from tests.support.sinks import ScriptedSink
from wardwright.config.sinks import JsonlSinkSettings
from wardwright.domain.errors import StorageUnavailable
from wardwright.domain.sink import Unit
from wardwright.ports.sink import BATCH_BYTES, SinkUnavailable
from wardwright.ports.storage import MarkDamaged
from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import fold
from wardwright.runtime import sink_batch, sink_line
from wardwright.runtime.sink_line import SinkLine, keep_quietly
from wardwright.runtime.sink_mark import PlaceLost
from wardwright.runtime.sink_place import Ahead, SinkPlace, decode_place, encode_place
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import AT, SPACING_S, plain, receipt_id


class Log(MemoryReceiptStore):
    """A store that counts marks and may refuse them; one is damaged until it is set to something. `appended` is what this daemon knows to have appended."""

    def __init__(self) -> None:
        super().__init__()
        self.appended = 0
        self.marks_set = 0
        self.refuses_marks = False
        self.damaged = False

    def write(self, numbers: Iterable[int], **how: Any) -> None:
        for number in numbers:
            self.append(plain(number, **how).payloads)
            self.appended += len(plain(number, **how).payloads)

    def set_mark(self, name: str, value: bytes) -> None:
        if self.refuses_marks:
            raise StorageUnavailable("the disk is full")
        super().set_mark(name, value)
        self.damaged = self.damaged and not value
        self.marks_set += 1

    def mark(self, name: str) -> bytes | None:
        if self.damaged:
            raise MarkDamaged("its checksum is another")
        return super().mark(name)

    @property
    def kept(self) -> SinkPlace:
        mark = self.mark("sink.s")
        assert mark is not None
        return decode_place(mark)


class Rig:
    """A line from a log to a scripted sink, and a clock."""

    def __init__(self, unit: Unit = "events", **settings: Any) -> None:
        self.log = Log()
        self.sink = ScriptedSink(unit)
        self.clock = AT * 1.0
        self.settings = JsonlSinkSettings(id="s", path="unused", **{"start_at": "start", **settings})
        self.line = self.another()

    def another(self) -> SinkLine:
        """A line as a restarted daemon has it."""
        return SinkLine(
            self.settings,
            self.sink,
            store=lambda: self.log,
            appended=lambda: self.log.appended,
            now=lambda: self.clock,
        )

    def begin(self) -> None:
        """Come to know what waits, as an actor does at its start."""
        self.line.begin()
        while self.line.pass_over_the_past() or self.line.look_ahead():
            pass

    def run(self) -> None:
        while self.line.step():
            pass

    def all_keys(self) -> list[str]:
        entries = [decode_entry(stored.payload) for stored in self.log.replay()]
        return [f"{entry.receipt_id}:{entry.seq}" for entry in entries]


def test_events_go_on_byte_for_byte_in_order_and_the_place_is_kept() -> None:
    rig = Rig(batch=7)
    rig.log.write(range(10))
    rig.line.begin()
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    assert [record.body for record in rig.sink.received] == [stored.payload for stored in rig.log.replay()]
    assert max(rig.sink.batches) == 7
    assert rig.log.kept == rig.line.place == SinkPlace(position=30, delivered=30)
    rig.log.write(range(10, 12))
    rig.run()
    assert rig.sink.keys == rig.all_keys()


def test_receipts_go_on_whole_when_they_are_closed() -> None:
    rig = Rig("receipts")
    first, second, third = plain(1).payloads, plain(2).payloads, plain(3, closed=False).payloads
    rig.log.append([first[0], second[0], second[1], first[1], third[0], second[2]])
    rig.line.begin()
    rig.run()
    assert rig.sink.keys == [receipt_id(2)]
    rig.log.append([first[2]])
    rig.run()
    assert rig.sink.keys == [receipt_id(2), receipt_id(1)]
    assert [record.position for record in rig.sink.received] == [6, 7]
    expected = msgspec.json.encode(fold([decode_entry(payload) for payload in first]))
    assert rig.sink.received[1].body == expected


def test_receipts_are_whole_wherever_a_batch_begins_and_however_large_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sink_batch, "_MOST_SEEN_BYTES", 20_000)
    records = [plain(number, attempts=1 + number % 40).payloads for number in range(60)]
    rig = Rig("receipts", batch=2)
    for pair in zip(records[::2], records[1::2], strict=True):
        rig.log.append([payload for row in zip_longest(*pair) for payload in row if payload is not None])
    rig.line.begin()
    rig.run()
    folded = {record.key: record.body for record in rig.sink.received}
    assert folded == {
        receipt_id(number): msgspec.json.encode(fold([decode_entry(payload) for payload in record]))
        for number, record in enumerate(records)
    }


def test_a_batch_ends_with_the_record_that_makes_it_a_mebibyte() -> None:
    rig = Rig()
    rig.log.write(range(3), attempts=4000)
    rig.line.begin()
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    sizes = [len(record.body) for record in rig.sink.received]
    at = 0
    for count in rig.sink.batches[:-1]:
        assert sum(sizes[at : at + count - 1]) < BATCH_BYTES
        at += count
    assert len(rig.sink.batches) > 2 * 3


def test_a_new_sink_begins_with_what_is_recorded_from_now_on() -> None:
    rig = Rig("receipts", start_at="now", batch=1)
    rig.log.write(range(50))
    begun = plain(60).payloads
    rig.log.append(begun[:1])
    rig.clock = AT + 601.0
    rig.line.begin()
    assert rig.log.kept.since == AT + 601.0, "and it stays so if the daemon dies before it got there"
    rig.line = rig.another()
    rig.clock += 1000
    rig.begin()
    rig.log.append(begun[1:])
    rig.run()
    assert rig.sink.keys == [receipt_id(60)]
    assert rig.line.place.since is None
    assert rig.line.lag == 0


def test_the_past_of_a_new_sink_is_passed_over_piece_by_piece_and_its_far_side_need_not_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sink_line, "COUNTED_AT_ONCE", 4)
    rig = Rig(start_at="now")
    rig.sink.break_down()
    rig.log.write(range(3))
    rig.clock = AT + 601.0
    rig.line.begin()
    lags = [rig.line.lag]
    rig.log.write([700])
    pieces = 1
    while rig.line.pass_over_the_past():
        pieces += 1
        lags.append(rig.line.lag)
    assert (pieces, lags) == (3, [0, 3, 3]), "nothing of the past waits for it, and that is known before it was read"
    assert rig.log.kept == SinkPlace(position=9)


def test_what_waits_is_unknown_until_it_is_counted_and_known_from_then_on() -> None:
    rig = Rig(batch=4, max_lag=10_000)
    rig.log.write(range(10))
    lags = [rig.line.lag]
    rig.line.begin()
    lags.append(rig.line.lag)
    assert rig.line.look_ahead(at_most=20)
    lags.append(rig.line.lag)
    assert rig.line.look_ahead(at_most=20) is False
    assert [*lags, rig.line.lag] == [None, None, None, 30]
    rig.log.write([10])
    assert rig.line.lag == 33, "as soon as it is appended"
    rig.sink.break_down()
    with pytest.raises(SinkUnavailable):
        rig.line.step()
    assert rig.line.lag == 33
    rig.sink.mend()
    waited = []
    while rig.line.step():
        waited.append(rig.line.lag)
        assert waited[-1] == len(set(rig.all_keys()) - set(rig.sink.keys))
    assert (rig.line.lag, len(rig.sink.keys)) == (0, 33)
    rig.line.begin()
    assert rig.line.lag is None, "whoever comes next counts anew"


def test_what_is_on_its_way_waits_until_it_has_arrived() -> None:
    rig = Rig()
    rig.begin()
    rig.run()
    rig.log.write(range(2))
    on_the_way: list[int | None] = []

    def look() -> None:
        on_the_way.append(rig.line.lag)

    rig.sink.fault = look
    assert rig.line.lag == 6
    rig.run()
    assert (on_the_way, rig.line.lag) == ([6], 0)


def test_what_others_append_is_known_when_it_was_looked_for_and_never_nothing_while_there_is_more() -> None:
    rig = Rig(batch=4)
    rig.begin()
    rig.run()
    for number in range(4):
        rig.log.append(plain(number).payloads)  # not counted: another daemon did it
    while rig.line.step():
        assert rig.line.lag
    rig.log.write([9])
    assert rig.line.lag == 3
    rig.log.append(plain(9).payloads)
    rig.log.appended += 3
    assert rig.line.lag == 6, "an entry that was appended twice counts twice"
    rig.run()
    assert rig.line.lag == 0, "until it was looked"


def test_what_was_not_kept_is_delivered_again_and_nothing_else() -> None:
    rig = Rig(batch=5)
    rig.log.write(range(10))
    rig.line.begin()
    rig.line.step()
    rig.line.step()
    rig.clock += 1.5
    rig.line.step()
    rig.line.step()
    assert rig.log.kept.position == 15
    rig.line = rig.another()
    rig.line.begin()
    rig.run()
    assert rig.sink.keys == [*rig.all_keys()[:20], *rig.all_keys()[15:]]
    assert rig.log.kept.position == 30


def test_a_place_is_kept_once_a_second_while_there_is_more() -> None:
    rig = Rig(batch=1)
    rig.log.write(range(20))
    rig.line.begin()
    before = rig.log.marks_set
    for _ in range(30):
        rig.line.step()
        rig.clock += 0.125
    assert rig.log.marks_set - before == 3


def test_a_place_is_kept_before_a_mebibyte_was_delivered_behind_it() -> None:
    rig = Rig()
    rig.log.write(range(3), attempts=4000)
    rig.begin()
    steps = 0
    while rig.line.step():
        steps += 1
        behind = [len(record.body) for record in rig.sink.received if record.position > rig.log.kept.position]
        assert sum(behind) < BATCH_BYTES, "or a file would not remember everything that comes again after a crash"
    assert steps > 6


def test_a_sink_that_is_gone_gets_the_same_records_later() -> None:
    rig = Rig(batch=5)
    rig.log.write(range(4))
    rig.line.begin()
    rig.line.step()
    rig.sink.break_down()
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            rig.line.step()
        assert not rig.sink.is_open
    assert rig.line.waiting_since == AT + 10 + 2
    rig.sink.mend()
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    assert rig.sink.opened == 2
    assert rig.line.waiting_since is None


def test_when_it_was_delivered_to_last_is_known_and_no_refusal_counts() -> None:
    rig = Rig()
    rig.log.write(range(2))
    rig.line.begin()
    rig.run()
    assert rig.line.delivered_at == rig.clock
    rig.line = rig.another()
    rig.line.begin()
    rig.clock += 5
    rig.sink.refuses = lambda record: "too large"
    rig.log.write([3])
    rig.run()
    assert rig.line.delivered_at is None


def test_what_comes_while_a_sink_is_gone_or_busy_with_an_export_is_known_to_wait() -> None:
    rig = Rig(batch=2)
    rig.log.write(range(2))
    rig.line.begin()
    rig.run()
    rig.line.send_again(0)
    rig.log.write([2])
    rig.clock += 7
    rig.line.step()
    rig.line.look_ahead()
    waiting = [(rig.line.waiting_since, rig.line.lag)]
    rig.sink.break_down()
    with pytest.raises(SinkUnavailable):
        rig.line.step()
    waiting.append((rig.line.waiting_since, rig.line.lag))
    rig.sink.mend()
    rig.run()
    assert [*waiting, (rig.line.waiting_since, rig.line.lag)] == [(rig.clock, 3), (rig.clock, 3), (None, 0)]
    assert rig.sink.keys == [*rig.all_keys()[:6], *rig.all_keys()]


def test_a_sink_with_nothing_to_send_is_opened_all_the_same() -> None:
    rig = Rig()
    rig.line.begin()
    rig.sink.break_down()
    with pytest.raises(SinkUnavailable):
        rig.line.step()


def test_refused_records_are_dead_letters_until_they_are_sent_again() -> None:
    rig = Rig(batch=6)
    rig.log.write(range(4))
    rig.line.begin()
    refused = {f"{receipt_id(1)}:1", f"{receipt_id(1)}:2", f"{receipt_id(3)}:3"}
    rig.sink.refuses = lambda record: "too large" if record.key in refused else None
    rig.run()
    assert rig.sink.keys == [key for key in rig.all_keys() if key not in refused]
    place = rig.log.kept
    assert [(each.after, each.last, each.count) for each in place.dead] == [(3, 5, 2), (11, 12, 1)]
    assert (place.delivered, place.refused, place.position) == (9, 3, 12)
    assert rig.line.raise_dead() == 3
    rig.run()
    assert rig.line.place.dead_count == 3, "still refused"
    rig.sink.mend()
    rig.line.raise_dead()
    rig.log.write([9])
    rig.run()
    assert rig.sink.keys[9:] == [*sorted(refused), *rig.all_keys()[12:]]
    assert rig.log.kept.dead_count == 0
    assert rig.log.kept.again == ()


def test_records_that_are_to_be_sent_again_are_so_in_the_next_daemon_too() -> None:
    rig = Rig(batch=2)
    rig.log.write(range(3))
    rig.line.begin()
    rig.run()
    rig.line.send_again(3)
    rig.line.step()
    rig.line = rig.another()
    rig.line.begin()
    rig.run()
    assert rig.sink.keys[-6:] == rig.all_keys()[3:]
    assert rig.log.kept.again == ()
    with pytest.raises(ValueError, match="77"):
        rig.line.send_again(77)


@pytest.mark.parametrize("unit", ["events", "receipts"])
def test_what_is_exported_again_is_the_same_in_the_same_order(unit: Unit) -> None:
    rig = Rig(unit, batch=4)
    rig.log.write(range(20))
    rig.line.begin()
    rig.run()
    first = list(rig.sink.received)
    rig.line.send_again(0)
    rig.run()
    assert rig.sink.received == first * 2


@pytest.mark.parametrize("max_lag", [1, 10, 100, 250])
def test_drop_passes_over_the_oldest_and_counts_them_exactly(max_lag: int) -> None:
    rig = Rig(batch=5, max_lag=max_lag, on_full="drop")
    rig.log.write(range(100))
    rig.line.begin()
    rig.sink.break_down()
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            rig.line.step()
        rig.line.look_ahead()
    assert max_lag - max(1, max_lag // 100) < (rig.line.lag or 0) <= max_lag
    rig.sink.mend()
    rig.run()
    place = rig.log.kept
    assert place.dropped + len(rig.sink.keys) == 300
    assert rig.sink.keys == rig.all_keys()[place.dropped :]
    assert (place.lost, place.dead_count, rig.line.lag) == (0, 0, 0)


def test_dead_letter_passes_over_the_oldest_and_sends_them_later() -> None:
    rig = Rig(batch=5, max_lag=30, on_full="dead_letter")
    rig.log.write(range(100))
    rig.line.begin()
    rig.line.look_ahead()
    rig.run()
    (stretch,) = rig.log.kept.dead
    assert (stretch.after, stretch.last, stretch.count) == (0, 270, 270)
    assert rig.sink.keys == rig.all_keys()[270:]
    assert rig.line.raise_dead() == 270
    rig.run()
    assert rig.sink.keys[30:] == rig.all_keys()[:270]


def test_how_long_the_oldest_has_waited_for_one_that_is_paused_is_known_after_a_restart_too() -> None:
    rig = Rig(max_lag=6, on_full="drop")
    rig.begin()
    rig.line.pause()
    rig.log.write(range(2))
    rig.clock += 1000
    rig.line.look_ahead()
    rig.line = rig.another()
    rig.begin()
    waited_since = [rig.line.waiting_since]
    rig.log.write([2])
    rig.line.look_ahead()
    waited_since.append(rig.line.waiting_since)
    assert waited_since == [AT, AT + SPACING_S]
    assert (rig.line.lag, rig.line.place.dropped, rig.sink.keys) == (6, 3, [])


@pytest.mark.parametrize("on_full", ["block", "fail_closed"])
def test_who_blocks_or_fails_closed_only_falls_behind(on_full: Any) -> None:
    rig = Rig(batch=5, max_lag=30, on_full=on_full)
    rig.log.write(range(100))
    rig.line.begin()
    rig.line.look_ahead()
    assert (rig.line.lag, rig.line.is_full) == (300, True)
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    assert (rig.line.lag, rig.line.is_full) == (0, False)


def test_what_retention_took_is_told() -> None:
    rig = Rig(batch=5, max_lag=10_000)
    rig.log.write(range(100))
    rig.line.begin()
    rig.line.step()
    rig.line.look_ahead()
    rig.log.forget(receipt_id(50))
    rig.run()
    assert rig.sink.keys[5:] == rig.all_keys()
    assert rig.log.kept.lost == 150 - 5


def test_what_retention_took_before_the_next_start_is_told_too() -> None:
    rig = Rig(batch=5)
    rig.log.write(range(100))
    rig.begin()
    rig.sink.break_down()
    rig.log.write(range(100, 110))
    rig.line.look_ahead()
    rig.line.end()
    rig.log.write(range(110, 120))
    rig.log.forget(receipt_id(50))
    rig.line = rig.another()
    rig.sink.mend()
    rig.begin()
    assert rig.line.lag == 360, "what was taken counts until the sink comes there"
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    assert (rig.log.kept.lost, rig.line.lag) == (150, 0)


def test_what_was_counted_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.log.write(range(100))
    rig.begin()
    rig.line.end()
    rig.log.write([100])
    rig.line = rig.another()
    rig.line.begin()
    counted_from: list[int] = []
    replay = rig.log.replay

    def seen(after: int = 0) -> Any:
        counted_from.append(after)
        return replay(after)

    monkeypatch.setattr(rig.log, "replay", seen)
    rig.line.look_ahead()
    assert (counted_from, rig.line.lag) == ([300], 303)


def test_a_log_that_has_lost_its_end_is_counted_again() -> None:
    rig = Rig()
    rig.log.write(range(3))
    place = SinkPlace(position=3, ahead=(Ahead(1000, 1_003),))
    rig.log.set_mark("sink.s", encode_place(place))
    rig.begin()
    assert rig.line.lag == 6
    rig.run()
    assert rig.sink.keys == rig.all_keys()[3:]
    assert rig.log.kept == SinkPlace(position=9, delivered=6)


def test_counting_alone_is_kept_now_and_then() -> None:
    rig = Rig()
    rig.begin()
    rig.run()
    before = rig.log.marks_set
    for number in range(40):
        rig.log.write([number])
        rig.line.look_ahead()
        rig.clock += 1
    assert rig.log.marks_set - before == 3
    assert sum(each.entries for each in rig.log.kept.ahead) > 80


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_kept_of_a_step_in_which_the_line_was_left(fails: bool) -> None:
    rig = Rig(batch=3)
    rig.log.write(range(3))
    rig.begin()
    rig.line.step()
    rig.line.raise_dead()
    kept = SinkPlace(position=3, delivered=3)

    def leave() -> Exception | None:
        rig.line.leave()
        return SinkUnavailable("gone after all") if fails else None

    rig.sink.fault = leave
    with suppress(SinkUnavailable):
        rig.line.step()
    keep_quietly(rig.line)
    assert msgspec.structs.replace(rig.log.kept, ahead=()) == kept
    assert (rig.line.is_left, rig.sink.is_open) == (True, False)
    rig.sink.mend()
    rig.line = rig.another()
    rig.begin()
    rig.run()
    assert list(dict.fromkeys(rig.sink.keys)) == rig.all_keys()


def test_receipts_that_were_forgotten_or_are_not_whole_are_no_obstacle() -> None:
    rig = Rig("receipts")

    def payloads(wanted: str) -> tuple[bytes, ...]:
        found = Log.payloads(rig.log, wanted)
        return () if wanted == receipt_id(1) else found[1:] if wanted == receipt_id(2) else found

    records = [plain(number).payloads for number in range(4)]
    rig.log.append([record[0] for record in records])
    rig.line.begin()
    rig.run()
    for record in records:
        rig.log.append(record[1:])
    vars(rig.log)["payloads"] = payloads
    rig.run()
    assert rig.sink.keys == [receipt_id(0), receipt_id(3)]
    assert rig.log.kept.gone == 1
    (stretch,) = rig.log.kept.dead
    assert (stretch.last, stretch.count, stretch.reason) == (10, 1, "its record is not whole")


def test_a_place_that_is_none_of_this_log_begins_at_its_start() -> None:
    rig = Rig()
    rig.log.write(range(3))
    rig.log.set_mark("sink.s", b'{"position":1000000,"delivered":7}')
    rig.begin()
    assert rig.line.lag == 9
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    assert rig.log.kept.position == 9


@pytest.mark.parametrize("mark", [b"\xff not a place", b'{"position":"far"}', None])
def test_a_place_that_is_lost_is_waited_for_and_nothing_is_kept_in_its_stead(mark: bytes | None) -> None:
    rig = Rig()
    rig.log.write(range(3))
    rig.log.damaged = mark is None
    rig.log.set_mark("sink.s", mark or b"")
    for _ in range(2):
        with pytest.raises(PlaceLost, match="receipts export --to-sink s --from SEQ"):
            rig.line.begin()
        with pytest.raises(PlaceLost):
            rig.line.raise_dead()
        keep_quietly(rig.line)
        rig.line.leave()
        rig.line = rig.another()
    with pytest.raises(PlaceLost):
        rig.line.begin()
    assert (rig.line.lag, rig.sink.keys, rig.log.marks_set) == (None, [], 1)
    with pytest.raises(ValueError, match="77"):
        rig.line.send_again(77)
    assert rig.line.send_again(3)
    rig.begin()
    rig.run()
    assert rig.sink.keys == rig.all_keys()[3:]
    assert not rig.line.send_again(3)
    assert rig.log.kept.position == 9


def test_nothing_is_asked_of_a_place_that_was_not_read_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.log.write(range(3))
    rig.log.set_mark("sink.s", encode_place(SinkPlace(position=6)))

    def refuse(name: str) -> bytes | None:
        raise StorageUnavailable("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(rig.log, "mark", refuse)
        with pytest.raises(StorageUnavailable, match="the disk is gone"):
            rig.line.begin()
    for ask in (rig.line.raise_dead, lambda: rig.line.send_again(0)):
        with pytest.raises(StorageUnavailable, match="could not be read yet"):
            ask()
    keep_quietly(rig.line)
    assert rig.log.kept.position == 6


@pytest.mark.parametrize(
    "wish",
    [SinkLine.pause, SinkLine.resume, SinkLine.raise_dead, lambda line: line.send_again(0)],
    ids=["pause", "resume", "raise_dead", "send_again"],
)
def test_what_somebody_wishes_and_cannot_be_kept_is_not_done(wish: Callable[[SinkLine], object]) -> None:
    rig = Rig(batch=3)
    rig.sink.refuses = lambda record: "too large" if record.key == f"{receipt_id(1)}:2" else None
    rig.log.write(range(4))
    rig.begin()
    rig.run()
    if wish is SinkLine.resume:
        rig.line.pause()
    before = rig.log.kept
    rig.log.refuses_marks = True
    with pytest.raises(StorageUnavailable):
        wish(rig.line)
    assert rig.line.place == before
    rig.log.refuses_marks = False
    rig.line.end()
    assert rig.log.kept == before
    wish(rig.line)
    assert rig.log.kept == rig.line.place != before


def test_a_place_that_is_lost_stays_so_when_another_cannot_be_kept() -> None:
    rig = Rig()
    rig.log.write(range(4))
    rig.log.damaged = rig.log.refuses_marks = True
    with pytest.raises(PlaceLost):
        rig.line.begin()
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        rig.line.send_again(0)
    with pytest.raises(PlaceLost):
        rig.line.pause()


def test_a_store_that_cannot_keep_a_place_is_told_and_the_step_is_taken_again() -> None:
    rig = Rig(batch=5)
    rig.log.write(range(2))
    rig.line.begin()
    rig.log.refuses_marks = True
    rig.clock += 10
    with pytest.raises(StorageUnavailable):
        rig.line.step()
    keep_quietly(rig.line)
    assert not rig.sink.is_open
    rig.log.refuses_marks = False
    rig.run()
    assert rig.sink.keys == rig.all_keys()
    assert rig.log.kept.position == 6


def test_a_bug_of_an_adapter_is_not_caught() -> None:
    rig = Rig()
    rig.log.write(range(2))
    rig.line.begin()
    rig.sink.fault = lambda: ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        rig.line.step()
    rig.sink.mend()
    rig.line.begin()
    rig.run()
    assert rig.sink.keys == rig.all_keys()
