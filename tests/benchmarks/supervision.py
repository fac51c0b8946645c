"""The supervision library by itself: what a message, an actor, a restart and a stop cost, each beside its floor.

A further figure is a further line in `FIGURES` and a measurement that brings it. Times are CPU time of this process, the best of
a few rounds in which the library and its floor take turns, without the garbage collector, as `timeit` has it. Memory is what Python
has allocated by `tracemalloc`, which slows everything down and therefore has a process of its own:
`python -m tests.benchmarks.supervision uvloop memory`.
"""

import gc
import random
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count as numbers
from itertools import islice
from time import process_time
from typing import Any, Literal, TypeAlias

import anyio
import msgspec

from supervisors import (
    Actor,
    ActorRef,
    Call,
    ChildSpec,
    DynamicSupervisor,
    Mailbox,
    Passivate,
    ReplyTo,
    Supervisor,
    System,
    count_children,
    start_child,
    terminate_child,
)
from tests.benchmarks import supervision_floors as floors
from tests.benchmarks.processes import run_module

LOOPS = ("asyncio", "uvloop", "trio")
ROUNDS = 3
CROWD = 10_000
IDLE = 2_000
PASSIVE = 100_000
PASSIVE_SAMPLE = PASSIVE // 8
"""Fewer, because measuring memory is slow; dictionaries grow by doubling, so they are as full with these."""

_numbers = numbers()
"""So that no child is started twice."""

