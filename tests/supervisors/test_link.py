"""Two that are linked do not outlive each other, unless they want to hear of it."""

from typing import Any

import pytest

from supervisors import (
    ActorDown,
    ActorKilled,
    ActorRef,
    ChildNotFound,
    ChildSpec,
    CrashReport,
    Down,
    DynamicSupervisor,
    Exit,
    ExitReason,
    NamedRef,
    Stop,
    System,
    adopt,
    terminate_child,
    which_children,
)
from supervisors.testing import EventLog, check_tree, settle
from tests.supervisors.actors import (
    Action,
    Ask,
    Boom,
    Do,
    Puppet,
    answer,
    crash,
    group,
    hang,
    hang_shielded,
    puppet,
    puppet_of,
    started,
    stop_normally,
)
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio

DETAILED = ExitReason.shutdown("maintenance")
ENDS: dict[str, Any] = {
    "normal": stop_normally,
    "shutdown": answer(Stop(ExitReason.SHUTDOWN)),
    "shutdown with detail": answer(Stop(DETAILED)),
    "crash": crash,
}


def pair(log: EventLog | None = None, **options: Any) -> System:
    """Two actors which are not restarted, and a third one which is nobody's."""
    specs = [puppet(child, restart="temporary", **options) for child in ("a", "b")]
    return tree(*specs, puppet("bystander"), log=log)


def linking(to: ActorRef | NamedRef) -> Action:
    async def action(actor: Puppet) -> None:
        actor.link(to)

    return action


def unlinking(to: ActorRef | NamedRef) -> Action:
    async def action(actor: Puppet) -> None:
        actor.unlink(to)

    return action


async def trap(actor: Puppet) -> None:
    actor.trap_exit = True


async def end(ref: ActorRef, how: str) -> None:
    if how == "kill":
        ref.kill()
    else:
        ref.cast(ENDS[how])
    await settle()


def ended(ref: ActorRef) -> str:
    return str(ref.info().exit_reason)


# --- the death of a linked member


@pytest.mark.parametrize("first", ["a", "b"])
async def test_an_abnormal_end_kills_the_peer_with_the_same_reason_in_either_direction(first: str) -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace, restart="temporary"), puppet("b", trace, restart="temporary")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        await end(started(system, f"app/{first}"), "crash")
        assert ended(a) == ended(b) == f"crashed: Boom: {first}"
        assert [line for line in trace if "terminate" in line] == [f"{first} terminate crashed: Boom: {first}"]


async def test_a_normal_end_leaves_the_peer_alone() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        await end(a, "normal")
        assert await b.call(Ask()) == "b"
        assert b.info().links == ()


@pytest.mark.parametrize(
    ("how", "reason"), [("shutdown", "shutdown"), ("shutdown with detail", "shutdown: maintenance")]
)
async def test_an_end_by_shutdown_takes_the_peer_along(how: str, reason: str) -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        await end(a, how)
        assert ended(b) == reason


async def test_a_kill_reaches_the_peer_as_killed() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        await end(a, "kill")
        assert ended(b) == "killed"


async def test_a_busy_peer_is_interrupted() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        b.cast(hang)
        await end(a, "crash")
        assert not b.alive
        assert system.now() == 0


async def test_a_ring_of_links_dies_together_and_each_member_once() -> None:
    log = EventLog()
    async with tree(*[puppet(child, restart="temporary") for child in "abcd"], log=log) as system:
        ring = [started(system, f"app/{child}") for child in "abcd"]
        for ref, successor in zip(ring, [*ring[1:], ring[0]], strict=True):
            await ref.call(Do(linking(successor)))
        await end(ring[2], "crash")
        assert [ended(ref) for ref in ring] == ["crashed: Boom: c"] * 4
        check_tree(system)
    assert sorted(report.path for report in log.of(CrashReport)) == [f"app/{child}" for child in "abcd"]


async def test_those_who_are_not_linked_hear_nothing() -> None:
    async with pair() as system:
        a, b, bystander = (started(system, f"app/{child}") for child in ("a", "b", "bystander"))
        await a.call(Do(linking(b)))
        await end(a, "crash")
        assert await bystander.call(Ask()) == "bystander"
        assert puppet_of(bystander).infos == []


