"""The sink `nats`: records as messages of a JetStream stream, each with its key as `Nats-Msg-Id`.

The stream leaves out what comes again within its window of duplicates. A batch goes out in order and is done when the stream has
acknowledged each message; of one receipt there is never more than one message unacknowledged, so that a failure in the middle cannot
let a later one past it.

The client library knows asyncio alone. It has an event loop of its own here, which runs while the sink is asked to do something: that
works in any thread and under any event loop of the host. Nobody answers the server between batches, so a connection that has been idle for
long is made anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.sinks.waves import waves_of

_IDLE_S = 60.0  # a server asks twice in four minutes before it takes a silent client for a dead one
_HEADERS_BYTES = 512  # more than those of a message but its key
_TOO_LARGE = 10_054  # JetStream's code for a message that the stream is not to take

_T = TypeVar("_T")


class Stream(NamedTuple):
    """Where messages go. With `create` a stream is made where there is none, which knows a repetition for `duplicates_s` seconds."""

    name: str
    subject: str
    create: bool
    duplicates_s: float


class NatsSink:
    """A stream of a NATS server or cluster.

    `secrets` names the variables that hold what the servers are shown, as `token`, or as `user` and `password`.
    """

    kind = "nats"

    def __init__(
        self,
        servers: Sequence[str],
        stream: Stream,
        *,
        unit: Unit,
        secrets: Mapping[str, str],
        environ: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        self.unit = unit
        self._servers = list(servers)
        self._stream = stream
        self._secrets = secrets
        self._environ = environ
        self._timeout_s = timeout_s
        self._link: _Link | None = None

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

    def _connect(self) -> "_Link":
        self.close()
        shown = {name: self._value_of(variable) for name, variable in self._secrets.items()}
        link = self._link = _Link(self._timeout_s, self.where)
        link.run(link.connect(self._servers, shown))
        link.run(self._find_stream(link.jetstream))
        return link

    async def _find_stream(self, jetstream: JetStreamContext) -> None:
        name, subject, create, duplicates_s = self._stream
        try:
            await jetstream.stream_info(name)
        except NotFoundError as error:
            if not create:
                raise SinkUnavailable(f"there is no stream {name}, and create_stream is false") from error
            await jetstream.add_stream(name=name, subjects=[subject], duplicate_window=duplicates_s)

    async def _publish(self, link: "_Link", records: Sequence[Record]) -> dict[str, str]:
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

    def _value_of(self, variable: str) -> str:
        value = self._environ.get(variable, "").strip()
        if not value:
            raise SinkUnavailable(f"the variable {variable} is not set, which {self.where} is to be shown")
        return value


class _Link:
    """A connection and the event loop that it lives in."""

    def __init__(self, timeout_s: float, where: str) -> None:
        self._timeout_s = timeout_s
        self._where = where
        self._loop = asyncio.new_event_loop()
        self._client = Client()
        self.jetstream = self._client.jetstream(timeout=timeout_s)
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._last_told: Exception | None = None
        self._used_at = time.monotonic()

    @property
    def idle_s(self) -> float:
        """For how long nothing was done here."""
        return time.monotonic() - self._used_at

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, headers included."""
        return self._client.max_payload

    def run(self, doing: Coroutine[Any, Any, _T]) -> _T:
        """Do something, within the time that is allowed. Raises: SinkUnavailable."""
        try:
            return self._loop.run_until_complete(asyncio.wait_for(doing, self._timeout_s))
        except TimeoutError as error:
            raise SinkUnavailable(f"{self._where}: no answer within {self._timeout_s:g} s") from error
        except (NatsError, OSError) as error:
            cause = self._last_told if isinstance(error, NoServersError) and self._last_told else error
            raise SinkUnavailable(f"{self._where}: {str(cause) or type(cause).__name__}") from error
        finally:
            self._used_at = time.monotonic()

    async def connect(self, servers: list[str], shown: Mapping[str, Any]) -> None:
        """Connect once; a connection that is lost is not made again by itself."""
        await self._client.connect(
            servers=servers,
            name="wardwright",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # before a server is left out: with 0 a dead one is tried for ever
            reconnect_time_wait=0,
            connect_timeout=max(1, round(self._timeout_s)),
            error_cb=self._told,
            closed_cb=self._closed,
            **shown,
        )

    async def all_of(self, asking: Iterable[Awaitable[_T]]) -> list[_T | BaseException]:
        """Ask for many things at once; each may end in an error. Raises: SinkUnavailable when the connection ends before they do."""
        waits = asyncio.gather(*asking, return_exceptions=True)
        await asyncio.wait((waits, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not waits.done():
            waits.cancel()
            raise SinkUnavailable(f"{self._where}: the connection was lost")
        return await waits

    def close(self) -> None:
        """Close the connection and the loop, whatever state they are in."""
        try:
            self.run(self._client.close())
        except SinkUnavailable:
            pass  # it is given up either way
        finally:
            _end(self._loop)

    async def _told(self, error: Exception) -> None:
        """Errors that the library tells of beside those it raises: the causes of these."""
        self._last_told = error

    async def _closed(self) -> None:
        if not self._lost.done():
            self._lost.set_result(None)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop, and what is still about to be done in it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()
