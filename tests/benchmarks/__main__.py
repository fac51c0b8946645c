"""`python -m tests.benchmarks`: start everything, measure in rounds, show the medians, stop everything."""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console

from tests.benchmarks import appending, durability, million, slow_clients
from tests.benchmarks.accounting import resident_mb, tree_of
from tests.benchmarks.bytecodes import Cost
from tests.benchmarks.bytecodes import figures as count_bytecodes
from tests.benchmarks.durability import Durability
from tests.benchmarks.measure import Sample, measure, median_of
from tests.benchmarks.micro import PROMISES, figures
from tests.benchmarks.phases import DEFAULT_PHASES, PHASES
from tests.benchmarks.processes import Server
from tests.benchmarks.report import (
    bytecodes_table,
    durability_table,
    micro_table,
    phase_table,
    rules_table,
    show_problems,
    slow_clients_table,
    start_table,
    storage_table,
    supervisors_table,
)
from tests.benchmarks.supervision import Found
from tests.benchmarks.supervision import figures as supervision_figures
from tests.benchmarks.systems import DIRECT, STRICT, UNRULED, Start, run_upstream, systems_on

_EXTRA_STARTS = 2
_WIDTH = 160
_LEGEND = """\
CPU is user and system time of the system's own processes, in µs; times are in ms. "/floor" compares CPU with the bare Starlette
handler, "+p50" and "+p99" compare times with the direct call. TTFB is the first byte of the answer's body. "cores" is what the system kept
busy, "others" what processes outside the benchmark did: well above zero, trust ratios only.
"""
_SUPERVISORS_LEGEND = """\
The supervision library by itself. The floor is the same thing made of what the event loop has, unsupervised: futures and a timer,
bare tasks, a deque. Times are CPU time without the garbage collector, best of a few rounds; memory is what Python has allocated.
✗ marks a promise that this run did not see kept.
"""


class Report(msgspec.Struct):
    """Everything a run found, as `--json` writes it."""

    machine: dict[str, str]
    options: dict[str, object]
    start_ms: dict[str, float] = {}
    idle_mb: dict[str, float] = {}
    phases: dict[str, dict[str, Sample]] = {}
    rounds: dict[str, dict[str, list[Sample]]] = {}
    durability: Durability | None = None
    micro_us: dict[str, float] = {}
    bytecodes: dict[str, Cost] = {}
    supervisors: dict[str, Found] = {}
    stalled: slow_clients.Found | None = None
    storage: dict[str, float] = {}


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 when any answer was wrong."""
    options = _parser().parse_args(arguments)
    # a plain kill, too, must run the clean-up that stops the processes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=_WIDTH)
    report = Report(machine=_machine(), options=dict(vars(options), json=None, folder=None))
    is_sound = True
    if options.only in (None, "gateway"):
        is_sound = _measure_gateway(options, console, report)
    if options.only in (None, "supervisors"):
        console.print(_SUPERVISORS_LEGEND, highlight=False)
        report.supervisors = supervision_figures()
        console.print(supervisors_table(report.supervisors))
    if options.only == "slow-clients":  # only when asked for: it takes minutes
        report.stalled = slow_clients.measure(options.clients, options.backend)
        console.print(slow_clients_table(report.stalled))
    if options.only == "storage":  # takes minutes as well, and gigabytes
        with tempfile.TemporaryDirectory(prefix="wardwright-bench-", dir=options.folder) as made:
            report.storage = million.figures(Path(made), options.receipts)
        console.print(storage_table(report.storage))
    if options.only == "appending":  # which the storage's figures have among them
        with tempfile.TemporaryDirectory(prefix="wardwright-bench-", dir=options.folder) as made:
            report.storage = appending.figures(Path(made))
        console.print(storage_table(report.storage))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 0 if is_sound else 1


def _measure_gateway(options: argparse.Namespace, console: Console, report: Report) -> bool:
    """The daemon beside its floor; tells whether every answer was right."""
    is_sound = True
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardwright-bench-")))
        upstream = stack.enter_context(run_upstream())
        starts = systems_on(upstream, folder=folder, backend=options.backend)
        servers = {DIRECT: upstream}
        for name, start in starts.items():
            report.start_ms[name] = _median_start_ms(start)
            servers[name] = stack.enter_context(start())
            report.idle_mb[name] = resident_mb(tree_of(servers[name].pid))
        console.print(_LEGEND, highlight=False)
        console.print(start_table(report.start_ms, report.idle_mb))
        for phase_name in options.phases:
            phase = PHASES[phase_name]
            taken = _rounds(phase_name, servers, seconds=options.seconds, rounds=options.rounds)
            found = {name: median_of(samples) for name, samples in taken.items()}
            report.rounds[phase_name], report.phases[phase_name] = taken, found
            console.print(phase_table(phase, found))
            is_sound = not show_problems(console, phase, found) and is_sound
        console.print(rules_table(report.phases))
        if durability.PHASE.name in options.phases:
            everything = [server.pid for server in servers.values()]
            report.durability = durability.measured(
                servers[STRICT], servers[UNRULED], folder, options.seconds, everything
            )
            console.print(durability_table(report.durability))
        report.micro_us = figures(folder)
        console.print(micro_table(report.micro_us, PROMISES))
        if options.backend == "asyncio":
            report.bytecodes = count_bytecodes(upstream, folder)
            console.print(bytecodes_table(report.bytecodes))
    return is_sound


def _median_start_ms(start: Start) -> float:
    """Start a system a few times, each time anew."""
    taken = []
    for _ in range(_EXTRA_STARTS + 1):
        with start() as server:
            taken.append(server.start_s * 1000)
    return median(taken)


def _rounds(phase: str, servers: Mapping[str, Server], *, seconds: float, rounds: int) -> dict[str, list[Sample]]:
    """Measure all systems in turn, every other round backwards, so that a drift of the machine hits all alike."""
    taken: dict[str, list[Sample]] = {name: [] for name in servers}
    everything = [server.pid for server in servers.values()]
    for number in range(rounds):
        for name in list(servers)[:: -1 if number % 2 else 1]:
            plan = PHASES[phase].plan(servers[name].url, seconds)
            taken[name].append(measure(servers[name], plan, everything))
    return taken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure the gateway beside a floor."
    )
    parser.add_argument(
        "--only",
        choices=("gateway", "supervisors", "slow-clients", "storage", "appending"),
        help="measure one of them (default: the first two)",
    )
    parser.add_argument(
        "--receipts", type=int, default=million.RECEIPTS, help="of the store (default: 1000000, which take 3 GB)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the store is made, on the disk to be measured (default: temporary)"
    )
    parser.add_argument("--clients", type=int, default=10_000, help="how many slow clients (default: 10000)")
    parser.add_argument("--seconds", type=float, default=1.5, help="measured window of each measurement (default: 1.5)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each system per phase (default: 2)")
    parser.add_argument(
        "--phases",
        type=_phases,
        default=DEFAULT_PHASES,
        help=f"comma-separated, of: {', '.join(PHASES)} (default: most)",
    )
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="of the daemon and the floor")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found as JSON")
    return parser


def _phases(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in PHASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such phase: {', '.join(unknown)}; there are {', '.join(PHASES)}")
    return names


def _machine() -> dict[str, str]:
    return {"platform": platform.platform(), "python": platform.python_version(), "cpus": str(os.cpu_count())}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
