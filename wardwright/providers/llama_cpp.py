"""The provider adapter for a llama.cpp server that Wardwright runs itself, and the command that runs one."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from wardwright.domain.chat import Completion
from wardwright.domain.stream import Frame
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.ports.server import ManagedServer, ServerSpec
from wardwright.providers.chat_completions import ChatCompletions
from wardwright.providers.endpoint import Endpoint
from wardwright.providers.transport import Transport


class LlamaCppProvider:
    """`Provider` for a managed llama.cpp server, started by the first call. Owns its transport, not the server.

    A server that died makes the call in flight fail as `connect` or `stream_broken`; the next call asks the handle again and so
    finds the restarted one.
    """

    def __init__(self, info: ProviderInfo, transport: Transport, server: ManagedServer) -> None:
        self._info = info
        self._server = server
        self._endpoint = Endpoint(transport, ChatCompletions())

    @property
    def info(self) -> ProviderInfo:
        """See `Provider.info`."""
        return self._info

    async def complete(self, call: UpstreamCall) -> Completion:
        """See `Provider.complete`."""
        return await self._endpoint.complete(await self._base_url(), call)

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        """See `Provider.stream`."""
        async with self._endpoint.stream(await self._base_url(), call) as frames:
            yield frames

    async def aclose(self) -> None:
        """See `Provider.aclose`."""
        await self._endpoint.aclose()

    async def _base_url(self) -> str:
        return f"{await self._server.base_url()}/v1"


def server_command(
    server_id: str, model_path: Path, *, context_window: int, threads: int | None = None, ready_timeout_s: float = 60.0
) -> ServerSpec:
    """How to run `providers.llama_server` for a GGUF file as a child of this process.

    Args: threads: for computing; None takes half of the machine's cores. llama.cpp's threads wait for each other by spinning, so that
        with all cores taken every other process, the daemon first, would slow them down many times over.
    """
    arguments = ["--model", str(model_path), "--ctx", str(context_window), "--parent", str(os.getpid())]
    arguments += ["--threads", str(threads or max(1, (os.cpu_count() or 2) // 2))]

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "wardwright.providers.llama_server", "--port", str(port), *arguments]

    return ServerSpec(id=server_id, command=command, health_path="/health", ready_timeout_s=ready_timeout_s)
