"""The dynamic supervisor: many children, none in the way of another."""

import math
from typing import Any

import anyio
import pytest

from supervisors import (
    ActorDown,
    ActorKilled,
    ActorRef,
    AlreadyStarted,
    CallCycle,
    CallTimeout,
    ChildCounts,
    ChildNotFound,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Ignore,
    Progress,
    ReplyTo,
    RestartLimitReached,
    StartFailed,
    StartIgnored,
    Supervisor,
    SupervisorReport,
    System,
    TooManyChildren,
    UnexpectedRequest,
    adopt,
    count_children,
    delete_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors._admin import TerminateChild
from supervisors.testing import EventLog, check_tree, settle
from tests.supervisors.actors import (
    Ask,
    Boom,
    Do,
    Puppet,
    answer,
    crash,
    hang,
    hang_shielded,
    puppet,
    sleep,
    started,
    stop_normally,
)

pytestmark = pytest.mark.anyio


def pool(log: EventLog | None = None, **flags: Any) -> System:
    spec = ChildSpec("pool", lambda: DynamicSupervisor(**flags), type="supervisor", restart="temporary")
    return System("app", Supervisor([spec, puppet("other")]), on_event=log if log is not None else EventLog())


async def counts(system: System) -> tuple[int, int]:
    result = await count_children(system.named("app/pool"))
    return result.specs, result.active


async def test_children_come_and_go() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        ref = await start_child(supervisor, puppet("a"))
        assert await ref.call(Ask()) == "a"
        assert await counts(system) == (1, 1)
        await terminate_child(supervisor, "a")
        assert ref.info().exit_reason == ExitReason.SHUTDOWN
        assert await counts(system) == (0, 0)
        with pytest.raises(ChildNotFound):
            await terminate_child(supervisor, "a")


async def test_an_incarnation_is_terminated_and_no_other_in_its_place() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        old = await start_child(supervisor, puppet("a"))
        old.cast(crash)
        await settle()
        new = started(system, "app/pool/a")
        for none_of_its_own in (old, started(system, "app/other")):
            with pytest.raises(ChildNotFound):
                await terminate_child(supervisor, none_of_its_own)
        assert new.alive
        assert started(system, "app/other").alive
        await terminate_child(supervisor, new)
        with pytest.raises(ChildNotFound):
            await terminate_child(supervisor, new)
        assert await counts(system) == (0, 0)


async def test_an_adopted_task_is_terminated_by_its_handle() -> None:
    async with pool() as system, anyio.create_task_group() as tasks:

        async def serve() -> None:
            with pytest.raises(ActorKilled):
                async with adopt(system.named("app/pool"), "a", shutdown=1):
                    await anyio.sleep_forever()

        tasks.start_soon(serve)
        await settle()
        await terminate_child(system.named("app/pool"), started(system, "app/pool/a"))
        assert system.now() == pytest.approx(1)


async def test_a_passive_child_is_terminated_by_its_handle() -> None:
    async with pool() as system:
        ref = await start_child(system.named("app/pool"), puppet("a", passivate_after=1))
        await anyio.sleep(2)
        assert ref.info().status == "passive"
        await terminate_child(system.named("app/pool"), ref)
        assert ref.info().exit_reason == ExitReason.SHUTDOWN
        assert await counts(system) == (0, 0)


async def test_it_can_be_the_root() -> None:
    async with System("app", DynamicSupervisor()) as system:
        assert await (await start_child(system.named("app"), puppet("a"))).call(Ask()) == "a"


async def test_a_taken_name_is_refused_with_its_holder() -> None:
    async with pool() as system:
        ref = await start_child(system.named("app/pool"), puppet("a"))
        with pytest.raises(AlreadyStarted) as caught:
            await start_child(system.named("app/pool"), puppet("a"))
        assert caught.value.ref == ref


async def test_a_slow_init_holds_up_nobody() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        finished: dict[str, float] = {}

        async def start(name: str, seconds: float) -> None:
            await start_child(supervisor, puppet(name, on_init=sleep(seconds)))
            finished[name] = system.now()

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(start, f"slow{number}", 3)
            await settle()
            assert await counts(system) == (5, 5)
            await start(name="quick", seconds=0)
        assert finished == pytest.approx({"quick": 0, **{f"slow{number}": 3 for number in range(5)}})


async def test_a_child_that_fails_to_start_is_gone_before_its_starter_knows() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        with pytest.raises(StartFailed, match="Boom: a"):
            await start_child(supervisor, puppet("a", on_init=crash))
        assert await (await start_child(supervisor, puppet("a"))).call(Ask()) == "a"


async def test_a_child_that_declines_is_not_kept() -> None:
    async with pool() as system:
        with pytest.raises(StartIgnored):
            await start_child(system.named("app/pool"), puppet("a", on_init=answer(Ignore())))
        assert await counts(system) == (0, 0)


@pytest.mark.parametrize("give_up", ["cancelled", "timeout"])
async def test_a_starter_who_gives_up_leaves_no_orphan(give_up: str) -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        if give_up == "cancelled":
            with anyio.move_on_after(2):
                await start_child(supervisor, puppet("a", on_init=hang))
        else:
            with pytest.raises(CallTimeout):
                await start_child(supervisor, puppet("a", on_init=hang), timeout=2)
        await settle()
        assert await counts(system) == (0, 0)
        assert system.whereis("app/pool/a") is None
        await start_child(supervisor, puppet("a"))


async def test_a_child_whose_starter_is_cancelled_in_the_moment_of_the_answer_is_taken_back() -> None:
    received: list[ActorRef] = []
    scope = anyio.CancelScope()

    def cancel_the_starter(event: object) -> None:
        if isinstance(event, Progress):
            scope.cancel()

    async with System("app", DynamicSupervisor(), on_event=cancel_the_starter) as system:
        with scope:
            received.append(await start_child(system.named("app"), puppet("a")))
        await settle()
        assert system.whereis("app/a") == (received[0] if received else None)
        assert (await count_children(system.named("app"))).specs == len(received)
        check_tree(system)


async def test_a_child_that_is_terminated_while_it_starts_is_nobodys() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        async with anyio.create_task_group() as tasks:

            async def start() -> None:
                with pytest.raises(StartFailed, match="app/pool/a failed to start: shutdown"):
                    await start_child(supervisor, puppet("a", on_init=sleep(2)))

            tasks.start_soon(start)
            await settle()
            await terminate_child(supervisor, "a")
            assert system.now() == pytest.approx(2)
        assert await counts(system) == (0, 0)
        assert system.whereis("app/pool/a") is None


async def test_a_child_whose_init_calls_its_starter_back_is_refused() -> None:
    async with pool() as system:
        other, supervisor = started(system, "app/other"), system.named("app/pool")
        caught: list[tuple[str, ...]] = []

        async def call_back(actor: Puppet) -> None:
            try:
                await other.call(Ask(), timeout=1000)
            except CallCycle as cycle:
                caught.append(cycle.path)

        async def start(actor: Puppet) -> None:
            await start_child(supervisor, puppet("a", on_init=call_back))

        await other.call(Do(start), timeout=1000)
        assert caught == [("app/pool/a", "app/other", "app/pool/a")]
        assert other.info().waiting_on == ()
        assert system.now() == 0


@pytest.mark.parametrize(
    ("restart", "action", "back"),
    [
        ("permanent", stop_normally, True),
        ("permanent", crash, True),
        ("transient", stop_normally, False),
        ("transient", crash, True),
        ("temporary", crash, False),
    ],
)
async def test_restart_types_hold_and_whoever_stays_away_is_forgotten(restart: Any, action: Any, back: bool) -> None:
    async with pool() as system:
        ref = await start_child(system.named("app/pool"), puppet("a", restart=restart))
        ref.cast(action)
        await settle()
        assert (system.whereis("app/pool/a") is not None) == back
        assert await counts(system) == ((1, 1) if back else (0, 0))


async def test_a_restart_that_declines_forgets_the_child() -> None:
    starts: list[int] = []

    async def decline_second_time(actor: Puppet) -> Ignore | None:
        starts.append(1)
        return Ignore() if len(starts) == 2 else None

    async with pool() as system:
        ref = await start_child(system.named("app/pool"), puppet("a", on_init=decline_second_time))
        ref.cast(crash)
        await settle()
        assert await counts(system) == (0, 0)


async def test_a_restart_that_fails_is_tried_again() -> None:
    starts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        starts.append(1)
        if len(starts) == 2:
            raise Boom

    async with pool() as system:
        ref = await start_child(system.named("app/pool"), puppet("a", on_init=fail_second_time))
        ref.cast(crash)
        await settle()
        assert await system.named("app/pool/a").call(Ask()) == "a"
        assert len(starts) == 3


async def test_restarts_that_keep_failing_take_the_supervisor_down() -> None:
    starts: list[int] = []

    async def fail_but_once(actor: Puppet) -> None:
        starts.append(1)
        if len(starts) > 1:
            raise Boom

    async with pool(max_restarts=3) as system:
        supervisor = started(system, "app/pool")
        ref = await start_child(supervisor, puppet("a", on_init=fail_but_once))
        await start_child(supervisor, puppet("b"))
        ref.cast(crash)
        await settle()
        reason = supervisor.info().exit_reason
        assert reason is not None
        assert isinstance(reason.detail, RestartLimitReached)
        assert len(starts) == 4
        assert system.whereis("app/pool/b") is None


async def test_the_limit_counts_children_being_restarted() -> None:
    async def slow_second_time(actor: Puppet) -> None:
        if anyio.current_time() > 0.5:
            await anyio.sleep(5)

    async with pool(max_children=2) as system:
        supervisor = system.named("app/pool")
        ref = await start_child(supervisor, puppet("a", on_init=slow_second_time))
        await start_child(supervisor, puppet("b"))
        await anyio.sleep(1)
        ref.cast(crash)
        await settle()
        with pytest.raises(TooManyChildren, match="limit of 2"):
            await start_child(supervisor, puppet("c"))
        await terminate_child(supervisor, "b")
        await start_child(supervisor, puppet("c"))


async def test_children_stop_together() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        for number in range(10):
            await start_child(supervisor, puppet(f"w{number}", shutdown=10, on_terminate=sleep(number)))
        await terminate_child(system.named("app"), "pool")
        assert system.now() == pytest.approx(9)


async def test_each_child_stops_as_its_own_spec_says() -> None:
    log = EventLog()
    async with pool(log) as system:
        supervisor = system.named("app/pool")
        brutal = await start_child(supervisor, puppet("brutal", shutdown="brutal_kill", on_terminate=hang))
        late = await start_child(supervisor, puppet("late", shutdown=2.0, on_terminate=hang))
        late_too = await start_child(supervisor, puppet("late too", shutdown=2.0, on_terminate=hang))
        patient = await start_child(supervisor, puppet("patient", shutdown="infinity", on_terminate=sleep(7)))
        await terminate_child(system.named("app"), "pool")
        reasons = [str(ref.info().exit_reason) for ref in (brutal, late, late_too, patient)]
        assert reasons == ["killed", "killed", "killed", "shutdown"]
        assert system.now() == pytest.approx(7)
    [report] = log.of(SupervisorReport)
    assert (report.context, str(report.reason), report.count) == ("shutdown_error", "killed", 2)


async def test_a_hung_child_does_not_hold_up_the_removal_of_another() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        stuck = await start_child(supervisor, puppet("stuck", shutdown=50))
        await start_child(supervisor, puppet("fine"))
        stuck.cast(hang_shielded)
        await settle()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(terminate_child, supervisor, "stuck")
            await settle()
            await terminate_child(supervisor, "fine")
            assert system.now() == 0
        assert system.now() == pytest.approx(51)
        assert system.unstopped == ("app/pool/stuck",)


async def test_a_child_being_terminated_is_not_restarted() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        await start_child(supervisor, puppet("a", on_terminate=crash))
        await terminate_child(supervisor, "a")
        await settle()
        assert await counts(system) == (0, 0)


async def test_a_child_that_died_unnoticed_is_terminated_all_the_same() -> None:
    async with pool() as system:
        supervisor = started(system, "app/pool")
        ref = await start_child(supervisor, puppet("a"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(terminate_child, supervisor, "a")
            ref.kill()
        assert system.now() == 0
        assert await counts(system) == (0, 0)


async def test_a_retry_of_a_terminated_child_does_nothing() -> None:
    starts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        starts.append(1)
        if len(starts) == 2:
            raise Boom

    def terminate_before_the_retry(event: object) -> None:
        if isinstance(event, SupervisorReport) and event.context == "start_error":
            waiter = system.hub.backend.new_waiter()
            request = ReplyTo(TerminateChild("a"), "app/pool", math.inf, math.inf, waiter)
            started(system, "app/pool")._cell.accept_request(request)

    spec = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    async with System("app", Supervisor([spec]), on_event=terminate_before_the_retry) as system:
        ref = await start_child(system.named("app/pool"), puppet("a", on_init=fail_second_time))
        ref.cast(crash)
        await settle()
        assert len(starts) == 2
        assert system.whereis("app/pool/a") is None
        assert await counts(system) == (0, 0)


async def test_a_killed_dynamic_supervisor_leaves_no_orphans() -> None:
    async with pool() as system:
        refs = [await start_child(system.named("app/pool"), puppet(f"w{number}")) for number in range(5)]
        started(system, "app/pool").kill()
        await settle()
        assert not any(ref.alive for ref in refs)


async def test_a_starting_child_and_its_starter_are_told_when_the_supervisor_dies() -> None:
    async with pool() as system:
        supervisor = started(system, "app/pool")
        async with anyio.create_task_group() as tasks:

            async def start() -> None:
                with pytest.raises(ActorDown):
                    await start_child(supervisor, puppet("a", on_init=hang))

            tasks.start_soon(start)
            await settle()
            supervisor.kill()
        assert system.whereis("app/pool/a") is None


async def test_it_has_no_specs_to_delete() -> None:
    async with pool() as system:
        with pytest.raises(UnexpectedRequest):
            await delete_child(system.named("app/pool"), "a")


async def test_the_list_names_everybody() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        await start_child(supervisor, puppet("a", restart="transient"))
        await start_child(supervisor, ChildSpec("b", Supervisor, type="supervisor"))
        children = await which_children(supervisor)
        assert [(child.id, child.restart, child.type) for child in children] == [
            ("a", "transient", "worker"),
            ("b", "permanent", "supervisor"),
        ]
        assert await count_children(supervisor) == ChildCounts(2, 2, supervisors=1, workers=1)


async def test_two_thousand_children_are_counted_and_stopped() -> None:
    async with pool() as system:
        supervisor = system.named("app/pool")
        for number in range(2000):
            await start_child(supervisor, puppet(f"w{number}", restart="temporary"))
        assert await counts(system) == (2000, 2000)
        await terminate_child(system.named("app"), "pool")
        assert len(system.hub.names) == 2
