"""Hypercorn behind one small adapter: generations of an HTTP server on one listening socket.

The socket is bound once, before the tree starts, and outlives every generation: while the edge restarts, connections wait in the
kernel's queue. A generation runs in a task of the host's group, outside the tree, because it must be able to finish its
connections after its actor has died; every live request is a member of the tree by itself, so nothing escapes supervision.
"""

import importlib
import logging
import os
import socket

import anyio
import anyio.abc
from hypercorn.config import Config

from wardwright.edge.http import Endpoint

_BACKLOG = 2048
_KEEP_ALIVE_S = 75.0
_GRACEFUL_S = 3600.0  # live requests are bounded by their own deadlines and by the drain, never by the server


class CannotBind(OSError):
    """The configured address cannot be listened on."""


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
        raise CannotBind(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


class HttpServer:
    """Starts generations on the shared socket."""

    def __init__(self, app: Endpoint, listener: socket.socket, host: anyio.abc.TaskGroup, *, backend: str) -> None:
        self._app = app
        self._listener = listener
        self._host = host
        # by name, so that a process loads only the half of Hypercorn that its event loop needs
        self._serve = importlib.import_module(f"hypercorn.{backend}").serve

    def start(self) -> "HypercornGeneration":
        """A new generation, accepting as soon as the loop runs it."""
        config = Config()
        config.bind = [f"fd://{os.dup(self._listener.fileno())}"]
        config.backlog = _BACKLOG
        config.graceful_timeout = _GRACEFUL_S
        config.keep_alive_timeout = _KEEP_ALIVE_S
        config.keep_alive_max_requests = 1_000_000
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        generation = HypercornGeneration()
        self._host.start_soon(generation.run, self._serve, self._app, config)
        return generation


class HypercornGeneration:
    """One running server; see `runtime.edge.Generation`."""

    def __init__(self) -> None:
        self._retired = anyio.Event()
        self._ended = anyio.Event()
        self._error: Exception | None = None

    async def run(self, serve: object, app: Endpoint, config: Config) -> None:
        """Serve until retired and every connection is done."""
        try:
            await serve(app, config, shutdown_trigger=self._retired.wait, mode="asgi")  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - handed to `serving`, where it crashes the edge actor with this reason
            self._error = error
        finally:
            self._ended.set()

    async def serving(self) -> None:
        """Return when this server has ended. Raises: whatever ended it."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    def retire(self) -> None:
        """Stop accepting; live requests finish, idle connections close."""
        self._retired.set()
