"""The policy `block`: who can wait stands in line, and nobody who comes later is faster."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
from anyio.abc import TaskGroup

from supervisors import (
    ActorDown,
    ActorRef,
    CallCycle,
    CallingSelf,
    CallTimeout,
    Mailbox,
    System,
)
from supervisors import sys as actors
from supervisors._child_spec import Overflow
from supervisors._lobby import BlockingInbox
from supervisors.testing import check_tree, settle
from tests.supervisors.actors import Ask, Do, Puppet, puppet, puppet_of, sleep, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio

BLOCK = Mailbox(2, "block")


def hall(trace: list[str] | None = None) -> System:
    return tree(
        puppet("a", trace, mailbox=BLOCK, restart="temporary"), puppet("b", restart="temporary", shutdown="brutal_kill")
    )


async def filled(system: System, busy: float = 5) -> ActorRef:
    """Have `a` busy for some seconds, with its mailbox full."""
    ref = started(system, "app/a")
    ref.cast(sleep(busy))
    await settle()
    assert [ref.cast("first"), ref.cast("second")] == [True, True]
    return ref


def in_line(ref: ActorRef) -> int:
    inbox = ref._cell._inbox  # type: ignore[attr-defined]
    assert isinstance(inbox, BlockingInbox)
    return len(inbox._line)


async def begin(tasks: TaskGroup, *works: Callable[[], Awaitable[object]]) -> list[object]:
    """Begin works one after the other; what they return, in the order of their ends."""
    results: list[object] = []

    async def run(work: Callable[[], Awaitable[object]]) -> None:
        results.append(await work())

    for work in works:
        tasks.start_soon(run, work)
        await settle()
    return results


async def test_what_waits_for_room_comes_in_its_order_calls_and_messages_alike() -> None:
    trace: list[str] = []
    async with hall(trace) as system:
        ref = await filled(system)
        async with anyio.create_task_group() as tasks:
            results = await begin(
                tasks,
                partial(ref.cast_wait, "third", timeout=100),
                partial(ref.call, Ask(), timeout=100),
                partial(ref.cast_wait, "fourth", timeout=100),
            )
            assert (results, in_line(ref)) == ([], 3)
            await anyio.sleep(5)
            await settle()
        assert trace[2:] == ["first", "second", "third", "fourth"]
        assert sorted(map(str, results)) == ["True", "True", "a"]
        assert in_line(ref) == 0


async def test_with_room_nobody_waits() -> None:
    async with hall() as system:
        ref = started(system, "app/a")
        assert await ref.cast_wait("first")
        assert await system.named("app/a").cast_wait("second")
        assert await ref.call(Ask()) == "a"
        assert system.now() == 0


async def test_a_cast_cannot_wait_and_is_refused() -> None:
    async with hall() as system:
        ref = await filled(system)
        assert not ref.cast("refused")
        assert not ref.send("refused")
        assert ref.info().dropped == 2
        assert system.now() == 0


async def test_nobody_who_comes_later_is_faster() -> None:
    trace: list[str] = []
    async with hall(trace) as system:
        ref = await filled(system, busy=1)

        async def barge_in(actor: Puppet) -> None:
            await anyio.sleep(1)
            actor.trace.append(f"barging in: {ref.cast('late')}")

        async with anyio.create_task_group() as tasks:
            await begin(tasks, partial(ref.cast_wait, barge_in), partial(ref.cast_wait, "patient"))
        await anyio.sleep(5)
        assert trace[2:] == ["first", "second", "barging in: True", "patient", "late"]


async def test_a_message_taken_makes_room_for_exactly_one() -> None:
    async with hall() as system:
        ref = await filled(system, busy=1)
        async with anyio.create_task_group() as tasks:
            await begin(tasks, *[partial(ref.cast_wait, sleep(1)) for _ in range(4)])
            assert in_line(ref) == 4
            await anyio.sleep(1.5)
            assert (ref.info().mailbox_depth, in_line(ref)) == (2, 1)  # two strings and the first sleep were taken
            await anyio.sleep(1)
            assert (ref.info().mailbox_depth, in_line(ref)) == (2, 0)


# --- the ways out of the line


async def test_a_message_that_found_no_room_in_time_is_not_sent() -> None:
    trace: list[str] = []
    async with hall(trace) as system:
        ref = await filled(system)
        assert not await ref.cast_wait("too late", timeout=2)
        assert system.now() == pytest.approx(2)
        assert in_line(ref) == 0
        await anyio.sleep(10)
        assert trace[2:] == ["first", "second"]


async def test_a_call_that_found_no_room_in_time_fails_unstarted_and_is_never_looked_at() -> None:
    async with hall() as system:
        ref = await filled(system)
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Ask(), timeout=2)
        assert not caught.value.started
        assert in_line(ref) == 0
        await anyio.sleep(10)
        assert ref.info().handled == 3


@pytest.mark.parametrize("what", ["call", "cast_wait"])
async def test_who_is_cancelled_in_line_sends_nothing(what: str) -> None:
    async with hall() as system:
        ref = await filled(system)
        with anyio.move_on_after(2):
            await (ref.call(Ask(), timeout=100) if what == "call" else ref.cast_wait("nothing", timeout=100))
        assert in_line(ref) == 0
        await anyio.sleep(10)
        assert ref.info().handled == 3


async def test_who_left_the_line_holds_nobody_up() -> None:
    trace: list[str] = []
    async with hall(trace) as system:
        ref = await filled(system)
        async with anyio.create_task_group() as tasks:
            results = await begin(
                tasks, partial(ref.cast_wait, "impatient", timeout=1), partial(ref.cast_wait, "patient", timeout=100)
            )
            await anyio.sleep(6)
        assert results == [False, True]
        assert trace[2:] == ["first", "second", "patient"]


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_death_sends_the_line_home_at_once(how: str) -> None:
    async with hall() as system:
        ref = await filled(system, busy=1)

        async def ask() -> str:
            with pytest.raises(ActorDown) as caught:
                await ref.call(Ask(), timeout=1000)
            return f"started: {caught.value.started}"

        async with anyio.create_task_group() as tasks:
            results = await begin(tasks, partial(ref.cast_wait, "nothing", timeout=1000), ask)
            ref.kill() if how == "kill" else await ref.stop()
        assert sorted(map(str, results)) == ["False", "started: False"]
        assert system.now() == pytest.approx(0 if how == "kill" else 1)
        check_tree(system)


async def test_a_named_call_in_line_goes_to_the_next_incarnation() -> None:
    async with tree(puppet("a", mailbox=BLOCK)) as system:
        ref = await filled(system)
        async with anyio.create_task_group() as tasks:
            results = await begin(tasks, partial(system.named("app/a").call, Ask()))
            ref.kill()
        assert results == ["a"]


@pytest.mark.parametrize("target", ["the dead", "nobody"])
async def test_waiting_for_room_with_nobody_is_refused_at_once(target: str) -> None:
    async with hall() as system:
        ref = started(system, "app/a")
        await ref.stop()
        to = ref if target == "the dead" else system.named("app/nobody")
        assert not await to.cast_wait("lost", timeout=1000)
        assert system.now() == 0


# --- who waits for whom


async def test_an_actor_does_not_wait_for_itself_to_make_room() -> None:
    async with hall() as system:
        ref = started(system, "app/a")
        outcomes: list[str] = []

        async def fill_up(actor: Puppet) -> None:
            for number in range(2):
                outcomes.append(str(await actor.ref.cast_wait(f"{number}")))
            with pytest.raises(CallingSelf):
                await actor.ref.cast_wait("one too many", timeout=1000)
            outcomes.append("refused")

        await ref.call(Do(fill_up))
        assert outcomes == ["True", "True", "refused"]
        assert in_line(ref) == 0
        assert system.now() == 0


async def test_waiting_for_room_with_one_that_waits_for_the_caller_is_a_circle() -> None:
    async with hall() as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def wait_for_room(actor: Puppet) -> tuple[str, ...]:
            while a.cast("filling up"):
                pass
            with pytest.raises(CallCycle) as caught:
                await a.cast_wait("one too many", timeout=1000)
            return caught.value.path

        async def ask(actor: Puppet) -> object:
            return await b.call(Do(wait_for_room))

        assert await a.call(Do(ask)) == ("app/b", "app/a", "app/b")
        assert in_line(a) == 0


async def test_a_call_closes_the_circle_of_one_that_waits_for_room() -> None:
    async with hall() as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def ask_back(actor: Puppet) -> None:
            await anyio.sleep(1)
            with pytest.raises(CallCycle):
                await b.call(Ask(), timeout=1000)
            actor.trace.append("refused")

        async def wait_for_room(actor: Puppet) -> None:
            while a.cast("filling up"):
                pass
            assert await a.cast_wait("waiting", timeout=1000)

        a.cast(ask_back)
        await settle()
        b.cast(wait_for_room)
        await settle()
        assert b.info().waiting_on == ("app/a",)
        await anyio.sleep(2)
        assert puppet_of(a).trace[2] == "refused"
        assert b.info().waiting_on == ()
        assert b.alive


async def test_waiting_for_room_inherits_the_deadline_of_the_request_in_hand() -> None:
    async with hall() as system:
        ref = await filled(system, busy=50)
        gave_up_at: list[float] = []

        async def wait_for_room(actor: Puppet) -> None:
            assert not await ref.cast_wait("too late", timeout=1000)
            gave_up_at.append(system.now())

        with pytest.raises(CallTimeout):
            await started(system, "app/b").call(Do(wait_for_room), timeout=3)
        await settle()
        assert gave_up_at == [pytest.approx(3)]
        ref.kill()


# --- beside the line


@pytest.mark.parametrize(("overflow", "told"), [("reject", False), ("drop_newest", True), ("drop_oldest", True)])
async def test_under_another_policy_nobody_waits_for_room(overflow: Overflow, told: bool) -> None:
    async with tree(puppet("a", mailbox=Mailbox(2, overflow))) as system:
        ref = await filled(system)
        assert await ref.cast_wait("third", timeout=1000) == told
        assert system.now() == 0


async def test_signals_pass_the_line() -> None:
    async with hall() as system:
        ref = await filled(system, busy=2)
        other = started(system, "app/b")
        async with anyio.create_task_group() as tasks:
            await begin(tasks, partial(ref.cast_wait, "in line", timeout=100))
            system.send_after(1, ref, "timer")
            await anyio.sleep(1)
            await settle()
            assert (ref.info().mailbox_depth, in_line(ref)) == (3, 1)
        await anyio.sleep(3)
        assert puppet_of(ref).infos == ["timer"]
        assert other.alive


async def test_the_line_waits_while_the_actor_is_suspended() -> None:
    trace: list[str] = []
    async with hall(trace) as system:
        ref = started(system, "app/a")
        await actors.suspend(ref)
        for message in ("first", "second"):
            assert await ref.cast_wait(message)
        async with anyio.create_task_group() as tasks:
            results = await begin(tasks, partial(ref.cast_wait, "third", timeout=100))
            await anyio.sleep(50)
            assert results == []
            await actors.resume(ref)
        assert results == [True]
        await settle()
        assert trace[2:] == ["first", "second", "third"]
