"""A reference is one incarnation; a name is whoever holds it."""

import anyio
import pytest

from supervisors import ActorDown, CallTimeout, ExitReason, NotRunning, Supervisor, System, start_child, terminate_child
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import (
    Ask,
    Boom,
    Do,
    Puppet,
    crash,
    hang,
    hang_shielded,
    puppet,
    puppet_of,
    sleep,
    started,
)

pytestmark = pytest.mark.anyio


async def test_an_old_reference_never_reaches_the_next_incarnation() -> None:
    async with System("app", Supervisor([puppet("a")]), on_event=EventLog()) as system:
        old = started(system, "app/a")
        old.cast(crash)
        await settle()
        new = started(system, "app/a")
        assert new != old
        assert not old.alive
        assert not old.cast("lost")
        with pytest.raises(ActorDown):
            await old.call(Ask())
        assert await new.call(Ask()) == "a"


async def test_references_to_one_incarnation_are_equal() -> None:
    async with System("app", Supervisor([puppet("a", restart="temporary")]), on_event=EventLog()) as system:
        ref = started(system, "app/a")
        monitor = system.monitor(ref)
        assert ref == started(system, "app/a")
        assert len({ref, started(system, "app/a"), puppet_of(ref).ref}) == 1
        ref.kill()
        assert (await monitor.wait()).ref == ref
        assert ref == ref._cell.actor.ref  # type: ignore[attr-defined]


async def test_casting_to_the_dead_or_the_unknown_is_harmless() -> None:
    async with System("app", Supervisor([puppet("a", restart="temporary")])) as system:
        ref = started(system, "app/a")
        await ref.stop()
        assert not ref.cast("lost")
        assert not ref.send("lost")
        assert not system.named("app/nobody").cast("lost")
        assert not system.named("app/nobody").send("lost")
        assert system.dead_letters == 4


async def test_a_named_call_waits_for_the_next_incarnation() -> None:
    slow_second_time: list[str] = []

    async def init(actor: Puppet) -> None:
        if slow_second_time:
            await anyio.sleep(2)
        slow_second_time.append("started")

    async with System("app", Supervisor([puppet("a", on_init=init)]), on_event=EventLog()) as system:
        started(system, "app/a").cast(crash)
        await settle()
        assert await system.named("app/a").call(Ask()) == "a"
        assert system.now() == pytest.approx(2)


async def test_a_named_call_waits_while_nobody_holds_the_name() -> None:
    async with System("app", Supervisor([])) as system:
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await system.named("app/a").call(Ask(), timeout=10))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(3)
            await start_child(system.named("app"), puppet("a"))
        assert answers == ["a"]


