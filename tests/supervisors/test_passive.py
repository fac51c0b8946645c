"""Passive actors: nothing is left of one but its state, and nobody who knows it notices."""

import gc
import math
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

from supervisors import (
    Actor,
    ActorRef,
    Continue,
    MailboxFull,
    Passivate,
    ReplyTo,
)
from supervisors import sys as actors
from supervisors._child_spec import Mailbox
from supervisors.testing import check_tree, count_tasks, settle
from tests.supervisors.actors import started
from tests.supervisors.notebook import IDLE, Act, Home, Note, Notebook, Owe, Read, home, pause, raise_boom

pytestmark = pytest.mark.anyio


# --- going passive, and coming back


async def test_an_idle_actor_goes_passive_and_the_next_message_brings_it_back_as_it_was() -> None:
    async with home() as here:
        tasks = count_tasks()
        ref = await here.notebook()
        await ref.call(Note("one"))
        await anyio.sleep(IDLE - 1)
        assert ref.info().status == "running"
        await anyio.sleep(2)
        assert ref.info().status == "passive"
        assert count_tasks() == tasks
        assert await ref.call(Note("two")) == 2
        assert here.trace == ["init", "passivate", "activate"]
        await settle()
        check_tree(here.system)


async def test_nothing_is_left_of_the_object() -> None:
    async with home() as here:
        gc.collect()
        before = len(Notebook.living)
        await here.sleeper()
        gc.collect()
        assert len(Notebook.living) == before


async def test_nothing_is_left_of_the_state_that_was_taken_up_again() -> None:
    class Leaving(Notebook):
        def passivate(self) -> Any:
            left.append(weakref.ref(state := LeftBehind()))
            return state

        async def activate(self, state: Any) -> None:
            assert isinstance(state, LeftBehind)

    left: list[weakref.ref[LeftBehind]] = []
    async with home() as here:
        ref = await here.sleeper(start=Leaving)
        [state] = left
        gc.collect()
        assert state() is not None
        await ref.call(Read())
        gc.collect()
        assert state() is None


class LeftBehind:
    pass


async def test_any_message_puts_it_off_by_the_whole_time() -> None:
    async with home() as here:
        ref = await here.notebook()
        for _ in range(3):
            await anyio.sleep(IDLE - 1)
            ref.cast("again")
        await anyio.sleep(IDLE - 1)
        assert here.trace == ["init"]
        await anyio.sleep(1.5)
        assert here.trace == ["init", "passivate"]


async def test_a_long_handler_is_no_idleness() -> None:
    async with home() as here:
        ref = await here.notebook()

        async def work(actor: Notebook) -> None:
            await anyio.sleep(2.5 * IDLE)

        ref.cast(work)
        await anyio.sleep(3.4 * IDLE)
        assert here.trace == ["init"]
        await anyio.sleep(0.2 * IDLE)
        assert here.trace == ["init", "passivate"]


@pytest.mark.parametrize("lane", ["call", "cast", "info", "continue"])
async def test_an_actor_may_ask_for_it(lane: str) -> None:
    async def ask(actor: Notebook) -> Passivate:
        return Passivate()

    class Asking(Notebook):
        async def init(self) -> Continue | None:  # type: ignore[override]
            return Continue("rest") if lane == "continue" else None

        async def handle_continue(self, message: Any) -> Passivate:  # type: ignore[override]
            return Passivate()

        async def handle_info(self, message: Any) -> Passivate:
            return Passivate()

    async with home() as here:
        ref = await here.notebook(start=Asking, passivate_after=math.inf)
        match lane:
            case "call":
                assert await ref.call(Note("one", Passivate)) == 1
            case "cast":
                ref.cast(ask)
            case "info":
                ref.send("rest")
        await settle()
        assert ref.info().status == "passive"
        assert await ref.call(Note("two")) == (2 if lane == "call" else 1)


async def test_without_leave_to_do_so_it_goes_on() -> None:
    async with home() as here:
        ref = await here.notebook(passivate_after=None)
        assert await ref.call(Note("one", Passivate)) == 1
        await anyio.sleep(1000)
        assert ref.info().status == "running"


async def test_with_nothing_but_leave_it_waits_until_it_asks() -> None:
    async with home() as here:
        ref = await here.notebook(passivate_after=math.inf)
        await anyio.sleep(10**6)
        assert ref.info().status == "running"


async def test_by_default_the_attributes_are_the_state() -> None:
    class Plain(Actor):
        def __init__(self) -> None:
            self.total = 0

        async def handle_call(self, request: Note, reply_to: ReplyTo[int]) -> Any:
            self.total += 1
            return Passivate(self.total)

    async with home() as here:
        ref = await here.notebook(start=Plain)
        assert [await ref.call(Note("more")) for _ in range(3)] == [1, 2, 3]


async def test_what_a_temporary_child_was_made_from_is_kept_as_long_as_it_may_be_needed() -> None:
    async with home() as here:
        ref = await here.sleeper(restart="temporary")
        assert await ref.call(Read()) == ["before"]
        ref.cast(raise_boom)
        await settle()
        assert await here.counts() == (0, 0, 0)


# --- no message is lost, none is overtaken, nobody wakes it twice


async def test_messages_arrive_in_order_whoever_sends_them() -> None:
    async with home() as here:
        ref = await here.sleeper()
        name = here.system.named("app/pool/a")
        ref.cast("1")
        name.cast("2")
        ref.send("3")
        assert await name.call(Note("4")) == 5
        assert await ref.call(Read()) == ["before", "1", "2", "info 3", "4"]
        assert here.trace.count("activate") == 1


