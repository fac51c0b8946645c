"""An end that leaves no message behind."""

from typing import Any

import anyio
import pytest

from supervisors import (
    ActorDown,
    ActorRef,
    CallingSelf,
    CallTimeout,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Mailbox,
    NotRunning,
    Supervisor,
    System,
    adopt,
    start_child,
    sys,
)
from supervisors._child_spec import Overflow
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Do, Later, Puppet, crash, hang, puppet, puppet_of, sleep, started

pytestmark = pytest.mark.anyio


def tree(*specs: ChildSpec, log: EventLog | None = None) -> System:
    return System("app", Supervisor(specs), on_event=log if log is not None else EventLog())


def trace_of(ref: ActorRef) -> list[str]:
    return puppet_of(ref).trace


async def test_everything_admitted_is_handled_and_nothing_later() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        for word in ("one", "two", "three"):
            assert a.cast(word)
        a.send("an info")
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await a.call(Ask()))

        async def cast_late() -> None:
            await anyio.sleep(0.5)
            assert a.info().status == "draining"
            assert not a.cast("late")
            assert not a.send("late")
            assert not await a.cast_wait("late")
            with pytest.raises(ActorDown, match="app/a is draining") as caught:
                await a.call(Ask())
            assert not caught.value.started

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await settle()
            tasks.start_soon(cast_late)
            assert await a.drain() == ExitReason.NORMAL
        assert answers == ["a"]
        assert trace_of(a)[2:] == ["one", "two", "three", "a terminate normal"]
        assert puppet_of(a).infos == ["an info"]
        assert system.dead_letters == 0
        assert system.now() == pytest.approx(1)


async def test_an_idle_actor_is_drained_at_once() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        assert await started(system, "app/a").drain() == ExitReason.NORMAL
        assert system.now() == 0


async def test_what_the_actor_sends_itself_meanwhile_is_refused() -> None:
    taken: list[bool] = []

    async def send_on(actor: Puppet) -> None:
        await anyio.sleep(1)
        taken.append(actor.ref.cast("on"))

    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(send_on)
        await settle()
        await a.drain()
        assert taken == [False]


async def test_news_and_timers_still_arrive() -> None:
    async with tree(puppet("a", restart="temporary"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def watch(actor: Puppet) -> None:
            actor.monitor(b)
            actor.system.send_after(0.5, actor.ref, "a timer")
            await anyio.sleep(1)

        a.cast(watch)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.drain)
            await settle()
            b.kill()
        assert [type(info).__name__ for info in puppet_of(a).infos] == ["Down", "str"]


async def test_an_answer_that_is_owed_is_waited_for() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await a.call(Later()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await settle()
            tasks.start_soon(a.drain)
            await anyio.sleep(1)
            for number, kept in enumerate(puppet_of(a).kept):
                assert a.alive
                kept.reply(f"answer {number}")
            await settle()
            assert not a.alive
        assert sorted(answers) == ["answer 0", "answer 1"]


async def test_an_answer_nobody_waits_for_any_more_is_not_owed() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(CallTimeout):
                    await a.call(Later(), timeout=2)

            tasks.start_soon(ask)
            await settle()
            assert await a.drain() == ExitReason.NORMAL
        assert system.now() == pytest.approx(2)


async def test_a_call_by_name_waits_for_the_next_incarnation() -> None:
    async with tree(puppet("a")) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await system.named("app/a").call(Ask()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.drain)
            await settle()
            tasks.start_soon(ask)
            await settle()
            with pytest.raises(ActorDown, match="is draining"):
                await system.named("app/a").call(Ask(), wait_for_restart=False)
            with pytest.raises(NotRunning):
                await system.named("app/a").call(Ask(), timeout=0.5)
            assert system.now() == pytest.approx(0.5)
        assert answers == ["a"]
        assert system.now() == pytest.approx(1)


async def test_a_drain_that_takes_too_long_ends_in_a_kill() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(hang)
        a.cast("never handled")
        assert await a.drain(timeout=3) == ExitReason.KILLED
        assert system.now() == pytest.approx(3)
        assert system.dead_letters == 1


async def test_a_stop_puts_an_end_to_a_drain() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        a.cast("never handled")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.drain)
            await settle()
            await a.stop()
        assert "never handled" not in trace_of(a)


async def test_a_crash_during_a_drain_is_how_it_ended() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        a.cast(crash)
        assert (await a.drain()).kind == "crashed"


async def test_draining_twice_is_draining_once() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.drain)
            tasks.start_soon(a.drain)
        with pytest.raises(ActorDown):
            await a.drain()


async def test_an_actor_cannot_wait_for_its_own_drain() -> None:
    async def drain_yourself(actor: Puppet) -> str:
        with pytest.raises(CallingSelf) as caught:
            await actor.ref.drain()
        return caught.value.path

    async with tree(puppet("a")) as system:
        a = started(system, "app/a")
        assert await a.call(Do(drain_yourself)) == "app/a"
        assert a.info().status == "running"
        with pytest.raises(ValueError, match="timeout"):
            await a.drain(timeout=-1)


