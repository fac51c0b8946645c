"""Helper tasks beside the mailbox."""

from contextvars import ContextVar

import anyio
import pytest

from supervisors import ActorDown, CrashReport, ExitReason, Supervisor, System
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Puppet, puppet, started, stop_normally

pytestmark = pytest.mark.anyio

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="nobody's")


def tree(log: EventLog | None = None, trace: list[str] | None = None) -> System:
    children = [puppet("a", trace, restart="temporary", shutdown=5)]
    return System("app", Supervisor(children), on_event=log if log is not None else EventLog())


async def test_a_helper_runs_while_the_mailbox_serves() -> None:
    async with tree() as system:
        ref = started(system, "app/a")
        ticks: list[float] = []

        async def tick(every: float) -> None:
            while True:
                await anyio.sleep(every)
                ticks.append(system.now())

        async def begin(actor: Puppet) -> None:
            actor.spawn(tick, 1)

        await ref.call(Do(begin))
        await anyio.sleep(2.5)
        assert await ref.call(Ask()) == "a"
        assert len(ticks) == 2


async def test_a_helper_may_call_its_own_actor() -> None:
    async with tree() as system:
        ref = started(system, "app/a")
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await ref.call(Ask()))

        async def begin(actor: Puppet) -> None:
            actor.spawn(ask)

        await ref.call(Do(begin))
        await settle()
        assert answers == ["a"]


async def test_the_end_of_a_helper_changes_nothing() -> None:
    async with tree() as system:
        ref = started(system, "app/a")

        async def begin(actor: Puppet) -> None:
            await actor.spawn(anyio.sleep, 1).wait()

        await ref.call(Do(begin))
        assert system.now() == pytest.approx(1)
        assert ref.alive


async def test_the_crash_of_a_helper_is_the_actors() -> None:
    log, trace = EventLog(), list[str]()
    async with tree(log, trace) as system:
        ref = started(system, "app/a")

        async def fail() -> None:
            await anyio.sleep(1)
            raise Boom("helper")

        async def begin(actor: Puppet) -> None:
            actor.spawn(fail)
            await anyio.sleep_forever()

        with pytest.raises(ActorDown) as caught:
            await ref.call(Do(begin), timeout=100)
        assert str(caught.value.reason) == "crashed: Boom: helper"
        assert trace[-1] == "a terminate crashed: Boom: helper"
    assert len(log.of(CrashReport)) == 1


async def test_an_orderly_end_terminates_first_and_cancels_helpers_then() -> None:
    trace: list[str] = []
    async with tree(trace=trace) as system:
        ref = started(system, "app/a")

        async def serve() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                trace.append("helper cancelled")

        async def begin(actor: Puppet) -> None:
            actor.spawn(serve)

        await ref.call(Do(begin))
        await ref.stop()
        assert trace[2:] == ["a terminate normal", "helper cancelled"]


async def test_a_kill_takes_the_helpers_along() -> None:
    async with tree() as system:
        ref = started(system, "app/a")
        ended: list[str] = []

        async def serve() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("helper")

        async def begin(actor: Puppet) -> None:
            actor.spawn(serve)

        await ref.call(Do(begin))
        ref.kill()
        await settle()
        assert ended == ["helper"]
        assert not ref.alive


async def test_an_actor_is_not_dead_before_its_helpers_are() -> None:
    async with tree() as system:
        ref = started(system, "app/a")

        async def slow_to_end() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(3)

        async def begin(actor: Puppet) -> None:
            actor.spawn(slow_to_end)

        await ref.call(Do(begin))
        assert await ref.stop() == ExitReason.NORMAL
        assert system.now() == pytest.approx(3)


async def test_a_helper_can_be_cancelled_alone() -> None:
    async with tree() as system:
        ref = started(system, "app/a")

        async def begin(actor: Puppet) -> bool:
            helper = actor.spawn(anyio.sleep_forever)
            await settle()
            helper.cancel()
            await helper.wait()
            return helper.done

        assert await ref.call(Do(begin))
        assert ref.alive


async def test_a_helper_remembers_nothing_of_the_handler_that_started_it() -> None:
    async with tree() as system:
        ref = started(system, "app/a")
        seen: list[str] = []

        async def look() -> None:
            seen.append(REQUEST.get())

        async def begin(actor: Puppet) -> None:
            REQUEST.set("this request's")
            await actor.spawn(look).wait()

        await ref.call(Do(begin))
        assert seen == ["nobody's"]


async def test_a_crash_of_a_helper_while_the_actor_ends_is_reported() -> None:
    log = EventLog()
    async with tree(log) as system:
        ref = started(system, "app/a")

        async def clumsy() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise Boom("cleaning up")

        async def begin(actor: Puppet) -> None:
            actor.spawn(clumsy)

        await ref.call(Do(begin))
        assert await ref.stop() == ExitReason.NORMAL
    assert [str(report.reason) for report in log.of(CrashReport)] == ["crashed: Boom: cleaning up"]


async def test_the_dead_start_no_helpers() -> None:
    async with tree() as system:
        ref = started(system, "app/a")
        actors: list[Puppet] = []

        async def remember(actor: Puppet) -> None:
            actors.append(actor)

        await ref.call(Do(remember))
        ref.cast(stop_normally)
        await settle()
        with pytest.raises(ActorDown):
            actors[0].spawn(anyio.sleep_forever)