async def test_a_permanent_child_that_dies_of_a_link_is_restarted_without_the_link() -> None:
    async with tree(puppet("a", restart="temporary"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        await end(a, "crash")
        successor = started(system, "app/b")
        assert successor != b
        assert (successor.info().restarts, successor.info().links) == (1, ())


# --- trapping


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("normal", "normal"),
        ("shutdown", "shutdown"),
        ("shutdown with detail", "shutdown: maintenance"),
        ("crash", "crashed: Boom: a"),
        ("kill", "killed"),
    ],
)
async def test_who_traps_exits_hears_of_every_end_and_lives(how: str, reason: str) -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await b.call(Do(trap))
        await a.call(Do(linking(b)))
        await end(a, how)
        [news] = puppet_of(b).infos
        assert isinstance(news, Exit)
        assert (news.ref, str(news.reason)) == (a, reason)
        assert await b.call(Ask()) == "b"


async def test_a_kill_cannot_be_trapped_by_whom_it_hits() -> None:
    async with pair() as system:
        b = started(system, "app/b")
        await b.call(Do(trap))
        await end(b, "kill")
        assert ended(b) == "killed"


async def test_trapping_may_begin_and_end_at_any_time() -> None:
    async def stop_trapping(actor: Puppet) -> None:
        actor.trap_exit = False

    async with tree(*[puppet(child, restart="temporary") for child in ("a", "b", "c")]) as system:
        a, b, c = (started(system, f"app/{child}") for child in ("a", "b", "c"))
        for other in (a, c):
            await b.call(Do(linking(other)))
        await b.call(Do(trap))
        await end(a, "crash")
        assert len(puppet_of(b).infos) == 1
        await b.call(Do(stop_trapping))
        await end(c, "crash")
        assert ended(b) == "crashed: Boom: c"


async def test_a_class_may_trap_from_the_start() -> None:
    class Trapper(Puppet):
        trap_exit = True

    async with tree(puppet("a", restart="temporary"), ChildSpec("b", Trapper)) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        await end(a, "crash")
        assert [type(news) for news in puppet_of(b).infos] == [Exit]


async def test_an_exit_comes_after_what_the_dead_had_sent() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await b.call(Do(trap))
        await a.call(Do(linking(b)))

        async def send_and_crash(actor: Puppet) -> None:
            b.send("last words")
            raise Boom

        a.cast(send_and_crash)
        await settle()
        assert [getattr(news, "ref", news) for news in puppet_of(b).infos] == ["last words", a]


# --- making and ending links


async def test_linking_twice_is_the_same_as_once() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await b.call(Do(trap))
        await a.call(Do(linking(b)))
        await b.call(Do(linking(a)))
        await b.call(Do(linking(system.named("app/a"))))
        assert (a.info().links, b.info().links) == (("app/b",), ("app/a",))
        await end(a, "crash")
        assert len(puppet_of(b).infos) == 1


@pytest.mark.parametrize("who", ["a", "b"])
async def test_unlinking_ends_the_link_for_both(who: str) -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await a.call(Do(linking(b)))
        other = b if who == "a" else a
        await started(system, f"app/{who}").call(Do(unlinking(other)))
        assert (a.info().links, b.info().links) == ((), ())
        await end(a, "crash")
        assert await b.call(Ask()) == "b"


async def test_unlinking_what_is_not_linked_is_harmless() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        for target in (b, a, system.named("app/nobody")):
            await a.call(Do(unlinking(target)))
        assert a.alive


async def test_an_exit_that_waits_already_still_arrives_after_unlinking() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await b.call(Do(trap))
        await a.call(Do(linking(b)))

        async def unlink_too_late(actor: Puppet) -> None:
            a.kill()
            await settle()
            actor.unlink(a)

        await b.call(Do(unlink_too_late))
        await settle()
        assert len(puppet_of(b).infos) == 1


async def test_a_link_may_be_moved_and_its_first_end_keeps_nothing() -> None:
    async with tree(*[puppet(child, restart="temporary") for child in ("a", "b", "c")]) as system:
        a, b, c = (started(system, f"app/{child}") for child in ("a", "b", "c"))
        await a.call(Do(linking(b)))
        await a.call(Do(unlinking(b)))
        await a.call(Do(linking(c)))
        assert (b.info().links, c.info().links) == ((), ("app/a",))
        await end(a, "crash")
        assert b.alive
        assert not c.alive


async def test_linking_to_oneself_is_nothing() -> None:
    async with pair() as system:
        a = started(system, "app/a")
        await a.call(Do(linking(a)))
        assert a.info().links == ()
        assert await a.call(Ask()) == "a"


