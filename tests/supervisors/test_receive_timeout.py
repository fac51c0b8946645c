"""News of silence: an actor may ask to be told when no message comes."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from supervisors import Actor, ChildSpec, Down, Timeout
from supervisors import sys as actors
from supervisors.testing import settle
from tests.supervisors.actors import Action, Ask, Do, Puppet, crash, hang, puppet, puppet_of, sleep, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio


def asking(seconds: float | None) -> Action:
    async def action(actor: Puppet) -> None:
        actor.receive_timeout(seconds)

    return action


async def test_silence_brings_one_timeout_after_so_many_seconds() -> None:
    class Listener(Puppet):
        async def handle_info(self, message: Any) -> None:
            self.infos.append((message, self.system.now()))

    async with tree(ChildSpec("a", Listener)) as system:
        ref = started(system, "app/a")
        await anyio.sleep(1)
        await ref.call(Do(asking(3)))
        await anyio.sleep(100)
        assert puppet_of(ref).infos == [(Timeout(3), pytest.approx(4))]


@pytest.mark.parametrize("lane", ["call", "cast", "info"])
async def test_any_message_cancels_it(lane: str) -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(3)))
        await anyio.sleep(2)
        match lane:
            case "call":
                await ref.call(Ask())
            case "cast":
                ref.cast("noted")
            case _:
                ref.send("heard")
        await anyio.sleep(100)
        assert [info for info in puppet_of(ref).infos if isinstance(info, Timeout)] == []


@pytest.mark.parametrize("lane", ["timer", "news of a death"])
async def test_a_signal_cancels_it_like_a_message(lane: str) -> None:
    async with tree(puppet("a"), puppet("b", restart="temporary")) as system:
        ref, other = started(system, "app/a"), started(system, "app/b")

        async def ask_and_watch(actor: Puppet) -> None:
            actor.monitor(other)
            actor.receive_timeout(3)

        await ref.call(Do(ask_and_watch))
        await anyio.sleep(2)
        if lane == "timer":
            system.send_after(0, ref, "timer")
        else:
            other.kill()
        await anyio.sleep(50)
        assert [type(info) for info in puppet_of(ref).infos] == [Down if lane == "news of a death" else str]


async def test_it_comes_again_only_if_asked_for_again() -> None:
    class Restless(Actor):
        def __init__(self) -> None:
            self.times: list[float] = []

        async def init(self) -> None:
            self.receive_timeout(2)

        async def handle_info(self, message: Any) -> None:
            self.times.append(self.system.now())
            if len(self.times) < 3:
                self.receive_timeout(2)

    async with tree(ChildSpec("a", Restless)) as system:
        await anyio.sleep(100)
        assert (await actors.get_state(started(system, "app/a")))["times"] == pytest.approx([2, 4, 6])


async def test_the_last_demand_counts() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(3)))
        await ref.call(Do(asking(5)))
        await anyio.sleep(100)
        assert puppet_of(ref).infos == [Timeout(5)]


async def test_it_can_be_taken_back() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")

        async def ask_and_change_ones_mind(actor: Puppet) -> None:
            actor.receive_timeout(3)
            actor.receive_timeout(None)

        await ref.call(Do(ask_and_change_ones_mind))
        await anyio.sleep(100)
        assert puppet_of(ref).infos == []


async def test_no_seconds_at_all_means_as_soon_as_nothing_waits() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(0)))
        await settle()
        await anyio.lowlevel.checkpoint()
        await settle()
        assert puppet_of(ref).infos == [Timeout(0)]
        assert system.now() == 0


async def test_a_message_that_waits_already_cancels_it() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        ref.cast(asking(1))
        ref.cast(sleep(5))
        await anyio.sleep(100)
        assert puppet_of(ref).infos == []


async def test_a_long_handler_is_no_silence() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")

        async def ask_and_work(actor: Puppet) -> None:
            actor.receive_timeout(3)
            await anyio.sleep(10)

        ref.cast(ask_and_work)
        await anyio.sleep(12)
        assert puppet_of(ref).infos == []
        await anyio.sleep(2)
        assert puppet_of(ref).infos == [Timeout(3)]


async def test_a_message_in_work_when_the_time_is_up_is_no_silence() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(3)))
        await anyio.sleep(2)
        ref.cast(sleep(10))
        await anyio.sleep(100)
        assert puppet_of(ref).infos == []


async def test_system_requests_are_no_messages() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(3)))
        await anyio.sleep(2)
        await actors.get_state(ref)
        await anyio.sleep(2)
        assert puppet_of(ref).infos == [Timeout(3)]


async def test_news_of_silence_waits_while_the_actor_is_suspended() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(3)))
        await actors.suspend(ref)
        await anyio.sleep(10)
        assert puppet_of(ref).infos == []
        await actors.resume(ref)
        await settle()
        assert puppet_of(ref).infos == [Timeout(3)]


async def test_an_impossible_number_of_seconds_is_refused_and_changes_nothing() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")

        async def ask_for_nonsense(actor: Puppet) -> None:
            actor.receive_timeout(3)
            for seconds in (-1, float("nan")):
                with pytest.raises(ValueError, match="seconds"):
                    actor.receive_timeout(seconds)

        await ref.call(Do(ask_for_nonsense))
        await anyio.sleep(10)
        assert puppet_of(ref).infos == [Timeout(3)]


@pytest.mark.parametrize("how", ["crash", "kill", "stop"])
async def test_a_demand_dies_with_its_incarnation(how: str) -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(3)))
        match how:
            case "crash":
                ref.cast(crash)
            case "kill":
                ref.kill()
            case _:
                await ref.stop()
        await anyio.sleep(10)
        assert puppet_of(started(system, "app/a")).infos == []
        assert [deadline for _, _, deadline in system.hub.timers._heap if not deadline.settled] == []


async def test_an_actor_that_ends_is_not_told_of_silence() -> None:
    async with tree(puppet("a", restart="temporary", shutdown=5, on_terminate=hang)) as system:
        ref = started(system, "app/a")
        await ref.call(Do(asking(1)))
        await ref.stop(timeout=5)
        assert puppet_of(ref).infos == []
