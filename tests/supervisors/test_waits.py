"""A circle of waits is found before it closes, and only a circle."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import (
    ActorDown,
    ActorRef,
    Call,
    CallCycle,
    CallingSelf,
    CallTimeout,
    ExitReason,
    System,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors._waits import find_trail
from supervisors.testing import settle
from tests.supervisors.actors import Action, Ask, Do, Puppet, crash, group, hang, puppet, sleep, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio


def system_of(*ids: str) -> System:
    return tree(*[puppet(child, restart="temporary") for child in ids])


@dataclass(eq=False)
class Somebody:
    path: str
    waiting_on: list["Somebody"] = field(default_factory=list)


def crowd(size: int, waits: list[tuple[int, int]]) -> list[Somebody]:
    people = [Somebody(str(number)) for number in range(size)]
    for one, other in waits:
        people[one % size].waiting_on.append(people[other % size])
    return people


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_a_trail_is_found_exactly_when_there_is_one_and_each_step_is_a_wait(
    size: int, waits: list[tuple[int, int]]
) -> None:
    people = crowd(size, waits)
    edges = {(one % size, other % size) for one, other in waits}
    reachable = {0}
    for _ in range(size):
        reachable |= {other for one, other in edges if one in reachable}
    for goal in people:
        trail = find_trail(people[0], goal)
        assert (trail is not None) == (int(goal.path) in reachable)
        if trail is not None:
            steps = [int(path) for path in trail]
            assert (steps[0], steps[-1]) == (0, int(goal.path))
            assert set(pairwise(steps)) <= edges


def test_a_queue_of_waits_may_be_longer_than_the_stack_is_deep() -> None:
    people = crowd(50_000, [(number, number + 1) for number in range(49_999)])
    trail = find_trail(people[0], people[-1])
    assert trail is not None
    assert len(trail) == 50_000
    assert find_trail(people[0], Somebody("stranger")) is None


async def test_an_actor_may_not_call_itself() -> None:
    async with system_of("a") as system:
        ref = started(system, "app/a")

        async def call_self(puppet: Puppet) -> str:
            with pytest.raises(CallingSelf):
                await puppet.ref.call(Ask(), timeout=1000)
            with pytest.raises(CallingSelf):
                await puppet.system.named("app/a").call(Ask(), timeout=1000)
            with pytest.raises(CallingSelf):
                await puppet.ref.stop()
            return "refused"

        assert await ref.call(Do(call_self)) == "refused"
        assert system.now() == 0


async def test_a_circle_of_two_is_refused_with_its_path() -> None:
    async with system_of("a", "b") as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def call_back(puppet: Puppet) -> tuple[str, ...]:
            with pytest.raises(CallCycle) as caught:
                await a.call(Ask(), timeout=1000)
            return caught.value.path

        async def call_forth(puppet: Puppet) -> tuple[str, ...]:
            path: tuple[str, ...] = await b.call(Do(call_back), timeout=1000)
            return path

        assert await a.call(Do(call_forth), timeout=1000) == ("app/b", "app/a", "app/b")
        assert system.now() == 0


async def test_two_that_call_each_other_at_once_do_not_wait_forever() -> None:
    async with system_of("a", "b") as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        outcomes: list[str] = []

        def calls(other: ActorRef) -> Action:
            async def action(puppet: Puppet) -> None:
                try:
                    outcomes.append(await other.call(Ask(), timeout=1000))
                except CallCycle:
                    outcomes.append("cycle")

            return action

        a.cast(calls(b))
        b.cast(calls(a))
        await settle()
        assert len(outcomes) == 2
        assert "cycle" in outcomes
        assert system.now() == 0


async def test_a_circle_of_three_is_refused() -> None:
    async with system_of("a", "b", "c") as system:
        a, b, c = (started(system, f"app/{child}") for child in "abc")

        async def third(puppet: Puppet) -> tuple[str, ...]:
            with pytest.raises(CallCycle) as caught:
                await a.call(Ask())
            return caught.value.path

        async def second(puppet: Puppet) -> object:
            return await c.call(Do(third))

        async def first(puppet: Puppet) -> object:
            return await b.call(Do(second))

        assert await a.call(Do(first)) == ("app/c", "app/a", "app/b", "app/c")


async def test_a_child_that_calls_its_supervisor_from_init_is_refused() -> None:
    caught: list[CallCycle] = []

    async def ask_supervisor(puppet: Puppet) -> None:
        try:
            await which_children(puppet.system.named("app"), timeout=1000)
        except CallCycle as cycle:
            caught.append(cycle)

    async with tree(puppet("a", on_init=ask_supervisor)) as system:
        assert [cycle.path for cycle in caught] == [("app/a", "app", "app/a")]
        assert system.now() == 0


async def test_nobody_is_waited_for_after_a_call() -> None:
    async with system_of("a", "b") as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def call_b(puppet: Puppet) -> None:
            with anyio.move_on_after(1):
                await b.call(Do(sleep(5)))
            with pytest.raises(CallTimeout):
                await b.call(Ask(), timeout=1)

        await a.call(Do(call_b))
        assert a.info().waiting_on == ()

        async def call_a(puppet: Puppet) -> str:
            return await a.call(Ask())

        assert await b.call(Do(call_a), timeout=20) == "a"


def passing_on(ref: ActorRef, request: Call[Any]) -> Action:
    async def action(actor: Puppet) -> Any:
        return await ref.call(request, timeout=1000)

    return action


async def test_a_long_queue_of_calls_is_no_circle() -> None:
    async with tree(*[puppet(str(number)) for number in range(30)]) as system:
        refs = [started(system, f"app/{number}") for number in range(30)]
        request: Call[str] = Ask()
        for ref in reversed(refs[1:]):
            request = Do(passing_on(ref, request))
        assert await refs[0].call(request, timeout=1000) == "29"


async def test_the_last_of_a_long_queue_cannot_call_the_first() -> None:
    async with tree(*[puppet(str(number)) for number in range(30)]) as system:
        refs = [started(system, f"app/{number}") for number in range(30)]
        outcome: list[CallCycle] = []

        async def close_the_circle(actor: Puppet) -> None:
            try:
                await refs[0].call(Ask(), timeout=1000)
            except CallCycle as cycle:
                outcome.append(cycle)

        request = Do(close_the_circle)
        for ref in reversed(refs[1:]):
            request = Do(passing_on(ref, request))
        await refs[0].call(request, timeout=1000)
        assert outcome[0].path == ("app/29", *(f"app/{number}" for number in range(30)))


async def test_two_askers_of_one_actor_are_no_circle() -> None:
    async with tree(puppet("a"), puppet("b"), puppet("c")) as system:
        a, b, c = (started(system, f"app/{child}") for child in "abc")
        a.cast(passing_on(c, Ask()))
        b.cast(passing_on(c, Ask()))
        await settle()
        assert a.info().waiting_on == b.info().waiting_on == ()
        assert c.info().handled == 2


async def test_waiting_for_the_end_of_one_that_waits_for_the_caller_is_a_circle() -> None:
    async with tree(puppet("a"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def stop_the_caller(actor: Puppet) -> tuple[str, ...]:
            with pytest.raises(CallCycle) as caught:
                await a.stop(timeout=None)
            return caught.value.path

        assert await a.call(Do(passing_on(b, Do(stop_the_caller)))) == ("app/b", "app/a", "app/b")
        assert system.now() == 0


async def test_calling_one_whose_end_the_target_waits_for_is_a_circle() -> None:
    async with tree(puppet("a"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        outcome: list[tuple[str, ...]] = []

        async def stop_b(actor: Puppet) -> None:
            await b.stop(timeout=None)

        async def call_a_later(actor: Puppet) -> None:
            await anyio.sleep(1)
            try:
                await a.call(Ask(), timeout=1000)
            except CallCycle as cycle:
                outcome.append(cycle.path)

        b.cast(call_a_later)
        await settle()
        a.cast(stop_b)
        await anyio.sleep(2)
        assert outcome == [("app/b", "app/a", "app/b")]


async def test_a_child_that_is_being_stopped_cannot_call_its_supervisor() -> None:
    outcome: list[tuple[str, ...]] = []

    async def call_the_supervisor(actor: Puppet) -> None:
        try:
            await start_child(actor.system.named("app/group"), puppet("y"))
        except CallCycle as cycle:
            outcome.append(cycle.path)

    async with tree(group(puppet("x", on_terminate=call_the_supervisor))) as system:
        await terminate_child(system.named("app/group"), "x")
        assert outcome == [("app/group/x", "app/group", "app/group/x")]
        assert system.now() == 0


async def test_the_init_of_a_child_that_is_started_by_hand_cannot_call_its_supervisor() -> None:
    outcome: list[tuple[str, ...]] = []

    async def call_the_supervisor(actor: Puppet) -> None:
        try:
            await restart_child(actor.system.named("app"), "a")
        except CallCycle as cycle:
            outcome.append(cycle.path)

    async with tree() as system:
        await start_child(system.named("app"), puppet("b", on_init=call_the_supervisor))
        assert outcome == [("app/b", "app", "app/b")]


async def test_a_circle_through_the_init_of_a_child_is_refused() -> None:
    """The starter waits for the supervisor, which waits for the child's `init`, which asks the starter."""
    outcome: list[tuple[str, ...]] = []

    async def start_below(actor: Puppet) -> None:
        async def ask_the_starter(child: Puppet) -> None:
            try:
                await actor.ref.call(Ask(), timeout=1000)
            except CallCycle as cycle:
                outcome.append(cycle.path)

        await start_child(actor.system.named("app/group"), puppet("x", on_init=ask_the_starter))

    async with tree(group(), puppet("a")) as system:
        await started(system, "app/a").call(Do(start_below))
        assert outcome == [("app/group/x", "app/a", "app/group", "app/group/x")]
        assert system.now() == 0


