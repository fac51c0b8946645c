"""Names are claimed and freed at once, with all that is said under them."""

import anyio
import pytest

from supervisors import (
    ActorDown,
    ActorRef,
    AlreadyStarted,
    Down,
    DynamicSupervisor,
    NotTheHolder,
    Registered,
    Registration,
    Supervisor,
    System,
    Unregistered,
    adopt,
    start_child,
)
from supervisors._registry import Registry
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Puppet, crash, puppet, puppet_of, started

pytestmark = pytest.mark.anyio


def tree() -> System:
    return System("app", Supervisor([puppet("a", restart="temporary"), puppet("b")]), on_event=EventLog())


async def test_a_further_name_finds_the_same_actor() -> None:
    async with tree() as system:
        system.register("clock", started(system, "app/a"))
        assert system.whereis("clock") == system.whereis("app/a")
        assert await system.named("clock").call(Ask()) == "a"


async def test_a_taken_name_is_refused_with_its_holder() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.register("clock", a)
        with pytest.raises(AlreadyStarted) as caught:
            system.register("clock", b)
        assert caught.value.ref == a


async def test_registering_twice_is_the_same_as_once() -> None:
    async with tree() as system:
        a = started(system, "app/a")
        system.register("clock", a)
        system.register("clock", a)
        system.unregister("clock")
        assert system.whereis("clock") is None


async def test_the_death_of_the_holder_frees_every_name() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        before = len(system.hub.names)
        for name in ("clock", "watch", "sundial"):
            system.register(name, a)
        a.kill()
        await settle()
        assert len(system.hub.names) == before - 1
        system.register("clock", b)
        assert system.whereis("clock") == b


async def test_the_dead_hold_no_names() -> None:
    async with tree() as system:
        a = started(system, "app/a")
        await a.stop()
        with pytest.raises(ActorDown):
            system.register("clock", a)


async def test_only_the_holder_can_free_a_name() -> None:
    names: Registry[str] = Registry()
    names.claim("clock", "holder")
    names.release("clock", "somebody else")
    assert names.whereis("clock") == "holder"


async def test_giving_back_a_name_nobody_has_is_harmless() -> None:
    async with tree() as system:
        system.unregister("clock")
        system.unregister("app/a")
        assert system.whereis("app/a") is not None


async def test_a_path_cannot_be_registered() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.register("app/a", a)
        system.unregister("app/a")
        assert system.whereis("app/a") == a
        with pytest.raises(AlreadyStarted):
            system.register("app/a", b)


async def test_a_name_may_be_given_back_and_given_to_another() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.register("clock", a, "old")
        system.unregister("clock")
        system.register("clock", b, "new")
        assert system.lookup("clock") == Registration("clock", b, "new")
        assert (a.info().names, b.info().names) == ((), ("clock",))


async def test_a_call_that_waits_for_a_name_hears_of_its_registration() -> None:
    async with tree() as system:
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await system.named("clock").call(Ask()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1)
            system.register("clock", started(system, "app/a"))
        assert answers == ["a"]


# --- values


async def refusal(ref: ActorRef, name: str) -> NotTheHolder:
    """Have an actor change the value of a name it does not hold."""

    async def update(actor: Puppet) -> NotTheHolder:
        with pytest.raises(NotTheHolder) as caught:
            actor.system.update_value(name, lambda value: "changed")
        return caught.value

    return await ref.call(Do(update))


async def test_a_name_has_a_value_which_its_holder_may_change() -> None:
    async with tree() as system:
        a = started(system, "app/a")
        system.register("clock", a, 1)

        async def count_up(actor: Puppet) -> object:
            return actor.system.update_value("clock", lambda value: value + 1)

        assert await a.call(Do(count_up)) == 2
        assert system.lookup("clock") == Registration("clock", a, 2)
        assert system.lookup("app/a") is None
        assert system.lookup("watch") is None


