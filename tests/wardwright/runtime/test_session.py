"""A session: its turns, what it stays on, its rest when nobody comes, and that it begins again where its receipts have left it."""

import gc
import tracemalloc
from functools import partial

import anyio
import pytest

from supervisors import (
    ActorRef,
    Call,
    CallTimeout,
    DynamicSupervisor,
    System,
    UnexpectedRequest,
    child_id_in,
    start_child,
    which_children,
)
from supervisors.sys import resume, suspend
from supervisors.testing import settle
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.runtime.session import PASSIVE_AFTER_S, NextTurn, Served, SessionActor, session_spec

pytestmark = pytest.mark.anyio

CHOICES = (StickyChoice("blend", ("p/a", "p/b")), StickyChoice("other", ("q/c",)))


def sessions() -> System:
    return System("test", DynamicSupervisor(max_restarts=20, max_seconds=10.0))


async def start(system: System, recalled: SessionFacts | None = None) -> ActorRef:
    async def recall(session_id: str) -> SessionFacts | None:
        assert session_id == "s1"
        return recalled

    return await start_child(system.named("test"), session_spec("s1", partial(SessionActor, recall)))


async def turns(session: ActorRef, count: int) -> list[int]:
    return [(await session.call(NextTurn())).turn for _ in range(count)]


async def test_turns_count_from_one() -> None:
    async with sessions() as system:
        session = await start(system)
        assert await turns(session, 3) == [1, 2, 3]
        assert session.info().details == {"session_id": "s1", "turn": 3, "sticky": {}}


async def test_concurrent_requests_get_turns_of_their_own() -> None:
    async with sessions() as system:
        session = await start(system)
        taken: list[int] = []

        async def take() -> None:
            taken.append((await session.call(NextTurn())).turn)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(take)
    assert sorted(taken) == list(range(1, 21))


async def test_a_request_that_has_ceased_to_wait_is_not_counted() -> None:
    async with sessions() as system:
        session = await start(system)
        await suspend(session)
        with pytest.raises(CallTimeout):
            await session.call(NextTurn(), timeout=1)
        await resume(session)
        assert await turns(session, 2) == [1, 2]


async def test_it_stays_on_the_target_that_served_where_a_selector_may_keep_it() -> None:
    async with sessions() as system:
        session = await start(system)
        session.cast(Served("p/b", CHOICES))
        assert (await session.call(NextTurn())).sticky == {"blend": "p/b"}
        session.cast(Served("q/c", CHOICES))
        assert (await session.call(NextTurn())).sticky == {"blend": "p/b", "other": "q/c"}
        session.cast(Served("p/a", CHOICES))
        assert (await session.call(NextTurn())).sticky == {"blend": "p/a", "other": "q/c"}


async def test_it_begins_where_its_newest_receipt_has_left_it_also_after_a_crash() -> None:
    async with sessions() as system:
        session = await start(system, SessionFacts(7, {"blend": "p/a"}))
        assert await session.call(NextTurn()) == SessionFacts(8, {"blend": "p/a"})
        session.kill()
        assert (await system.named("test/s1").call(NextTurn())).turn == 8


async def test_an_idle_session_rests_and_goes_on_where_it_was() -> None:
    async with sessions() as system:
        session = await start(system)
        await turns(session, 2)
        session.cast(Served("p/b", CHOICES))
        await anyio.sleep(PASSIVE_AFTER_S * 2)
        assert session.info().status == "passive"
        assert await session.call(NextTurn()) == SessionFacts(3, {"blend": "p/b"})
        assert session.info().status == "running"


async def test_messages_it_does_not_know_do_not_disturb_it() -> None:
    class Odd(Call[int]):
        pass

    async with sessions() as system:
        session = await start(system)
        session.send("what is this?")
        session.cast("or this?")
        with pytest.raises(UnexpectedRequest):
            await session.call(Odd())
        assert await turns(session, 1) == [1]


async def test_a_session_at_rest_costs_less_than_a_kilobyte() -> None:
    async def recall(session_id: str) -> SessionFacts | None:
        return SessionFacts(len(session_id), {"blend": "p/a"})

    crowd, make = 2000, partial(SessionActor, recall)
    async with sessions() as system:
        supervisor = system.named("test")
        await start_child(supervisor, session_spec("warm", make))
        await anyio.sleep(PASSIVE_AFTER_S * 2)
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(crowd):
            await start_child(supervisor, session_spec(f"session-{number:08d}", make))
        await anyio.sleep(PASSIVE_AFTER_S * 2)
        await settle()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        listed = await which_children(supervisor)
        assert {child.status for child in listed} == {"passive"}
    assert (after - before) / crowd < 1000


@pytest.mark.parametrize("session_id", ["a/b", "..", "%2F", "with space", "grün"])
async def test_any_id_is_recalled_by_itself(session_id: str) -> None:
    recalled: list[str] = []

    async def recall(asked: str) -> None:
        recalled.append(asked)

    async with sessions() as system:
        ref = await start_child(system.named("test"), session_spec(session_id, partial(SessionActor, recall)))
        assert child_id_in(ref.path) == session_id
    assert recalled == [session_id]
