"""Passive actors: how one ends while it is passive, and what follows when it cannot wake."""

import math
from functools import partial
from typing import Any

import anyio
import pytest

from supervisors import (
    ActorDown,
    BadReturnValue,
    CallCycle,
    CallTimeout,
    ChildNotFound,
    ChildSpec,
    Continue,
    CrashReport,
    ExitReason,
    Ignore,
    Passivate,
    ReplyTo,
    StartTimeout,
    Stop,
    SupervisorReport,
    terminate_child,
)
from supervisors._admin import StartChild
from supervisors._reasons import Restart
from supervisors.testing import check_tree, settle
from tests.supervisors.actors import Ask, Boom, Do, started
from tests.supervisors.notebook import IDLE, Note, Notebook, Read, home, pause

pytestmark = pytest.mark.anyio


# --- its end


@pytest.mark.parametrize(
    ("restart", "end", "back"),
    [
        ("permanent", "kill", True),
        ("permanent", "stop", True),
        ("transient", "kill", True),
        ("transient", "stop", False),
        ("temporary", "kill", False),
        ("temporary", "stop", False),
    ],
)
async def test_a_passive_actor_that_is_ended_comes_back_as_its_restart_type_says(
    restart: Restart, end: str, back: bool
) -> None:
    async with home() as here:
        ref = await here.sleeper(restart=restart)
        monitor = here.system.monitor(ref)
        if end == "kill":
            ref.kill()
        else:
            assert await ref.stop() == ExitReason.NORMAL
        assert not ref.alive
        assert (await monitor.wait()).reason.kind == ("killed" if end == "kill" else "normal")
        await settle()
        assert await here.counts() == ((1, 1, 0) if back else (0, 0, 0))
        if back:
            successor = started(here.system, "app/pool/a")
            assert successor != ref
            assert await successor.call(Read()) == []
            assert successor.info().restarts == 1
        reports = [report for report in here.log.of(SupervisorReport) if report.context == "child_terminated"]
        assert len(reports) == (back or end == "kill")
        assert not any("terminate" in line for line in here.trace)
        assert not ref.cast("lost")
        with pytest.raises(ActorDown):
            await ref.call(Read())
        check_tree(here.system)


async def test_terminating_it_strikes_the_record_off() -> None:
    async with home() as here:
        ref = await here.sleeper()
        monitor = here.system.monitor(ref)
        await terminate_child(here.pool, "a")
        assert (await monitor.wait()).reason == ExitReason.SHUTDOWN
        assert here.system.whereis("app/pool/a") is None
        assert await here.counts() == (0, 0, 0)
        with pytest.raises(ChildNotFound):
            await terminate_child(here.pool, "a")
        assert here.log.of(SupervisorReport) == []


async def test_a_stop_ends_all_passive_children_without_a_word() -> None:
    async with home() as here:
        refs = [await here.sleeper(str(number)) for number in range(700)]
        monitors = [here.system.monitor(ref) for ref in refs]
        await terminate_child(here.system.named("app"), "pool")
        assert {str((await monitor.wait()).reason) for monitor in monitors} == {"shutdown"}
        assert len(here.system.hub.names) == 2
        assert here.log.of(SupervisorReport) == []
        assert here.trace.count("activate") == 0


async def test_who_is_asked_while_its_supervisor_ends_is_down() -> None:
    outcomes: list[object] = []

    class Late(Notebook):
        async def terminate(self, reason: ExitReason) -> None:
            ref = started(self.system, "app/pool/z")
            outcomes.append(ref.cast("too late"))
            try:
                await started(self.system, "app/pool/y").call(Read())
            except ActorDown as down:
                outcomes.append((str(down.reason), down.started))

    async with home() as here:
        for number in range(2000):
            await here.sleeper(str(number))
        await here.sleeper("y")
        await here.sleeper("z")
        await here.notebook("late", start=Late)
        await terminate_child(here.system.named("app"), "pool")
        assert outcomes == [False, ("shutdown", False)]
        assert here.trace.count("activate") == 0
        assert here.system.dead_letters == 1


