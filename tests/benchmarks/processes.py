"""The benchmark's own processes: started, waited for, and stopped by id whatever happens."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_STOP_WITHIN_S = 5.0


@dataclass(frozen=True)
class Server:
    """A server that answers, and how long it took from its start until it could."""

    pid: int
    url: str
    start_s: float


def announce(host: str, port: int) -> None:
    """Tell the parent process that this one answers now."""
    sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()


@contextmanager
def run_server(module: str, *arguments: str) -> Iterator[Server]:
    """Run a module that calls `announce` when it is ready. Raises: RuntimeError when it ends before."""
    began = time.perf_counter()
    with run_module(module, *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} ended before it was ready, with exit code {process.wait(_STOP_WITHIN_S)}")
        yield Server(process.pid, json.loads(line)["url"], time.perf_counter() - began)


@contextmanager
def run_module(module: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a module of this package, its output readable, and stop it on leaving."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
