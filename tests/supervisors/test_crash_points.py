"""An actor is made to end at an await, and at each in turn."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from supervisors import (
    ActorDown,
    ChildSpec,
    Continue,
    CrashReport,
    DynamicSupervisor,
    ExitReason,
    ReplyTo,
    SupervisorError,
    start_child,
)
from supervisors import sys as actors
from supervisors.testing import CrashPoint, EventLog, InjectedCrash, every_await, settle, stepped
from tests.supervisors.actors import Ask, Do, Puppet, started
from tests.supervisors.trees import tree


async def twice(actor: Puppet) -> None:
    await checkpoint()
    await checkpoint()


@pytest.mark.anyio
async def test_a_crash_point_raises_at_its_await_and_once_only() -> None:
    point = CrashPoint(2)
    spec = ChildSpec("a", point.into(Puppet))
    log = EventLog()
    async with tree(spec, log=log) as system:
        with pytest.raises(ActorDown) as caught:
            await started(system, "app/a").call(Do(twice))
        assert isinstance(caught.value.reason.error, InjectedCrash)
        assert point.happened
        assert "in twice" in "".join(point.where)
        assert await system.named("app/a").call(Do(twice)) is None
    assert len(log.of(CrashReport)) == 1


@pytest.mark.anyio
async def test_a_kill_point_kills_at_its_await() -> None:
    point = CrashPoint(2, "kill")
    async with tree(ChildSpec("a", point.into(Puppet), restart="temporary")) as system:
        with pytest.raises(ActorDown) as caught:
            await started(system, "app/a").call(Do(twice))
        assert caught.value.reason == ExitReason.KILLED
        assert point.happened


@pytest.mark.anyio
async def test_a_point_that_is_never_reached_changes_nothing() -> None:
    point = CrashPoint(100)
    async with tree(ChildSpec("a", point.into(Puppet))) as system:
        ref = started(system, "app/a")
        assert await ref.call(Ask()) == "puppet"
        assert ref.info().kind == "Puppet"
        assert set(await actors.get_state(ref)) == set(vars(Puppet()))
    assert not point.happened


class Waiter(Puppet):
    """Waits once, at the place it is told."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    async def _at(self, place: str) -> None:
        if self._place == place:
            await checkpoint()

    async def init(self) -> Any:
        await self._at("init")
        return Continue("go on")

    async def handle_continue(self, message: Any) -> None:
        await self._at("handle_continue")

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        await self._at("handle_call")

    async def handle_cast(self, message: Any) -> None:
        await self._at("handle_cast")
        self.spawn(self._at, "helper")

    async def handle_info(self, message: Any) -> None:
        await self._at("handle_info")

    async def terminate(self, reason: ExitReason) -> None:
        await self._at("terminate")


PLACES = ["init", "handle_continue", "handle_call", "handle_cast", "handle_info", "terminate", "helper"]


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
async def test_an_await_counts_wherever_the_actor_waits(place: str) -> None:
    point = CrashPoint(1)
    async with tree(ChildSpec("pool", DynamicSupervisor, type="supervisor")) as system:
        spec = ChildSpec("a", point.into(partial(Waiter, place)), restart="temporary")
        try:
            ref = await start_child(system.named("app/pool"), spec)
            ref.cast("message")
            ref.send("message")
            await ref.call(Ask())
            await settle()
            await ref.stop()
        except SupervisorError:
            pass
        assert point.happened


def test_the_points_come_one_after_the_other_until_one_is_not_reached() -> None:
    numbers = []
    for point in every_await("crash"):
        numbers.append(point.number)
        point.happened = point.number < 4
    assert numbers == [1, 2, 3, 4]


def test_a_sweep_that_reaches_no_await_has_tested_nothing() -> None:
    with pytest.raises(AssertionError, match="no await was reached"):
        list(every_await("crash"))


def test_a_sweep_without_end_is_broken_off() -> None:
    def endless() -> Iterator[CrashPoint]:
        for point in every_await("kill", limit=3):
            point.happened = True
            yield point

    with pytest.raises(AssertionError, match="more than 3 awaits"):
        list(endless())


@pytest.mark.anyio
async def test_what_is_stepped_runs_as_it_would_have() -> None:
    suspensions: list[int] = []

    async def work() -> str:
        await anyio.sleep(1)
        await checkpoint()
        return "done"

    began = anyio.current_time()
    assert await stepped(work(), lambda: suspensions.append(1)) == "done"
    assert anyio.current_time() - began == pytest.approx(1)
    assert len(suspensions) >= 2
