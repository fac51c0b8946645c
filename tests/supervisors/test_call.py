"""Calls end, with the answer or with the reason why there is none."""

import asyncio
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
import trio
import trio.testing

from supervisors import (
    ActorDown,
    Call,
    CallTimeout,
    ExitReason,
    Mailbox,
    MailboxFull,
    ReplyTo,
    Stop,
    Supervisor,
    System,
    UnexpectedRequest,
)
from supervisors.testing import EventLog, VirtualClockLoop, settle
from tests.supervisors.actors import (
    Ask,
    Boom,
    Do,
    Later,
    Puppet,
    answer,
    crash,
    hang,
    puppet,
    puppet_of,
    sleep,
    started,
    stop_normally,
)

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Unheard(Call[None]):
    pass


def system_of(*ids: str, **options: Any) -> System:
    return System(
        "app", Supervisor([puppet(child, restart="temporary", **options) for child in ids]), on_event=EventLog()
    )


def jump_clock(seconds: float) -> None:
    """Let time pass without letting anything run, as a handler does that never yields."""
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        loop.jump(seconds)
    else:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(seconds)


async def test_a_request_is_answered_with_its_value() -> None:
    async with system_of("a") as system:
        assert await started(system, "app/a").call(Ask()) == "a"


async def test_an_answer_of_none_is_an_answer() -> None:
    async with system_of("a") as system:
        assert await started(system, "app/a").call(Do(answer(None))) is None


async def test_answers_may_come_later_and_in_any_order() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        answers: list[str] = []

        async def ask(name: str) -> None:
            answers.append(f"{name} got {await ref.call(Later())}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "first")
            await settle()
            tasks.start_soon(ask, "second")
            await settle()
            first, second = puppet_of(ref).kept
            second.reply("two")
            await settle()
            first.reply("one")
        assert answers == ["second got two", "first got one"]


async def test_only_the_first_answer_counts() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await ref.call(Later()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await settle()
            [kept] = puppet_of(ref).kept
            kept.reply("one")
            kept.reply("two")
            kept.fail(Boom())
        assert answers == ["one"]
        assert await ref.call(Ask()) == "a"


async def test_a_failed_answer_is_raised_at_the_caller_and_harms_nobody() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")

        async def refuse() -> None:
            with pytest.raises(Boom, match="no"):
                await ref.call(Later())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse)
            await settle()
            puppet_of(ref).kept[0].fail(Boom("no"))
        assert ref.alive


async def test_requests_of_one_caller_are_answered_in_order() -> None:
    trace: list[str] = []
    async with System("app", Supervisor([puppet("a", trace)])) as system:
        ref = started(system, "app/a")
        ref.cast("one")
        ref.cast("two")
        await ref.call(Ask())
        ref.cast("three")
        await ref.call(Ask())
        assert trace[2:] == ["one", "two", "three"]


async def test_a_late_answer_is_dropped_and_the_actor_serves_on() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Do(sleep(10)), timeout=2)
        assert system.now() == pytest.approx(2)
        assert caught.value.started
        assert await ref.call(Ask(), timeout=20) == "a"
        assert system.now() == pytest.approx(10)


async def test_a_request_that_expired_in_the_queue_is_never_looked_at() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        done: list[str] = []

        async def note(puppet: Puppet) -> None:
            done.append("expired request")

        ref.cast(sleep(10))
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Do(note), timeout=2)
        assert not caught.value.started
        assert await ref.call(Ask(), timeout=20) == "a"
        assert done == []


async def test_a_request_whose_caller_went_away_is_never_looked_at() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        done: list[str] = []

        async def note(puppet: Puppet) -> None:
            done.append("abandoned request")

        ref.cast(sleep(10))
        with anyio.move_on_after(1):
            await ref.call(Do(note), timeout=100)
        assert await ref.call(Ask(), timeout=20) == "a"
        assert done == []


async def test_a_request_that_expired_while_the_loop_was_hogged_is_never_looked_at() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        done: list[str] = []

        async def hog(puppet: Puppet) -> None:
            jump_clock(10)

        async def note(puppet: Puppet) -> None:
            done.append("expired request")

        ref.cast(hog)
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Do(note), timeout=2)
        assert not caught.value.started
        assert done == []


async def test_a_deferred_answer_nobody_waits_for_any_more_is_forgotten() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        with anyio.move_on_after(1):
            await ref.call(Later(), timeout=100)
        with pytest.raises(CallTimeout):
            await ref.call(Later(), timeout=1)
        assert ref._cell._deferred == set()  # type: ignore[attr-defined]


async def test_calling_the_dead_fails_at_once() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        await ref.stop()
        with pytest.raises(ActorDown) as caught:
            await ref.call(Ask(), timeout=1000)
        assert caught.value.reason == ExitReason.NOPROC
        assert not caught.value.started
        assert system.now() == 0


@pytest.mark.parametrize("reason", [ExitReason.NORMAL, ExitReason.SHUTDOWN, ExitReason.shutdown("for a reason")])
async def test_a_stop_during_the_call_gives_its_reason_to_the_caller(reason: ExitReason) -> None:
    log = EventLog()
    async with System("app", Supervisor([puppet("a", restart="temporary")]), on_event=log) as system:
        with pytest.raises(ActorDown) as caught:
            await started(system, "app/a").call(Do(answer(Stop(reason))))
        assert caught.value.reason == reason
        assert caught.value.started
    assert [type(event).__name__ for event in log.events] == ["Progress"]