Group: TypeAlias = Literal["times", "memory"]
Measurement: TypeAlias = Callable[[int], Awaitable[float]]
SystemMeasurement: TypeAlias = Callable[[System, int], Awaitable[float]]


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was promised, and on which event loops."""

    title: str
    unit: str
    target: float
    promised_on: tuple[str, ...] = LOOPS

    def holds(self, loop: str, measured: "Measured") -> bool:
        """Whether the promise is kept, or was never given, on this event loop."""
        return loop not in self.promised_on or measured.value <= self.target


FIGURES = {
    "call": Figure("a call and its answer", "µs", 15.0, promised_on=("uvloop",)),
    "call/floor": Figure("… as a multiple of its floor", "times", 2.5),
    "cast": Figure("a cast in a burst, sending it", "µs", 1.0),
    "cast handled": Figure("… sending and handling it", "µs", 1.0),
    "spawn": Figure("starting a child, until it is up", "µs", 40.0),
    "stop": Figure(f"stopping {CROWD:,} children", "s", 1.0),
    "restart": Figure("a crash, until the next incarnation answers", "µs", 200.0),
    "wake": Figure(f"a call to one of {PASSIVE:,} passive actors", "µs", 100.0),
    "stop passive": Figure(f"stopping {PASSIVE:,} passive actors", "s", 1.0),
    "idle": Figure("an idle actor", "kB", 6.5),
    "passive": Figure("a passive actor", "kB", 0.5),
}


class Measured(msgspec.Struct, frozen=True):
    """What a figure came to, and what its floor came to in the same run."""

    value: float
    floor: float | None = None


Found: TypeAlias = dict[str, Measured]


def figures(loops: tuple[str, ...] = LOOPS) -> dict[str, Found]:
    """Every figure, by event loop and by the key it has in `FIGURES`."""
    return {loop: _figures_on(loop) for loop in loops}


def _figures_on(loop: str) -> Found:
    found = _in_a_process(loop, "times") | _in_a_process(loop, "memory")
    call = found["call"]
    found["call/floor"] = Measured(call.value / (call.floor or call.value))
    return {key: found[key] for key in FIGURES}


def _in_a_process(loop: str, group: Group) -> Found:
    with run_module("tests.benchmarks.supervision", loop, group) as process:
        printed, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"measuring {group} on {loop} ended with exit code {process.returncode}")
    return msgspec.json.decode(printed, type=Found)


# --- in the process which is measured


@dataclass(frozen=True, slots=True)
class Ping(Call[int]):
    """Asks for a number."""


class Crash(Exception):
    """The end of an incarnation."""


class Worker(Actor):
    """Answers, takes messages, and crashes when it is told to."""

    def __init__(self) -> None:
        self.taken = 0

    async def handle_call(self, request: Ping, reply_to: ReplyTo[int]) -> int:
        return self.taken

    async def handle_cast(self, message: object) -> None:
        if message is Crash:
            raise Crash
        self.taken += 1


class Sleeper(Actor):
    """Answers, and goes passive."""

    def __init__(self) -> None:
        self.taken = 0

    async def handle_call(self, request: Ping, reply_to: ReplyTo[int]) -> Passivate:
        self.taken += 1
        return Passivate(self.taken)

    def passivate(self) -> int:
        return self.taken

    async def activate(self, state: int) -> None:
        self.taken = state


@asynccontextmanager
async def running() -> AsyncIterator[System]:
    """Run a worker and a crowd which is empty yet, and have nobody listen to what happens."""
    root = Supervisor(
        [
            ChildSpec("worker", Worker, mailbox=Mailbox(1_000_000)),
            ChildSpec("crowd", DynamicSupervisor, type="supervisor"),
        ],
        max_restarts=1_000_000,
        max_seconds=0.001,
    )
    async with System("bench", root, on_event=lambda event: None) as system:
        yield system


async def times(share: float = 1.0) -> Found:
    """Everything that takes time; with a smaller `share` of the work, sooner and less exactly."""
    crowd = int(CROWD * share)
    gc.disable()
    async with running() as system:
        found = {
            "call": await _best(int(3_000 * share), lambda count: calls(system, count), floors.calls),
            "cast": await _best(int(20_000 * share), lambda count: casts(system, count), floors.appends),
            "cast handled": await _best(
                int(20_000 * share), lambda count: casts(system, count, handled=True), floors.appends_and_handling
            ),
            "restart": await _best(int(100 * share), lambda count: restarts(system, count), floors.crashes),
            "spawn": await _best(-(-crowd // ROUNDS), lambda count: spawns(system, count), floors.spawns),
        }
        began = process_time()
        await terminate_child(system.named("bench"), "crowd")
        found["stop"] = Measured(process_time() - began, await floors.stops(crowd))
    async with running() as system:
        passive, woken = int(PASSIVE * share), int(2_000 * share)
        await passivations(system, passive)
        found["wake"] = await _best(woken, lambda count: wakes(system, count, of=passive), floors.spawns)
        began = process_time()
        await terminate_child(system.named("bench"), "crowd")
        found["stop passive"] = Measured(process_time() - began)
    return found


async def calls(system: System, count: int) -> float:
    """Ask the worker, one question after the other."""
    worker, ping = _worker(system), Ping()
    began = process_time()
    for _ in range(count):
        await worker.call(ping)
    return process_time() - began


async def casts(system: System, count: int, *, handled: bool = False) -> float:
    """Send the worker a burst, and wait until it has dealt with it."""
    worker, message = _worker(system), object()
    before = worker.info().handled
    cast = worker.cast
    began = process_time()
    for _ in range(count):
        cast(message)
    sent = process_time() - began
    await worker.call(Ping())
    if worker.info().handled != before + count + 1:
        raise RuntimeError("messages were lost")
    return process_time() - began if handled else sent


async def restarts(system: System, count: int) -> float:
    """Crash the worker again and again."""
    worker, ping = system.named("bench/worker"), Ping()
    before = _worker(system).info().restarts
    began = process_time()
    for _ in range(count):
        worker.cast(Crash)
        await worker.call(ping)
    taken = process_time() - began
    if _worker(system).info().restarts != before + count:
        raise RuntimeError("not every crash was followed by a restart")
    return taken


async def spawns(system: System, count: int) -> float:
    """Start children in the crowd, each awaited."""
    crowd = system.named("bench/crowd")
    began = process_time()
    for number in islice(_numbers, count):
        await start_child(crowd, ChildSpec(f"worker-{number}", Worker))
    return process_time() - began


async def passivations(system: System, count: int) -> float:
    """Start children in the crowd, ask each something, and have it go passive."""
    crowd, ping = system.named("bench/crowd"), Ping()
    began = process_time()
    for number in range(count):
        ref = await start_child(crowd, ChildSpec(f"worker-{number}", Sleeper, passivate_after=60))
        await ref.call(ping)
    taken = process_time() - began
    if (await count_children(crowd)).passive != count:
        raise RuntimeError("not everybody has gone passive")
    return taken


async def wakes(system: System, count: int, *, of: int) -> float:
    """Ask some of the passive children, each of which wakes, answers and goes passive again."""
    chosen, ping = random.Random(of).sample(range(of), count), Ping()
    names = [system.named(f"bench/crowd/worker-{number}") for number in chosen]
    began = process_time()
    answers = [await name.call(ping) for name in names]
    taken = process_time() - began
    if min(answers) < 2:
        raise RuntimeError("somebody has forgotten what it was asked before")
    return taken


async def memory(share: float = 1.0) -> Found:
    """Everything that takes memory."""
    tracemalloc.start()
    idle, passive = int(IDLE * share), int(PASSIVE_SAMPLE * share)
    return {
        "idle": await _kilobytes(idle, spawns, floors.idle),
        "passive": await _kilobytes(passive, passivations, floors.records),
    }


async def _kilobytes(count: int, work: SystemMeasurement, floor: Measurement) -> Measured:
    """What each of `count` takes that the work leaves behind."""
    at_least = await floor(count)
    async with running() as system:
        before = floors.allocated()
        await work(system, count)
        taken = (floors.allocated() - before) / count
    return Measured(taken / 1000, at_least / 1000)


async def _best(count: int, library: Measurement, floor: Measurement) -> Measured:
    """Microseconds for each of `count`, the library and its floor measured in turns."""
    taken, at_least = [], []
    for _ in range(ROUNDS):
        gc.collect()
        taken.append(await library(count))
        at_least.append(await floor(count))
    return Measured(min(taken) / count * 1e6, min(at_least) / count * 1e6)


def _worker(system: System) -> ActorRef:
    worker = system.whereis("bench/worker")
    assert worker is not None
    return worker


GROUPS: dict[Group, Callable[[], Awaitable[Found]]] = {"times": times, "memory": memory}


def main(loop: str, group: Group) -> None:
    """Measure one group on one event loop and print it as JSON."""
    options: dict[str, Any] = {"use_uvloop": True} if loop == "uvloop" else {}
    found = anyio.run(GROUPS[group], backend="trio" if loop == "trio" else "asyncio", backend_options=options)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    _, chosen_loop, chosen_group = sys.argv
    main(chosen_loop, chosen_group)  # type: ignore[arg-type]
