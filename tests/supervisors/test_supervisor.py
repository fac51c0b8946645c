"""The static supervisor: starting, restarting, stopping."""

import gc
import weakref
from typing import Any

import anyio
import pytest

from supervisors import (
    ActorRef,
    ChildSpec,
    CrashReport,
    ExitReason,
    Ignore,
    Progress,
    RestartLimitReached,
    StartFailed,
    Stop,
    Supervisor,
    SupervisorReport,
    System,
    count_children,
    restart_child,
    terminate_child,
    which_children,
)
from supervisors._child_spec import Strategy
from supervisors._reasons import Restart, Shutdown
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import (
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
    sleep,
    started,
    stop_normally,
)

pytestmark = pytest.mark.anyio

ENDS: dict[str, Any] = {
    "normal": stop_normally,
    "shutdown": answer(Stop(ExitReason.SHUTDOWN)),
    "shutdown with detail": answer(Stop(ExitReason.shutdown("why"))),
    "crash": crash,
}


def tree(*specs: ChildSpec, log: EventLog | None = None, **flags: Any) -> System:
    return System("app", Supervisor(specs, **flags), on_event=log if log is not None else EventLog())


def refs(system: System, *ids: str) -> list[ActorRef | None]:
    return [system.whereis(f"app/{child}") for child in ids]


def contexts(log: EventLog) -> list[tuple[str, str]]:
    return [
        (report.context, report.offender.path if report.offender is not None else "")
        for report in log.of(SupervisorReport)
    ]


class FailingStart:
    """An `init` which fails from the second start on, until told otherwise."""

    def __init__(self, good_starts: int = 1) -> None:
        self.good_starts = good_starts
        self.attempts = 0

    async def __call__(self, actor: Puppet) -> None:
        self.attempts += 1
        if self.attempts > self.good_starts:
            raise Boom("will not start")


# --- start


async def test_an_empty_supervisor_starts_and_stops() -> None:
    async with tree() as system:
        assert (await count_children(system.named("app"))).specs == 0
        assert await system.shutdown() == ExitReason.SHUTDOWN


async def test_children_start_in_list_order_one_after_the_other() -> None:
    trace: list[str] = []
    specs = [puppet(child, trace, on_init=sleep(1)) for child in "cabed"]
    async with tree(*specs) as system:
        assert trace == [f"{child} {step}" for child in "cabed" for step in ("init", "up")]
        assert system.now() == pytest.approx(5)


async def test_children_stop_in_reverse_order() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace, on_terminate=sleep(1)) for child in "cabed"]) as system:
        trace.clear()
        await system.shutdown()
        assert trace == [f"{child} terminate shutdown" for child in "debac"]
        assert system.now() == pytest.approx(5)


async def test_progress_is_reported_for_every_child() -> None:
    log = EventLog()
    async with tree(puppet("a"), group(puppet("b")), log=log):
        assert [(event.supervisor, event.child.path) for event in log.of(Progress)] == [
            ("app", "app/a"),
            ("app/group", "app/group/b"),
            ("app", "app/group"),
        ]


async def test_a_child_that_fails_to_start_takes_those_before_it_down_in_reverse() -> None:
    trace: list[str] = []
    log = EventLog()
    specs = [puppet("a", trace), puppet("b", trace), puppet("c", trace, on_init=crash), puppet("d", trace)]
    with pytest.raises(StartFailed) as caught:
        async with tree(*specs, log=log):
            pytest.fail("the system must not start")
    assert str(caught.value) == "app failed to start: shutdown: app/c failed to start: crashed: Boom: c"
    assert trace[4:] == ["c init", "b terminate shutdown", "a terminate shutdown"]
    assert contexts(log) == [("start_error", "app/c")]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [(Stop(ExitReason.shutdown("no")), "shutdown: no"), (Stop(), "normal"), ("what?", "init returned a str")],
)
async def test_an_init_that_does_not_say_yes_fails_the_start(outcome: Any, text: str) -> None:
    with pytest.raises(StartFailed, match=text):
        async with tree(puppet("a", on_init=answer(outcome))):
            pytest.fail("the system must not start")


async def test_a_factory_that_raises_fails_the_start() -> None:
    def broken() -> Puppet:
        raise Boom("no actor")

    with pytest.raises(StartFailed, match="Boom: no actor"):
        async with tree(ChildSpec("a", broken)):
            pytest.fail("the system must not start")


async def test_a_factory_that_makes_no_actor_fails_the_start() -> None:
    made: Any = lambda: "an actor"
    with pytest.raises(StartFailed, match="start returned a str"):
        async with tree(ChildSpec("a", made)):
            pytest.fail("the system must not start")


