"""The managed-server port: a model server that Wardwright itself runs as a child process."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec


class ServerSpec(msgspec.Struct, frozen=True):
    """How to run a model server: `command(port)` is its argv, `health_path` answers 200 once it can serve.

    `ready_timeout_s` bounds the time from spawn to the first 200; `environment` is added to the daemon's own.
    """

    id: str
    command: Callable[[int], list[str]]
    health_path: str
    ready_timeout_s: float = 60.0
    environment: Mapping[str, str] = {}


class ManagedServer(Protocol):
    """A handle to a supervised model server."""

    async def base_url(self) -> str:
        """Where the server answers, started first when it is not running.

        Raises: ProviderError of class `connect` when it cannot be started or does not become healthy in time.
        """
        ...
