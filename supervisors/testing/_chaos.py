"""Chaos: members of a tree are killed at random while the tree is at work, and the tree is held to its promises.

One seed decides everything: whom, when, and what else is going on. With `run_virtual(..., seed=...)` the whole storm
can be had again on either backend.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from supervisors._admin import count_children
from supervisors._cell import KILL_GRACE
from supervisors._member import Member
from supervisors._ref import ActorRef
from supervisors._system import System
from supervisors.exceptions import ActorDown, CallTimeout, SupervisorError
from supervisors.testing._clock import settle
from supervisors.testing._promises import (
    BrokenPromise,
    check_nothing_left,
    count_tasks,
    members,
    unkept_always,
    unkept_at_rest,
)

Load: TypeAlias = Callable[[], Awaitable[object]]

_UNSETTLED = ("starting", "stopping", "restarting")
_STEPS = 8
_MOST_LOADS = 4


class Chaos:
    """A storm over one System; made by `chaos`.

    Attributes:
        kills: how many members were killed.
        checks: how often the tree was looked at.
        started: how many loads were begun.
        answered: how many of them ended well.
        refused: how many of them ended with which `SupervisorError`, by the error's name.
    """

    def __init__(
        self,
        system: System,
        tasks: TaskGroup,
        *,
        seed: int,
        load: Sequence[Load],
        victims: Callable[[str], bool],
        patience: float,
    ) -> None:
        self.system = system
        self.kills = 0
        self.checks = 0
        self.started = 0
        self.answered = 0
        self.refused: Counter[str] = Counter()
        self._tasks = tasks
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 chance that can be repeated is the point
        self._load = load
        self._may_die = victims
        self._patience = patience
        self._waiting: dict[int, float] = {}
        self._doomed: dict[Member, float] = {}
        self._quiet: anyio.Event | None = None
        self._last = "nobody yet"

    async def strike(self, kills: int, *, pause: float = 1.0) -> None:
        """Kill so many members, each chosen anew among the living, and then wait until the tree is whole again.

        Args:
            kills: how many.
            pause: the longest time between two of them. It is often none at all, or a few steps of the event loop.

        Raises:
            BrokenPromise: the tree did not keep a promise, or gave up; the message has the seed and the last victim.
        """
        for _ in range(kills):
            self._begin_load()
            await self._let_run(pause)
            await self._kill_somebody()
        await self.recover()

    async def recover(self) -> None:
        """Wait until the tree is whole: nobody is starting, stopping or restarting, and every supervisor answers.

        Raises:
            BrokenPromise: that took longer than `patience`.
        """
        deadline = self.system.now() + self._patience
        while True:
            await self._look()
            unsettled = self._unsettled()
            if not unsettled:
                break
            if self.system.now() > deadline:
                raise self._broken([f"{path} is still {status}" for path, status in unsettled])
            await anyio.sleep(self._patience / 100)
        for supervisor in [cell for cell in members(self.system) if cell.type == "supervisor"]:
            try:
                await count_children(ActorRef(supervisor), timeout=self._patience)
            except CallTimeout as late:
                raise self._broken([f"{supervisor.path} does not answer"]) from late
            except ActorDown:
                pass  # the load has ended it meanwhile

    async def everybody_answered(self) -> None:
        """Wait until the last load has ended.

        Raises:
            BrokenPromise: one takes longer than `patience`.
        """
        if self._waiting:
            self._quiet = anyio.Event()
            with anyio.move_on_after(self._patience):
                await self._quiet.wait()
        self._check([f"a load of {self._patience:g} s ago has no answer" for _ in self._waiting])

    def _begin_load(self) -> None:
        for _ in range(self._random.randint(0, _MOST_LOADS) if self._load else 0):
            self.started += 1
            self._tasks.start_soon(self._run, self._random.choice(self._load), self.started)

    async def _run(self, load: Load, number: int) -> None:
        self._waiting[number] = anyio.current_time()
        try:
            await load()
        except SupervisorError as error:
            self.refused[type(error).__name__] += 1
        else:
            self.answered += 1
        finally:
            del self._waiting[number]
            if self._quiet is not None and not self._waiting:
                self._quiet.set()

    async def _let_run(self, pause: float) -> None:
        draw = self._random.random()
        if draw < 0.25:
            self._check(unkept_always(self.system))
        elif draw < 0.65:
            for _ in range(self._random.randint(1, _STEPS)):
                await checkpoint()
            self._check(unkept_always(self.system))
        else:
            if draw > 0.85:
                await anyio.sleep(self._random.uniform(0, pause))
            await self._look()

    async def _look(self) -> None:
        await settle()
        now = self.system.now()
        self._doomed = {cell: since for cell, since in self._doomed.items() if cell.exit_reason is None}
        undying = [cell.path for cell, since in self._doomed.items() if now > since + KILL_GRACE]
        forgotten = [since for since in self._waiting.values() if now > since + self._patience]
        self._check(
            [
                *unkept_always(self.system),
                *unkept_at_rest(self.system),
                *(f"{path} has outlived its kill" for path in undying),
                *(f"a load of {now - since:g} s ago has no answer" for since in forgotten),
            ]
        )

    async def _kill_somebody(self) -> None:
        victim = self._random.choice(await self._candidates())
        self._last = victim.path
        self._doomed[victim] = self.system.now()
        self.kills += 1
        victim.kill()

    async def _candidates(self) -> list[Member]:
        deadline = self.system.now() + self._patience
        while True:
            root, *others = members(self.system)
            if root.exit_reason is not None or self.system.stopping:
                raise self._broken([f"the tree gave up: {root.exit_reason}; is max_restarts high enough for this?"])
            living = [cell for cell in others if cell.kill_reason is None and self._may_die(cell.path)]
            if living:
                return living
            if self.system.now() > deadline:
                raise self._broken(["there has long been nobody to kill"])
            await anyio.sleep(self._patience / 100)

    def _unsettled(self) -> list[tuple[str, str]]:
        nodes = [self.system.tree()]
        for node in nodes:
            nodes.extend(node.children)
        return [(node.path, node.status) for node in nodes if node.status in _UNSETTLED]

    def _check(self, problems: list[str]) -> None:
        self.checks += 1
        if problems:
            raise self._broken(problems)

    def _broken(self, problems: list[str]) -> BrokenPromise:
        return BrokenPromise(problems, f"seed {self._seed}, after kill {self.kills} which hit {self._last}")


@asynccontextmanager
async def chaos(
    system: System,
    *,
    seed: int,
    load: Sequence[Load] = (),
    victims: Callable[[str], bool] = lambda path: True,
    patience: float = 60.0,
) -> AsyncIterator[Chaos]:
    """Enter a System, ready to have its members killed; on leaving, see that nothing and nobody is left.

    Give the supervisors a `max_restarts` which the storm cannot reach, or they will give up, as they should.

    Args:
        system: one that has not been entered.
        seed: decides the whole storm.
        load: what goes on meanwhile; before each kill some of these functions are started, each in a task of its own.
            They may fail with a `SupervisorError`; any other exception ends the storm.
        victims: says of a path whether the member may be killed; the root never is.
        patience: seconds within which every load must end, and the tree be whole after the storm.

    Raises:
        BrokenPromise: something is left, or a load still waits.
    """
    before = count_tasks()
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            async with system:
                storm = Chaos(system, tasks, seed=seed, load=load, victims=victims, patience=patience)
                yield storm
            await storm.everybody_answered()
        except Exception as error:  # noqa: BLE001 it is raised below, where no task group wraps it
            failure = error
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    await settle()
    check_nothing_left(system, before)
