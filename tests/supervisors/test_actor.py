"""What an actor may do, and what its callbacks' answers mean."""

from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from supervisors import (
    Actor,
    BadReturnValue,
    ChildSpec,
    CrashReport,
    DynamicSupervisor,
    ExitReason,
    ForeignCancellation,
    Ignore,
    Stop,
    Supervisor,
    System,
    UnexpectedMessage,
    start_child,
)
from supervisors._cell import Cell
from supervisors._runner import start_actor
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import (
    Ask,
    Boom,
    Do,
    Puppet,
    answer,
    crash,
    hang,
    hang_shielded,
    puppet,
    puppet_of,
    sleep,
    started,
    stop_normally,
)

pytestmark = pytest.mark.anyio

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="nobody's")


def tree(*specs: ChildSpec, log: EventLog | None = None) -> System:
    return System("app", Supervisor(specs), on_event=log if log is not None else EventLog())


async def test_everything_has_a_harmless_default() -> None:
    log = EventLog()
    async with tree(ChildSpec("a", Actor), log=log) as system:
        ref = started(system, "app/a")
        ref.cast("hello")
        ref.send("hello")
        await settle()
        assert ref.alive
        assert ref.info().details == {}
    assert [event.lane for event in log.of(UnexpectedMessage)] == ["cast", "info"]


async def test_an_unexpected_message_is_mentioned_once_per_type() -> None:
    log = EventLog()
    async with tree(puppet("a"), log=log) as system:
        ref = started(system, "app/a")
        for message in (1, 2, 3.0):
            ref.cast(message)
        await settle()
    assert [(event.path, event.message_type) for event in log.of(UnexpectedMessage)] == [
        ("app/a", "int"),
        ("app/a", "float"),
    ]


async def test_ref_and_system_are_there_in_init() -> None:
    seen: list[Any] = []

    async def init(actor: Puppet) -> None:
        seen.append((actor.ref.path, actor.system.whereis("app/a") == actor.ref))

    async with tree(puppet("a", on_init=init)):
        assert seen == [("app/a", True)]


async def test_a_handler_may_end_the_actor() -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace, restart="temporary")) as system:
        ref = started(system, "app/a")
        ref.cast(stop_normally)
        ref.cast("never read")
        await settle()
        assert ref.info().exit_reason == ExitReason.NORMAL
        assert trace[2:] == ["a terminate normal"]


async def test_terminate_runs_after_a_crash() -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace, restart="temporary")) as system:
        started(system, "app/a").cast(crash)
        await settle()
        assert trace[2:] == ["a terminate crashed: Boom: a"]


async def test_a_crash_in_terminate_is_how_it_ended() -> None:
    log = EventLog()
    async with tree(puppet("a", restart="temporary", on_terminate=crash), log=log) as system:
        ref = started(system, "app/a")
        ref.cast(stop_normally)
        await settle()
        reason = ref.info().exit_reason
        assert reason is not None
        assert isinstance(reason.error, Boom)
    [report] = log.of(CrashReport)
    assert report.status == {"name": "a"}


@pytest.mark.parametrize("lane", ["cast", "info"])
async def test_a_bad_answer_of_a_handler_is_a_crash(lane: str) -> None:
    class Confused(Actor):
        async def handle_cast(self, message: Any) -> Any:
            return "what now?"

        handle_info = handle_cast

    async with tree(ChildSpec("a", Confused, restart="temporary")) as system:
        ref = started(system, "app/a")
        _ = ref.cast("hello") if lane == "cast" else ref.send("hello")
        await settle()
        reason = ref.info().exit_reason
        assert reason is not None
        assert isinstance(reason.error, BadReturnValue)
        assert str(reason.error) == f"handle_{lane} returned a str"


async def test_kill_interrupts_a_handler_and_skips_terminate() -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace, restart="temporary")) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        await settle()
        ref.kill()
        await settle()
        assert ref.info().exit_reason == ExitReason.KILLED
        assert trace == ["a init", "a up"]
        assert system.now() == 0


async def test_kill_interrupts_terminate() -> None:
    async with tree(puppet("a", restart="temporary", on_terminate=hang)) as system:
        ref = started(system, "app/a")
        ref.cast(stop_normally)
        await settle()
        assert ref.info().status == "stopping"
        ref.kill()
        await settle()
        assert ref.info().exit_reason == ExitReason.KILLED


async def test_kill_interrupts_init() -> None:
    async with tree(ChildSpec("d", DynamicSupervisor, type="supervisor")) as system:
        async with anyio.create_task_group() as tasks:

            async def start() -> None:
                with pytest.raises(Exception, match="failed to start: killed"):
                    await start_child(system.named("app/d"), puppet("a", on_init=hang))

            tasks.start_soon(start)
            await settle()
            started(system, "app/d/a").kill()
        assert system.whereis("app/d/a") is None


async def test_who_is_killed_before_the_task_began_does_nothing_at_all() -> None:
    trace: list[str] = []
    async with tree() as system:
        root = started(system, "app")._cell
        assert isinstance(root, Cell)
        cell = start_actor(system, "app/a", "a", puppet("a", trace), root)
        cell.kill()
        await settle()
        assert cell.exit_reason == ExitReason.KILLED
        assert trace == []


async def test_a_kill_beats_a_burst_of_messages() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        handled: list[int] = []

        def step(number: int) -> Any:
            async def action(actor: Puppet) -> None:
                handled.append(number)
                if number == 3:
                    actor.ref.kill()

            return action

        for number in range(10):
            ref.cast(step(number))
        await settle()
        assert handled == [0, 1, 2, 3]


