"""Names are claimed and freed at once."""

import pytest

from supervisors import ActorDown, AlreadyStarted, Supervisor, System
from supervisors._registry import Registry
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, puppet, started

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
