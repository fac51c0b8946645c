"""A sink whose far side does what a test wants: takes records, is gone, refuses some, or has an adapter with a bug."""

from collections.abc import Callable, Sequence

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable


class ScriptedSink:
    """`fault` is asked at each delivery and opening for what to raise, `refuses` of each record for a reason."""

    kind = "scripted"
    where = "a list"

    def __init__(self, unit: Unit = "events") -> None:
        self.unit: Unit = unit
        self.received: list[Record] = []
        self.batches: list[int] = []
        self.fault: Callable[[], Exception | None] = lambda: None
        self.refuses: Callable[[Record], str | None] = lambda record: None
        self.is_open = False
        self.opened = 0

    def open(self) -> None:
        assert not self.is_open, "opened twice"
        self._fail()
        self.is_open = True
        self.opened += 1

    def deliver(self, records: Sequence[Record]) -> None:
        assert self.is_open, "delivered to while closed"
        assert records, "an empty batch"
        self._fail()
        reasons = {record.key: reason for record in records if (reason := self.refuses(record)) is not None}
        self.received += [record for record in records if record.key not in reasons]
        self.batches.append(len(records))
        if reasons:
            raise SinkRefused(reasons)

    def close(self) -> None:
        self.is_open = False

    def break_down(self, retry_after_s: float | None = None) -> None:
        self.fault = lambda: SinkUnavailable("the far side is gone", retry_after_s=retry_after_s)

    def mend(self) -> None:
        self.fault = lambda: None
        self.refuses = lambda record: None

    @property
    def keys(self) -> list[str]:
        """The keys of what was received, repeats and all."""
        return [record.key for record in self.received]

    def _fail(self) -> None:
        fault = self.fault()
        if fault is not None:
            raise fault