async def test_many_callers_at_once_wake_it_once() -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=partial(pause, 1))
        answers: list[int] = []

        async def note(number: int) -> None:
            answers.append(await here.system.named("app/pool/a").call(Note(str(number))))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(note, number)
        assert sorted(answers) == list(range(2, 22))
        assert here.trace.count("activate") == 1
        assert here.trace.count("init") == 1
        assert ref.alive


async def test_a_message_that_comes_of_going_passive_is_handled_and_the_actor_stays() -> None:
    class Torn(Notebook):
        def passivate(self) -> tuple[str, ...]:
            self.ref.cast("parting word")
            return super().passivate()

    async with home() as here:
        ref = await here.notebook(start=partial(Torn, here.trace), passivate_after=math.inf)
        await ref.call(Note("one", Passivate))
        await settle()
        assert ref.info().status == "running"
        assert here.trace == ["init", "passivate"]
        assert await ref.call(Read()) == ["one", "parting word"]


async def test_a_continuation_comes_before_what_woke_it() -> None:
    async def go_on(actor: Notebook) -> Continue:
        return Continue("unpack")

    async with home() as here:
        ref = await here.sleeper(on_activate=go_on)
        await ref.call(Note("after"))
        assert await ref.call(Read()) == ["before", "continue unpack", "after"]


async def test_its_mailbox_is_bounded_while_it_wakes() -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=partial(pause, 1), mailbox=Mailbox(2))
        assert [ref.cast(str(number)) for number in range(3)] == [True, True, False]
        with pytest.raises(MailboxFull):
            await ref.call(Read())


async def test_who_would_wait_for_room_finds_some() -> None:
    async with home() as here:
        ref = await here.sleeper(mailbox=Mailbox(1, "block"), on_activate=partial(pause, 1))
        assert await ref.cast_wait("1")
        assert await here.system.named("app/pool/a").cast_wait("2")
        assert await ref.call(Read()) == ["before", "1", "2"]


# --- what keeps it from going passive


async def owe(here: Home, ref: ActorRef) -> Callable[[], object]:
    waiting = anyio.create_task_group()
    await waiting.__aenter__()
    waiting.start_soon(ref.call, Owe(), 1000)
    await settle()

    async def settle_it(actor: Notebook) -> None:
        actor.owed.pop().reply(None)

    async def end() -> None:
        ref.cast(settle_it)
        await waiting.__aexit__(None, None, None)

    return end


async def have_a_helper(here: Home, ref: ActorRef) -> Callable[[], object]:
    async def spawn(actor: Notebook) -> None:
        actor.helpers.append(actor.spawn(anyio.sleep_forever))

    async def dismiss(actor: Notebook) -> None:
        actor.helpers.pop().cancel()

    ref.cast(spawn)
    return partial(ref.call, Act(dismiss))


async def have_a_link(here: Home, ref: ActorRef) -> Callable[[], object]:
    other = started(here.system, "app/other")

    async def link(actor: Notebook) -> None:
        actor.link(other)

    async def unlink(actor: Notebook) -> None:
        actor.unlink(other)

    ref.cast(link)
    return partial(ref.call, Act(unlink))


async def expect_a_timeout(here: Home, ref: ActorRef) -> Callable[[], object]:
    async def expect(actor: Notebook) -> None:
        actor.receive_timeout(1000)

    async def forget(actor: Notebook) -> None:
        actor.receive_timeout(None)

    ref.cast(expect)
    return partial(ref.call, Act(forget))


async def be_suspended(here: Home, ref: ActorRef) -> Callable[[], object]:
    await actors.suspend(ref)
    return partial(actors.resume, ref)


@pytest.mark.parametrize("begin", [owe, have_a_helper, have_a_link, expect_a_timeout, be_suspended])
async def test_what_is_under_way_keeps_it_until_it_is_over(begin: Callable[..., Any]) -> None:
    async with home() as here:
        ref = await here.notebook()
        end = await begin(here, ref)
        await anyio.sleep(5 * IDLE)
        assert "passivate" not in here.trace
        await end()
        await anyio.sleep(2 * IDLE)
        assert here.trace == ["init", "passivate"]


async def test_somebody_who_waits_for_its_end_keeps_it() -> None:
    async with home() as here:
        ref = await here.notebook()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref._cell.wait_exit)
            await anyio.sleep(3 * IDLE)
            assert here.trace == ["init"]
            ref.kill()


# --- suspended


async def test_suspending_and_resuming_it_leave_it_passive() -> None:
    async with home() as here:
        ref = await here.sleeper()
        await actors.suspend(ref)
        assert ref.info().status == "suspended"
        await actors.resume(ref)
        assert ref.info().status == "passive"
        assert here.trace == ["init", "passivate"]
        assert await ref.call(Read()) == ["before"]


async def test_a_message_to_a_suspended_one_waits_for_its_resumption() -> None:
    async with home() as here:
        ref = await here.sleeper()
        await actors.suspend(ref)
        ref.cast("1")
        ref.cast("2")
        await anyio.sleep(5 * IDLE)
        assert (ref.info().status, ref.info().mailbox_depth) == ("suspended", 2)
        await actors.resume(ref)
        assert await ref.call(Read()) == ["before", "1", "2"]


async def test_asking_for_its_state_wakes_it() -> None:
    async with home() as here:
        ref = await here.sleeper()
        assert (await actors.get_state(ref))["notes"] == ["before"]
        assert (await actors.get_status(ref)).status == "running"
        await anyio.sleep(2 * IDLE)
        assert ref.info().status == "passive"
