"""Trees to test, and what to read off them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio

from supervisors import (
    ActorRef,
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
    SupervisorReport,
    System,
    start_child,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Boom, Puppet

Kind = Literal["static", "dynamic"]


def no_spread() -> float:
    """Draw nothing by which a delay would be lengthened."""
    return 0.0


def tree(*specs: ChildSpec, log: EventLog | None = None, draw: Callable[[], float] = no_spread, **flags: Any) -> System:
    """Make a System of one static supervisor; `flags` are the supervisor's."""
    return System("app", Supervisor(specs, **flags), on_event=log if log is not None else EventLog(), draw=draw)


@asynccontextmanager
async def running(
    kind: Kind, *specs: ChildSpec, log: EventLog | None = None, draw: Callable[[], float] = no_spread, **flags: Any
) -> AsyncIterator[System]:
    """Enter a System of one supervisor of either kind, with these children started."""
    root = Supervisor(**flags) if kind == "static" else DynamicSupervisor(**flags)
    async with System("app", root, on_event=log if log is not None else EventLog(), draw=draw) as system:
        for spec in specs:
            await start_child(system.named("app"), spec)
        yield system


async def let_pass(seconds: float) -> None:
    """Let time pass, and everything happen that falls due at the end of it."""
    await anyio.sleep(seconds)
    await settle()


def refs(system: System, *ids: str) -> list[ActorRef | None]:
    """Find the present incarnations of children of the root."""
    return [system.whereis(f"app/{child}") for child in ids]


def contexts(log: EventLog) -> list[tuple[str, str]]:
    """Say of each supervisor report what it was for and whom it was about."""
    return [
        (report.context, report.offender.path if report.offender is not None else "")
        for report in log.of(SupervisorReport)
    ]


class FailingStart:
    """An `init` which fails from the second start on, until told otherwise."""

    def __init__(self, good_starts: int = 1) -> None:
        self.good_starts = good_starts
        self.attempts = 0

    async def __call__(self, actor: Puppet) -> None:
        self.attempts += 1
        if self.attempts > self.good_starts:
            raise Boom("will not start")
