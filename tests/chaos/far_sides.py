"""The far sides of a daemon's sinks while it is killed again and again: a file, and a receiver in changing moods.

It may be gone; slow; busy, so that it takes nothing; deaf, so that it takes what it says it has not; or refuse some records for good.

After every death the places that are kept are behind what has arrived. In the end everything in the log has arrived: in the file just
once, at the receiver under one key with one body, and of each receipt in order but for what was refused at first.
"""

import json
import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.acceptance.daemon import Daemon
from tests.chaos.verdict import Broken
from tests.support.receiver import Asked, Receiver, Reply
from wardwright.ports.sink import event_record
from wardwright.ports.storage import ReceiptReader
from wardwright.receipts.chain import read_link
from wardwright.receipts.events import Closed
from wardwright.runtime.sink_place import SinkPlace, decode_place, mark_name

_PATIENCE_S = 300.0
_SLOWEST_S = 0.3
_MOODS = ("well", "slow", "busy", "deaf", "choosy")
_CLOSED = Closed.__struct_config__.tag
_CONFIG = """
[[sinks]]
id = "hook"
kind = "webhook"
url = "{url}"
unit = "events"
start_at = "start"
batch = 20
linger_ms = 20
timeout = 5
retry = {{ base_ms = 10, max_ms = 200 }}

[[sinks]]
id = "file"
kind = "jsonl"
path = "{file}"
start_at = "start"
linger_ms = 20
"""


class _Item(msgspec.Struct):
    key: str
    record: msgspec.Raw


class _Batch(msgspec.Struct):
    data: list[_Item]


_decode = msgspec.json.Decoder(_Batch).decode


class FarSides:
    """What the sinks of daemons one after the other send to. To be closed."""

    def __init__(self, folder: Path, chance: random.Random, counts: Counter[str]) -> None:
        self._file = folder / "sent.jsonl"
        self._chance = chance
        self._counts = counts
        self._taking = threading.Lock()
        self._arrived: dict[str, bytes] = {}
        self._refused: set[str] = set()
        self._problem = ""
        self._mood = "well"
        self._receiver = Receiver(self._answer)

    @property
    def config(self) -> str:
        """The sinks, for the daemon's configuration."""
        return _CONFIG.format(url=self._receiver.url, file=self._file)

    def close(self) -> None:
        """Stop receiving."""
        self._receiver.stop()

    def change(self) -> None:
        """Be in another mood from now on, or gone."""
        self._receiver.stop()
        self._mood = self._chance.choice(_MOODS)
        if self._chance.random() < 0.8:
            self._receiver.start()

    def check_places(self, receipts: ReceiptReader) -> None:
        """Everything up to the place of a sink has arrived, or it is said that it is to be sent again. Raises: Broken."""
        for sink_id, arrived in (("hook", self._arrived.keys()), ("file", set(self._lines()))):
            mark = receipts.mark(mark_name(sink_id))
            place = SinkPlace() if mark is None else decode_place(mark)
            for key, position in _records(receipts, sink_id):
                if position <= place.position and key not in arrived and not _is_owed(place, position):
                    raise Broken(f"the sink {sink_id} is said to be at {place.position}, and {key} has not arrived")

    def catch_up(self, daemon: Daemon) -> None:
        """Be well, and wait until everything has arrived, with what was refused before. Raises: Broken."""
        self._receiver.stop()
        self._mood = "well"
        self._receiver.start()
        _wait_until_idle(daemon)
        with daemon.client() as client:
            answer = client.post("/admin/sinks/hook/dead-letters/replay")
            self._counts["dead letters"] += answer.json()["dead_letters"]
        _wait_until_idle(daemon)

    def check_all(self, receipts: ReceiptReader) -> None:
        """Everything that is in the log has arrived as promised. Raises: Broken."""
        if self._problem:
            raise Broken(self._problem)
        events = [key for key, _ in _records(receipts, "hook")]
        if missing := set(events) - self._arrived.keys():
            raise Broken(f"{len(missing)} events never arrived, {min(missing)} for one")
        for stored in receipts.replay():
            key = event_record(*stored).key
            if self._arrived[key] != stored.payload:
                raise Broken(f"{key} arrived as {self._arrived[key]!r}")
        self._check_order(events)
        lines = self._lines()
        if missing := {key for key, _ in _records(receipts, "file")} - lines.keys():
            raise Broken(f"{len(missing)} receipts are not in the file, {min(missing)} for one")
        if twice := [key for key, count in lines.items() if count > 1]:
            raise Broken(f"{twice} are in the file twice")
        self._counts["events at the receiver"] += len(self._arrived)
        self._counts["receipts in the file"] += len(lines)

    def _check_order(self, events: list[str]) -> None:
        at = {key: number for number, key in enumerate(self._arrived)}
        last: dict[str, int] = {}
        for key in events:
            receipt_id, _, _ = key.partition(":")
            if key in self._refused:
                continue
            if at[key] < last.get(receipt_id, -1):
                raise Broken(f"{key} arrived before what was recorded before it")
            last[receipt_id] = at[key]

    def _lines(self) -> Counter[str]:
        """How often each receipt is in the file; a line without its end is none."""
        if not self._file.exists():
            return Counter()
        *whole, _ = self._file.read_bytes().split(b"\n")
        return Counter(json.loads(line)["receipt_id"] for line in whole)

    # --- the receiver -------------------------------------------------------------------------------------------------

    def _answer(self, asked: Asked) -> Reply:
        try:
            items = _decode(asked.body).data
        except msgspec.DecodeError:
            return Reply(400)  # a daemon died while it sent this: nobody hears it
        keys = [item.key for item in items]
        match self._mood:
            case "slow":
                time.sleep(self._chance.uniform(0, _SLOWEST_S))
            case "busy" if self._chance.random() < 0.5:
                return Reply(503)
            case "choosy" if any(zlib.crc32(key.encode()) % 7 == 0 for key in keys):
                self._refused |= set(keys) if len(keys) == 1 else set()
                return Reply(413)
        self._take(items)
        return Reply(500) if self._mood == "deaf" and self._chance.random() < 0.5 else Reply()

    def _take(self, items: Sequence[_Item]) -> None:
        with self._taking:
            for item in items:
                key, body = item.key, bytes(item.record)
                if self._arrived.setdefault(key, body) != body:
                    self._problem = f"{key} arrived as {body!r}, and before as {self._arrived[key]!r}"


def _records(receipts: ReceiptReader, sink_id: str) -> Iterator[tuple[str, int]]:
    """What a sink is to get of the log: keys and positions."""
    for stored in receipts.replay():
        if sink_id == "hook":
            yield event_record(*stored).key, stored.position
        elif (link := read_link(stored.payload)) is not None and link.event.type == _CLOSED:
            yield link.receipt_id, stored.position


def _is_owed(place: SinkPlace, position: int) -> bool:
    return any(stretch.after < position <= stretch.last for stretch in (*place.dead, *place.again))


def _wait_until_idle(daemon: Daemon) -> None:
    until = time.monotonic() + _PATIENCE_S
    while {sink["state"] for sink in daemon.get("/admin/sinks")["data"]} != {"idle"}:
        if time.monotonic() > until:
            raise Broken(f"sinks do not come to rest: {daemon.get('/admin/sinks')}")
        time.sleep(0.02)
