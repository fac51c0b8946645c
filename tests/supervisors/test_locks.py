"""One at a time for each key, and nobody waits for the dead."""

import anyio
import pytest

from supervisors import (
    ActorDown,
    ActorKilled,
    CallCycle,
    CallingSelf,
    CallTimeout,
    ChildSpec,
    DynamicSupervisor,
    LockTimeout,
    Supervisor,
    SupervisorError,
    System,
    adopt,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Action, Ask, Do, Puppet, hang, puppet, sleep, started
from tests.supervisors.trees import let_pass

pytestmark = pytest.mark.anyio


def tree() -> System:
    specs = [puppet(child, restart="temporary") for child in "abcd"]
    pool = ChildSpec("pool", DynamicSupervisor, type="supervisor")
    return System("app", Supervisor([*specs, pool]), on_event=EventLog())


async def nothing(actor: Puppet) -> None:
    pass


class Diary:
    """Who held which lock from when to when."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.entries: list[tuple[str, float, float]] = []

    async def hold(self, who: str, key: str, seconds: float) -> None:
        async with self.system.lock(key, timeout=100):
            began = self.system.now()
            await anyio.sleep(seconds)
            self.entries.append((who, began, self.system.now()))


def holding(key: str, then: Action = hang) -> Action:
    """Take a lock and, holding it, do something."""

    async def action(actor: Puppet) -> object:
        async with actor.system.lock(key, timeout=100):
            return await then(actor)

    return action


def refused(action: Action) -> Do:
    """Ask for an action, and answer with the error it ends with."""

    async def attempt(actor: Puppet) -> SupervisorError | None:
        try:
            await action(actor)
        except SupervisorError as error:
            return error
        return None

    return Do(attempt)


async def begin(system: System, path: str, action: Action) -> None:
    """Have an actor begin with something."""
    started(system, path).cast(action)
    await settle()


async def test_the_same_key_is_held_by_one_at_a_time_in_order_of_arrival() -> None:
    async with tree() as system:
        diary = Diary(system)
        async with anyio.create_task_group() as tasks:
            for who in "abc":
                tasks.start_soon(diary.hold, who, "key", 2)
                await settle()
        assert diary.entries == [("a", 0, 2), ("b", 2, 4), ("c", 4, 6)]
        assert len(system._locks) == 0


async def test_another_key_is_held_meanwhile() -> None:
    async with tree() as system:
        diary = Diary(system)
        async with anyio.create_task_group() as tasks:
            for key in "abc":
                tasks.start_soon(diary.hold, key, key, 2)
        assert sorted(diary.entries) == [("a", 0, 2), ("b", 0, 2), ("c", 0, 2)]


async def test_a_free_lock_is_had_without_a_wait() -> None:
    async with tree() as system:
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with system.lock("key"):
                pass
        assert not scope.cancelled_caught


async def test_an_exception_frees_the_lock() -> None:
    async with tree() as system:
        with pytest.raises(ZeroDivisionError):
            async with system.lock("key"):
                raise ZeroDivisionError
        async with system.lock("key"):
            pass


async def test_a_lock_is_waited_for_until_the_deadline() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:
        tasks.start_soon(Diary(system).hold, "a", "key", 10)
        await settle()
        with pytest.raises(LockTimeout, match="'key' was not to be had within 3 s"):
            async with system.lock("key", timeout=3):
                pytest.fail("the lock is held")
        assert system.now() == pytest.approx(3)
        async with system.lock("key", timeout=8):
            assert system.now() == pytest.approx(10)


async def test_inside_a_handler_the_wait_ends_with_the_request() -> None:
    async with tree() as system, system.lock("key"):
        a = started(system, "app/a")
        with pytest.raises(CallTimeout):
            await a.call(refused(holding("key")), timeout=2)
        assert await a.call(Ask()) == "a"
        assert system.now() == pytest.approx(2)


# --- deaths and cancellations


async def test_the_death_of_the_holder_frees_the_lock() -> None:
    async with tree() as system:
        await begin(system, "app/a", holding("key"))
        started(system, "app/a").kill()
        async with system.lock("key"):
            assert system.now() == 0


async def test_a_holder_that_outlives_its_death_has_lost_the_lock() -> None:
    async def hang_shielded(actor: Puppet) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(50)

    async with tree() as system:
        await begin(system, "app/a", holding("key", hang_shielded))
        await begin(system, "app/b", holding("key", sleep(100)))
        started(system, "app/a").kill()
        await let_pass(1)
        assert system.unstopped == ("app/a",)
        assert started(system, "app/b").info().waiting_on == ()
        await let_pass(60)
        with pytest.raises(LockTimeout):
            async with system.lock("key", timeout=1):
                pytest.fail("b holds it, whatever has become of the code of a")


async def test_the_dead_get_no_lock() -> None:
    refused: list[str] = []

    async def want_it_late(actor: Puppet) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(50)
            try:
                async with actor.system.lock("key"):
                    pytest.fail("the dead hold a lock")
            except ActorDown as down:
                refused.append(down.path)

    async with tree() as system:
        await begin(system, "app/a", want_it_late)
        started(system, "app/a").kill()
        await let_pass(60)
        assert refused == ["app/a"]


async def test_the_death_of_one_who_waits_leaves_the_line_to_the_others() -> None:
    diary: list[str] = []

    async def note(actor: Puppet) -> None:
        diary.append(actor.name)

    async with tree() as system:
        await begin(system, "app/a", holding("key", sleep(5)))
        for who in "bcd":
            await begin(system, f"app/{who}", holding("key", note))
        started(system, "app/b").kill()
        started(system, "app/d").kill()
        await let_pass(5)
        assert diary == ["c"]
        assert len(system._locks) == 0


async def test_one_who_waits_shielded_is_let_go_by_its_death() -> None:
    ends: list[str] = []

    async def wait_shielded(actor: Puppet) -> None:
        with anyio.CancelScope(shield=True):
            try:
                async with actor.system.lock("key", timeout=1000):
                    pytest.fail("the dead hold a lock")
            except ActorDown as down:
                ends.append(str(down.reason))

    async with tree() as system:
        await begin(system, "app/a", holding("key"))
        await begin(system, "app/b", wait_shielded)
        started(system, "app/b").kill()
        await let_pass(1)
        assert ends == ["killed"]
        started(system, "app/a").kill()


async def test_one_who_stops_waiting_leaves_the_line() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:
        diary = Diary(system)
        tasks.start_soon(diary.hold, "a", "key", 5)
        await settle()
        with anyio.move_on_after(1):
            await diary.hold("b", "key", 5)
        await diary.hold("c", "key", 5)
        assert diary.entries == [("a", 0, 5), ("c", 5, 10)]


async def test_one_who_is_cancelled_in_the_moment_of_its_turn_passes_it_on() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        diary = Diary(system)

        async def wait_cancelled() -> None:
            with scope:
                await diary.hold("b", "key", 5)

        async with system.lock("key"):
            tasks.start_soon(wait_cancelled)
            await settle()
            tasks.start_soon(diary.hold, "c", "key", 5)
            await settle()
        scope.cancel()
        await let_pass(10)
        assert [who for who, *_ in diary.entries] == ["c"]


async def test_an_adopted_task_that_is_killed_loses_its_lock() -> None:
    async with tree() as system, anyio.create_task_group() as tasks:

        async def serve() -> None:
            with pytest.raises(ActorKilled):
                async with adopt(system.named("app/pool"), "request"), system.lock("key"):
                    await anyio.sleep_forever()

        tasks.start_soon(serve)
        await settle()
        started(system, "app/pool/request").kill()
        async with system.lock("key"):
            assert system.now() == 0


# --- circles


async def test_a_lock_cannot_be_taken_twice() -> None:
    async with tree() as system:
        error = await started(system, "app/a").call(refused(holding("key", holding("key"))))
        assert isinstance(error, CallingSelf)
        async with system.lock("key"):
            assert system.now() == 0


async def test_two_that_want_each_others_lock_are_refused() -> None:
    def both(first: str, second: str, *, after: float) -> Action:
        async def then(actor: Puppet) -> None:
            await anyio.sleep(after)
            await holding(second, nothing)(actor)

        return holding(first, then)

    async with tree() as system:
        await begin(system, "app/a", both("x", "y", after=1))
        error = await started(system, "app/b").call(refused(both("y", "x", after=2)))
        assert isinstance(error, CallCycle)
        assert error.path == ("app/b", "app/a", "app/b")
        await settle()
        assert started(system, "app/a").info().waiting_on == ()


async def test_who_waits_for_a_lock_waits_for_whoever_holds_it_at_present() -> None:
    async def call_b(actor: Puppet) -> None:
        await anyio.sleep(1)
        await started(actor.system, "app/b").call(Ask())

    async with tree() as system, anyio.create_task_group() as tasks:
        errors: list[SupervisorError | None] = []

        async def ask() -> None:
            errors.append(await started(system, "app/a").call(refused(holding("key", call_b))))

        await begin(system, "app/c", holding("key", sleep(0.5)))
        tasks.start_soon(ask)
        await settle()
        await begin(system, "app/b", holding("key", nothing))
        b = started(system, "app/b")
        assert b.info().waiting_on == ("app/c",)
        await let_pass(0.5)
        assert b.info().waiting_on == ("app/a",)
        await let_pass(1)
        [error] = errors
        assert isinstance(error, CallCycle)
        assert error.path == ("app/a", "app/b", "app/a")
        assert b.info().waiting_on == ()


async def test_a_lock_needs_a_system_that_was_entered() -> None:
    with pytest.raises(RuntimeError, match="has not been entered"):
        System("app", Supervisor()).lock("key")