async def test_a_request_taken_to_the_grave_unread_is_sent_again() -> None:
    async with System("app", Supervisor([puppet("a")]), on_event=EventLog()) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await system.named("app/a").call(Ask()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await settle()
            ref.kill()
        assert answers == ["a"]


async def test_a_call_by_name_to_one_who_is_ending_waits_for_the_next() -> None:
    async with System("app", Supervisor([puppet("a", on_terminate=sleep(2))]), on_event=EventLog()) as system:
        ref = started(system, "app/a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.stop)
            await settle()
            with pytest.raises(ActorDown, match="app/a is stopping") as caught:
                await ref.call(Ask())
            assert not caught.value.started
            with pytest.raises(NotRunning):
                await system.named("app/a").call(Ask(), timeout=1)
            assert await system.named("app/a").call(Ask()) == "a"
            assert system.now() == pytest.approx(2)


async def test_a_call_by_a_further_name_which_changes_hands_finds_the_new_holder() -> None:
    specs = [puppet("a", on_terminate=sleep(2)), puppet("b")]
    async with System("app", Supervisor(specs), on_event=EventLog()) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.register("clock", a)
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await system.named("clock").call(Ask()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(a.stop)
            await settle()
            tasks.start_soon(ask)
            await settle()
            system.unregister("clock")
            system.register("clock", b)
            await settle()
            assert answers == ["b"]
            assert system.now() == 0


async def test_a_request_that_had_been_started_is_not_sent_again() -> None:
    async with System("app", Supervisor([puppet("a")]), on_event=EventLog()) as system:
        with pytest.raises(ActorDown) as caught:
            await system.named("app/a").call(Do(crash))
        assert caught.value.started
        assert await system.named("app/a").call(Ask()) == "a"


async def test_waiting_for_a_restart_ends_at_the_deadline() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        await terminate_child(system.named("app"), "a")
        with pytest.raises(NotRunning, match="app/a is restarting") as caught:
            await system.named("app/a").call(Ask(), timeout=4)
        assert not caught.value.started
        assert system.now() == pytest.approx(4)


async def test_an_incarnation_stuck_in_init_counts_as_not_running() -> None:
    calm: list[str] = []

    async def init(actor: Puppet) -> None:
        if calm:
            await anyio.sleep(100)
        calm.append("once")

    async with System("app", Supervisor([puppet("a", on_init=init)]), on_event=EventLog()) as system:
        started(system, "app/a").cast(crash)
        await settle()
        with pytest.raises(NotRunning):
            await system.named("app/a").call(Ask(), timeout=4)
        system.begin_shutdown()
        await anyio.sleep(200)


async def test_a_busy_incarnation_counts_as_a_timeout() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        started(system, "app/a").cast(sleep(10))
        with pytest.raises(CallTimeout) as caught:
            await system.named("app/a").call(Ask(), timeout=4)
        assert not caught.value.started


async def test_waiting_for_a_name_inherits_the_earlier_deadline() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        gave_up_at: list[float] = []

        async def ask_nobody(actor: Puppet) -> None:
            with pytest.raises(NotRunning):
                await actor.system.named("app/nobody").call(Ask(), timeout=1000)
            gave_up_at.append(system.now())

        with pytest.raises(CallTimeout):
            await started(system, "app/a").call(Do(ask_nobody), timeout=3)
        await settle()
        assert gave_up_at == pytest.approx([3])


async def test_without_waiting_an_absent_name_fails_at_once() -> None:
    async with System("app", Supervisor([])) as system:
        with pytest.raises(NotRunning, match="is not running"):
            await system.named("app/nobody").call(Ask(), timeout=1000, wait_for_restart=False)
        assert system.now() == 0


async def test_nobody_waits_for_a_restart_in_a_system_that_is_ending() -> None:
    async with System("app", Supervisor([puppet("a"), puppet("slow to stop", on_terminate=sleep(4))])) as system:
        await terminate_child(system.named("app"), "a")
        failed_at: list[float] = []

        async def ask() -> None:
            with pytest.raises(NotRunning):
                await system.named("app/a").call(Ask(), timeout=1000)
            failed_at.append(system.now())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1)
            await system.shutdown()
        with pytest.raises(NotRunning):
            await system.named("app/a").call(Ask(), timeout=1000)
        assert failed_at == [pytest.approx(1)]


async def test_a_cancelled_wait_for_a_name_leaves_nothing_behind() -> None:
    async with System("app", Supervisor([])) as system:
        with anyio.move_on_after(1):
            await system.named("app/a").call(Ask(), timeout=1000)
        assert system.hub.names._waiting == {}


async def test_stop_waits_until_terminate_is_done() -> None:
    trace: list[str] = []
    spec = puppet("a", trace, restart="temporary", on_terminate=sleep(2))
    async with System("app", Supervisor([spec])) as system:
        ref = started(system, "app/a")
        assert await ref.stop() == ExitReason.NORMAL
        assert system.now() == pytest.approx(2)
        assert trace[-1] == "a terminate normal"
        assert system.whereis("app/a") is None


@pytest.mark.parametrize(
    ("reason", "back"),
    [(ExitReason.NORMAL, False), (ExitReason.shutdown("enough"), False), (ExitReason.crashed(Boom("it")), True)],
)
async def test_stop_gives_the_actor_its_reason(reason: ExitReason, back: bool) -> None:
    trace: list[str] = []
    spec = puppet("a", trace, restart="transient")
    async with System("app", Supervisor([spec]), on_event=EventLog()) as system:
        assert await started(system, "app/a").stop(reason=reason) == reason
        await settle()
        assert trace[2] == f"a terminate {reason}"
        assert (system.whereis("app/a") is not None) == back


async def test_stopping_twice_finds_nobody() -> None:
    async with System("app", Supervisor([puppet("a", restart="temporary")])) as system:
        ref = started(system, "app/a")
        await ref.stop()
        with pytest.raises(ActorDown):
            await ref.stop()


async def test_an_impossible_timeout_leaves_the_actor_alone() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        ref = started(system, "app/a")
        with pytest.raises(ValueError, match="timeout"):
            await ref.stop(timeout=-1)
        assert await ref.call(Ask()) == "a"


async def test_stop_kills_after_its_timeout() -> None:
    async with System("app", Supervisor([puppet("a", restart="temporary")]), on_event=EventLog()) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        await settle()
        assert await ref.stop(timeout=3) == ExitReason.KILLED
        assert system.now() == pytest.approx(3)


async def test_stop_gives_up_on_what_will_not_die() -> None:
    log = EventLog()
    async with System("app", Supervisor([puppet("a", restart="temporary")]), on_event=log) as system:
        ref = started(system, "app/a")
        ref.cast(hang_shielded)
        await settle()
        assert await ref.stop(timeout=3) == ExitReason.KILLED
        assert system.now() == pytest.approx(4)
        assert system.unstopped == ("app/a",)


async def test_stop_beats_queued_messages_but_not_the_running_handler() -> None:
    trace: list[str] = []
    async with System("app", Supervisor([puppet("a", trace, restart="temporary")])) as system:
        ref = started(system, "app/a")

        async def slow(actor: Puppet) -> None:
            await anyio.sleep(1)
            actor.trace.append("finished")

        ref.cast(slow)
        ref.cast("never")
        await settle()
        await ref.stop()
        assert trace[2:] == ["finished", "a terminate normal"]


async def test_sent_messages_are_infos() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        ref = started(system, "app/a")
        assert ref.send("hello")
        assert system.named("app/a").send("again")
        await settle()
        assert puppet_of(ref).infos == ["hello", "again"]