async def test_what_came_during_init_is_handled_too() -> None:
    async with System("app", DynamicSupervisor(), on_event=EventLog()) as system:
        async with anyio.create_task_group() as tasks:
            slow = puppet("a", on_init=sleep(2), restart="temporary")
            tasks.start_soon(start_child, system.named("app"), slow)
            await settle()
            a = started(system, "app/a")
            a.cast("early")
            tasks.start_soon(a.drain)
            await anyio.sleep(1)
            assert not a.cast("late")
            assert a.info().status == "starting"
        assert trace_of(a) == ["a init", "a up", "early", "a terminate normal"]


async def test_a_suspended_actor_is_drained_when_it_goes_on() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        await sys.suspend(a)
        a.cast("waiting")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.drain)
            await anyio.sleep(1)
            assert a.info().status == "suspended"
            assert not a.cast("late")
            await sys.resume(a)
        assert "waiting" in trace_of(a)


async def test_a_draining_actor_can_be_suspended() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        a.cast("waiting")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.drain)
            await settle()
            await sys.suspend(a)
            await anyio.sleep(1)
            assert (a.info().status, a.info().mailbox_depth) == ("suspended", 1)
            await sys.resume(a)
        assert "waiting" in trace_of(a)


@pytest.mark.parametrize("overflow", ["reject", "drop_newest", "drop_oldest", "block"])
async def test_a_full_mailbox_loses_nothing_to_a_drain(overflow: Overflow) -> None:
    async with tree(puppet("a", restart="temporary", mailbox=Mailbox(2, overflow))) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        await settle()
        a.cast("one")
        a.cast("two")
        results: list[Any] = []

        async def stand_in_line() -> None:
            results.append(await a.cast_wait("three"))

        async with anyio.create_task_group() as tasks:
            if overflow == "block":
                tasks.start_soon(stand_in_line)
                await settle()
            tasks.start_soon(a.drain)
            await settle()
            assert not a.cast("four")
            assert not await a.cast_wait("four")
            with pytest.raises(ActorDown, match="is draining"):
                await a.call(Ask())
        assert trace_of(a)[2:] == ["one", "two", "a terminate normal"]
        assert results == [False] * (overflow == "block")


async def test_a_call_in_line_before_a_full_mailbox_fails_when_the_drain_begins() -> None:
    async with tree(puppet("a", restart="temporary", mailbox=Mailbox(1, "block"))) as system:
        a = started(system, "app/a")
        a.cast(sleep(1))
        await settle()
        a.cast("one")
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(ActorDown, match="is draining"):
                    await a.call(Ask())

            tasks.start_soon(ask)
            await settle()
            tasks.start_soon(a.drain)
            await settle()
            assert system.now() == 0
        assert trace_of(a)[2:] == ["one", "a terminate normal"]


async def test_a_draining_supervisor_takes_on_nobody() -> None:
    spec = ChildSpec("pool", DynamicSupervisor, type="supervisor", restart="temporary")
    async with tree(spec, puppet("b")) as system:
        pool, b = started(system, "app/pool"), started(system, "app/b")
        async with adopt(pool, "request"), anyio.create_task_group() as tasks:
            tasks.start_soon(pool.drain, None)
            await settle()
            assert pool.info().status == "stopping"
            with pytest.raises(ActorDown):
                async with adopt(pool, "another"):
                    pytest.fail("the pool is ending")

            async def link(actor: Puppet) -> str:
                with pytest.raises(ActorDown) as caught:
                    actor.link(pool)
                return str(caught.value)

            assert "is stopping" in await b.call(Do(link))
            with pytest.raises(ActorDown):
                await start_child(pool, puppet("late"))
            assert system.now() == 0
            tasks.cancel_scope.cancel()


async def test_draining_an_adopted_task_waits_for_the_end_of_its_body() -> None:
    async with System("app", DynamicSupervisor(), on_event=EventLog()) as system, anyio.create_task_group() as tasks:

        async def serve() -> None:
            async with adopt(system.named("app"), "request"):
                await anyio.sleep(2)

        tasks.start_soon(serve)
        await settle()
        assert await started(system, "app/request").drain() == ExitReason.NORMAL
        assert system.now() == pytest.approx(2)


async def test_a_passive_actor_has_nothing_to_drain() -> None:
    async with System("app", DynamicSupervisor(), on_event=EventLog()) as system:
        ref = await start_child(system.named("app"), puppet("a", passivate_after=1, restart="temporary"))
        await anyio.sleep(2)
        assert ref.info().status == "passive"
        assert await ref.drain() == ExitReason.NORMAL
        assert system.whereis("app/a") is None


async def test_a_draining_actor_does_not_go_passive() -> None:
    async with System("app", DynamicSupervisor(), on_event=EventLog()) as system:
        ref = await start_child(system.named("app"), puppet("a", passivate_after=1, restart="temporary"))
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                assert await ref.call(Later(), timeout=100) == "at last"

            tasks.start_soon(ask)
            await settle()
            [kept] = puppet_of(ref).kept
            tasks.start_soon(ref.drain, None)
            await anyio.sleep(10)
            assert ref.info().status == "draining"
            kept.reply("at last")
        assert not ref.alive
