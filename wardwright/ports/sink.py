"""The sink port: where records go on to from the receipt log, at least once and in order, never from a request.

`contracts/sink-contract.md` is the promise behind these signatures. The interface is synchronous, as that of storage is: each sink has an
actor, and the actor a thread of its own in which the sink may block. What is to be sent is read from the log by the actor, which also
keeps the place reached, waits after a failure, and knows what the sink refused for good.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from wardwright.domain.errors import WardwrightError
from wardwright.domain.sink import Unit
from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import fold

BATCH_BYTES = 1_048_576
"""A batch is closed by the record with which its bodies come to this many bytes, if not before."""


class Record(NamedTuple):
    """What is sent: the same key always stands for the same thing, so whoever receives it twice can tell.

    `key` is `<receipt id>:<seq>` for an event and the receipt id for a receipt. `position` is that of the entry in the log, for a receipt
    that of its closing one; it ascends. `body` is JSON on one line: the entry as it was stored, or the receipt as the API shows it.
    """

    key: str
    receipt_id: str
    position: int
    body: bytes


class _Head(msgspec.Struct):
    receipt_id: str
    seq: int


_decode_head = msgspec.json.Decoder(_Head).decode


def event_record(position: int, payload: bytes) -> Record:
    """The record of an entry of the log. Purity: pure. Raises: msgspec.DecodeError when it is none."""
    head = _decode_head(payload)
    return Record(f"{head.receipt_id}:{head.seq}", head.receipt_id, position, payload)


def receipt_record(position: int, payloads: Sequence[bytes]) -> Record:
    """The record of a whole receipt, whose closing entry is at a position. Purity: pure.

    Raises: msgspec.DecodeError, ValueError when these are not the entries of one receipt in order.
    """
    receipt = fold([decode_entry(payload) for payload in payloads])
    return Record(receipt.receipt_id, receipt.receipt_id, position, msgspec.json.encode(receipt))


class SinkUnavailable(WardwrightError):
    """The sink could not take a batch now: it may have taken some, all or nothing of it. The same batch is sent again later.

    `retry_after_s` is how long it asked us to wait, when it did.
    """

    code = "sink_unavailable"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SinkRefused(WardwrightError):
    """The sink has taken a batch but for some records, which it would refuse again: `reasons` by key, never with their content."""

    code = "sink_refused"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(f"{len(reasons)} records were refused")
        self.reasons = reasons


class Sink(Protocol):
    """Something that receives records. Making one touches nothing; one thread at a time uses it."""

    @property
    def kind(self) -> str:
        """The name of this kind, as the configuration has it."""
        ...

    @property
    def unit(self) -> Unit:
        """What it takes."""
        ...

    @property
    def where(self) -> str:
        """Where records go, for people: never a secret, never an address's user-info."""
        ...

    def open(self) -> None:
        """Make ready. Raises: SinkUnavailable; then it is closed, and opened again later."""
        ...

    def deliver(self, records: Sequence[Record]) -> None:
        """Return once the far side has taken all records for good, in their order as far as they are of one receipt.

        A record that was delivered before may come again, under the same key. It gives up by itself after a bounded time.

        Raises: SinkUnavailable; then the sink is closed, and opened before the same records come again. SinkRefused.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files. Idempotent; `open` makes it ready again."""
        ...