async def test_a_stop_may_carry_the_answer() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        assert await ref.call(Do(answer(Stop(reply="bye")))) == "bye"
        await settle()
        assert not ref.alive


async def test_a_crash_during_the_call_gives_its_reason_to_the_caller() -> None:
    async with system_of("a") as system:
        with pytest.raises(ActorDown) as caught:
            await started(system, "app/a").call(Do(crash), timeout=1000)
        assert isinstance(caught.value.reason.error, Boom)
        assert caught.value.started
        assert system.now() == 0


async def test_a_death_fails_the_queued_the_running_and_the_deferred() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        outcomes: dict[str, bool] = {}

        async def ask(name: str, request: Call[str]) -> None:
            with pytest.raises(ActorDown) as caught:
                await ref.call(request, timeout=1000)
            outcomes[name] = caught.value.started

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "deferred", Later())
            await settle()
            tasks.start_soon(ask, "running", Do(hang))
            await settle()
            tasks.start_soon(ask, "queued", Ask())
            await settle()
            ref.kill()
        assert outcomes == {"deferred": True, "running": True, "queued": False}


async def test_who_got_an_answer_before_the_crash_keeps_it() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await ref.call(Later()))

        async def reply_and_crash(puppet: Puppet) -> None:
            puppet.kept[0].reply("just in time")
            raise Boom

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await settle()
            ref.cast(reply_and_crash)
        assert answers == ["just in time"]
        assert not ref.alive


async def test_a_nested_call_inherits_the_earlier_deadline() -> None:
    async with system_of("a", "b") as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        gave_up_at: list[float] = []

        async def call_on(puppet: Puppet) -> None:
            try:
                await b.call(Do(hang), timeout=1000)
            except CallTimeout:
                gave_up_at.append(system.now())

        with pytest.raises(CallTimeout):
            await a.call(Do(call_on), timeout=3)
        await settle()
        assert gave_up_at == [pytest.approx(3)]


async def test_a_deadline_does_not_outlive_its_request() -> None:
    async with system_of("a", "b") as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(answer(None)), timeout=1)

        async def call_on(puppet: Puppet) -> None:
            puppet.trace.append(await b.call(Do(sleep(4))) or "done")

        a.cast(call_on)
        await anyio.sleep(10)
        assert puppet_of(a).trace[-1] == "done"


async def test_the_clean_up_is_not_bound_by_the_last_request() -> None:
    answers: list[str] = []

    async def call_b(actor: Puppet) -> None:
        await anyio.sleep(5)
        answers.append(await started(actor.system, "app/b").call(Do(sleep(3))) or "done")

    specs = [puppet("b"), puppet("a", restart="temporary", shutdown=20, on_terminate=call_b)]
    async with System("app", Supervisor(specs), on_event=EventLog()) as system:
        with pytest.raises(CallTimeout):
            await started(system, "app/a").call(Do(crash), timeout=6)
    assert answers == ["done"]


async def test_a_request_under_an_expired_deadline_is_not_looked_at() -> None:
    async with system_of("a", "b") as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        reached: list[str] = []

        async def note(puppet: Puppet) -> None:
            reached.append("b")

        async def late(puppet: Puppet) -> None:
            await anyio.sleep(5)
            with pytest.raises(CallTimeout):
                await b.call(Do(note))
            reached.append("a")

        with pytest.raises(CallTimeout):
            await a.call(Do(late), timeout=2)
        await anyio.sleep(10)
        assert reached == ["a"]


async def test_a_request_nobody_knows_is_refused_and_the_actor_lives() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")
        with pytest.raises(UnexpectedRequest, match="app/a does not answer Unheard"):
            await ref.call(Unheard())
        assert await ref.call(Ask()) == "a"


async def test_a_full_mailbox_refuses_a_call() -> None:
    async with system_of("a", mailbox=Mailbox(2)) as system:
        ref = started(system, "app/a")
        ref.cast(hang)
        await settle()
        assert ref.cast("one")
        assert ref.cast("two")
        with pytest.raises(MailboxFull):
            await ref.call(Ask(), timeout=1000)
        assert system.now() == 0
        ref.kill()


async def test_what_waits_for_the_caller_is_not_in_the_way_of_its_answers() -> None:
    async with system_of("a", "b", mailbox=Mailbox(1_000_000)) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        looked_at: list[int] = []

        async def call_b(puppet: Puppet) -> None:
            for _ in range(100):
                await b.call(Ask())
            looked_at.append(puppet.ref.info().mailbox_depth)

        a.cast(call_b)
        for _ in range(100_000):
            a.cast("waiting")
        await settle()
        assert looked_at == [100_000]
        assert b.info().handled == 100


async def test_a_reply_may_come_from_another_task() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")

        async def reply_soon(puppet: Puppet) -> None:
            async def later(reply_to: ReplyTo[str]) -> None:
                await anyio.sleep(1)
                reply_to.reply("from a helper")

            puppet.spawn(later, puppet.kept[0])

        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                assert await ref.call(Later()) == "from a helper"

            tasks.start_soon(ask)
            await settle()
            ref.cast(reply_soon)
        assert system.now() == pytest.approx(1)


async def test_stopping_during_a_call_answers_the_caller() -> None:
    async with system_of("a") as system:
        with pytest.raises(ActorDown) as caught:
            await started(system, "app/a").call(Do(stop_normally))
        assert caught.value.reason == ExitReason.NORMAL
