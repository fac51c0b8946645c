"""The turn of a session, and its leave when nobody comes any more."""

from functools import partial

import anyio
import pytest

from supervisors import ActorRef, Call, ChildSpec, DynamicSupervisor, System, UnexpectedRequest, start_child
from wardwright.runtime.session import NextTurn, SessionActor

pytestmark = pytest.mark.anyio

IDLE_S = 900.0


def sessions() -> System:
    return System("test", DynamicSupervisor(max_restarts=20, max_seconds=10.0))


async def start(system: System) -> ActorRef:
    spec = ChildSpec("s1", partial(SessionActor, "s1"), restart="transient")
    return await start_child(system.named("test"), spec)


async def test_turns_count_from_one() -> None:
    async with sessions() as system:
        session = await start(system)
        assert [await session.call(NextTurn()) for _ in range(3)] == [1, 2, 3]
        assert session.info().details == {"session_id": "s1", "turn": 3}


async def test_concurrent_requests_get_turns_of_their_own() -> None:
    async with sessions() as system:
        session = await start(system)
        turns: list[int] = []

        async def take() -> None:
            turns.append(await session.call(NextTurn()))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(take)
    assert sorted(turns) == list(range(1, 21))


async def test_a_session_that_no_request_uses_leaves_after_its_idle_time() -> None:
    async with sessions() as system:
        session = await start(system)
        await anyio.sleep(IDLE_S - 1)
        assert system.whereis("test/s1") == session
        await anyio.sleep(2)
        assert system.whereis("test/s1") is None, "it has left and is not restarted"


async def test_a_session_in_use_stays() -> None:
    async with sessions() as system:
        session = await start(system)
        for _ in range(10):
            await anyio.sleep(IDLE_S * 0.9)
            await session.call(NextTurn())
        assert session.alive

        await anyio.sleep(IDLE_S * 2 + 1)
        assert not session.alive


async def test_a_crash_loses_the_count_and_nothing_else() -> None:
    async with sessions() as system:
        session = await start(system)
        await session.call(NextTurn())
        await session.call(NextTurn())
        session.kill()
        assert await system.named("test/s1").call(NextTurn()) == 1

        await anyio.sleep(IDLE_S * 2 + 1)
        assert system.whereis("test/s1") is None, "the restarted one leaves as well"


async def test_messages_it_does_not_know_do_not_disturb_it() -> None:
    class Odd(Call[int]):
        pass

    async with sessions() as system:
        session = await start(system)
        session.send("what is this?")
        with pytest.raises(UnexpectedRequest):
            await session.call(Odd())
        assert await session.call(NextTurn()) == 1
