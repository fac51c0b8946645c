"""Tools for testing actors: virtual time, capture of events, crashes at any await, and chaos.

    async def scenario() -> None:
        log = EventLog()
        pool = Supervisor([ChildSpec("a", Actor), ChildSpec("b", Actor)], strategy="one_for_all", max_restarts=1000)
        async with chaos(System("app", pool, on_event=log), seed=7) as storm:
            await storm.strike(100)
        print(storm.kills, "kills,", len(log.of(Progress)) > 100)

    run_virtual(scenario, backend="trio", seed=7)

In virtual time the clock stands still while anything can run, and jumps to the next deadline when nothing can. A test
that waits an hour takes a millisecond, and a timeout fires only when the thing it guards is really stuck. With pytest
and anyio's plugin, return `virtual_asyncio()` or `virtual_trio()` from the `anyio_backend` fixture; elsewhere use
`run_virtual`. `await settle()` lets everything run that can, which is what a test wants where it is tempted to sleep.

`every_await` makes an actor crash, or be killed, at its first await, then at its second, and so on:

    for point in every_await("crash"):
        async with System("app", Supervisor([ChildSpec("ledger", point.into(Ledger))])) as system:
            ...

`chaos` surrounds a System while it kills members at random, and holds it to its promises: nobody waits for an answer
that cannot come, no name belongs to the dead, no member outlives its parent, every task ends. `check_tree` checks a
running System once.

Virtual time knows nothing of threads, sockets or processes: to the clock they look like nothing happening. Tests that
use those belong in real time. (On asyncio the clock does wait while a socket is registered, but a thread is invisible.)
"""

from supervisors.testing._chaos import Chaos, Load, chaos
from supervisors.testing._clock import (
    VirtualClockLoop,
    run_virtual,
    seeded_scheduling,
    settle,
    virtual_asyncio,
    virtual_trio,
)
from supervisors.testing._crash_points import CrashPoint, Harm, InjectedCrash, every_await, stepped
from supervisors.testing._events import EventLog
from supervisors.testing._promises import BrokenPromise, check_nothing_left, check_tree, count_tasks

__all__ = [
    "BrokenPromise",
    "Chaos",
    "CrashPoint",
    "EventLog",
    "Harm",
    "InjectedCrash",
    "Load",
    "VirtualClockLoop",
    "chaos",
    "check_nothing_left",
    "check_tree",
    "count_tasks",
    "every_await",
    "run_virtual",
    "seeded_scheduling",
    "settle",
    "stepped",
    "virtual_asyncio",
    "virtual_trio",
]