async def test_nobody_but_the_holder_may_change_a_value() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.register("clock", a, 1)
        refused = await refusal(b, "clock")
        assert (str(refused), refused.ref) == ("only the holder of clock may change its value", a)
        assert (await refusal(b, "watch")).ref is None
        assert (await refusal(a, "app/a")).ref == a
        with pytest.raises(NotTheHolder):
            system.update_value("clock", lambda value: "changed")
        assert system.registrations() == (Registration("clock", a, 1),)


async def test_a_change_that_raises_leaves_the_value() -> None:
    async with tree() as system:
        a = started(system, "app/a")
        system.register("clock", a, 1)

        async def fail(actor: Puppet) -> None:
            def change(value: object) -> None:
                raise Boom

            with pytest.raises(Boom):
                actor.system.update_value("clock", change)

        await a.call(Do(fail))
        assert system.registrations() == (Registration("clock", a, 1),)


async def test_registering_again_does_not_touch_the_value() -> None:
    async with tree() as system:
        a = started(system, "app/a")
        system.register("clock", a, 1)
        system.register("clock", a, 2)
        assert system.registrations() == (Registration("clock", a, 1),)


async def test_all_names_are_listed_in_order() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        for name, ref in (("x", a), ("y", b), ("z", a)):
            system.register(name, ref)
        assert [registration.name for registration in system.registrations()] == ["x", "y", "z"]
        assert a.info().names == ("x", "z")
        a.kill()
        await settle()
        assert [registration.name for registration in system.registrations()] == ["y"]
        assert a.info().names == ("x", "z")


async def test_an_adopted_task_may_hold_a_name_and_its_value() -> None:
    async with System("app", DynamicSupervisor(), on_event=EventLog()) as system:
        async with adopt(system.named("app"), "request") as ref:
            system.register("clock", ref, 1)
            assert system.update_value("clock", lambda value: value + 1) == 2
        assert system.registrations() == ()


async def test_a_name_and_its_value_outlast_a_passive_time_of_their_holder() -> None:
    async def count_up(actor: Puppet) -> object:
        return actor.system.update_value("clock", lambda value: value + 1)

    async with System("app", DynamicSupervisor(), on_event=EventLog()) as system:
        ref = await start_child(system.named("app"), puppet("a", passivate_after=1))
        system.register("clock", ref, 1)
        await anyio.sleep(2)
        assert ref.info().status == "passive"
        assert ref.info().names == ("clock",)
        assert system.lookup("clock") == Registration("clock", ref, 1)
        assert await system.named("clock").call(Do(count_up)) == 2
        await ref.stop()
        assert system.registrations() == ()


# --- listeners


def heard(ref: ActorRef) -> list[object]:
    return puppet_of(ref).infos


async def test_a_listener_hears_of_every_name_that_comes_and_goes() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.register("before", a)
        system.listen(b)
        system.listen(b)
        system.register("clock", a, 1)
        system.register("clock", a, 2)
        system.register("watch", b)
        system.unregister("clock")
        system.unregister("clock")
        await settle()
        assert heard(b) == [Registered("clock", a, 1), Registered("watch", b, None), Unregistered("clock", a)]


async def test_a_listener_hears_of_names_freed_by_a_death_before_the_death() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        for name in ("clock", "watch"):
            system.register(name, a)
        system.listen(b)

        async def watch(actor: Puppet) -> None:
            actor.monitor(a)

        await b.call(Do(watch))
        a.cast(crash)
        await settle()
        *names, down = heard(b)
        assert names == [Unregistered("clock", a), Unregistered("watch", a)]
        assert isinstance(down, Down)


async def test_a_listener_that_is_dead_or_wants_no_more_hears_nothing() -> None:
    async with tree() as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        system.unlisten(b)
        system.listen(a)
        system.listen(b)
        system.unlisten(b)
        system.register("clock", b)
        await a.stop()
        system.register("watch", b)
        await settle()
        assert system.hub.names.listeners == {}
        assert heard(b) == []
        with pytest.raises(ActorDown):
            system.listen(a)


async def test_a_listener_hears_nothing_of_the_paths_of_members() -> None:
    async with tree() as system:
        b = started(system, "app/b")
        system.listen(b)
        started(system, "app/a").kill()
        await settle()
        assert heard(b) == []
