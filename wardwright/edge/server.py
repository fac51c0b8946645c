"""Generations of an HTTP server on one listening socket.

The socket is bound once, before the tree starts, and outlives every generation: while the edge restarts, connections wait in the
kernel's queue. A generation runs in a task of the host's group, outside the tree, because it must be able to finish its
connections after its actor has died; every live request is a member of the tree by itself, so nothing escapes supervision.

Hypercorn's own servers are not used, its protocols are (`edge/connection.py`). On trio a request that Hypercorn's server cannot
parse ends the server with all its connections, a client that does not read cannot be cut off, and an answer that is cancelled in
its last step leaves a connection which never answers again.
"""

import errno
import importlib
import logging
import socket
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
from hypercorn.config import Config

from wardwright.edge.connection import Connection, Service
from wardwright.edge.http import Endpoint
from wardwright.edge.line import Line, prepare
from wardwright.edge.plain_lane import OwnHeaders

_BACKLOG = 2048
_AGE_EVERY_S = 5.0
_AGES_PER_STALL = 4
_REQUESTS_PER_CONNECTION = 1_000_000
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_EXHAUSTED_PAUSE_S = 0.1


class CannotBind(Exception):
    """The configured address cannot be listened on; the message is a sentence for the operator."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.is_taken = code == errno.EADDRINUSE


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises: CannotBind with a sentence for the operator."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotBind(f"cannot listen on {host}:{port}: {error.strerror or error}", error.errno) from error
    listener.setblocking(False)
    return listener


class HttpServer:
    """Starts generations on the shared socket.

    Args: stall_s: how long a client may keep a request or an answer from moving.
    """

    def __init__(
        self,
        app: Endpoint,
        listener: socket.socket,
        host: anyio.abc.TaskGroup,
        *,
        backend: str,
        stall_s: float = 60.0,
    ) -> None:
        self._app = app
        self._listener = listener
        self._host = host
        self._stall_s = stall_s
        # by name, so that a process loads only what its event loop needs
        self._loop = importlib.import_module(f"wardwright.edge.on_{backend}")
        self._generations: set[Generation] = set()

    def start(self) -> "Generation":
        """A new generation, accepting as soon as the loop runs it."""
        config = Config()
        config.keep_alive_max_requests = _REQUESTS_PER_CONNECTION
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        service = Service(
            self._app,
            config,
            self._loop.WorkerContext(None),
            self._loop.task_group,
            OwnHeaders(config),
            self._stall_s,
        )
        generation = Generation(service, self._loop.open_line)
        self._generations.add(generation)
        self._host.start_soon(self._run, generation, self._listener.dup())
        return generation

    def leave(self) -> None:
        """Close idle connections, and all others when their answers have been given."""
        for generation in self._generations:
            generation.leave()

    async def _run(self, generation: "Generation", listener: socket.socket) -> None:
        try:
            await generation.run(listener)
        finally:
            self._generations.discard(generation)


class Generation:
    """One running server; see `runtime.edge.Generation`."""

    def __init__(self, service: Service, open_line: Callable[[socket.socket], Awaitable[Line]]) -> None:
        self._service = service
        self._open_line = open_line
        self._accepting = anyio.CancelScope()
        self._accepted = 0
        self._connections: set[Connection] = set()
        self._is_leaving = False
        self._change = anyio.Event()
        self._ended = anyio.Event()
        self._error: Exception | None = None

    async def run(self, listener: socket.socket) -> None:
        """Serve until retired and every connection is done. The listener is this generation's own."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._age)
                try:
                    with listener, self._accepting:
                        await self._accept(listener, tasks)
                except OSError as error:
                    self._end(error)  # at once: whoever watches may start another while this one finishes what it has
                while self._accepted:
                    self._change = anyio.Event()
                    await self._change.wait()
                tasks.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - handed to `serving`, where it crashes the edge actor with this reason
            self._end(error)
        finally:
            self._ended.set()

    async def serving(self) -> None:
        """Return when this server has ended. Raises: whatever ended it."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    def retire(self) -> None:
        """Stop accepting. Every connection is served until it is quiet, and ends with its next answer."""
        self._accepting.cancel()
        self._service.config.keep_alive_max_requests = (
            0  # Hypercorn writes `connection: close` into what it answers now
        )

    def leave(self) -> None:
        """Close idle connections, and all others when their answers have been given."""
        self._is_leaving = True
        for connection in list(self._connections):
            connection.leave()

    def _end(self, error: Exception) -> None:
        self._error = error
        self._ended.set()

    async def _accept(self, listener: socket.socket, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await anyio.wait_readable(listener)
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue  # another generation took it, or it has gone again
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                await anyio.sleep(_EXHAUSTED_PAUSE_S)  # connections that end make room
                continue
            self._accepted += 1
            tasks.start_soon(self._serve, connection)

    async def _serve(self, accepted: socket.socket) -> None:
        try:
            with anyio.CancelScope(shield=True):  # a socket between two owners would be nobody's to close
                line = await self._line_of(accepted)
            if line is not None:
                await self._serve_line(line)
        finally:
            self._accepted -= 1
            self._change.set()

    async def _line_of(self, accepted: socket.socket) -> Line | None:
        try:
            prepare(accepted)
            return await self._open_line(accepted)
        except OSError:  # the client has gone already
            accepted.close()
            return None

    async def _serve_line(self, line: Line) -> None:
        connection = Connection(line, self._service)
        self._connections.add(connection)
        if self._is_leaving:
            connection.leave()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _age(self) -> None:
        every_s = min(_AGE_EVERY_S, self._service.stall_s / _AGES_PER_STALL)
        while True:
            await anyio.sleep(every_s)
            for connection in list(self._connections):
                connection.age(every_s)