async def test_an_init_that_takes_too_long_is_killed_and_its_name_is_free() -> None:
    with pytest.raises(StartFailed, match="app/a was not initialised within 3 s"):
        async with tree(puppet("a", on_init=hang, start_timeout=3)):
            pytest.fail("the system must not start")


async def test_an_init_in_time_is_not_troubled_later() -> None:
    async with tree(puppet("a", on_init=sleep(2), start_timeout=3)) as system:
        ref = started(system, "app/a")
        await anyio.sleep(100)
        assert await ref.call(Ask()) == "a"


@pytest.mark.parametrize(("restart", "listed"), [("permanent", 1), ("transient", 1), ("temporary", 0)])
async def test_a_child_that_declines_is_kept_unless_temporary(restart: Restart, listed: int) -> None:
    async with tree(puppet("a", on_init=answer(Ignore()), restart=restart), puppet("b")) as system:
        counts = await count_children(system.named("app"))
        assert (counts.specs, counts.active) == (1 + listed, 1)
        assert [child.ref is None for child in await which_children(system.named("app"))] == [True] * listed + [False]


async def test_what_a_temporary_child_was_made_from_is_not_kept() -> None:
    class Ingredient:
        pass

    ingredient = Ingredient()
    watched = weakref.ref(ingredient)

    def recipe(ingredient: Ingredient) -> ChildSpec:
        def factory() -> Puppet:
            return Puppet(str(ingredient is None))

        return ChildSpec("a", factory, restart="temporary")

    supervisor = Supervisor([recipe(ingredient)])
    del ingredient
    async with System("app", supervisor):
        supervisor._specs = ()
        gc.collect()
        assert watched() is None


# --- restart types


@pytest.mark.parametrize("end", list(ENDS))
async def test_a_permanent_child_always_comes_back(end: str) -> None:
    log = EventLog()
    async with tree(puppet("a", restart="permanent"), log=log) as system:
        old = started(system, "app/a")
        old.cast(ENDS[end])
        await settle()
        assert started(system, "app/a") != old
        assert contexts(log) == [("child_terminated", "app/a")]


@pytest.mark.parametrize("end", ["normal", "shutdown", "shutdown with detail"])
async def test_a_transient_child_may_end_in_peace(end: str) -> None:
    log = EventLog()
    async with tree(puppet("a", restart="transient"), log=log) as system:
        started(system, "app/a").cast(ENDS[end])
        await settle()
        assert system.whereis("app/a") is None
        [child] = await which_children(system.named("app"))
        assert (child.ref, child.status) == (None, "stopped")
        assert contexts(log) == []


async def test_a_transient_child_comes_back_after_a_crash_or_a_kill() -> None:
    async with tree(puppet("a", restart="transient")) as system:
        first = started(system, "app/a")
        first.cast(crash)
        await settle()
        second = started(system, "app/a")
        second.kill()
        await settle()
        assert len({first, second, started(system, "app/a")}) == 3


@pytest.mark.parametrize(("end", "reported"), [("normal", []), ("crash", [("child_terminated", "app/a")])])
async def test_a_temporary_child_is_forgotten(end: str, reported: list[tuple[str, str]]) -> None:
    log = EventLog()
    async with tree(puppet("a", restart="temporary"), log=log) as system:
        started(system, "app/a").cast(ENDS[end])
        await settle()
        assert await which_children(system.named("app")) == []
        assert contexts(log) == reported


async def test_the_report_of_a_crash_comes_before_the_restart() -> None:
    log = EventLog()
    async with tree(puppet("a"), log=log) as system:
        log.clear()
        started(system, "app/a").cast(crash)
        await settle()
        assert [type(event) for event in log.events] == [CrashReport, SupervisorReport, Progress]


# --- strategies


async def test_one_for_one_leaves_the_siblings_alone_and_keeps_the_place() -> None:
    async with tree(puppet("a"), puppet("b"), puppet("c")) as system:
        a, b, c = refs(system, "a", "b", "c")
        started(system, "app/b").cast(crash)
        await settle()
        assert refs(system, "a", "c") == [a, c]
        assert refs(system, "b") != [b]
        assert [child.id for child in await which_children(system.named("app"))] == ["a", "b", "c"]


async def test_one_for_all_restarts_everybody_in_order() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace) for child in "abc"], strategy="one_for_all") as system:
        old = refs(system, "a", "b", "c")
        trace.clear()
        started(system, "app/b").cast(crash)
        await settle()
        assert all(new is not None and new not in old for new in refs(system, "a", "b", "c"))
        assert trace[1:] == [
            "c terminate shutdown",
            "a terminate shutdown",
            *[f"{child} {step}" for child in "abc" for step in ("init", "up")],
        ]


