"""Passive actors: one that was passive is the same incarnation, whoever knows it by whatever."""

from functools import partial
from typing import Any

import anyio
import pytest

from supervisors import (
    Actor,
    AlreadyStarted,
    ChildCounts,
    ChildSpec,
    Down,
    ExitReason,
    InvalidChildSpec,
    MonitorRef,
    Passivate,
    PubSub,
    Supervisor,
    SupervisorReport,
    System,
    TooManyChildren,
    Traced,
    count_children,
    start_child,
    which_children,
)
from supervisors import sys as actors
from supervisors.testing import EventLog, check_tree, settle
from tests.supervisors.actors import Boom, Do, started
from tests.supervisors.notebook import IDLE, Note, Notebook, Read, home, raise_boom

pytestmark = pytest.mark.anyio


# --- it is the same incarnation


async def test_its_handle_its_names_and_its_monitors_stay() -> None:
    async with home() as here:
        ref = await here.notebook()
        here.system.register("alias", ref)
        monitor = here.system.monitor(ref)
        for _ in range(3):
            await ref.call(Note("rest", Passivate))
            await settle()
            assert ref.alive
            assert here.system.whereis("app/pool/a") == ref
            assert here.system.whereis("alias") == ref
            assert len({ref, here.system.whereis("alias")}) == 1
            assert here.system.named("alias").cast("woken")
            await settle()
        ref.kill()
        assert (await monitor.wait()).reason == ExitReason.KILLED
        assert here.system.whereis("alias") is None


async def test_a_passive_actor_can_be_named_and_watched() -> None:
    async with home() as here:
        ref = await here.sleeper(restart="temporary")
        here.system.register("alias", ref)
        with pytest.raises(AlreadyStarted):
            here.system.register("app/other", ref)
        kept, dropped = here.system.monitor(ref), here.system.monitor(here.system.named("alias"))
        dropped.demonitor()
        here.system.unregister("alias")
        assert here.system.whereis("alias") is None
        assert ref.info().status == "passive"
        ref.kill()
        assert (await kept.wait()).ref == ref
        assert dropped._down is None


async def test_news_that_it_was_waiting_for_wakes_it() -> None:
    monitors: list[MonitorRef] = []

    async with home() as here:
        other = started(here.system, "app/other")

        async def watch(actor: Notebook) -> Passivate:
            monitors.append(actor.monitor(other))
            return Passivate()

        ref = await here.notebook()
        ref.cast(watch)
        await settle()
        assert ref.info().status == "passive"
        other.kill()
        await settle()
        assert await ref.call(Read()) == [f"info {Down.__name__}"]


async def test_its_own_watch_ends_with_it() -> None:
    async with home() as here:
        other = started(here.system, "app/other")

        async def watch(actor: Notebook) -> Passivate:
            actor.monitor(other)
            return Passivate()

        ref = await here.notebook(restart="temporary")
        ref.cast(watch)
        await settle()
        ref.kill()
        assert other._cell._tied().watchers == {}


async def test_what_is_published_wakes_it() -> None:
    topics = PubSub()
    async with home() as here:
        ref = await here.notebook(restart="temporary")
        topics.subscribe("news", ref)
        await ref.call(Note("one", Passivate))
        await settle()
        assert topics.publish("news", "rain") == 1
        assert await ref.call(Read()) == ["one", "info rain"]
        await ref.call(Note("rest", Passivate))
        await settle()
        ref.kill()
        assert topics.subscribers("news") == 0


async def test_a_timer_wakes_it() -> None:
    async with home() as here:
        ref = await here.notebook()
        here.system.send_after(5 * IDLE, ref, "alarm")
        await anyio.sleep(4 * IDLE)
        assert ref.info().status == "passive"
        await anyio.sleep(IDLE + 1)
        assert ref.info().status == "running"
        assert await ref.call(Read()) == ["info alarm"]


async def test_a_link_wakes_it() -> None:
    async with home() as here:
        ref = await here.sleeper(restart="temporary")
        other = started(here.system, "app/other")

        async def link(actor: Any) -> None:
            actor.link(ref)

        await other.call(Do(link))
        await settle()
        assert ref.info().links == ("app/other",)
        other.kill()
        await settle()
        assert ref.info().exit_reason == ExitReason.KILLED


async def test_a_trace_goes_on_and_what_was_said_once_is_not_said_again() -> None:
    class Strict(Notebook):
        async def handle_cast(self, message: Any) -> Passivate:
            await Actor.handle_cast(self, message)
            return Passivate()

    async with home() as here:
        ref = await here.notebook(start=Strict)
        await actors.trace(ref, to=True)
        for _ in range(3):
            ref.cast("unknown")
            await settle()
        assert [event.lane for event in here.log.of(Traced)] == ["cast"] * 3
        assert len(here.log.events) - len(here.log.of(Traced)) == 1 + len(
            [e for e in here.log.events if is_progress(e)]
        )


# --- its supervisor's view


