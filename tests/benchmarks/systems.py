"""What is measured: the upstream called directly, the floor, and the daemon, each in a process of its own.

A further configuration of the daemon is a further line in `DAEMONS`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from tests.acceptance.daemon import run_daemon
from tests.benchmarks.phases import PHASES
from tests.benchmarks.processes import Server, run_server

DIRECT = "direct call"
FLOOR = "bare Starlette"

STRICT, UNRULED, RULED = "wardwright strict", "wardwright none", "wardwright none, 20 rules"
_RULES = "".join(
    f"""
[[models.stream_rules]]
id = "rule-{number}"
on = ["any"]
regex = '(?i)forbidden{number}[a-z]{{2,6}}'
action = "block"
"""
    for number in range(20)
)

# name -> its [storage] table, and what is said of every model
DAEMONS = {
    STRICT: ('kind = "file"\ndurability = "strict"', ""),
    UNRULED: ('kind = "file"\ndurability = "none"', ""),
    RULED: ('kind = "file"\ndurability = "none"', _RULES),
}

Start = Callable[[], AbstractContextManager[Server]]


def run_upstream() -> AbstractContextManager[Server]:
    return run_server("tests.benchmarks.upstream")


def systems_on(upstream: Server, *, folder: Path, backend: str) -> dict[str, Start]:
    """How to start each system besides the upstream itself, by name."""
    floor: dict[str, Start] = {FLOOR: partial(run_server, "tests.benchmarks.bare", backend)}
    daemons: dict[str, Start] = {
        name: partial(_run_daemon, folder, daemon_config(upstream.url, storage, backend, rules))
        for name, (storage, rules) in DAEMONS.items()
    }
    return floor | daemons


@contextmanager
def _run_daemon(folder: Path, config: str) -> Iterator[Server]:
    """Start the daemon as a user would, on an empty data folder."""
    fresh = folder / f"daemon-{time.monotonic_ns()}"
    began = time.perf_counter()
    with run_daemon(fresh, config) as daemon:
        yield Server(daemon.process.pid, daemon.url, time.perf_counter() - began)


def daemon_config(upstream: str, storage: str, backend: str, rules: str = "") -> str:
    """A configuration whose public models have the names of the upstream's, so that one request fits every system."""
    models = sorted({phase.model for phase in PHASES.values()})
    return "\n".join(
        [
            f'[runtime]\nbackend = "{backend}"',
            f"[storage]\n{storage}",
            f'[[providers]]\nid = "upstream"\nkind = "openai-compatible"\nbase_url = "{upstream}/v1"',
            *(_MODEL.format(name=name) + rules for name in models),
        ]
    )


_MODEL = """\
[[targets]]
id = "upstream/{name}"
provider = "upstream"
upstream_model = "{name}"
context_window = 32768

[[models]]
id = "{name}"

[[models.dispatchers]]
id = "fit-{name}"
models = ["upstream/{name}"]
"""
