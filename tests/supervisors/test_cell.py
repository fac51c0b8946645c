"""A death is one step, and its parts come in one order."""

import math
from typing import Any

import pytest

from supervisors import ActorDown, ExitReason, PubSub, ReplyTo, start_child
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, crash, group, hang, puppet, puppet_of, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio


class Witness:
    """A monitor which looks around at the very moment it is told."""

    def __init__(self, look: Any) -> None:
        self._look = look
        self.seen: list[tuple[object, ...]] = []

    def down(self, reason: ExitReason) -> None:
        self.seen.append(self._look())


async def test_at_a_death_names_topics_callers_and_links_come_before_monitors_and_the_supervisor_last() -> None:
    async with tree(puppet("a", restart="temporary"), puppet("peer", restart="temporary")) as system:
        supervisor, a, peer = (started(system, path)._cell for path in ("app", "app/a", "app/peer"))
        news = PubSub()
        news.subscribe("news", started(system, "app/a"))
        system.register("alias", started(system, "app/a"))
        started(system, "app/a").cast(hang)
        await settle()
        queued: ReplyTo[str] = ReplyTo(Ask(), "app/a", math.inf, math.inf, system.hub.backend.new_waiter())
        a.accept_request(queued)
        a.bind(peer)
        peer.bind(a)
        witness = Witness(
            lambda: (
                a.exit_reason,
                system.whereis("app/a"),
                system.whereis("alias"),
                news.subscribers("news"),
                queued.settled,
                peer.kill_reason,
                supervisor.mailbox_depth,
            )
        )
        a.watch(witness)
        a.kill()
        await settle()
        killed = ExitReason.KILLED
        assert witness.seen == [(killed, None, None, 0, True, killed, 0)]


async def test_who_waits_for_a_death_finds_the_name_free() -> None:
    async with tree(puppet("a", restart="temporary")) as system:
        a = started(system, "app/a")
        await a.stop()
        assert system.whereis("app/a") is None


async def test_a_crash_is_reported_before_anybody_hears_of_the_death() -> None:
    log = EventLog()
    async with tree(puppet("a", restart="temporary"), log=log) as system:
        a = started(system, "app/a")
        log.clear()
        witness = Witness(lambda: tuple(type(event).__name__ for event in log.events))
        a._cell.watch(witness)
        a.cast(crash)
        await settle()
        assert witness.seen == [("CrashReport",)]


async def test_the_messages_of_an_incarnation_die_with_it() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        ref.cast(crash)
        for _ in range(3):
            ref.send("unread")
        await settle()
        successor = started(system, "app/a")
        assert successor != ref
        assert puppet_of(successor).infos == []
        assert successor.info().handled == 0


async def test_a_supervisor_is_not_dead_before_its_children_are() -> None:
    async with tree(group(group(puppet("x")), restart="temporary")) as system:
        outer, inner, x = (started(system, f"app/{path}") for path in ("group", "group/group", "group/group/x"))
        witness = Witness(lambda: (inner.alive, x.alive))
        outer._cell.watch(witness)
        outer.kill()
        await settle()
        assert witness.seen == [(False, False)]


async def test_nothing_is_started_below_the_dying() -> None:
    async with tree(group(puppet("x"), restart="temporary")) as system:
        supervisor = started(system, "app/group")
        supervisor.kill()
        with pytest.raises(ActorDown):
            await start_child(supervisor, puppet("y"))
        assert system.whereis("app/group/y") is None
        assert system.now() == 0
