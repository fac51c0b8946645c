"""The same plans, carried out by the library: what the model is compared with."""

from collections import Counter
from typing import Any

import anyio

from supervisors import (
    Actor,
    ActorRef,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Ignore,
    Stop,
    Supervisor,
    SupervisorError,
    SupervisorReport,
    System,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
)
from supervisors._cell import Cell
from supervisors._runner import ActorCell
from supervisors.testing import EventLog
from tests.supervisors.actors import Boom
from tests.supervisors.properties.tree_model import SLOW, Dynamic, Kind, Plan, Static, Step, Worker

PATIENCE = 10_000.0
"""Longer than anything in a story takes."""


class Diary:
    """What was started and stopped, as the model writes it."""

    def __init__(self) -> None:
        self.starts: Counter[str] = Counter()
        self.trace: list[Step] = []

    def began(self, actor: Actor) -> int:
        """Note a start; its number."""
        path = actor.ref.path
        number = self.starts[path]
        self.starts[path] += 1
        self.note("init", actor, number)
        return number

    def note(self, what: str, actor: Actor, number: int) -> None:
        stream: Cell = actor._cell
        while isinstance(stream.parent, ActorCell) and not isinstance(stream.parent.actor, DynamicSupervisor):
            stream = stream.parent
        self.trace.append((stream.path, what, actor.ref.path, number))


class Subject(Actor):
    """A worker that starts and cleans up as its plan says, and ends as it is told."""

    def __init__(self, plan: Worker, diary: Diary) -> None:
        self._plan = plan
        self._diary = diary
        self._number = 0

    async def init(self) -> Ignore | None:
        self._number = self._diary.began(self)
        starts = self._plan.starts
        outcome = starts[self._number] if self._number < len(starts) else "ok"
        if outcome == "fail":
            raise Boom("will not start")
        if outcome == "ignore":
            return Ignore()
        self._diary.note("up", self, self._number)
        return None

    async def handle_cast(self, message: Stop | None) -> Stop:
        if message is None:
            raise Boom("was told to")
        return message

    async def terminate(self, reason: ExitReason) -> None:
        self._diary.note("terminate", self, self._number)
        if reason is not ExitReason.SHUTDOWN:
            return  # nobody has stopped it, so nobody waits for it either
        match self._plan.cleaning:
            case "slow":
                await anyio.sleep(SLOW)
            case "hang":
                await anyio.sleep(PATIENCE)
            case "deaf":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(PATIENCE)
            case "crash":
                raise Boom("will not clean up")


class Writing(Actor):
    """The half of a supervisor which writes the diary, and fails when it is told to."""

    diary: Diary
    number = 0

    async def init(self) -> Any:
        self.number = self.diary.began(self)
        outcome = await super().init()
        if outcome is None:
            self.diary.note("up", self, self.number)
        return outcome

    async def handle_info(self, message: Any) -> Any:
        if message == "fault":
            raise Boom("was told to")
        return await super().handle_info(message)

    async def terminate(self, reason: ExitReason) -> None:
        self.diary.note("terminate", self, self.number)
        await super().terminate(reason)
        self.diary.note("terminated", self, self.number)


class WritingSupervisor(Writing, Supervisor):
    pass


class WritingDynamicSupervisor(Writing, DynamicSupervisor):
    pass


def make(plan: Plan, diary: Diary) -> Any:
    if isinstance(plan, Worker):
        return Subject(plan, diary)
    made: WritingSupervisor | WritingDynamicSupervisor
    if isinstance(plan, Static):
        made = WritingSupervisor(
            [spec(child, diary) for child in plan.children],
            strategy=plan.strategy,
            auto_shutdown=plan.auto_shutdown,
            max_restarts=plan.max_restarts,
            max_seconds=plan.max_seconds,
        )
    else:
        made = WritingDynamicSupervisor(
            max_restarts=plan.max_restarts, max_seconds=plan.max_seconds, max_children=plan.max_children
        )
    made.diary = diary
    return made


def spec(plan: Plan, diary: Diary) -> ChildSpec:
    return ChildSpec(
        plan.id,
        lambda: make(plan, diary),
        restart=plan.restart,
        significant=plan.significant,
        shutdown=plan.shutdown,
        type="worker" if isinstance(plan, Worker) else "supervisor",
    )


class Tree:
    """A System that carries out a plan."""

    def __init__(self, root: Static | Dynamic) -> None:
        self.diary = Diary()
        self.log = EventLog()
        self.system = System("app", make(root, self.diary), on_event=self.log, shutdown_budget=PATIENCE)

    async def end(self, path: str, kind: Kind) -> None:
        """Have a member end, in a way that can be waited for or not."""
        ref = self._ref(path)
        supervisor = ref._cell.type == "supervisor"
        match kind:
            case "killed":
                ref.kill()
            case "crashed" if supervisor:
                ref.send("fault")
            case "crashed":
                ref.cast(None)
            case "normal" if supervisor:
                ref._cell.request_stop(ExitReason.NORMAL)
            case "normal":
                ref.cast(Stop())
            case _ if supervisor:
                ref._cell.request_stop(ExitReason.shutdown("was told to"))
            case _:
                ref.cast(Stop(ExitReason.shutdown("was told to")))

    async def administer(self, what: str, path: str, plan: Plan) -> str:
        """Ask a supervisor; "ok" or the name of the error."""
        supervisor = self._ref(path)
        try:
            match what:
                case "start":
                    await start_child(supervisor, spec(plan, self.diary), timeout=PATIENCE)
                case "terminate":
                    await terminate_child(supervisor, plan.id, timeout=PATIENCE)
                case "restart":
                    await restart_child(supervisor, plan.id, timeout=PATIENCE)
                case _:
                    await delete_child(supervisor, plan.id, timeout=PATIENCE)
        except SupervisorError as error:
            return type(error).__name__
        return "ok"

    def reports(self) -> dict[str, list[tuple[str, str | int, str]]]:
        """What each supervisor has reported."""
        written: dict[str, list[tuple[str, str | int, str]]] = {}
        for report in self.log.of(SupervisorReport):
            about = report.count if report.offender is None else report.offender.path
            written.setdefault(report.supervisor, []).append((report.context, about, report.reason.kind))
        return written

    def _ref(self, path: str) -> ActorRef:
        ref = self.system.whereis(path)
        assert ref is not None, f"{path} should be running"
        return ref