async def test_rest_for_one_restarts_those_after() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace) for child in "abcd"], strategy="rest_for_one") as system:
        old = refs(system, "a", "b", "c", "d")
        trace.clear()
        started(system, "app/b").cast(crash)
        await settle()
        new = refs(system, "a", "b", "c", "d")
        assert new[0] == old[0]
        assert all(ref is not None and ref not in old for ref in new[1:])
        assert trace[1:3] == ["d terminate shutdown", "c terminate shutdown"]


async def test_a_temporary_bystander_is_not_revived() -> None:
    async with tree(puppet("a", restart="temporary"), puppet("b"), strategy="one_for_all") as system:
        started(system, "app/b").cast(crash)
        await settle()
        assert [child.id for child in await which_children(system.named("app"))] == ["b"]


async def test_a_group_restart_revives_a_sibling_that_had_ended_in_peace() -> None:
    async with tree(puppet("a", restart="transient"), puppet("b"), strategy="one_for_all") as system:
        started(system, "app/a").cast(stop_normally)
        await settle()
        started(system, "app/b").cast(crash)
        await settle()
        assert system.whereis("app/a") is not None


async def test_a_sibling_that_crashes_during_a_group_restart_counts_only_once() -> None:
    async with tree(puppet("a"), puppet("b"), strategy="one_for_all", max_restarts=1) as system:
        started(system, "app/a").cast(crash)
        started(system, "app/b").cast(crash)
        await settle()
        assert None not in refs(system, "a", "b")


async def test_one_for_all_stops_the_restarted_again_when_a_later_start_fails() -> None:
    trace: list[str] = []
    attempts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        attempts.append(1)
        if len(attempts) == 2:
            raise Boom

    specs = [puppet("a", trace), puppet("b", trace, on_init=fail_second_time), puppet("c", trace)]
    async with tree(*specs, strategy="one_for_all") as system:
        trace.clear()
        started(system, "app/c").cast(crash)
        await settle()
        assert None not in refs(system, "a", "b", "c")
        assert trace[1:] == [
            "b terminate shutdown",
            "a terminate shutdown",
            "a init",
            "a up",
            "b init",
            "a terminate shutdown",
            "a init",
            "a up",
            "b init",
            "b up",
            "c init",
            "c up",
        ]


async def test_rest_for_one_goes_on_from_the_child_whose_start_failed() -> None:
    trace: list[str] = []
    attempts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        attempts.append(1)
        if len(attempts) == 2:
            raise Boom

    specs = [puppet("a", trace), puppet("b", trace, on_init=fail_second_time), puppet("c", trace)]
    async with tree(*specs, strategy="rest_for_one") as system:
        trace.clear()
        started(system, "app/a").cast(crash)
        await settle()
        assert trace[1:] == [
            "c terminate shutdown",
            "b terminate shutdown",
            "a init",
            "a up",
            "b init",
            "b init",
            "b up",
            "c init",
            "c up",
        ]


# --- intensity


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_a_start_that_keeps_failing_takes_the_supervisor_down(strategy: Strategy) -> None:
    stubborn = FailingStart()
    log = EventLog()
    specs = [puppet("a"), puppet("b", on_init=stubborn)]
    async with tree(*specs, strategy=strategy, max_restarts=3, log=log) as system:
        sibling = started(system, "app/a")
        started(system, "app/b").cast(crash)
        reason = await system.wait_stopped()
        assert isinstance(reason.detail, RestartLimitReached)
        assert stubborn.attempts == 1 + 3
        assert not sibling.alive
    assert contexts(log)[-1] == ("shutdown", "app/b")


async def test_one_crash_more_than_allowed_trips() -> None:
    async with tree(puppet("a"), max_restarts=2) as system:
        for _ in range(2):
            started(system, "app/a").cast(crash)
            await settle()
        assert system.whereis("app") is not None
        started(system, "app/a").cast(crash)
        await settle()
        assert str(await system.wait_stopped()) == "shutdown: app reached more than 2 restarts within 5 s"


async def test_slow_crashes_never_trip() -> None:
    async with tree(puppet("a"), max_restarts=1, max_seconds=1) as system:
        for _ in range(4):
            started(system, "app/a").cast(crash)
            await anyio.sleep(2.1)
        assert system.whereis("app/a") is not None


async def test_zero_restarts_trips_at_the_first_crash() -> None:
    async with tree(puppet("a"), max_restarts=0) as system:
        started(system, "app/a").cast(crash)
        assert (await system.wait_stopped()).is_normal


