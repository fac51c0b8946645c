"""One client's connection: HTTP above a line.

Plain requests are read and answered by `edge.plain`. The first thing that is none goes to Hypercorn, whose protocols turn bytes into
requests and answers into bytes on all of HTTP/1.1 and on HTTP/2, and so does all that follows on that connection. How a connection
begins, waits and ends is decided here. A client whose bytes break a parser ends its own connection and nothing else.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import inf
from typing import Protocol

import anyio
import structlog
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.typing import ConnectionState, WorkerContext

from wardwright.edge.http import CLIENT, Endpoint, Message, Scope, Send
from wardwright.edge.inbox import Inbox
from wardwright.edge.line import Address, Line
from wardwright.edge.plain_lane import OwnHeaders, PlainLane

_KEEP_ALIVE_S = 75.0
_FIRST_REQUEST_S = 1.0  # how long a stopping server waits for the request that a new connection was opened for
_LINGER_S = 5.0  # a client that is refused while it still sends may read the refusal for so long
_LEAST_MOVED = 4096  # bytes that have to go either way before a client that keeps us waiting is taken to be going on
_AFTERLIFE_S = 30.0  # how long requests may go on whose client has gone: they have receipts to close

_log = structlog.get_logger("wardwright.edge")


class Tasks(Protocol):
    """The event loop's own task group, as Hypercorn dresses it."""

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task in the group."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """What the connections of one server share."""

    app: Endpoint
    config: Config
    context: WorkerContext
    tasks: Callable[[], AbstractAsyncContextManager[Tasks]]
    own_headers: OwnHeaders
    stall_s: float = 60.0


class Connection:
    """A client's connection from its first byte to its last."""

    def __init__(self, line: Line, service: Service) -> None:
        self._line = line
        self._service = service
        self._requests: _Requests
        self._plain: PlainLane
        self._hypercorn: ProtocolWrapper | None = None
        self._reading = anyio.CancelScope()
        self._is_idle = True
        self._has_served = False
        self._is_leaving = False
        self._must_end = False
        self._is_ending = False
        self._is_joining = False
        self._is_taking = False
        self._unsent = b""
        self._quiet_s = 0.0
        self._read_bytes = 0
        self._written_bytes = 0
        self._moved_bytes = 0
        self._stalled_s = 0.0

    async def run(self) -> None:
        """Serve the connection to its end."""
        service = self._service
        try:
            with anyio.CancelScope() as life:
                async with service.tasks() as tasks:
                    self._requests = _Requests(tasks, self.answer)
                    self._plain = PlainLane(self, self._requests, service)
                    with self._reading:
                        await self._read()
                    self._line.close()
                    life.deadline = anyio.current_time() + _AFTERLIFE_S
                    await self._lose()
        except Exception as error:  # noqa: BLE001 - the boundary: no client's bytes may end more than its own connection
            _log.warning("a connection was dropped: the HTTP server could not go on with it", error=_causes(error))
        except anyio.get_cancelled_exc_class():
            self._line.abort()
            raise
        finally:
            self._line.close()

    def leave(self) -> None:
        """The server stops: end as soon as no request is being served. Idempotent."""
        self._is_leaving = True
        if not self._is_idle or self._is_ending or self._line.has_unread():
            return
        if self._has_served:
            self._end()
        else:
            self._reading.deadline = anyio.current_time() + _FIRST_REQUEST_S

    def age(self, seconds: float) -> None:
        """So much time has passed; a connection that has been idle for too long ends, and so does one whose client has stalled."""
        if self._is_ending:
            return
        unsent = self._line.unsent  # an answer may be given, and not be taken yet
        self._quiet_s = self._quiet_s + seconds if self._is_idle and not unsent else 0.0
        self._stalled_s = self._stalled_s + seconds if self._is_stalled(unsent) else 0.0
        if self._quiet_s >= _KEEP_ALIVE_S:
            self._end()
        elif self._stalled_s >= self._service.stall_s:
            _log.info("a client was let go: it sent no more of its request, or took no more of its answer")
            self._line.abort()
        elif self._is_taking and self._line.has_hung_up():
            self._requests.spawn(
                self._lose
            )  # it has asked ahead and gone: what it asked is not read to where that shows

    def _is_stalled(self, unsent: int) -> bool:
        """Whether the client has to move and has moved next to nothing since it was last seen to."""
        is_due = unsent or self._requests.is_receiving or self._requests.sending
        moved = self._read_bytes + self._written_bytes - unsent
        if is_due and moved - self._moved_bytes < _LEAST_MOVED:
            return True
        self._moved_bytes = moved
        return False

    async def _read(self) -> None:
        while data := await self._line.read():
            self._read_bytes += len(data)
            if not self._is_ending:
                self._is_taking = True
                await self._take(data)
                self._is_taking = False

    async def _take(self, data: bytes) -> None:
        if self._hypercorn is None:
            data = await self._plain.take(data)
            if not data:
                return
            self._hypercorn = self._go_over()
        await self._hypercorn.handle(RawData(data))

    def _go_over(self) -> ProtocolWrapper:
        service = self._service
        return ProtocolWrapper(
            service.app,  # type: ignore[arg-type] # it goes through to `spawn_app`, which is ours
            service.config,
            service.context,
            self._requests,  # type: ignore[arg-type] # it is never entered
            ConnectionState({}),
            False,
            self._line.client,
            self._line.server,
            self._send,
            "http/1.1",
        )

    async def _lose(self) -> None:
        """The client has gone."""
        if self._hypercorn is None:
            self._plain.lose()
        else:
            await self._hypercorn.handle(Closed())

    # --- what the plain lane says -------------------------------------------------------------------------------------

    @property
    def client(self) -> Address | None:
        """The other end's address."""
        return self._line.client

    @property
    def server(self) -> Address | None:
        """This end's address."""
        return self._line.server

    @property
    def is_over(self) -> bool:
        """Whether the last answer has been given."""
        return self._is_ending or self._must_end

    def begin(self) -> None:
        """A request has begun."""
        self._turn(is_idle=False)

    async def send(self, data: bytes) -> None:
        """Send a part of its answer."""
        self._unsent += data
        await self._flush()

    async def conclude(self, data: bytes, *, is_last: bool) -> None:
        """Send the end of its answer, and after the last answer of all end the connection."""
        if is_last:
            self._must_end = True
        else:
            self._turn(is_idle=True)
        self._unsent += data
        await self._flush()

    # --- what Hypercorn says ------------------------------------------------------------------------------------------

    async def answer(self, send: Send, *messages: Message) -> None:
        """Hand messages to the protocol; what it makes of them leaves in one write."""
        self._is_joining = True
        try:
            for message in messages:
                await send(message)
        finally:
            self._is_joining = False
            await self._flush()

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            self._unsent += event.data
        elif isinstance(event, Updated):
            self._turn(is_idle=event.idle)
        elif isinstance(event, Closed):
            self._must_end = True
        if not self._is_joining:
            await self._flush()

    async def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        if self._is_ending:
            return
        try:
            if data:
                self._written_bytes += len(data)
                await self._line.write(data)
        except ConnectionError:
            await self._lose()
        finally:
            if self._must_end:
                self._end()

    def _turn(self, *, is_idle: bool) -> None:
        self._is_idle, self._quiet_s = is_idle, 0.0
        if not is_idle:
            self._has_served = True
            if self._is_leaving:
                self._reading.deadline = inf
        elif self._is_leaving and not self._line.has_unread():
            self._must_end = True

    def _end(self) -> None:
        """Send no more. A client that is still sending is listened to a little longer, or it would not hear the answer."""
        self._is_ending = True
        if self._requests.is_receiving or self._line.has_unread():
            self._line.half_close()
            self._reading.deadline = anyio.current_time() + _LINGER_S
        else:
            self._line.close()
            self._reading.cancel()