async def test_a_handler_that_swallows_its_kill_ends_all_the_same() -> None:
    async def stubborn(actor: Puppet) -> None:
        try:
            await anyio.sleep_forever()
        except BaseException:  # noqa: BLE001 the mistake this test is about
            actor.trace.append("swallowed")

    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        ref.cast(stubborn)
        ref.cast("never")
        await settle()
        ref.kill()
        await settle()
        assert ref.info().exit_reason == ExitReason.KILLED
        assert puppet_of(ref).trace[-1] == "swallowed"


async def test_a_killed_actor_that_will_not_end_is_given_up() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        ref.cast(hang_shielded)
        await settle()
        ref.kill()
        await settle()
        assert system.whereis("app/a") == ref
        await anyio.sleep(1.1)
        assert ref.info().exit_reason == ExitReason.KILLED
        assert list(system.unstopped) == ["app/a"]
        assert started(system, "app/a") != ref
        await anyio.sleep(1000)
        assert list(system.unstopped) == []


async def test_a_stop_waits_for_the_running_handler() -> None:
    async with tree(puppet("a", restart="temporary", on_terminate=sleep(1))) as system:
        ref = started(system, "app/a")
        ref.cast(sleep(2))
        await settle()
        await ref.stop()
        assert system.now() == pytest.approx(3)


async def test_an_interruptible_actor_stops_at_once_and_still_terminates() -> None:
    trace: list[str] = []

    async def clean_up(actor: Puppet) -> None:
        await anyio.sleep(1)
        trace.append("cleaned up")

    async with tree(puppet("a", trace, restart="temporary", interrupt=True, on_terminate=clean_up)) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        await settle()
        assert await ref.stop() == ExitReason.NORMAL
        assert system.now() == pytest.approx(1)
        assert trace[2:] == ["a terminate normal", "cleaned up"]


async def test_a_crash_while_being_interrupted_is_how_it_ended() -> None:
    async def clumsy(actor: Puppet) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Boom("in the clean-up")

    async with tree(puppet("a", restart="temporary", interrupt=True)) as system:
        ref = started(system, "app/a")
        ref.cast(clumsy)
        await settle()
        reason = await ref.stop()
        assert isinstance(reason.error, Boom)


async def test_one_fault_inside_a_group_is_the_reason() -> None:
    async def grouped(actor: Puppet) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hang, actor)
            tasks.start_soon(crash, actor)

    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        ref.cast(grouped)
        await settle()
        reason = ref.info().exit_reason
        assert reason is not None
        assert isinstance(reason.error, Boom)


async def test_several_faults_are_the_reason_together() -> None:
    async def grouped(actor: Puppet) -> None:
        raise BaseExceptionGroup("both", [Boom("one"), BaseExceptionGroup("inner", [Boom("two")])])

    async with tree(puppet("a", restart="temporary")) as system:
        ref = started(system, "app/a")
        ref.cast(grouped)
        await settle()
        reason = ref.info().exit_reason
        assert reason is not None
        assert isinstance(reason.error, BaseExceptionGroup)


async def test_a_foreign_cancellation_is_a_crash_and_nobody_elses() -> None:
    cancelled = anyio.get_cancelled_exc_class()
    if cancelled.__module__.startswith("trio"):
        pytest.skip("trio lets nobody make a cancellation")

    async def leak(actor: Puppet) -> None:
        raise cancelled

    async with tree(puppet("a", restart="temporary"), puppet("b")) as system:
        ref, sibling = started(system, "app/a"), started(system, "app/b")
        ref.cast(leak)
        await settle()
        reason = ref.info().exit_reason
        assert reason is not None
        assert isinstance(reason.error, ForeignCancellation)
        assert await sibling.call(Ask()) == "b"


async def test_an_actor_remembers_nothing_of_who_started_it() -> None:
    async def which(actor: Puppet) -> str:
        return REQUEST.get()

    async with tree(ChildSpec("d", DynamicSupervisor, type="supervisor")) as system:
        REQUEST.set("the first request's")
        ref = await start_child(system.named("app/d"), puppet("a"))
        assert await ref.call(Do(which)) == "nobody's"


async def test_what_a_handler_sets_stays_within_its_actor() -> None:
    async def remember(actor: Puppet) -> None:
        REQUEST.set("a's")

    async def which(actor: Puppet) -> str:
        return REQUEST.get()

    async with tree(puppet("a"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(remember))
        assert await a.call(Do(which)) == "a's"
        assert await b.call(Do(which)) == "nobody's"


async def test_a_long_burst_lets_others_run() -> None:
    async with tree(puppet("a"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        depths: list[int] = []
        for _ in range(500):
            a.cast("work")

        async def look(actor: Puppet) -> None:
            depths.append(a.info().mailbox_depth)

        await b.call(Do(look))
        assert depths[0] > 0


@pytest.mark.parametrize("outcome", [Ignore(), Stop(ExitReason.shutdown("not today"))])
async def test_nothing_is_terminated_that_was_not_initialised(outcome: Ignore | Stop) -> None:
    trace: list[str] = []
    async with tree(ChildSpec("d", DynamicSupervisor, type="supervisor")) as system:
        with pytest.raises(Exception, match=r"app/d/a (declined to start|failed to start: shutdown: not today)"):
            await start_child(system.named("app/d"), puppet("a", trace, on_init=answer(outcome)))
        assert trace == ["a init", "a up"]
