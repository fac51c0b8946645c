"""Trees to test, and what to read off them."""

from typing import Any

from supervisors import ActorRef, ChildSpec, Supervisor, SupervisorReport, System
from supervisors.testing import EventLog
from tests.supervisors.actors import Boom, Puppet


def tree(*specs: ChildSpec, log: EventLog | None = None, **flags: Any) -> System:
    """Make a System of one static supervisor; `flags` are the supervisor's."""
    return System("app", Supervisor(specs, **flags), on_event=log if log is not None else EventLog())


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
