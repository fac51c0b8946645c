"""A running task as a member of the tree."""

from typing import Any

import anyio
import pytest

from supervisors import (
    ActorDown,
    ActorKilled,
    ActorRef,
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    CallCycle,
    CallTimeout,
    ChildSpec,
    CrashReport,
    DynamicSupervisor,
    ExitReason,
    NoMailbox,
    Supervisor,
    SupervisorReport,
    System,
    TooManyChildren,
    adopt,
    count_children,
    start_child,
    terminate_child,
    which_children,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Puppet, hang, puppet, started

pytestmark = pytest.mark.anyio


def tree(log: EventLog | None = None, **flags: Any) -> System:
    spec = ChildSpec("runs", lambda: DynamicSupervisor(**flags), type="supervisor", restart="temporary")
    return System("app", Supervisor([puppet("other"), spec]), on_event=log if log is not None else EventLog())


async def test_the_body_is_a_member_while_it_runs() -> None:
    log = EventLog()
    async with tree(log) as system:
        log.clear()
        runs = system.named("app/runs")
        async with adopt(runs, "one", status=lambda: {"model": "m"}) as ref:
            assert ref.alive
            assert system.whereis("app/runs/one") == ref
            assert ref.info().details == {"model": "m"}
            assert (await count_children(runs)).active == 1
            [child] = await which_children(runs)
            assert (child.id, child.ref, child.restart) == ("one", ref, "temporary")
            node = system.tree().find("app/runs/one")
            assert node is not None
            assert (node.kind, node.status) == ("adopted", "running")
        assert ref.info().exit_reason == ExitReason.NORMAL
        assert system.whereis("app/runs/one") is None
        assert (await count_children(runs)).active == 0
        assert log.events == []


async def test_a_killed_body_ends_with_actor_killed() -> None:
    async with tree() as system:
        refs: list[ActorRef] = []

        async def body() -> None:
            async with adopt(system.named("app/runs"), "one") as ref:
                refs.append(ref)
                ref.kill()
                await anyio.sleep_forever()

        with pytest.raises(ActorKilled, match="app/runs/one was killed") as caught:
            await body()
        assert caught.value.reason == ExitReason.KILLED
        assert refs[0].info().exit_reason == ExitReason.KILLED
        await anyio.sleep(1)


async def test_a_body_that_is_let_off_ends_without_a_word() -> None:
    log = EventLog()
    async with tree(log) as system:
        log.clear()
        membership = adopt(system.named("app/runs"), "one")
        async with membership as ref:
            membership.cancel()
            membership.cancel()
            await anyio.sleep_forever()
        membership.cancel()
        assert ref.info().exit_reason == ExitReason.shutdown("cancelled")
        assert system.whereis("app/runs/one") is None
        assert log.events == []


async def test_a_body_that_is_let_off_too_late_has_run_to_its_end() -> None:
    async with tree() as system:
        membership = adopt(system.named("app/runs"), "one")
        async with membership as ref:
            membership.cancel()
        assert ref.info().exit_reason == ExitReason.NORMAL


async def test_a_kill_shows_also_in_a_body_that_was_let_off() -> None:
    async with tree() as system:
        membership = adopt(system.named("app/runs"), "one")

        async def body() -> None:
            async with membership as ref:
                membership.cancel()
                ref.kill()
                await anyio.sleep_forever()

        with pytest.raises(ActorKilled):
            await body()


async def test_letting_off_the_body_leaves_a_cancellation_from_outside_alone() -> None:
    async with tree() as system:
        membership = adopt(system.named("app/runs"), "one")
        with anyio.CancelScope() as outside:
            async with membership:
                outside.cancel()
                membership.cancel()
                await anyio.sleep_forever()
            pytest.fail("the outer scope ends what is around the body too")
        assert outside.cancelled_caught


async def test_a_kill_from_elsewhere_interrupts_the_body() -> None:
    async with tree() as system:
        outcomes: list[str] = []

        async def body() -> None:
            try:
                async with adopt(system.named("app/runs"), "one"):
                    await anyio.sleep_forever()
            except ActorKilled:
                outcomes.append("killed")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(body)
            await settle()
            started(system, "app/runs/one").kill()
        assert outcomes == ["killed"]


async def test_a_kill_shows_even_when_the_body_got_to_its_end() -> None:
    async with tree() as system:
        with pytest.raises(ActorKilled):
            async with adopt(system.named("app/runs"), "one") as ref:
                ref.kill()


async def test_an_exception_passes_unchanged_and_is_the_reason() -> None:
    log = EventLog()
    error = Boom("mine")
    async with tree(log) as system:
        with pytest.raises(Boom) as caught:
            async with adopt(system.named("app/runs"), "one", status=lambda: {"model": "m"}) as ref:
                raise error
        assert caught.value is error
        assert ref.info().exit_reason == ExitReason.crashed(error)
    [crash] = log.of(CrashReport)
    assert (crash.path, crash.status) == ("app/runs/one", {"model": "m"})
    assert [report.context for report in log.of(SupervisorReport)] == ["child_terminated"]


async def test_an_exception_from_a_killed_body_passes_too() -> None:
    async with tree() as system:
        refs: list[ActorRef] = []

        async def body() -> None:
            async with adopt(system.named("app/runs"), "one") as ref:
                refs.append(ref)
                ref.kill()
                try:
                    await anyio.sleep_forever()
                finally:
                    raise Boom

        with pytest.raises(Boom):
            await body()
        assert refs[0].info().exit_reason == ExitReason.KILLED


async def test_a_cancellation_from_outside_stays_one() -> None:
    async with tree() as system:
        with anyio.CancelScope() as scope:
            async with adopt(system.named("app/runs"), "one") as ref:
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert str(ref.info().exit_reason) == "shutdown: cancelled"


async def test_a_kill_together_with_a_cancellation_is_a_cancellation() -> None:
    async with tree() as system:
        with anyio.CancelScope() as scope:
            async with adopt(system.named("app/runs"), "one") as ref:
                ref.kill()
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert ref.info().exit_reason == ExitReason.KILLED


async def test_a_kill_inside_a_task_group_of_the_body_shows_as_itself() -> None:
    async with tree() as system:

        async def body() -> None:
            async with adopt(system.named("app/runs"), "one") as ref, anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                ref.kill()
                await anyio.sleep_forever()

        with pytest.raises(ActorKilled):
            await body()


async def test_a_body_takes_no_messages() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(NoMailbox, match="app/runs/one is an adopted task and takes no messages"):
                await system.named("app/runs/one").call(Ask())

        tasks.start_soon(call)
        async with adopt(system.named("app/runs"), "one") as ref:
            assert not ref.cast("hello")
            assert not ref.send("hello")
            await settle()


async def test_a_name_is_taken_once() -> None:
    async with tree() as system:
        runs = system.named("app/runs")
        async with adopt(runs, "one") as ref:
            with pytest.raises(AlreadyStarted) as caught:
                async with adopt(runs, "one"):
                    pytest.fail("entered twice")
            assert caught.value.ref == ref
            with pytest.raises(AlreadyStarted):
                await start_child(runs, puppet("one"))
            assert ref.alive


async def test_a_name_that_is_kept_for_a_child_is_not_taken() -> None:
    async with tree() as system:
        runs = system.named("app/runs")
        await start_child(runs, puppet("one", backoff=Backoff(min_seconds=5, jitter=0)))
        for refusals in [(AlreadyPresent, AlreadyStarted), (AlreadyPresent,)]:  # the first restart may be quicker
            ref = started(system, "app/runs/one")
            ref.kill()
            await system.monitor(ref).wait()
            with pytest.raises(refusals):
                async with adopt(runs, "one"):
                    pytest.fail("took it")
            await settle()
        await anyio.sleep(10)
        assert await started(system, "app/runs/one").call(Ask()) == "one"


async def test_the_name_of_a_temporary_child_is_free_as_soon_as_it_is_dead() -> None:
    async with tree() as system:
        runs = system.named("app/runs")
        ref = await start_child(runs, puppet("one", restart="temporary"))
        ref.kill()
        await system.monitor(ref).wait()
        async with adopt(runs, "one") as body:
            await settle()
            assert system.whereis("app/runs/one") == body


async def test_a_view_that_fails_is_named_and_does_no_harm() -> None:
    def broken() -> dict[str, object]:
        raise ValueError("no view")

    async with tree() as system, adopt(system.named("app/runs"), "one", status=broken) as body:
        assert body.info().details == {"status": "raised ValueError"}


async def test_the_limit_of_children_holds() -> None:
    async with tree(max_children=1) as system:
        runs = system.named("app/runs")
        async with adopt(runs, "one"):
            with pytest.raises(TooManyChildren):
                async with adopt(runs, "two"):
                    pytest.fail("entered beyond the limit")
        async with adopt(runs, "two"):
            pass


async def test_a_stopping_supervisor_lets_the_body_finish() -> None:
    async with tree() as system:
        outcomes: list[str] = []

        async def body() -> None:
            async with adopt(system.named("app/runs"), "one", shutdown=5) as ref:
                await anyio.sleep(3)
                outcomes.append(f"finished while {ref.info().status}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(body)
            await settle()
            await terminate_child(system.named("app"), "runs")
            assert system.now() == pytest.approx(3)
        assert outcomes == ["finished while stopping"]


async def test_a_stopping_supervisor_kills_the_body_that_takes_too_long() -> None:
    log = EventLog()
    async with tree(log) as system, anyio.create_task_group() as tasks:

        async def body() -> None:
            with pytest.raises(ActorKilled):
                async with adopt(system.named("app/runs"), "one", shutdown=2):
                    await anyio.sleep_forever()

        tasks.start_soon(body)
        await settle()
        await terminate_child(system.named("app"), "runs")
        assert system.now() == pytest.approx(2)
    assert [report.context for report in log.of(SupervisorReport)] == ["child_terminated", "shutdown_error"]


async def test_a_killed_supervisor_kills_its_bodies_at_once() -> None:
    async with tree() as system:
        async with anyio.create_task_group() as tasks:

            async def body() -> None:
                with pytest.raises(ActorKilled):
                    async with adopt(system.named("app/runs"), "one", shutdown=1000):
                        await anyio.sleep_forever()

            tasks.start_soon(body)
            await settle()
            started(system, "app/runs").kill()
        assert system.now() == 0


async def test_a_body_that_outlives_its_kill_is_given_up() -> None:
    async with tree() as system:

        async def body() -> None:
            async with adopt(system.named("app/runs"), "one") as ref:
                ref.kill()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(5)
                assert not ref.alive
                assert system.unstopped == ("app/runs/one",)

        with pytest.raises(ActorKilled):
            await body()
        assert system.unstopped == ()


async def test_one_body_can_be_terminated() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:

        async def body() -> None:
            with pytest.raises(ActorKilled):
                async with adopt(system.named("app/runs"), "one", shutdown=2):
                    await anyio.sleep_forever()

        tasks.start_soon(body)
        await settle()
        await terminate_child(system.named("app/runs"), "one")
        assert system.now() == pytest.approx(2)


async def test_a_body_may_be_stopped_by_its_reference() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:

        async def body() -> None:
            async with adopt(system.named("app/runs"), "one"):
                await anyio.sleep(1)

        tasks.start_soon(body)
        await settle()
        assert await started(system, "app/runs/one").stop() == ExitReason.NORMAL
        assert system.now() == pytest.approx(1)


@pytest.mark.parametrize("how", ["dead", "unknown", "stopping"])
async def test_only_a_running_supervisor_adopts(how: str) -> None:
    async with tree() as system:
        runs = system.named("app/runs" if how != "unknown" else "app/nobody")
        if how == "dead":
            await started(system, "app/runs").stop()
        async with anyio.create_task_group() as tasks:
            if how == "stopping":
                await start_child(runs, puppet("slow", on_terminate=hang))
                tasks.start_soon(terminate_child, system.named("app"), "runs")
                await settle()
            with pytest.raises(ActorDown):
                async with adopt(runs, "one"):
                    pytest.fail("entered")


async def test_a_supervisor_that_is_still_starting_adopts_nobody() -> None:
    class Slow(DynamicSupervisor):
        async def init(self) -> None:
            await anyio.sleep(1)

    async with System("app", Supervisor()) as system, anyio.create_task_group() as tasks:
        tasks.start_soon(start_child, system.named("app"), ChildSpec("runs", Slow, type="supervisor"))
        await settle()
        with pytest.raises(ActorDown, match="app/runs is starting"):
            async with adopt(system.named("app/runs"), "one"):
                pytest.fail("entered")


async def test_only_a_dynamic_supervisor_adopts() -> None:
    async with tree() as system:
        with pytest.raises(TypeError, match="app/other is not a dynamic supervisor"):
            async with adopt(system.named("app/other"), "one"):
                pytest.fail("entered")


async def test_whom_the_body_waits_for_is_visible() -> None:
    async with tree() as system:
        started(system, "app/other").cast(hang)
        async with anyio.create_task_group() as tasks:

            async def body() -> None:
                with pytest.raises(ActorDown):
                    async with adopt(system.named("app/runs"), "one"):
                        await started(system, "app/other").call(Ask())

            tasks.start_soon(body)
            await settle()
            assert started(system, "app/runs/one").info().waiting_on == ("app/other",)
            started(system, "app/other").kill()


async def test_an_actor_that_adopts_its_handler_is_still_seen_to_wait() -> None:
    async with tree() as system:
        other = started(system, "app/other")

        async def adopting(actor: Puppet) -> None:
            async with adopt(actor.system.named("app/runs"), "one"):
                with pytest.raises(CallCycle):
                    await other.call(Ask(), timeout=1000)

        await other.call(Do(adopting))
        assert other.info().waiting_on == ()


async def test_an_actor_that_adopts_its_handler_keeps_its_deadline() -> None:
    async with tree() as system:
        other = await start_child(system.named("app"), puppet("slow"))
        gave_up_at: list[float] = []

        async def adopting(actor: Puppet) -> None:
            async with adopt(actor.system.named("app/runs"), "one"):
                with pytest.raises(CallTimeout):
                    await other.call(Do(hang), timeout=1000)
            gave_up_at.append(system.now())

        with pytest.raises(CallTimeout):
            await started(system, "app/other").call(Do(adopting), timeout=3)
        await settle()
        assert gave_up_at == pytest.approx([3])
        other.kill()


async def test_bodies_may_be_nested() -> None:
    async with tree() as system:
        runs = system.named("app/runs")
        async with adopt(runs, "outer") as outer:
            async with adopt(runs, "inner") as inner:
                assert outer.info().waiting_on == ("app/runs/inner",)
            assert not inner.alive
            assert outer.alive
            assert outer.info().waiting_on == ()