async def test_a_child_that_has_itself_terminated_ends_within_its_shutdown_time() -> None:
    async def terminate_oneself(actor: Puppet) -> None:
        await terminate_child(actor.system.named("app"), "a")

    async with tree(puppet("a", shutdown=3)) as system:
        ref = started(system, "app/a")
        ref.cast(terminate_oneself)
        await anyio.sleep(4)
        assert ref.info().exit_reason == ExitReason.KILLED
        assert system.whereis("app/a") is None


@pytest.mark.parametrize("end", ["answer", "deadline", "cancellation", "death"])
async def test_nobody_is_waited_for_once_a_wait_is_over(end: str) -> None:
    async with tree(puppet("a"), puppet("b", restart="temporary")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def wait(actor: Puppet) -> None:
            match end:
                case "answer":
                    await b.call(Ask())
                case "deadline":
                    with pytest.raises(CallTimeout):
                        await b.call(Do(sleep(2)), timeout=1)
                case "cancellation":
                    with anyio.move_on_after(1):
                        await b.call(Do(sleep(2)))
                case _:
                    with pytest.raises(ActorDown):
                        await b.call(Do(crash))

        await a.call(Do(wait))
        assert a.info().waiting_on == ()


async def test_a_wait_of_code_outside_the_tree_closes_no_circle() -> None:
    async with tree(puppet("a")) as system:
        assert await _ask_from_outside(system) == "a"


async def _ask_from_outside(system: System) -> str:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(system.monitor(started(system, "app/a")).wait)
        answer = await started(system, "app/a").call(Ask())
        tasks.cancel_scope.cancel()
    return answer


async def test_a_call_that_would_close_a_circle_sends_nothing() -> None:
    async with tree(puppet("a"), puppet("b", restart="temporary")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")

        async def call_back(actor: Puppet) -> int:
            with pytest.raises(CallCycle):
                await a.call(Do(hang))
            return a.info().mailbox_depth

        assert await a.call(Do(passing_on(b, Do(call_back)))) == 0
        assert await a.call(Ask()) == "a"
