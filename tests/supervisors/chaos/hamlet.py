"""A small tree and a short program which does everything to it once: start, call, crash, restart, stop."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from supervisors import (
    Actor,
    Call,
    ChildSpec,
    Continue,
    DynamicSupervisor,
    ExitReason,
    NamedRef,
    ReplyTo,
    StartFailed,
    Supervisor,
    SupervisorError,
    System,
    restart_child,
    start_child,
    terminate_child,
)
from supervisors.testing import EventLog, check_tree, settle
from tests.supervisors.actors import Boom

PATIENCE = 100.0
"""Seconds within which any step must be over; no deadline in the program is as late."""


class Greet(Call[str]):
    """Answer."""


class Villager(Actor):
    """Waits wherever an actor can, and counts how often it has cleaned up."""

    def __init__(self, hamlet: "Hamlet", neighbour: str | None = None) -> None:
        self._neighbour = neighbour
        self.cleaned_up = 0
        self.rested = False
        hamlet.villagers.append(self)

    async def init(self) -> Continue:
        await checkpoint()
        return Continue("settle in")

    def passivate(self) -> str | None:
        self.rested = True
        return self._neighbour

    async def activate(self, state: str | None) -> Continue:
        await checkpoint()
        self._neighbour = state
        return Continue("get up")

    async def handle_continue(self, message: Any) -> None:
        await checkpoint()

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> str:
        if self._neighbour is None:
            await self.spawn(checkpoint).wait()
            return "hello"
        return await self.system.named(self._neighbour).call(Greet(), timeout=5)

    async def handle_cast(self, message: Any) -> None:
        await checkpoint()
        raise Boom

    async def terminate(self, reason: ExitReason) -> None:
        self.cleaned_up += 1
        await checkpoint()


class Hamlet:
    """The tree, everybody who ever lived in it, and the program.

    Args:
        into: wraps every factory, the supervisors' included.
    """

    def __init__(self, into: Callable[[Callable[[], Any]], Callable[[], Any]] = lambda start: start) -> None:
        self.villagers: list[Villager] = []
        self.log = EventLog()
        self._into = into
        self.system = System("hamlet", into(self._root)(), on_event=self.log)

    def _root(self) -> Supervisor:
        return Supervisor(
            [
                self._villager("a", neighbour="hamlet/row/b"),
                self._supervisor(
                    "row", lambda: Supervisor([self._villager("b"), self._villager("c")], strategy="rest_for_one")
                ),
                self._supervisor("inn", DynamicSupervisor),
            ],
            strategy="one_for_all",
        )

    def _villager(self, name: str, neighbour: str | None = None, rests_after: float | None = None) -> ChildSpec:
        return ChildSpec(name, self._into(lambda: Villager(self, neighbour)), shutdown=5, passivate_after=rests_after)

    def _supervisor(self, name: str, start: Callable[[], Actor]) -> ChildSpec:
        return ChildSpec(name, self._into(start), type="supervisor")

    async def program(self) -> None:
        """Start, call, crash, restart, stop; whatever goes wrong on the way, go on with the next step."""
        steps: list[Callable[[], Awaitable[object]]] = [
            lambda: self._named("hamlet/a").call(Greet(), timeout=10),
            self._crash,
            lambda: self._named("hamlet/row/c").call(Greet(), timeout=10),
            lambda: start_child(self._named("hamlet/inn"), self._villager("guest"), timeout=10),
            lambda: self._named("hamlet/inn/guest").call(Greet(), timeout=10),
            lambda: start_child(self._named("hamlet/inn"), self._villager("hermit", rests_after=1), timeout=10),
            lambda: anyio.sleep(2),
            lambda: self._named("hamlet/inn/hermit").call(Greet(), timeout=10),
            lambda: anyio.sleep(2),
            lambda: terminate_child(self._named("hamlet"), "row", timeout=10),
            lambda: restart_child(self._named("hamlet"), "row", timeout=10),
            self._stop,
        ]
        try:
            async with self.system:
                for step in steps:
                    await self._attempt(step)
                    await settle()
                    check_tree(self.system)
        except StartFailed:
            pass

    def _named(self, path: str) -> NamedRef:
        return self.system.named(path)

    async def _attempt(self, step: Callable[[], Awaitable[object]]) -> None:
        with anyio.fail_after(PATIENCE):
            try:
                await step()
            except SupervisorError:
                pass

    async def _crash(self) -> None:
        self._named("hamlet/row/b").cast("crash")

    async def _stop(self) -> None:
        ref = self.system.whereis("hamlet/a")
        if ref is not None:
            await ref.stop(timeout=5)

    def check_ends(self) -> None:
        """See that everybody is dead, and has cleaned up once if it was up and not killed."""
        for villager in self.villagers:
            cell: Any = villager._cell
            assert cell.exit_reason is not None, f"{cell.path} lives"
            if villager.rested:
                assert villager.cleaned_up == 0, f"{cell.path} cleaned up although it was passive"
            elif cell.kill_reason is None:
                assert villager.cleaned_up == cell._initialised, f"{cell.path} cleaned up {villager.cleaned_up} times"
            else:
                assert villager.cleaned_up <= 1