class _Requests:
    """Starts the application for each request; what Hypercorn's protocols take for their task group."""

    def __init__(self, tasks: Tasks, answer: Callable[..., Awaitable[None]]) -> None:
        self._tasks = tasks
        self._answer = answer
        self._latest: Inbox | None = None
        self._many: set[Inbox] = set()  # those of HTTP/2, where requests come side by side
        self.sending = 0
        """How many answers over HTTP/2 wait for room: there a client can refuse to take one though its connection has room."""

    @property
    def is_receiving(self) -> bool:
        """Whether the last request has not come whole, or over HTTP/2 any that is being served."""
        is_latest_whole = self._latest is None or self._latest.is_whole
        return not (is_latest_whole and all(inbox.is_whole for inbox in self._many))

    async def spawn_app(
        self, app: Endpoint, _: Config, scope: Scope, send: Send
    ) -> Callable[[Message], Awaitable[None]]:
        """Serve one request; returns where its messages are put."""
        inbox = self.admit(scope)
        if not scope["http_version"].startswith(
            "1."
        ):  # many answers at once: the protocol itself decides what leaves together
            self._tasks.spawn(self._serve_beside_others, app, scope, inbox, send)
        else:
            self._tasks.spawn(_serve, app, scope, inbox, _Joined(send, self._answer, inbox), send)
        return inbox.put

    def admit(self, scope: Scope) -> Inbox:
        """Where the messages of the next request are put."""
        inbox = self._latest = scope[CLIENT] = Inbox()
        return inbox

    async def _serve_beside_others(
        self, app: Endpoint, scope: Scope, inbox: Inbox, send: Callable[..., Awaitable[None]]
    ) -> None:
        self._many.add(inbox)
        try:
            await _serve(app, scope, inbox, self._counted(send), send)
        finally:
            self._many.discard(inbox)

    def _counted(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            self.sending += 1
            try:
                await send(message)
            finally:
                self.sending -= 1

        return counted

    def spawn(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task of the protocol's own."""
        self._tasks.spawn(function, *args)


class _Joined:
    """Sends a head together with what follows it, and the end of a body together with the body.

    An answer to half a request is the connection's last, and says so: where the next request would begin nobody could tell.
    """

    def __init__(self, send: Send, answer: Callable[..., Awaitable[None]], inbox: Inbox) -> None:
        self._send = send
        self._answer = answer
        self._inbox = inbox
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            self._head = message
            if not self._inbox.is_whole:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif self._head is None:
            await self._answer(self._send, message)
        else:
            head, self._head = self._head, None
            await self._answer(self._send, head, message)


async def _serve(app: Endpoint, scope: Scope, inbox: Inbox, send: Send, end: Callable[[None], Awaitable[None]]) -> None:
    try:
        await app(scope, inbox.receive, send)
    finally:
        await end(None)


def _causes(error: BaseException) -> str:
    """What went wrong in one line, whatever groups it is wrapped in."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_causes(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"