async def test_a_group_restart_counts_once() -> None:
    async with tree(*[puppet(child) for child in "abcde"], strategy="one_for_all", max_restarts=1) as system:
        started(system, "app/a").cast(crash)
        await settle()
        assert system.whereis("app/e") is not None


async def test_administration_never_counts() -> None:
    async with tree(puppet("a"), max_restarts=0) as system:
        for _ in range(5):
            await terminate_child(system.named("app"), "a")
            await restart_child(system.named("app"), "a")
        assert system.whereis("app/a") is not None


async def test_a_permanent_supervisor_that_gave_up_is_started_anew() -> None:
    async with tree(group(puppet("b"), max_restarts=0), puppet("a")) as system:
        old = started(system, "app/group")
        started(system, "app/group/b").cast(crash)
        await settle()
        assert started(system, "app/group") != old
        assert await started(system, "app/group/b").call(Ask()) == "b"
        assert system.tree().children[0].restarts == 1


async def test_a_transient_supervisor_that_gave_up_stays_down() -> None:
    async with tree(group(puppet("b"), max_restarts=0, restart="transient")) as system:
        started(system, "app/group/b").cast(crash)
        await settle()
        assert system.whereis("app/group") is None
        assert (await which_children(system.named("app")))[0].status == "stopped"


async def test_nested_limits_multiply() -> None:
    crashes = 0
    async with tree(group(puppet("b"), max_restarts=2), max_restarts=2) as system:
        while system.whereis("app/group/b") is not None:
            started(system, "app/group/b").cast(crash)
            crashes += 1
            await settle()
    assert crashes == 9


# --- between two attempts


