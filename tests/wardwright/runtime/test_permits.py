"""Permits are handed out in order, go back whatever happens, and are never lost on the way to somebody who has left."""

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisors.testing import settle
from wardwright.runtime.permits import Permits

pytestmark = pytest.mark.anyio


class Crowd:
    """Tasks that take a permit, note it, and hold it until told otherwise."""

    def __init__(self, permits: Permits) -> None:
        self.permits = permits
        self.served: list[str] = []
        self.sent_away: list[str] = []
        self.scopes: dict[str, anyio.CancelScope] = {}
        self._ends: dict[str, anyio.Event] = {}

    async def come(self, name: str, subject: str = "a") -> None:
        self._ends[name] = anyio.Event()
        with anyio.CancelScope() as scope:
            self.scopes[name] = scope
            if not await self.permits.take(subject):
                self.sent_away.append(name)
                return
            try:
                self.served.append(name)
                await self._ends[name].wait()
            finally:
                self.permits.give_back()

    def end(self, name: str) -> None:
        self._ends[name].set()


async def test_who_came_first_is_served_first() -> None:
    crowd = Crowd(Permits(1))
    async with anyio.create_task_group() as tasks:
        for name in "abcd":
            tasks.start_soon(crowd.come, name)
            await settle()
        assert (crowd.served, crowd.permits.waiting) == (["a"], 3)
        assert not crowd.permits.take_nowait(), "nobody overtakes the queue"
        for name in "abcd":
            crowd.end(name)
            await settle()
        assert crowd.served == list("abcd")
    assert (crowd.permits.in_use, crowd.permits.waiting) == (0, 0)


async def test_a_place_in_the_queue_that_is_given_up_goes_to_the_next() -> None:
    crowd = Crowd(Permits(1))
    async with anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(crowd.come, name)
            await settle()
        crowd.scopes["b"].cancel()
        await settle()
        assert crowd.permits.waiting == 1
        crowd.end("a")
        await settle()
        assert crowd.served == ["a", "c"]
        crowd.end("c")
    assert crowd.permits.in_use == 0


async def test_a_permit_that_comes_to_somebody_who_is_just_leaving_goes_to_the_next() -> None:
    permits = Permits(1)
    crowd = Crowd(permits)
    assert permits.take_nowait()
    async with anyio.create_task_group() as tasks:
        for name in "bc":
            tasks.start_soon(crowd.come, name)
            await settle()
        crowd.scopes["b"].cancel()
        permits.give_back()  # in the same instant: b is still in the queue, and will never run again
        await settle()
        assert (crowd.served, permits.in_use) == (["c"], 1)
        crowd.end("c")
    assert permits.in_use == 0


async def test_those_who_wait_can_be_sent_away_all_or_some() -> None:
    crowd = Crowd(Permits(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.come, "first")
        await settle()
        for name, subject in (("b", "x"), ("c", "y"), ("d", "x")):
            tasks.start_soon(crowd.come, name, subject)
            await settle()
        crowd.permits.turn_away("x")
        await settle()
        assert (sorted(crowd.sent_away), crowd.permits.waiting) == (["b", "d"], 1)
        crowd.permits.turn_away()
        await settle()
        assert crowd.sent_away[-1] == "c"
        crowd.end("first")
    assert (crowd.permits.in_use, crowd.permits.waiting) == (0, 0)


async def test_more_permits_serve_the_queue_at_once_and_fewer_take_none_away() -> None:
    crowd = Crowd(Permits(1))
    async with anyio.create_task_group() as tasks:
        for name in "abcd":
            tasks.start_soon(crowd.come, name)
            await settle()
        crowd.permits.resize(3)
        await settle()
        assert sorted(crowd.served) == ["a", "b", "c"]
        crowd.permits.resize(1)
        crowd.end("a")
        await settle()
        assert (sorted(crowd.served), crowd.permits.in_use) == (["a", "b", "c"], 2)
        crowd.end("b")
        crowd.end("c")
        await settle()
        assert crowd.served[-1] == "d"
        crowd.end("d")
    assert crowd.permits.in_use == 0


@given(
    limit=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["come", "end", "leave", "resize", "away"]), st.integers(0, 7)), max_size=40
    ),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_whatever_happens_permits_are_counted_right_and_order_is_kept(
    limit: int, steps: list[tuple[str, int]]
) -> None:
    crowd = Crowd(Permits(limit))
    came: list[str] = []
    left: set[str] = set()
    async with anyio.create_task_group() as tasks:
        for number, (step, which) in enumerate(steps):
            name = f"{number}"
            chosen = came[which % len(came)] if came else None
            if step == "come":
                came.append(name)
                tasks.start_soon(crowd.come, name)
                await settle()
            elif step == "resize":
                crowd.permits.resize(which + 1)
            elif step == "away":
                crowd.permits.turn_away()
            elif chosen is not None and step == "end":
                crowd.end(chosen)
            elif chosen is not None:
                left.add(chosen)
                crowd.scopes[chosen].cancel()
            if which % 2:
                await settle()  # sometimes two things happen in one instant
            assert crowd.permits.in_use >= 0
        await settle()
        assert not (crowd.permits.waiting and crowd.permits.in_use < crowd.permits.limit), "nobody waits for nothing"
        waiting = set(came) - left - set(crowd.served) - set(crowd.sent_away)
        assert max(map(int, crowd.served), default=0) <= min(map(int, waiting), default=1000), "nobody overtakes"
        tasks.cancel_scope.cancel()
    assert (crowd.permits.in_use, crowd.permits.waiting) == (0, 0)
