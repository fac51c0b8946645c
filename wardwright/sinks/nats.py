"""The sink `nats`: records as messages of a JetStream stream, each with its key as `Nats-Msg-Id`.

The stream leaves out what comes again within its window of duplicates. A batch goes out in order and is done when the stream has
acknowledged each message; of one receipt there is never more than one message unacknowledged, so that a failure in the middle cannot
let a later one past it.

The connection stands still between batches, so one that has been idle for long is made anew.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.sinks.nats_access import Access
from wardwright.sinks.nats_link import Link
from wardwright.sinks.waves import waves_of

_IDLE_S = 60.0  # a server asks twice in four minutes before it takes a silent client for a dead one
_HEADERS_BYTES = 512  # more than those of a message but its key
_TOO_LARGE = 10_054  # JetStream's code for a message that the stream is not to take


class Stream(NamedTuple):
    """Where messages go. With `create` a stream is made where there is none, which knows a repetition for `duplicates_s` seconds."""

    name: str
    subject: str
    create: bool
    duplicates_s: float


class NatsSink:
    """A stream of a NATS server or cluster."""

    kind = "nats"

    def __init__(
        self,
        servers: Sequence[str],
        stream: Stream,
        *,
        unit: Unit,
        access: Access,
        environ: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        self.unit = unit
        self._servers = list(servers)
        self._stream = stream
        self._access = access
        self._environ = environ
        self._timeout_s = timeout_s
        self._link: Link | None = None

    @property
    def where(self) -> str:
        """The servers, and the stream there."""
        return f"{', '.join(self._servers)}, stream {self._stream.name}"

    def open(self) -> None:
        """Connect, and see to the stream. Raises: SinkUnavailable."""
        self._connect()

    def deliver(self, records: Sequence[Record]) -> None:
        """Publish the records. Raises: SinkUnavailable, SinkRefused."""
        link = self._link
        if link is None or link.idle_s > _IDLE_S:
            link = self._connect()
        reasons = link.run(self._publish(link, records))
        if reasons:
            raise SinkRefused(reasons)

    def close(self) -> None:
        """Let go of the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _connect(self) -> Link:
        self.close()
        link = Link(self._servers, self._access, self._environ, timeout_s=self._timeout_s, where=self.where)
        self._link = link
        link.run(link.connect())
        link.run(self._find_stream(link.jetstream))
        return link

    async def _find_stream(self, jetstream: JetStreamContext) -> None:
        name, subject, create, duplicates_s = self._stream
        try:
            config = (await jetstream.stream_info(name)).config
        except NotFoundError as error:
            if not create:
                raise SinkUnavailable(f"there is no stream {name}, and create_stream is false") from error
            await jetstream.add_stream(name=name, subjects=[subject], duplicate_window=duplicates_s)
            return
        subjects = config.subjects or []
        if not any(takes(pattern, subject) for pattern in subjects):
            listed = ", ".join(subjects) or "nothing by subject"
            raise SinkUnavailable(f"{self.where}: takes {listed}, and subject is {subject}: change one of them")

    async def _publish(self, link: Link, records: Sequence[Record]) -> dict[str, str]:
        """Publish records wave by wave; returns why some were refused, when all others are acknowledged."""
        most = link.max_payload - _HEADERS_BYTES
        reasons = {
            record.key: f"is larger than the {link.max_payload} bytes that the server takes"
            for record in records
            if len(record.body) + len(record.key) > most
        }
        for wave in waves_of(record for record in records if record.key not in reasons):
            outcomes = await link.all_of(self._send(link.jetstream, record) for record in wave)
            for record, outcome in zip(wave, outcomes, strict=True):
                if isinstance(outcome, APIError) and outcome.err_code == _TOO_LARGE:
                    reasons[record.key] = "is larger than the stream takes"
                elif isinstance(outcome, BaseException):
                    raise outcome
        return reasons

    async def _send(self, jetstream: JetStreamContext, record: Record) -> None:
        """Publish a record and wait until the stream has it. (`publish_async` of the library never tells of a refusal.)"""
        name, subject, *_ = self._stream
        await jetstream.publish(subject, record.body, stream=name, headers={"Nats-Msg-Id": record.key})


def takes(pattern: str, subject: str) -> bool:
    """Whether a stream's subject, in which `*` is any word and a last `>` any words, has another in it. Purity: pure."""
    wanted, words = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(words) <= len(wanted):
            return False
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(one in ("*", word) for one, word in zip(wanted, words, strict=True))
