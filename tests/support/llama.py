"""A llama.cpp server process as a test owns it: the managed-server port without supervision."""

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from anyio import to_thread

from wardwright.providers.llama_cpp import server_command


class LlamaServer:
    """`ManagedServer` for one process, started by the first question for its URL and again after it died."""

    def __init__(self, weights: Path, *, context_window: int = 512) -> None:
        self.spec = server_command("llama", weights, context_window=context_window, threads=1)
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    async def base_url(self) -> str:
        """See `ManagedServer.base_url`."""
        return await to_thread.run_sync(self.start)

    def start(self) -> str:
        """Start the server unless it runs, and wait until it can serve."""
        if self.process is None or self.process.poll() is not None:
            self.port = free_port()
            self.process = subprocess.Popen(self.spec.command(self.port), stderr=subprocess.PIPE)
            wait_until_ready(f"http://127.0.0.1:{self.port}{self.spec.health_path}", self.spec.ready_timeout_s)
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """End the process as an out-of-memory killer would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate(timeout=60)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_until_ready(url: str, timeout: float) -> None:
    """Ask until the answer is 200."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise TimeoutError(f"{url} did not become ready in {timeout} s")
