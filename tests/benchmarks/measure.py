"""One measurement: a phase on a system, with the CPU its processes used meanwhile."""

import os
import subprocess
from collections.abc import Iterable
from statistics import median

import msgspec

from tests.benchmarks.accounting import Reading, resident_mb, tree_of
from tests.benchmarks.load import BEGIN, END, LoadPlan, LoadResult, Percentiles
from tests.benchmarks.processes import Server, run_module


class Sample(msgspec.Struct, frozen=True):
    """What one measurement found; times in milliseconds, CPU in microseconds of the system's own processes.

    `cores` is how many cores the system kept busy, `others_cores` how many were kept busy by processes that are not part of the
    benchmark: where that is much above zero the figures are noisy.
    """

    answers_per_s: float
    cpu_us_per_answer: float
    cpu_us_per_event: float | None
    latency: Percentiles
    first_byte: Percentiles
    cores: float
    resident_mb: float
    others_cores: float
    bad: int
    first_problem: str | None = None


def measure(server: Server, plan: LoadPlan, benchmark: Iterable[int]) -> Sample:
    """Put the load on the server. `benchmark` are the root processes of everything the benchmark runs."""
    with run_module("tests.benchmarks.load", msgspec.json.encode(plan).decode()) as load:
        tree = tree_of(server.pid)
        everything = {os.getpid(), load.pid, *tree, *(pid for root in benchmark for pid in tree_of(root))}
        _expect(load, BEGIN)
        before = Reading.take(tree, everything)
        _expect(load, END)
        after = Reading.take(tree, everything)
        memory = resident_mb(tree)
        result = msgspec.json.decode(_line(load), type=LoadResult)
    seconds, cpu_us = after.at - before.at, (after.tree_s - before.tree_s) * 1e6
    return Sample(
        answers_per_s=result.answers / seconds,
        cpu_us_per_answer=cpu_us / max(1, result.answers),
        cpu_us_per_event=None if plan.events_per_answer is None else cpu_us / max(1, result.events),
        latency=result.latency,
        first_byte=result.first_byte,
        cores=cpu_us / 1e6 / seconds,
        resident_mb=memory,
        others_cores=before.others_cores(after),
        bad=result.bad,
        first_problem=result.first_problem,
    )


def median_of(samples: list[Sample]) -> Sample:
    """Each figure's median over rounds; bad answers are added up."""
    per_event = [sample.cpu_us_per_event for sample in samples if sample.cpu_us_per_event is not None]
    return Sample(
        answers_per_s=median(sample.answers_per_s for sample in samples),
        cpu_us_per_answer=median(sample.cpu_us_per_answer for sample in samples),
        cpu_us_per_event=median(per_event) if per_event else None,
        latency=_median_percentiles([sample.latency for sample in samples]),
        first_byte=_median_percentiles([sample.first_byte for sample in samples]),
        cores=median(sample.cores for sample in samples),
        resident_mb=median(sample.resident_mb for sample in samples),
        others_cores=median(sample.others_cores for sample in samples),
        bad=sum(sample.bad for sample in samples),
        first_problem=next((sample.first_problem for sample in samples if sample.first_problem), None),
    )


def _median_percentiles(found: list[Percentiles]) -> Percentiles:
    return Percentiles(median(each.p50 for each in found), median(each.p99 for each in found))


def _expect(load: "subprocess.Popen[str]", mark: str) -> None:
    line = _line(load)
    if line != mark:
        raise RuntimeError(f"the load generator said {line!r} instead of {mark!r}")


def _line(load: "subprocess.Popen[str]") -> str:
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line:
        raise RuntimeError(f"the load generator ended early, with exit code {load.wait()}")
    return line.rstrip("\n")
