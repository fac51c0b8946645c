"""What clients cost that take nothing: so many ask for endless streams and read none of them.

`python -m tests.benchmarks --only slow-clients` tells how much memory the daemon has grown by, for each of them, once it reads no more
of the provider. Every client takes the daemon two descriptors; where the limit does not allow so many there are fewer.
"""

import json
import resource
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from tests.acceptance.daemon import Daemon, run_daemon
from tests.benchmarks.accounting import cpu_s, resident_mb
from tests.benchmarks.processes import run_server

_PROVIDERS = 4
_PERMITS = 4096
_SPARE_DESCRIPTORS = 100
_LITTLE_ROOM = 4096
_LOOK_EVERY_S = 2.0
_QUIET_CPU_S = 0.02
_GIVE_UP_S = 1200.0


class Found(msgspec.Struct, frozen=True):
    """What a run found. `served` are those whose streams had begun and stood; `kib_per_client` is the daemon's growth for each."""

    clients: int
    served: int
    idle_mb: float
    stalled_mb: float
    kib_per_client: float
    after_s: float
    livez_ms: float


def measure(clients: int, backend: str) -> Found:
    """Let so many clients stall."""
    clients = min(clients, _descriptors() // 2 - _SPARE_DESCRIPTORS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardwright-bench-")))
        upstream = stack.enter_context(run_server("tests.benchmarks.flood"))
        daemon = stack.enter_context(run_daemon(folder, _config(f"{upstream.url}/v1", backend)))
        pid = [daemon.process.pid]
        with _stalled(daemon, 1):
            _wait_quiet(pid)
        idle_mb = resident_mb(pid)
        began = time.monotonic()
        with _stalled(daemon, clients):
            _wait_quiet(pid)
            after_s = time.monotonic() - began
            stalled_mb = resident_mb(pid)
            served = _live_runs(daemon)
            began = time.monotonic()
            daemon.get("/livez")
            livez_ms = (time.monotonic() - began) * 1000
        _wait_quiet(pid)
    growth_kib = (stalled_mb - idle_mb) * 1024 / served
    return Found(clients, served, idle_mb, stalled_mb, growth_kib, after_s, livez_ms)


@contextmanager
def _stalled(daemon: Daemon, count: int) -> Iterator[None]:
    """So many clients that have asked and read nothing; on leaving they are gone."""
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(_asking(daemon, f"m{number % _PROVIDERS}"))
        yield


def _asking(daemon: Daemon, model: str) -> socket.socket:
    host, port = daemon.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE_ROOM)
    client.settimeout(_GIVE_UP_S)
    client.connect((host, int(port)))
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Go on for ever."}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return client


def _wait_quiet(pid: list[int]) -> None:
    """Wait until the daemon has nothing to do."""
    until = time.monotonic() + _GIVE_UP_S
    before = cpu_s(pid)
    while time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
        now = cpu_s(pid)
        if now - before < _QUIET_CPU_S:
            return
        before = now
    raise RuntimeError(f"the daemon was still busy after {_GIVE_UP_S:g} seconds")


def _live_runs(daemon: Daemon) -> int:
    with daemon.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("wardwright_live_runs "))


def _descriptors() -> int:
    """How many descriptors a process may have here, once it asks for as many as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _config(base_url: str, backend: str) -> str:
    head = f'[runtime]\nbackend = "{backend}"\n[storage]\nkind = "memory"\n[server]\nstall_seconds = 100000\n'
    return head + "".join(
        f"""
[[providers]]
id = "up{number}"
kind = "openai-compatible"
base_url = "{base_url}"
max_concurrency = {_PERMITS}
timeouts = {{ connect = 600, first_token = 3600, idle = 3600, total = 36000 }}

[[targets]]
id = "up{number}/m"
provider = "up{number}"
context_window = 32768

[[models]]
id = "m{number}"

[[models.stream_rules]]
id = "no-old-client"
contains = "OldClient("
action = "block"
"""
        for number in range(_PROVIDERS)
    )