@pytest.mark.parametrize("target", ["the dead", "nobody"])
async def test_linking_to_nobody_is_an_end_by_noproc(target: str) -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await end(b, "kill")
        to: ActorRef | NamedRef = b if target == "the dead" else system.named("app/nobody")
        a.cast(linking(to))
        await settle()
        assert ended(a) == "noproc"


async def test_who_traps_exits_hears_that_there_was_nobody_to_link_to() -> None:
    async with pair() as system:
        a, nobody = started(system, "app/a"), system.named("app/nobody")
        await a.call(Do(trap))
        await a.call(Do(linking(nobody)))
        await settle()
        assert puppet_of(a).infos == [Exit(nobody, ExitReason.NOPROC)]


async def test_the_dead_cannot_link() -> None:
    async with pair() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        actor = puppet_of(a)
        await end(a, "kill")
        with pytest.raises(ActorDown, match="app/a is down"):
            actor.link(b)
        assert b.info().links == ()


@pytest.mark.parametrize("how", ["stopping", "killed"])
async def test_a_supervisor_on_its_way_out_takes_on_no_links(how: str) -> None:
    specs = [group(puppet("x", shutdown=50), restart="temporary"), puppet("a")]
    async with tree(*specs) as system:
        supervisor, child, a = (started(system, f"app/{path}") for path in ("group", "group/x", "a"))
        child.cast(hang_shielded)
        await settle()
        supervisor.kill() if how == "killed" else supervisor._cell.request_stop(ExitReason.SHUTDOWN)
        await settle()

        async def link_too_late(actor: Puppet) -> str:
            with pytest.raises(ActorDown) as caught:
                actor.link(supervisor)
            return str(caught.value)

        assert "app/group is stopping" in await a.call(Do(link_too_late))
        assert a.info().links == ()


async def test_a_supervisor_may_be_linked_to_and_its_shutdown_does_not_wait_for_the_link() -> None:
    async with tree(group(puppet("x")), puppet("a")) as system:
        supervisor, x = started(system, "app/group"), started(system, "app/group/x")
        await x.call(Do(linking(supervisor)))
        assert supervisor.info().links == ("app/group/x",)
        await x.call(Do(unlinking(supervisor)))
        assert await system.shutdown() == ExitReason.SHUTDOWN
        assert ended(x) == "shutdown"
        assert system.now() == 0


async def test_an_adopted_task_may_be_linked_to() -> None:
    async def body(a: ActorRef) -> None:
        async with adopt(system.named("app/pool"), "body") as own:
            await a.call(Do(linking(own)))
            await end(a, "crash")

    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    async with tree(pool, puppet("a", restart="temporary")) as system:
        with pytest.raises(ActorKilled, match="Boom: a"):
            await body(started(system, "app/a"))


# --- when, and in which order


async def test_links_hear_of_a_death_before_monitors_and_find_the_name_free() -> None:
    seen: list[tuple[str, object]] = []

    class Witness(Puppet):
        trap_exit = True

        async def handle_info(self, message: Any) -> None:
            seen.append((type(message).__name__, self.system.whereis("app/a")))

    async with tree(puppet("a", restart="temporary"), ChildSpec("witness", Witness)) as system:
        a = started(system, "app/a")

        async def watch_and_link(actor: Puppet) -> None:
            actor.monitor(a)
            actor.link(a)

        await started(system, "app/witness").call(Do(watch_and_link))
        await end(a, "crash")
        assert seen == [(Exit.__name__, None), (Down.__name__, None)]


async def test_links_are_shown_to_operators_and_in_crash_reports() -> None:
    log = EventLog()
    async with pair(log) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await b.call(Do(trap))
        await a.call(Do(linking(b)))
        assert (a.info().links, b.info().links) == (("app/b",), ("app/a",))
        await end(a, "crash")
        assert (a.info().links, b.info().links) == ((), ())
    [report] = log.of(CrashReport)
    assert report.links == ("app/b",)


async def test_a_link_makes_nobody_a_child_of_another_supervisor() -> None:
    async with tree(group(puppet("a")), group(puppet("b"), id="other")) as system:
        a, other = started(system, "app/group/a"), started(system, "app/other")

        async def link_twice(actor: Puppet) -> None:
            actor.link(other)
            actor.link(other)

        await a.call(Do(link_twice))
        assert a.info().links == ("app/other",)
        for supervisor, child in (("app/group", "a"), ("app/other", "b")):
            assert [status.id for status in await which_children(system.named(supervisor))] == [child]
        with pytest.raises(ChildNotFound):
            await terminate_child(other, a)
        assert a.alive