async def test_it_is_listed_and_counted_as_what_it_is() -> None:
    async with home() as here:
        ref = await here.sleeper("a/b")
        await here.notebook("live")
        assert await count_children(here.pool) == ChildCounts(2, 1, supervisors=0, workers=2, passive=1)
        live, passive = await which_children(here.pool)
        assert (live.id, live.status) == ("live", "running")
        assert (passive.id, passive.ref, passive.status, passive.restart) == ("a/b", ref, "passive", "permanent")
        node = here.system.tree().find("app/pool")
        assert node is not None
        assert ([child.id for child in node.children], node.passive) == (["live"], 1)
        node = here.system.node("app/pool/a%2Fb")
        assert node is not None
        assert (node.id, node.kind, node.status) == ("a/b", "Notebook", "passive")
        info = ref.info()
        assert (info.path, info.kind, info.mailbox_depth, info.details) == ("app/pool/a%2Fb", "Notebook", 0, {})


async def test_it_has_its_place_among_the_children() -> None:
    async with home(max_children=2) as here:
        await here.sleeper("a")
        await here.sleeper("b")
        with pytest.raises(AlreadyStarted):
            await here.notebook("a")
        with pytest.raises(TooManyChildren):
            await here.notebook("c")
        here.system.named("app/pool/a").cast("woken")
        await settle()
        assert await here.counts() == (2, 1, 1)


async def test_those_that_have_been_passive_for_longest_give_way() -> None:
    async with home(max_passive=2) as here:
        a, b = await here.sleeper("a"), await here.sleeper("b")
        monitor = here.system.monitor(b)
        await a.call(Note("woken", Passivate))
        await settle()
        await here.sleeper("c")
        assert (await monitor.wait()).reason == ExitReason.SHUTDOWN
        assert here.system.whereis("app/pool/b") is None
        assert await here.counts() == (2, 0, 2)
        assert await a.call(Read()) == ["before", "woken"]
        assert here.log.of(SupervisorReport) == []
        check_tree(here.system)


async def test_its_history_is_not_forgotten() -> None:
    async with home() as here:
        await here.notebook()
        here.system.named("app/pool/a").cast(raise_boom)
        await settle()
        ref = started(here.system, "app/pool/a")
        await ref.call(Note("one", Passivate))
        await settle()
        assert ref.info().restarts == 1
        assert isinstance(ref.info().last_exit.error, Boom)  # type: ignore[union-attr]
        await ref.call(Read())
        assert ref.info().restarts == 1
        ref.cast(raise_boom)
        await settle()
        assert started(here.system, "app/pool/a").info().restarts == 2


async def test_children_made_alike_share_what_they_are_made_from() -> None:
    async with home() as here:
        factory = partial(Notebook, here.trace)
        refs = [await here.sleeper(str(number), start=factory) for number in range(40)]
        refs += [await here.sleeper(f"own {number}") for number in range(40)]
        recipes = {id(ref._cell.recipe) for ref in refs[:40]}  # type: ignore[attr-defined]
        assert len(recipes) == 1
        assert [await ref.call(Read()) for ref in refs] == [["before"]] * 80
        assert {ref.path for ref in refs} == {
            *(f"app/pool/{number}" for number in range(40)),
            *(f"app/pool/own {number}" for number in range(40)),
        }


@pytest.mark.parametrize("harm", ["kill passive", "crash awake"])
async def test_a_child_that_shares_what_it_is_made_from_comes_back_under_its_own_name(harm: str) -> None:
    async with home() as here:
        factory = partial(Notebook, here.trace)
        await here.sleeper("a", start=factory)
        ref = await here.sleeper("b/c", start=factory)
        if harm == "kill passive":
            ref.kill()
        else:
            ref.cast(raise_boom)
        await settle()
        successor = started(here.system, "app/pool/b%2Fc")
        assert successor != ref
        assert await successor.call(Read()) == []
        assert [child.id for child in await which_children(here.pool)] == ["b/c", "a"]


def is_progress(event: object) -> bool:
    return type(event).__name__ == "Progress"


# --- where there is no such thing


async def test_a_static_supervisor_has_no_passive_children() -> None:
    spec = ChildSpec("a", Notebook, passivate_after=1)
    with pytest.raises(InvalidChildSpec, match="passivate_after"):
        Supervisor([spec])
    async with System("app", Supervisor(), on_event=EventLog()) as system:
        with pytest.raises(InvalidChildSpec, match="passivate_after"):
            await start_child(system.named("app"), spec)


@pytest.mark.parametrize("seconds", [0, -1, "soon", True])
def test_a_time_that_makes_no_sense_is_named(seconds: Any) -> None:
    with pytest.raises(InvalidChildSpec, match="passivate_after"):
        ChildSpec("a", Notebook, passivate_after=seconds)


def test_a_supervisor_is_never_passive() -> None:
    with pytest.raises(InvalidChildSpec, match="passivate_after"):
        ChildSpec("a", Supervisor, type="supervisor", passivate_after=1)
