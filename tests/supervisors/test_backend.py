"""The same promises by the wall clock, on every event loop, with threads about."""

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from supervisors import (
    ActorDown,
    ActorKilled,
    CallingSelf,
    CallTimeout,
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
    System,
    adopt,
    start_child,
)
from supervisors.testing import EventLog
from tests.supervisors.actors import Ask, Do, Puppet, crash, hang, puppet, started

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


def tree() -> System:
    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    return System("app", Supervisor([puppet("a"), pool]), on_event=EventLog())


async def test_calls_are_answered_time_out_and_fail() -> None:
    in_time = anyio.Event()

    async def dawdle(actor: Puppet) -> None:
        await in_time.wait()

    async with tree() as system:
        ref = started(system, "app/a")
        assert [await ref.call(Ask()) for _ in range(100)] == ["a"] * 100
        with pytest.raises(CallTimeout):
            await ref.call(Do(dawdle), timeout=0.01)
        in_time.set()
        with pytest.raises(ActorDown):
            await ref.call(Do(crash))
        assert await system.named("app/a").call(Ask()) == "a"


async def test_a_kill_is_felt_at_once() -> None:
    async with tree() as system:
        ref = await start_child(system.named("app/pool"), puppet("b", restart="temporary"))
        monitor = system.monitor(ref)
        ref.cast(hang)
        ref.kill()
        with anyio.fail_after(60):
            assert str((await monitor.wait()).reason) == "killed"


async def test_an_adopted_body_is_interrupted() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:

        async def body() -> None:
            async with adopt(system.named("app/pool"), "run"):
                tasks.start_soon(kill)
                await anyio.sleep_forever()

        async def kill() -> None:
            started(system, "app/pool/run").kill()

        with anyio.fail_after(60), pytest.raises(ActorKilled):
            await body()


async def test_a_timer_and_a_budget_run_by_the_wall_clock() -> None:
    spec = puppet("a", shutdown="infinity", on_terminate=hang)
    with anyio.fail_after(60):
        async with System("app", Supervisor([spec]), on_event=EventLog(), shutdown_budget=0.05) as system:
            ref = started(system, "app/a")
    assert str(ref.info().exit_reason) == "killed"


async def test_a_thread_that_calls_its_own_actor_back_is_refused() -> None:
    async with tree() as system:
        ref = started(system, "app/a")

        async def use_thread(actor: Puppet) -> str:
            def in_thread() -> str:
                with pytest.raises(CallingSelf):
                    anyio.from_thread.run(ref.call, Ask())
                return "refused"

            return await anyio.to_thread.run_sync(in_thread)

        assert await ref.call(Do(use_thread)) == "refused"


async def test_anyio_primitives_work_inside_actors() -> None:
    async def use_them(actor: Puppet) -> str:
        event = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, lambda: None)
            tasks.start_soon(event.wait)
            with anyio.move_on_after(0.01):
                await anyio.sleep_forever()
            event.set()
        return "done"

    async with tree() as system:
        assert await started(system, "app/a").call(Do(use_them)) == "done"
