"""The root: entering, leaving, and every way in between."""

import os
import signal
import subprocess
import sys
from typing import Any

import anyio
import pytest

from supervisors import (
    CallCycle,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Ignore,
    NotRunning,
    Progress,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    System,
    Unstopped,
)
from supervisors.testing import EventLog, check_nothing_left, count_tasks, settle
from tests.supervisors.actors import (
    Ask,
    Do,
    Puppet,
    crash,
    group,
    hang,
    hang_shielded,
    puppet,
    sleep,
    started,
)

pytestmark = pytest.mark.anyio


def tree(*specs: ChildSpec, log: EventLog | None = None, **flags: Any) -> System:
    return System("app", Supervisor(specs), on_event=log if log is not None else EventLog(), **flags)


async def test_leaving_the_block_stops_the_tree_in_reverse_order() -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace), group(puppet("x", trace), puppet("y", trace)), puppet("b", trace)):
        trace.clear()
    assert trace == [f"{child} terminate shutdown" for child in ("b", "y", "x", "a")]


async def test_an_exception_of_the_body_passes_after_the_tree_is_down() -> None:
    trace: list[str] = []
    with pytest.raises(ValueError, match="mine"):
        async with tree(puppet("a", trace)):
            raise ValueError("mine")
    assert trace[-1] == "a terminate shutdown"


async def test_a_cancelled_block_stops_the_tree_in_order_and_in_time() -> None:
    trace: list[str] = []
    with anyio.CancelScope() as scope:
        async with tree(puppet("a", trace, on_terminate=sleep(1)), puppet("b", trace, on_terminate=sleep(2))):
            trace.clear()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert trace == ["b terminate shutdown", "a terminate shutdown"]
    assert anyio.current_time() == pytest.approx(3)


async def test_the_tree_begins_to_stop_when_the_block_is_cancelled_however_slow_the_body_is() -> None:
    with anyio.CancelScope() as scope:
        async with tree(puppet("a")) as system:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
                assert system.whereis("app/a") is None
            await anyio.sleep_forever()


async def test_what_is_not_down_within_the_budget_is_killed() -> None:
    async with tree(puppet("a", shutdown="infinity", on_terminate=hang), shutdown_budget=7) as system:
        ref = started(system, "app/a")
    assert ref.info().exit_reason == ExitReason.KILLED
    assert anyio.current_time() == pytest.approx(7)


async def test_what_outlives_its_kill_is_listed_and_waited_for() -> None:
    log = EventLog()
    async with tree(puppet("a", shutdown=1), log=log) as system:
        started(system, "app/a").cast(hang_shielded)
        await settle()
    assert anyio.current_time() == pytest.approx(1000)
    assert system.unstopped == ()
    [unstopped] = log.of(Unstopped)
    assert unstopped.path == "app/a"
    assert any("in hang_shielded" in line for line in unstopped.stack)


async def test_a_tree_that_does_not_start_leaves_nothing_behind() -> None:
    trace: list[str] = []
    with pytest.raises(StartFailed):
        async with tree(puppet("a", trace), puppet("b", trace, on_init=crash)):
            pytest.fail("entered")
    assert trace[-1] == "a terminate shutdown"


async def test_a_root_that_declines_is_no_system() -> None:
    class Declining(Supervisor):
        async def init(self) -> Ignore | Stop | None:
            return Ignore()

    before = count_tasks()
    system = System("app", Declining([puppet("a")]), on_event=EventLog())
    with pytest.raises(StartIgnored, match="app declined to start"):
        async with system:
            pytest.fail("there is nothing to enter")
    check_nothing_left(system, before)


async def test_a_start_that_is_cancelled_unwinds_in_order_and_leaves_nothing_behind() -> None:
    trace: list[str] = []
    inner = group(puppet("x", trace), puppet("y", trace, on_init=hang), puppet("z", trace))
    system = tree(puppet("a", trace), puppet("b", trace, on_terminate=sleep(1)), inner, puppet("c", trace))
    with anyio.move_on_after(2) as scope:
        async with system:
            pytest.fail("entered")
    assert scope.cancelled_caught
    assert trace[6:] == ["y init", "x terminate shutdown", "b terminate shutdown", "a terminate shutdown"]
    assert len(system.hub.names) == 0
    assert anyio.current_time() == pytest.approx(3)


async def test_a_root_that_gives_up_ends_the_system() -> None:
    async with System("app", Supervisor([puppet("a")], max_restarts=0), on_event=EventLog()) as system:
        started(system, "app/a").cast(crash)
        reason = await system.wait_stopped()
        assert reason.is_normal
        assert system.stopping
        with pytest.raises(NotRunning):
            await system.named("app/a").call(Ask(), timeout=1000)
    assert anyio.current_time() == 0


async def test_waiting_for_the_end_in_vain_leaves_nothing_behind() -> None:
    async with tree() as system:
        for _ in range(3):
            with anyio.move_on_after(1):
                await system.wait_stopped()
        assert started(system, "app")._cell._tied().sleepers == []


async def test_shutdown_waits_and_may_be_repeated() -> None:
    async with tree(puppet("a", on_terminate=sleep(2))) as system:
        assert await system.shutdown() == ExitReason.SHUTDOWN
        assert await system.shutdown() == ExitReason.SHUTDOWN
        assert system.now() == pytest.approx(2)


