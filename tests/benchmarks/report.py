"""The figures as tables for people. Times are milliseconds, CPU is microseconds of the system's own processes."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tests.benchmarks import million, slow_clients
from tests.benchmarks.answers import behaviour_of
from tests.benchmarks.bytecodes import Cost
from tests.benchmarks.durability import MOST_SYNCS, PHASE, Durability
from tests.benchmarks.measure import Sample
from tests.benchmarks.phases import PHASES, Phase
from tests.benchmarks.supervision import FIGURES, Figure, Found, Measured
from tests.benchmarks.systems import DIRECT, FLOOR, RULED, UNRULED

ADDED_BY_RULES_MS = 1.0

_WORTH_TELLING = 0.003


def phase_table(phase: Phase, found: Mapping[str, Sample]) -> Table:
    """One phase: a row per system, each beside the floor (CPU) and the direct call (time)."""
    table = Table(title=f"{phase.name}: {phase.title}", title_justify="left", title_style="bold")
    table.add_column("system", no_wrap=True)
    names = ["per s", "CPU/answer"]
    names += ["CPU/chunk"] if phase.stream else []
    names += ["/floor", "p50", "p99", "+p50", "+p99"]
    names += ["TTFB p50", "TTFB p99"] if phase.stream else []
    for name in (*names, "cores", "RSS MB", "others"):
        table.add_column(name, justify="right")
    for name, sample in found.items():
        table.add_row(name, *_cells(phase, sample, found))
    return table


def storage_table(found: Mapping[str, float]) -> Table:
    """What a store of many receipts comes to, beside what was promised."""
    table = Table(title="the file store", title_justify="left", title_style="bold")
    for name in ("figure", "found", "target"):
        table.add_column(name, justify="left" if name == "figure" else "right", no_wrap=True)
    for name, figure in found.items():
        most, least = million.PROMISES.get(name), million.RATES.get(name)
        target = "" if most is None and least is None else f"≤ {most:,g}" if least is None else f"≥ {least:,.0f}"
        is_missed = (most is not None and figure > most) or (least is not None and figure < least)
        shown = f"{figure:,.0f}" if figure >= 1000 else f"{figure:,.3g}"
        table.add_row(name, f"{shown} ✗" if is_missed else shown, target)
    return table


def start_table(start_ms: Mapping[str, float], idle_mb: Mapping[str, float]) -> Table:
    """From exec until ready, and the memory held then."""
    table = Table(title="start", title_justify="left", title_style="bold")
    table.add_column("system", no_wrap=True)
    table.add_column("exec to ready ms", justify="right")
    table.add_column("idle RSS MB", justify="right")
    for name, milliseconds in start_ms.items():
        table.add_row(name, f"{milliseconds:.0f}", f"{idle_mb[name]:.0f}")
    return table


def rules_table(phases: Mapping[str, Mapping[str, Sample]]) -> Table:
    """What rules that find nothing add to the time until a stream's first byte: the same daemon with and without, in the same run.

    Told of paced streams alone: under bursts the daemon is busy all the time, and a first byte waits for other answers.
    """
    table = Table(title="first byte of a stream, under 20 rules", title_justify="left", title_style="bold")
    table.add_column("phase", no_wrap=True)
    for name in ("p50 without", "p50 with", "added", "target"):
        table.add_column(name, justify="right")
    for name, found in phases.items():
        if PHASES[name].stream and behaviour_of(PHASES[name].model).pace_s:
            without, ruled = found[UNRULED].first_byte.p50, found[RULED].first_byte.p50
            added = _ms(ruled - without)
            if ruled - without > ADDED_BY_RULES_MS:
                added = f"[red]{added} ✗[/red]"
            table.add_row(name, _ms(without), _ms(ruled), added, f"≤ {ADDED_BY_RULES_MS:g}")
    return table


def durability_table(found: Durability) -> Table:
    """What it adds to a whole answer that its receipt is on disk: what all pairs come to, and each of them."""
    table = Table(title=f"receipts on disk: {PHASE.title}, in pairs", title_justify="left", title_style="bold")
    for name in ("pair", "p50 none", "p50 strict", "added", "one sync", "added, in syncs", "target", "others"):
        table.add_column(name, justify="right")
    for number, pair in enumerate(found.pairs, start=1):
        times = [_ms(each) for each in (pair.none, pair.strict, pair.added, pair.sync)]
        table.add_row(str(number), *times, f"{pair.added_syncs:.2f}", "", f"{pair.others_cores:.2f}")
    low, high = found.middle_half
    told = f"{found.added_syncs:.2f} ({low:.2f} to {high:.2f})"
    shown = told if found.is_kept else f"[red]{told} ✗[/red]"
    table.add_row("median", "", "", "", "", shown, f"≤ {MOST_SYNCS:g}", "")
    return table


def micro_table(found: Mapping[str, float], promises: Mapping[str, float]) -> Table:
    """Functions by themselves, and the most that some of them may take."""
    table = Table(title="functions by themselves", title_justify="left", title_style="bold")
    table.add_column("function", no_wrap=True)
    table.add_column("target", justify="right")
    table.add_column("µs", justify="right")
    for name, microseconds in found.items():
        promise = promises.get(name)
        value = f"{microseconds:.2f}"
        if promise is not None and microseconds > promise:
            value = f"[red]{value} ✗[/red]"
        table.add_row(name, "" if promise is None else f"≤ {promise:g}", value)
    return table


def bytecodes_table(found: Mapping[str, Cost]) -> Table:
    """What Python executes for one answer, by part of the code."""
    table = Table(title="bytecodes of one answer, asked for alone", title_justify="left", title_style="bold")
    table.add_column("part", no_wrap=True)
    for name in found:
        table.add_column(PHASES[name].title, justify="right")
    costs = list(found.values())
    table.add_row("all", *(f"{cost.bytecodes:.0f}" for cost in costs))
    for part in dict.fromkeys(part for cost in costs for part in cost.parts):
        if any(cost.parts.get(part, 0) > cost.bytecodes * _WORTH_TELLING for cost in costs):
            table.add_row(part, *(f"{cost.parts.get(part, 0):.0f}" for cost in costs))
    return table


def slow_clients_table(found: slow_clients.Found) -> Table:
    """Clients that take nothing, and what each of them costs."""
    table = Table(title="clients that take nothing", title_justify="left", title_style="bold")
    names = (
        "clients",
        "served",
        "idle RSS MB",
        "stalled RSS MB",
        "KiB per client",
        "quiet after s",
        "GET /livez then, ms",
    )
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(
        str(found.clients),
        str(found.served),
        f"{found.idle_mb:.0f}",
        f"{found.stalled_mb:.0f}",
        f"{found.kib_per_client:.0f}",
        f"{found.after_s:.0f}",
        f"{found.livez_ms:.1f}",
    )
    return table


def supervisors_table(found: Mapping[str, Found]) -> Table:
    """The supervision library: a row per figure with its target, and per event loop what was measured beside its floor."""
    table = Table(title="supervisors", title_justify="left", title_style="bold")
    table.add_column("figure", no_wrap=True)
    for name in ("target", "unit", *(name for loop in found for name in (loop, "floor"))):
        table.add_column(name, justify="right")
    for key, figure in FIGURES.items():
        cells = [cell for loop in found for cell in _beside_floor(figure, loop, found[loop].get(key))]
        table.add_row(figure.title, f"≤ {figure.target:g}", figure.unit, *cells)
    return table


def _beside_floor(figure: Figure, loop: str, measured: Measured | None) -> tuple[str, str]:
    if measured is None:
        return "", ""
    value = f"{measured.value:.2f}"
    if not figure.holds(loop, measured):
        value = f"[red]{value} ✗[/red]"
    return value, "" if measured.floor is None else f"{measured.floor:.2f}"


def show_problems(console: Console, phase: Phase, found: Mapping[str, Sample]) -> bool:
    """Name every system that gave a wrong answer; tell whether there was one."""
    bad = {name: sample for name, sample in found.items() if sample.bad or not sample.answers_per_s}
    for name, sample in bad.items():
        console.print(f"{phase.name}: {name}: {sample.bad} bad answers, first: {sample.first_problem}", style="red")
    return bool(bad)


def _cells(phase: Phase, sample: Sample, found: Mapping[str, Sample]) -> list[str]:
    direct, floor = found.get(DIRECT), found.get(FLOOR)
    added = ["", ""]
    if direct is not None and sample is not direct:
        added = [_ms(sample.latency.p50 - direct.latency.p50), _ms(sample.latency.p99 - direct.latency.p99)]
    cells = [f"{sample.answers_per_s:.0f}", f"{sample.cpu_us_per_answer:.0f}"]
    cells += [f"{sample.cpu_us_per_event or 0:.1f}"] if phase.stream else []
    cells += ["" if floor is None else f"{sample.cpu_us_per_answer / floor.cpu_us_per_answer:.2f}"]
    cells += [_ms(sample.latency.p50), _ms(sample.latency.p99), *added]
    cells += [_ms(sample.first_byte.p50), _ms(sample.first_byte.p99)] if phase.stream else []
    return [*cells, f"{sample.cores:.2f}", f"{sample.resident_mb:.0f}", f"{sample.others_cores:.2f}"]


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2f}"
