"""The bound of a mailbox: who survives, and who hears of it."""

import anyio
import pytest

from supervisors import Call, Down, Exit, Mailbox, MailboxFull, Supervisor, System
from supervisors._child_spec import Overflow
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Do, Puppet, puppet, puppet_of, sleep, started

pytestmark = pytest.mark.anyio


def tree(trace: list[str], overflow: Overflow) -> System:
    spec = puppet("a", trace, mailbox=Mailbox(3, overflow))
    return System("app", Supervisor([spec, puppet("b", restart="temporary")]), on_event=EventLog())


@pytest.mark.parametrize(
    ("overflow", "told", "survivors"),
    [
        ("reject", [True, True, True, False, False], ["1", "2", "3"]),
        ("drop_newest", [True, True, True, True, True], ["1", "2", "3"]),
        ("drop_oldest", [True, True, True, True, True], ["3", "4", "5"]),
    ],
)
async def test_an_overflow_leaves_exactly_these(overflow: Overflow, told: list[bool], survivors: list[str]) -> None:
    trace: list[str] = []
    async with tree(trace, overflow) as system:
        ref = started(system, "app/a")
        ref.cast(sleep(1))
        await settle()
        assert [ref.cast(str(number)) for number in range(1, 6)] == told
        assert ref.info().dropped == 2
        await anyio.sleep(2)
        assert trace[2:] == survivors


async def test_a_dropped_request_fails_its_caller() -> None:
    async with tree([], "drop_oldest") as system:
        ref = started(system, "app/a")
        ref.cast(sleep(1))
        await settle()
        outcomes: list[str] = []

        async def ask(request: Call[str]) -> None:
            try:
                outcomes.append(await ref.call(request))
            except MailboxFull:
                outcomes.append("dropped")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, Ask())
            await settle()
            for number in range(3):
                ref.cast(str(number))
            await settle()
            assert outcomes == ["dropped"]


@pytest.mark.parametrize("overflow", ["reject", "drop_newest"])
async def test_a_request_that_finds_no_room_fails(overflow: Overflow) -> None:
    async with tree([], overflow) as system:
        ref = started(system, "app/a")
        ref.cast(sleep(1))
        await settle()
        for number in range(3):
            ref.cast(str(number))
        with pytest.raises(MailboxFull, match="limit of 3"):
            await ref.call(Ask())


@pytest.mark.parametrize("overflow", ["reject", "drop_newest", "drop_oldest", "block"])
async def test_signals_pass_a_full_mailbox_and_are_never_dropped(overflow: Overflow) -> None:
    async with tree([], overflow) as system:
        ref, other = started(system, "app/a"), started(system, "app/b")

        async def watch(actor: Puppet) -> None:
            actor.trap_exit = True
            actor.link(other)
            actor.monitor(other)

        await ref.call(Do(watch))
        ref.cast(sleep(2))
        await settle()
        other.kill()
        system.send_after(1, ref, "timer")
        await settle()
        for number in range(10):
            ref.cast(str(number))
        await anyio.sleep(3)
        assert [type(info) for info in puppet_of(ref).infos] == [Exit, Down, str]


async def test_a_stop_passes_a_full_mailbox() -> None:
    trace: list[str] = []
    async with tree(trace, "reject") as system:
        ref = started(system, "app/a")
        ref.cast(sleep(1))
        await settle()
        for number in range(5):
            ref.cast(str(number))
        await ref.stop()
        assert trace[2] == "a terminate normal"


async def test_the_news_of_a_death_comes_after_what_the_dead_had_sent() -> None:
    async with tree([], "reject") as system:
        ref, other = started(system, "app/a"), started(system, "app/b")

        async def watch(actor: Puppet) -> None:
            actor.monitor(other)

        async def send_and_die(actor: Puppet) -> None:
            ref.send("last words")
            actor.ref.kill()

        await ref.call(Do(watch))
        other.cast(send_and_die)
        await settle()
        first, second = puppet_of(ref).infos
        assert first == "last words"
        assert isinstance(second, Down)