async def test_an_actor_cannot_wait_for_the_end_of_its_own_system_but_can_begin_it() -> None:
    async with tree(puppet("a")) as system:

        async def end(actor: Puppet) -> None:
            with pytest.raises(CallCycle):
                await actor.system.shutdown()
            actor.system.begin_shutdown()

        await started(system, "app/a").call(Do(end))
        assert await system.wait_stopped() == ExitReason.SHUTDOWN


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["handler", "init", "terminate", "helper", "group"])
async def test_an_interrupt_inside_an_actor_ends_the_system_and_surfaces(
    fatal: type[BaseException], where: str
) -> None:
    trace: list[str] = []

    async def interrupt(actor: Puppet) -> None:
        raise fatal

    async def interrupt_from_group(actor: Puppet) -> None:
        raise BaseExceptionGroup("of a task group", [ValueError(), fatal()])

    async def spawn(actor: Puppet) -> None:
        actor.spawn(interrupt, actor)

    hooks: dict[str, Any] = {
        "init": {"on_init": interrupt},
        "terminate": {"on_terminate": interrupt},
    }.get(where, {})
    system = tree(puppet("a", trace), puppet("b", **hooks))

    async def main() -> None:
        async with system:
            ref = started(system, "app/b")
            actions = {"handler": interrupt, "helper": spawn, "group": interrupt_from_group}
            if where in actions:
                ref.cast(actions[where])
            else:
                await ref.stop()
            await anyio.sleep_forever()

    with pytest.raises(fatal):
        await main()
    assert trace[-1] == "a terminate shutdown"
    assert system.hub.names.whereis("app/b") is None
    assert anyio.current_time() == 0


async def test_an_observer_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: object) -> None:
        raise ValueError("broken observer")

    async with System("app", Supervisor([puppet("a")]), on_event=broken) as system:
        started(system, "app/a").cast(crash)
        await settle()
        assert await started(system, "app/a").call(Ask()) == "a"
    assert "the observer of CrashReport failed" in caplog.text


async def test_a_system_is_entered_once() -> None:
    system = tree()
    with pytest.raises(RuntimeError, match="has not been entered"):
        system.tree()
    async with system:
        pass
    with pytest.raises(RuntimeError, match="only once"):
        async with system:
            pytest.fail("entered twice")


async def test_two_systems_live_side_by_side() -> None:
    async with System("one", Supervisor([puppet("a")])) as one, System("two", Supervisor([puppet("a")])) as two:
        assert one.whereis("one/a") != two.whereis("two/a")
        assert two.whereis("one/a") is None

        async def ask_over(actor: Puppet) -> object:
            return await started(two, "two/a").call(Ask())

        assert await started(one, "one/a").call(Do(ask_over)) == "a"


async def test_a_deep_tree_starts_and_stops() -> None:
    spec = puppet("leaf")
    for _ in range(30):
        spec = group(spec)
    async with tree(spec) as system:
        assert await started(system, "app" + "/group" * 30 + "/leaf").call(Ask()) == "leaf"


@pytest.mark.real_time
async def test_an_interrupt_signal_stops_the_tree_in_order() -> None:
    backend = "trio" if anyio.get_cancelled_exc_class().__module__.startswith("trio") else "asyncio"
    program = f"""
import anyio
from supervisors import Actor, ChildSpec, Supervisor, System

class Slow(Actor):
    async def terminate(self, reason):
        await anyio.sleep(0.05)
        print("terminated", reason, flush=True)

async def main():
    async with System("app", Supervisor([ChildSpec("a", Slow), ChildSpec("b", Slow)])):
        print("up", flush=True)
        await anyio.sleep_forever()

try:
    anyio.run(main, backend={backend!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

    def run() -> str:
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=100)
            return output

    assert await anyio.to_thread.run_sync(run) == "terminated shutdown\nterminated shutdown\ninterrupted\n"


@pytest.mark.real_time
async def test_a_second_interrupt_signal_kills_what_the_first_was_stopping() -> None:
    backend = "trio" if anyio.get_cancelled_exc_class().__module__.startswith("trio") else "asyncio"
    program = f"""
import anyio
from supervisors import Actor, ChildSpec, Supervisor, System

class Endless(Actor):
    async def terminate(self, reason):
        print("terminating", flush=True)
        await anyio.sleep(1000)

async def main():
    async with System("app", Supervisor([ChildSpec("a", Endless, shutdown="infinity")]), shutdown_budget=1000):
        print("up", flush=True)
        await anyio.sleep_forever()

try:
    anyio.run(main, backend={backend!r})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

    def run() -> str:
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        ) as process:
            assert process.stdout is not None
            for line in ("up\n", "terminating\n"):
                assert process.stdout.readline() == line
                process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=100)
            return output

    assert await anyio.to_thread.run_sync(run) == "interrupted\n"


@pytest.mark.parametrize("where", ["observer", "heir"])
async def test_an_interrupt_in_a_function_of_the_users_ends_the_system_and_surfaces(where: str) -> None:
    def interrupt(what: object) -> None:
        if not isinstance(what, Progress):
            raise KeyboardInterrupt

    functions: dict[str, Any] = {"on_event" if where == "observer" else "on_dead_letter": interrupt}

    async def main() -> None:
        async with System("app", Supervisor([puppet("a")]), **functions) as system:
            system.named("app/nobody").cast("lost")
            started(system, "app/a").cast(crash)
            await anyio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await main()
    assert anyio.current_time() == 0


async def test_a_dynamic_supervisor_may_be_the_root() -> None:
    async with System("app", DynamicSupervisor()) as system:
        assert system.tree().kind == "DynamicSupervisor"