async def test_passive_children_are_killed_with_their_supervisor() -> None:
    async with home() as here:
        ref = await here.sleeper()
        monitor = here.system.monitor(ref)
        started(here.system, "app/pool").kill()
        assert (await monitor.wait()).reason == ExitReason.KILLED
        await settle()
        assert here.system.whereis("app/pool/a") is None
        check_tree(here.system)


async def test_a_starter_who_never_saw_the_answer_takes_back_even_a_passive_child() -> None:
    class Quick(Notebook):
        async def init(self) -> Continue:  # type: ignore[override]
            return Continue("rest at once")

        async def handle_continue(self, message: Any) -> Passivate:  # type: ignore[override]
            return Passivate()

    async with home() as here:
        spec = StartChild(ChildSpec("a", Quick, passivate_after=IDLE))
        request = ReplyTo(spec, "app/pool", math.inf, math.inf, here.system.hub.backend.new_waiter())
        started(here.system, "app/pool")._cell.accept_request(request)
        await settle()
        assert request.settled
        assert await here.counts() == (1, 0, 1)
        request._abandon()  # as when the starter is cancelled in the step in which it is answered
        assert await here.counts() == (0, 0, 0)
        assert here.system.whereis("app/pool/a") is None


# --- when it cannot wake


async def fail(actor: Notebook) -> None:
    raise Boom


async def give_up(actor: Notebook) -> Stop:
    return Stop(ExitReason.shutdown("no more"))


async def decline(actor: Notebook) -> Ignore:
    return Ignore()


async def babble(actor: Notebook) -> str:
    return "nonsense"


@pytest.mark.parametrize(
    ("on_activate", "kind", "error", "back"),
    [
        (fail, "crashed", Boom, True),
        (give_up, "shutdown", None, False),
        (decline, "crashed", BadReturnValue, True),
        (babble, "crashed", BadReturnValue, True),
        (partial(pause, 100), "crashed", StartTimeout, True),
    ],
)
@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_a_failed_awakening_is_the_end_of_the_incarnation(
    on_activate: Any, kind: str, error: type[Exception] | None, back: bool, restart: Restart
) -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=on_activate, restart=restart, start_timeout=2)
        with pytest.raises(ActorDown) as caught:
            await ref.call(Read(), timeout=50)
        assert caught.value.reason.kind == kind
        assert error is None or isinstance(caught.value.reason.error, error)
        assert not caught.value.started
        await settle()
        returns = back and restart == "transient"
        assert await here.counts() == ((1, 1, 0) if returns else (0, 0, 0))
        reports = [report.context for report in here.log.of(SupervisorReport)]
        assert reports == (["child_terminated"] if back else [])
        assert not any("terminate" in line for line in here.trace)
        if returns:
            assert await started(here.system, "app/pool/a").call(Read()) == []


async def test_a_named_call_outlives_a_failed_awakening() -> None:
    async with home() as here:
        await here.sleeper(on_activate=fail, restart="transient")
        assert await here.system.named("app/pool/a").call(Read()) == []


async def test_an_awakening_counts_against_the_callers_deadline() -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=partial(pause, 3))
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Note("lost"), timeout=2)
        assert not caught.value.started
        assert await ref.call(Read()) == ["before"]


async def test_whoever_wakes_it_cannot_be_called_by_its_awakening() -> None:
    caught: list[tuple[str, ...]] = []

    async def call_back(actor: Notebook) -> None:
        try:
            await actor.system.named("app/other").call(Ask(), timeout=1000)
        except CallCycle as cycle:
            caught.append(cycle.path)

    async with home() as here:
        ref = await here.sleeper(on_activate=call_back)

        async def wake(actor: Any) -> None:
            await ref.call(Read(), timeout=1000)

        await started(here.system, "app/other").call(Do(wake), timeout=1000)
        assert caught == [("app/pool/a", "app/other", "app/pool/a")]


async def test_a_passivate_that_raises_is_a_crash() -> None:
    class Clumsy(Notebook):
        def passivate(self) -> tuple[str, ...]:
            raise Boom("passivate")

    async with home() as here:
        ref = await here.notebook(start=Clumsy, restart="temporary")
        await anyio.sleep(2 * IDLE)
        assert str(ref.info().exit_reason) == "crashed: Boom: passivate"
        assert len(here.log.of(CrashReport)) == 1
