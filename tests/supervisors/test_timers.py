"""Deadlines: one heap, in order, swept of what is settled."""

import weakref
from functools import partial

import anyio
import pytest

from supervisors import ChildSpec, DynamicSupervisor, Supervisor, System, adopt, start_child, terminate_child
from supervisors._backend import detect_backend
from supervisors._timers import Timers
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, crash, puppet, puppet_of, started

pytestmark = pytest.mark.anyio


async def test_deadlines_fire_in_order_and_ties_in_the_order_of_adding() -> None:
    timers = Timers(detect_backend())
    fired: list[str] = []
    for name, seconds in [("c", 3), ("a", 1), ("b1", 2), ("b2", 2)]:
        timers.after(seconds, partial(fired.append, name))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()
    assert fired == ["a", "b1", "b2", "c"]


async def test_an_earlier_deadline_wakes_the_sleeping_timer() -> None:
    timers = Timers(detect_backend())
    fired: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        timers.after(100, lambda: None)
        await settle()
        timers.after(1, lambda: fired.append(anyio.current_time()))
        await anyio.sleep(2)
        tasks.cancel_scope.cancel()
    assert fired == [pytest.approx(1)]


async def test_a_discarded_deadline_does_not_fire() -> None:
    timers = Timers(detect_backend())
    fired: list[str] = []
    timers.discard(timers.after(1, lambda: fired.append("discarded")))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        await anyio.sleep(2)
        tasks.cancel_scope.cancel()
    assert fired == []


async def test_settled_deadlines_do_not_pile_up() -> None:
    timers = Timers(detect_backend())
    kept = timers.after(50, lambda: None)
    for _ in range(10_000):
        timers.discard(timers.after(60, lambda: None))
    assert len(timers) < 500
    assert not kept.settled


async def test_calls_leave_no_deadlines_behind() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        ref = started(system, "app/a")
        for _ in range(2000):
            await ref.call(Ask())
        assert len(system.hub.timers) < 500


async def test_no_alarm_outlives_what_it_was_set_for() -> None:
    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    specs = [puppet("a", restart="temporary"), puppet("b", start_timeout=50), puppet("c", restart="temporary"), pool]
    async with System("app", Supervisor(specs), on_event=EventLog()) as system:
        await started(system, "app/a").stop(timeout=50)
        await terminate_child(system.named("app"), "b")
        started(system, "app/c").kill()
        await start_child(system.named("app/pool"), puppet("d"))
        await terminate_child(system.named("app/pool"), "d")
        async with anyio.create_task_group() as tasks, adopt(system.named("app/pool"), "e", shutdown=50):
            tasks.start_soon(terminate_child, system.named("app/pool"), "e")
            await settle()
        await settle()
        assert [deadline for _, _, deadline in system.hub.timers._heap if not deadline.settled] == []


async def test_a_delayed_message_arrives_in_time() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        ref = started(system, "app/a")
        system.send_after(2, ref, "second")
        system.send_after(1, system.named("app/a"), "first")
        await anyio.sleep(1.5)
        assert puppet_of(ref).infos == ["first"]
        await anyio.sleep(1)
        assert puppet_of(ref).infos == ["first", "second"]


async def test_a_delayed_message_can_be_called_back_until_it_is_gone() -> None:
    async with System("app", Supervisor([puppet("a")])) as system:
        ref = started(system, "app/a")
        timer, other = system.send_after(1, ref, "never"), system.send_after(1, ref, "gone")
        assert timer.cancel()
        assert not timer.cancel()
        await anyio.sleep(2)
        assert puppet_of(ref).infos == ["gone"]
        assert not other.cancel()


async def test_a_delayed_function_runs_in_time_and_can_be_called_off() -> None:
    async with System("app", Supervisor()) as system:
        ran: list[tuple[str, float]] = []
        system.call_after(2, lambda: ran.append(("second", system.now())))
        system.call_after(1, lambda: ran.append(("first", system.now())))
        assert system.call_after(1, lambda: ran.append(("never", system.now()))).cancel()
        await anyio.sleep(3)
        assert [name for name, _ in ran] == ["first", "second"]
        assert [at for _, at in ran] == pytest.approx([1, 2])


async def test_a_delayed_function_is_let_go_of_when_it_has_run_or_is_called_off() -> None:
    class Held:
        """Something that only the function keeps."""

    async with System("app", Supervisor()) as system:
        held = [Held(), Held()]
        gone = [weakref.ref(one) for one in held]
        run, called_off = (system.call_after(1, partial(id, one)) for one in held)
        held.clear()
        assert called_off.cancel()
        assert gone[1]() is None
        await anyio.sleep(2)
        assert gone[0]() is None
        assert not run.cancel()


async def test_a_delayed_function_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with System("app", Supervisor()) as system:
        ran: list[str] = []
        system.call_after(1, lambda: 1 / 0)
        system.call_after(2, lambda: ran.append("the other"))
        await anyio.sleep(3)
        assert ran == ["the other"]
    assert "ZeroDivisionError" in caplog.text


async def test_a_delayed_message_to_the_dead_is_lost_and_to_a_name_finds_the_successor() -> None:
    async with System("app", Supervisor([puppet("a")]), on_event=EventLog()) as system:
        ref = started(system, "app/a")
        system.send_after(1, ref, "lost")
        system.send_after(1, system.named("app/a"), "found")
        system.send_after(1, system.named("app/nobody"), "lost")
        ref.cast(crash)
        await anyio.sleep(2)
        assert puppet_of(started(system, "app/a")).infos == ["found"]
