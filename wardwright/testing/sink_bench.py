"""What a sink's author hands to the sink suite: how to make the sink, what has arrived, and how to do to the far side what fate does."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, Sink, event_record, receipt_record
from wardwright.testing.sample_receipts import plain


class Arrived(NamedTuple):
    """A record at the far side. `body` is None where this kind sends it in another form than the record's JSON."""

    key: str
    body: bytes | None = None


class SinkBench(Protocol):
    """A sink under test and its far side, which nothing has reached yet. Each clause has one of its own."""

    @property
    def secrets(self) -> Sequence[str]:
        """Credentials and user-info that the sink knows, which nobody may ever see."""
        ...

    def make(self) -> Sink:
        """Another sink to the same far side, not yet open, as a restarted daemon has one."""
        ...

    def arrived(self) -> Sequence[Arrived]:
        """What the far side has, in its own order, as whoever reads there would find it: repeats count where readers see them."""
        ...

    def break_down(self) -> None:
        """See to it that nothing can be delivered until `mend`, in the way that hurts this kind most. What has arrived stays."""
        ...

    def mend(self) -> None:
        """Make the far side reachable again."""
        ...

    def refused(self, record: Record) -> Record | None:
        """Make of a record one under the same key that the far side refuses for good; None for a kind that refuses nothing."""
        ...


def sample_records(unit: Unit, receipts: int, *, first: int = 1, attempts: int = 1) -> list[Record]:
    """The records of so many made-up receipts, in the order of a log in which they are written in pairs, entry by entry in turn."""
    records: list[Record] = []
    position = first * 1000
    for number in range(first, first + receipts, 2):
        pair = [plain(each, attempts=attempts).payloads for each in range(number, min(number + 2, first + receipts))]
        for entries in zip(*pair, strict=True):
            for written, payload in zip(pair, entries, strict=True):
                position += 1
                if unit == "events":
                    records.append(event_record(position, payload))
                elif payload == written[-1]:
                    records.append(receipt_record(position, written))
    return records


def enlarged(record: Record, size: int) -> Record:
    """The record with a body that is larger by so many bytes, in an attempt's name."""
    body = msgspec.json.decode(record.body)
    body["made_larger"] = "ä'\"\\ \u2028" + "x" * size
    return record._replace(body=msgspec.json.encode(body))
