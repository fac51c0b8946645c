"""What Python executes for one answer, counted: a cost that depends neither on the machine nor on who else works on it.

It leaves out what C does (parsing, hashing, the system's calls), so it is no measure of time. It is one of change: the same code gives
the same number, and the list by part says where to look. One request at a time is asked, so each receipt entry has a batch of its own.
"""

import json
import signal
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tests.acceptance.daemon import run_daemon
from tests.benchmarks.answer_reader import AnswerReader
from tests.benchmarks.load import request_of
from tests.benchmarks.phases import PHASES, Phase
from tests.benchmarks.processes import Server
from tests.benchmarks.systems import daemon_config
from tests.benchmarks.traced import COUNTS

_ROOT = Path(__file__).parents[2]
_OURS = ("wardwright", "supervisors")
_WARM_UP = 3
_ANSWERS = {"u1": 20, "sp16": 3}


class Cost(msgspec.Struct, frozen=True):
    """Bytecodes and calls of one answer, and the bytecodes by part of the code: packages of ours, and the libraries."""

    bytecodes: float
    calls: float
    parts: Mapping[str, float]


def cost_of(phase: Phase, upstream: Server, folder: Path, *, answers: int) -> Cost:
    """Ask a daemon on an empty folder for so many answers, one after the other on one connection."""
    counts = folder / "counts.json"
    config = daemon_config(upstream.url, 'kind = "file"\ndurability = "strict"', "asyncio")
    environment = {"PYTHONPATH": str(_ROOT), COUNTS: str(counts)}
    with run_daemon(folder, config, environment=environment, program="tests.benchmarks.traced") as daemon:
        plan = phase.plan(daemon.url, seconds=0.0)
        address = urlsplit(daemon.url)
        with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60) as client:
            _ask(client, request_of(plan), _WARM_UP)
            daemon.process.send_signal(signal.SIGUSR1)
            daemon.wait_logged("counting")
            _ask(client, request_of(plan), answers)
            daemon.process.send_signal(signal.SIGUSR1)
            daemon.wait_logged("counted")
    parts: Counter[str] = Counter()
    calls = 0
    for file, _, called, bytecodes in json.loads(counts.read_text(encoding="utf-8")):
        parts[_part_of(file)] += bytecodes
        calls += called
    by_part = {part: count / answers for part, count in parts.most_common()}
    return Cost(parts.total() / answers, calls / answers, by_part)


def figures(upstream: Server, folder: Path) -> dict[str, Cost]:
    """By phase: a whole answer, and a stream whose chunks come one by one."""
    return {
        name: cost_of(PHASES[name], upstream, folder / f"counted-{name}", answers=n) for name, n in _ANSWERS.items()
    }


def _ask(client: socket.socket, request: bytes, times: int) -> None:
    for _ in range(times):
        client.sendall(request)
        answer = AnswerReader()
        while not answer.feed(_some_of(client)):
            pass
        assert answer.status == 200


def _some_of(client: socket.socket) -> bytes:
    received = client.recv(65536)
    if not received:
        raise ConnectionError("the daemon closed the connection within an answer")
    return received


def _part_of(file: str) -> str:
    """`wardwright/edge` of a file of ours, the library's name of another, `python` for what comes with the language."""
    parts = Path(file).parts
    for name in _OURS:
        if name in parts:
            below = parts[parts.index(name) :]
            return "/".join(below[:2]) if name == "wardwright" else name
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "python"