async def test_a_supervisor_serves_between_two_attempts() -> None:
    async def slow_failure(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    async with tree(puppet("a"), puppet("b", on_init=slow_failure), max_restarts=1000) as system:
        await anyio.sleep(2)
        supervisor = system.named("app")
        started(system, "app/b").cast(crash)
        await anyio.sleep(2)
        children = await which_children(supervisor)
        assert [(child.id, child.status) for child in children] == [("a", "running"), ("b", "restarting")]
        await terminate_child(supervisor, "b")
        assert [child.status for child in await which_children(supervisor)] == ["running", "stopped"]
        await anyio.sleep(100)
        assert system.whereis("app/b") is None


async def test_a_supervisor_that_keeps_trying_can_be_stopped() -> None:
    async def fail_later(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    async with tree(puppet("a"), puppet("b", on_init=fail_later), max_restarts=1000) as system:
        await anyio.sleep(2)
        started(system, "app/b").cast(crash)
        await anyio.sleep(5)
        assert await system.shutdown() == ExitReason.SHUTDOWN


async def test_later_siblings_stay_down_between_two_attempts() -> None:
    async def slow_failure(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    specs = [puppet("a"), puppet("b", on_init=slow_failure), puppet("c")]
    async with tree(*specs, strategy="rest_for_one", max_restarts=1000) as system:
        await anyio.sleep(2)
        a = started(system, "app/a")
        started(system, "app/b").cast(crash)
        await anyio.sleep(2)
        statuses = [(child.id, child.status) for child in await which_children(system.named("app"))]
        assert statuses == [("a", "running"), ("b", "restarting"), ("c", "stopped")]
        assert a.alive
        await terminate_child(system.named("app"), "b")


# --- shutdown


async def test_infinity_waits_for_a_slow_clean_up() -> None:
    async with tree(puppet("a", shutdown="infinity", on_terminate=sleep(25))) as system:
        ref = started(system, "app/a")
        await system.shutdown()
        assert ref.info().exit_reason == ExitReason.SHUTDOWN
        assert system.now() == pytest.approx(25)


@pytest.mark.parametrize(
    ("shutdown", "takes", "terminated"),
    [(3.0, 3, True), ("brutal_kill", 0, False)],
)
async def test_what_does_not_stop_in_time_is_killed(shutdown: Shutdown, takes: float, terminated: bool) -> None:
    trace: list[str] = []
    async with tree(puppet("a", trace), puppet("b", trace, shutdown=shutdown, on_terminate=hang)) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await system.shutdown()
        assert a.info().exit_reason == ExitReason.SHUTDOWN
        assert b.info().exit_reason == ExitReason.KILLED
        assert system.now() == pytest.approx(takes)
        assert ("b terminate shutdown" in trace) == terminated


async def test_a_bad_end_during_shutdown_is_reported_and_stops_nothing() -> None:
    log = EventLog()
    specs = [puppet("a"), puppet("b", on_terminate=crash), puppet("c", shutdown=1.0, on_terminate=hang), puppet("d")]
    async with tree(*specs, log=log) as system:
        await system.shutdown()
    assert contexts(log) == [("shutdown_error", "app/c"), ("shutdown_error", "app/b")]


async def test_a_hung_child_is_given_up_and_the_rest_still_stops() -> None:
    async with tree(puppet("a"), puppet("b", shutdown=2.0)) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        b.cast(hang_shielded)
        await settle()
        await system.shutdown()
        assert system.now() == pytest.approx(3)
        assert a.info().exit_reason == ExitReason.SHUTDOWN
        assert system.unstopped == ("app/b",)


async def test_a_child_that_died_just_before_does_not_hang_the_shutdown() -> None:
    async with tree(puppet("a")) as system:
        started(system, "app/a").kill()
        assert await system.shutdown() == ExitReason.SHUTDOWN


# --- the supervisor's own end


async def test_a_killed_supervisor_leaves_no_orphans() -> None:
    trace: list[str] = []
    async with tree(group(puppet("b", trace), group(puppet("c", trace)))) as system:
        b, c = started(system, "app/group/b"), started(system, "app/group/group/c")
        started(system, "app/group").kill()
        await settle()
        assert not b.alive
        assert not c.alive
        assert await started(system, "app/group/group/c").call(Ask()) == "c"
        assert not any("terminate" in line for line in trace)


async def test_a_supervisors_death_is_told_after_its_childrens() -> None:
    order: list[str] = []

    class Listener(Puppet):
        async def handle_info(self, message: Any) -> None:
            order.append(message.ref.path)

    specs = [ChildSpec("listener", Listener), group(puppet("b"), restart="temporary")]
    async with tree(*specs) as system:

        async def watch(actor: Puppet) -> None:
            actor.monitor(started(system, "app/group"))
            actor.monitor(started(system, "app/group/b"))

        await started(system, "app/listener").call(Do(watch))
        started(system, "app/group").kill()
        await settle()
        assert order == ["app/group/b", "app/group"]


async def test_a_killed_supervisor_with_a_hung_child_dies_after_it() -> None:
    async with tree(group(puppet("b"), restart="temporary")) as system:
        supervisor, child = started(system, "app/group"), started(system, "app/group/b")
        child.cast(hang_shielded)
        await settle()
        supervisor.kill()
        await settle()
        assert system.whereis("app/group") == supervisor
        await anyio.sleep(1.1)
        assert not supervisor.alive
        assert not child.alive
        assert system.unstopped[0] == "app/group/b"


async def test_the_children_of_a_hung_supervisor_die_with_its_kill_and_not_after_it() -> None:
    class Stuck(Supervisor):
        async def handle_info(self, message: Any) -> Stop | None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)
            return None

    spec = ChildSpec("stuck", lambda: Stuck([puppet("b")]), type="supervisor", restart="temporary")
    async with tree(spec) as system:
        supervisor, child = started(system, "app/stuck"), started(system, "app/stuck/b")
        supervisor.send("get stuck")
        await settle()
        supervisor.kill()
        await settle()
        assert not child.alive
        assert system.now() == 0


async def test_a_fault_of_the_supervisor_itself_is_dealt_with_above() -> None:
    class Faulty(Supervisor):
        async def handle_info(self, message: Any) -> Stop | None:
            if message == "fault":
                raise Boom
            return await super().handle_info(message)

    spec = ChildSpec("faulty", lambda: Faulty([puppet("b")]), type="supervisor")
    async with tree(spec) as system:
        old, child = started(system, "app/faulty"), started(system, "app/faulty/b")
        old.send("fault")
        await settle()
        assert not child.alive
        assert started(system, "app/faulty") != old
        assert await started(system, "app/faulty/b").call(Ask()) == "b"


async def test_a_supervisor_that_fails_to_clean_up_leaves_no_orphans() -> None:
    class Careless(Supervisor):
        async def terminate(self, reason: ExitReason) -> None:
            raise Boom

    spec = ChildSpec("careless", lambda: Careless([puppet("b")]), type="supervisor", restart="temporary")
    async with tree(spec) as system:
        supervisor, child = started(system, "app/careless"), started(system, "app/careless/b")
        reason = await supervisor.stop()
        assert isinstance(reason.error, Boom)
        assert child.info().exit_reason == ExitReason.KILLED


async def test_a_supervisor_shrugs_off_what_it_does_not_know() -> None:
    async with tree(puppet("a")) as system:
        supervisor = started(system, "app")
        supervisor.cast("hello")
        supervisor.send("hello")
        await settle()
        assert len(await which_children(supervisor)) == 1
