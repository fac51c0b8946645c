"""Having the traffic of an actor told, or kept."""

from typing import Any

import anyio
import pytest

from supervisors import Traced
from supervisors import sys as actors
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Later, Puppet, puppet, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio


async def test_a_trace_tells_of_every_message_and_every_answer_with_who_asked() -> None:
    told: list[Traced] = []
    async with tree(puppet("a"), puppet("b")) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        await actors.trace(a, to=told.append)

        async def ask(actor: Puppet) -> Any:
            return await a.call(Ask())

        await anyio.sleep(2)
        await b.call(Do(ask))
        a.cast("noted")
        a.send(7)
        await settle()
        assert [(traced.lane, traced.message_type, traced.peer) for traced in told] == [
            ("call", "Ask", "app/b"),
            ("reply", "str", "app/b"),
            ("cast", "str", None),
            ("info", "int", None),
        ]
        assert {traced.path for traced in told} == {"app/a"}
        assert told[0].at == pytest.approx(2)


async def test_an_answer_given_later_is_not_traced() -> None:
    told: list[Traced] = []
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.trace(ref, to=told.append)
        with anyio.move_on_after(1):
            await ref.call(Later())
        assert [traced.lane for traced in told] == ["call"]


async def test_a_trace_may_go_to_the_observer_and_be_ended() -> None:
    log = EventLog()
    async with tree(puppet("a"), log=log) as system:
        ref = started(system, "app/a")
        await actors.trace(ref, to=True)
        ref.cast("traced")
        await settle()
        await actors.trace(ref, to=False)
        ref.cast("not traced")
        await settle()
        assert (await actors.get_status(ref)).debug == ()
    assert [traced.message_type for traced in log.of(Traced)] == ["str"]


async def test_a_trace_hook_that_raises_is_taken_off_and_the_actor_serves_on(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Traced] = []

    def broken(traced: Traced) -> None:
        calls.append(traced)
        raise Boom

    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.trace(ref, to=broken)
        assert await ref.call(Ask()) == "a"
        assert await ref.call(Ask()) == "a"
        assert len(calls) == 1
        assert (await actors.get_status(ref)).debug == ()
    assert "the trace hook of app/a failed" in caplog.text


async def test_a_trace_ends_with_its_incarnation() -> None:
    told: list[Traced] = []
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.trace(ref, to=told.append)
        ref.kill()
        await system.named("app/a").call(Ask())
        assert told == []


async def test_an_actor_keeps_its_last_messages_when_told_to() -> None:
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        ref.cast("unkept")
        assert await actors.log(ref) == ()
        assert await actors.log(ref, keep=2) == ()
        for message in (1.0, "two", 3):
            ref.send(message)
        await settle()
        kept = await actors.log(ref)
        assert [traced.message_type for traced in kept] == ["str", "int"]
        assert (await actors.get_status(ref)).log == kept
        assert await actors.log(ref, keep=1) == kept
        assert [traced.message_type for traced in await actors.log(ref, keep=0)] == ["int"]
        assert await actors.log(ref) == ()


async def test_a_log_and_a_trace_do_not_disturb_each_other() -> None:
    told: list[Traced] = []
    async with tree(puppet("a")) as system:
        ref = started(system, "app/a")
        await actors.log(ref, keep=5)
        await actors.trace(ref, to=told.append)
        ref.cast("both")
        await settle()
        await actors.trace(ref, to=False)
        ref.cast("log only")
        await settle()
        assert (len(told), len(await actors.log(ref))) == (1, 2)


async def test_a_negative_length_of_log_is_refused() -> None:
    async with tree(puppet("a")) as system:
        with pytest.raises(ValueError, match="keep"):
            await actors.log(started(system, "app/a"), keep=-1)
