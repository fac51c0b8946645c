"""A model server that Wardwright runs itself: a child process under supervision.

The server starts when it is first needed. A server that was serving and dies crashes its actor, with the exit status as the
reason; the restarted actor brings it back at once, since somebody wants it. A server that never became healthy only fails those
who were waiting for it: restarting it over and over would change nothing.
"""

import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import anyio.abc

from supervisors import NO_REPLY, Actor, ActorDown, Call, CallTimeout, ExitReason, NamedRef, ReplyTo
from wardwright.domain.errors import Failure, ProviderError
from wardwright.ports.server import ServerSpec

_HOST = "127.0.0.1"
_INHERITED = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})
_INHERITED_PREFIXES = ("LC_", "PYTHON", "OMP_", "CUDA_", "HIP_", "ROCR_", "GGML_", "VK_", "OPENBLAS_")
_POLL_S = 0.05
_STOP_GRACE_S = 3.0


class ServerExited(Exception):
    """The server process ended by itself."""

    def __init__(self, server_id: str, returncode: int) -> None:
        how = f"was killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exited with {returncode}"
        super().__init__(f"the server of {server_id!r} {how}")


@dataclass(frozen=True, slots=True)
class EnsureReady(Call[str]):
    """Start the server unless it runs; answered with its base URL once healthy. Fails with ProviderError(connect)."""


@dataclass(frozen=True, slots=True)
class _Start:
    pass


class ServerMemory:
    """What a restarted incarnation must know of the one before: whether its server was serving."""

    def __init__(self) -> None:
        self.was_serving = False


class SupervisedServer:
    """The `ManagedServer` that providers hold: a name in the tree instead of a process."""

    def __init__(self, ref: NamedRef, spec: ServerSpec) -> None:
        self._ref = ref
        self._spec = spec

    async def base_url(self) -> str:
        """Where the server answers, started first when it is not running.

        Raises: ProviderError of class `connect` when it cannot be started or does not become healthy in time.
        """
        try:
            return await self._ref.call(EnsureReady(), timeout=self._spec.ready_timeout_s + 1.0)
        except (ActorDown, CallTimeout) as error:
            raise _cannot_connect(f"the server of {self._spec.id!r} did not come up: {error}") from error


class ServerProcess(Actor):
    """Runs one server process; see the module's page."""

    def __init__(self, spec: ServerSpec, memory: ServerMemory) -> None:
        self._spec = spec
        self._memory = memory
        self._process: anyio.abc.Process | None = None
        self._url: str | None = None
        self._starting = False
        self._stopping = False
        self._starts = 0
        self._waiting: list[ReplyTo[str]] = []

    async def init(self) -> None:
        """Come back at once if the incarnation before was serving."""
        if self._memory.was_serving:
            self.ref.cast(_Start())

    async def handle_call(self, request: object, reply_to: ReplyTo[str]) -> object:
        """Answer `EnsureReady`, at once when the server is healthy."""
        if not isinstance(request, EnsureReady):
            return await super().handle_call(request, reply_to)
        if self._url is not None:
            return self._url
        self._waiting.append(reply_to)
        self._start()
        return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        """Start after a restart."""
        if isinstance(message, _Start):
            self._start()

    async def terminate(self, reason: ExitReason) -> None:
        """Ask the server to stop, and insist after a grace."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        with anyio.move_on_after(_STOP_GRACE_S):
            await process.wait()

    def format_status(self) -> Mapping[str, object]:
        """The process as an operator would look for it."""
        return {
            "server": self._spec.id,
            "pid": None if self._process is None else self._process.pid,
            "url": self._url,
            "state": "serving" if self._url else "starting" if self._starting else "not started",
            "starts": self._starts,
            "waiting": len(self._waiting),
        }

    def _start(self) -> None:
        if not self._starting and self._url is None:
            self._starting = True
            self._starts += 1
            self.spawn(self._run_process)

    async def _run_process(self) -> None:
        port = _free_port()
        try:
            process = await anyio.open_process(
                self._spec.command(port),
                stdin=None,
                stdout=None,
                stderr=None,
                env={**_inherited_environment(), **self._spec.environment},
            )
        except OSError as error:
            self._fail_waiting(f"cannot start the server of {self._spec.id!r}: {error}")
            self._starting = False
            return
        self._process = process
        try:
            url = f"http://{_HOST}:{port}"
            if await self._becomes_healthy(process, url):
                self._serve_waiting(url)
                returncode = await process.wait()
                if not self._stopping:  # an end that was asked for is no crash
                    raise ServerExited(self._spec.id, returncode)
        finally:
            self._url = None
            self._starting = False
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()

    async def _becomes_healthy(self, process: anyio.abc.Process, url: str) -> bool:
        with anyio.move_on_after(self._spec.ready_timeout_s):
            while process.returncode is None:
                if await _answers_ok(url, self._spec.health_path):
                    return True
                with anyio.move_on_after(_POLL_S):
                    await process.wait()
            self._fail_waiting(f"the server of {self._spec.id!r} exited with {process.returncode} before it was ready")
            return False
        self._fail_waiting(
            f"the server of {self._spec.id!r} was not ready within {self._spec.ready_timeout_s:g} seconds"
        )
        return False

    def _serve_waiting(self, url: str) -> None:
        self._url = url
        self._starting = False
        self._memory.was_serving = True
        for reply_to in self._waiting:
            reply_to.reply(url)
        self._waiting.clear()

    def _fail_waiting(self, message: str) -> None:
        self._memory.was_serving = False
        for reply_to in self._waiting:
            reply_to.fail(_cannot_connect(message))
        self._waiting.clear()


def _cannot_connect(message: str) -> ProviderError:
    return ProviderError(Failure("connect", message))


def _inherited_environment() -> dict[str, str]:
    """What a model server needs of the daemon's environment: none of the keys and tokens that it also holds."""
    return {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers_ok(url: str, path: str) -> bool:
    """One bare HTTP/1.0 request: the health check must not depend on any client library's state."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with anyio.fail_after(1.0):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                head = await stream.receive(64)
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
    return b" 200 " in head.split(b"\r\n", 1)[0]
