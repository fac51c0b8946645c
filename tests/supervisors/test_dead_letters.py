"""Messages that nobody reads are counted, and given back to whoever wants them."""

import logging

import anyio
import pytest

from supervisors import (
    ChildSpec,
    DeadLetter,
    DeadLetters,
    DynamicSupervisor,
    ExitReason,
    Mailbox,
    MailboxFull,
    Supervisor,
    System,
    adopt,
    start_child,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, crash, hang, puppet, sleep, started

pytestmark = pytest.mark.anyio


class Heir:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def __call__(self, letter: DeadLetter) -> None:
        self.letters.append(letter)


def tree(heir: Heir, log: EventLog | None = None) -> System:
    root = Supervisor([puppet("a", restart="temporary"), puppet("b")], max_restarts=100)
    return System("app", root, on_event=log if log is not None else EventLog(), on_dead_letter=heir)


async def test_what_an_actor_leaves_unread_is_given_back_with_the_reason() -> None:
    heir = Heir()
    async with tree(heir) as system:
        a = started(system, "app/a")
        a.cast(hang)
        a.cast("one")
        a.send("two")
        await settle()
        a.kill()
        await settle()
        killed = ExitReason.KILLED
        assert heir.letters == [DeadLetter("app/a", "cast", "one", killed), DeadLetter("app/a", "info", "two", killed)]
        assert system.dead_letters == 2


async def test_what_is_sent_to_the_dead_or_to_nobody_is_given_back() -> None:
    heir = Heir()
    async with tree(heir) as system:
        a = started(system, "app/a")
        await a.stop()
        assert not a.cast("one")
        assert not a.send("two")
        assert not await a.cast_wait("three")
        for send in (system.named("app/a").cast, system.named("nobody").send):
            assert not send("four")
        assert not await system.named("nobody").cast_wait("five")
        assert [(letter.path, letter.lane, letter.message) for letter in heir.letters] == [
            ("app/a", "cast", "one"),
            ("app/a", "info", "two"),
            ("app/a", "cast", "three"),
            ("app/a", "cast", "four"),
            ("nobody", "info", "four"),
            ("nobody", "cast", "five"),
        ]
        assert {letter.reason for letter in heir.letters} == {ExitReason.NOPROC}
        assert system.dead_letters == 6


async def test_neither_news_nor_requests_nor_what_was_refused_are_dead_letters() -> None:
    heir = Heir()
    spec = puppet("a", restart="temporary", mailbox=Mailbox(1))
    async with System("app", Supervisor([spec]), on_event=EventLog(), on_dead_letter=heir) as system:
        a = started(system, "app/a")
        a.cast(hang)
        await settle()
        assert a.cast("taken")
        assert not a.cast("refused")
        system.send_after(1, a, "a timer")
        with pytest.raises(MailboxFull):
            await a.call(Ask())
        await anyio.sleep(2)
        a.kill()
        await settle()
        assert [letter.message for letter in heir.letters] == ["taken"]


async def test_events_name_the_types_of_dead_letters_and_nothing_else() -> None:
    heir, log = Heir(), EventLog()
    async with tree(heir, log) as system:
        b = started(system, "app/b")
        b.cast(crash)
        b.cast("a secret")
        await settle()
    [letters] = log.of(DeadLetters)
    assert letters.messages == {"str": 1}
    assert "a secret" not in repr(log.events)
    assert [letter.message for letter in heir.letters] == ["a secret"]


async def test_an_heir_may_send_a_letter_on_and_is_not_asked_about_his_own() -> None:
    offered: list[object] = []

    def send_on(letter: DeadLetter) -> None:
        offered.append(letter.message)
        system.named("nobody").cast("lost as well")
        system.named("app/b").cast(letter.message)

    trace: list[str] = []
    root = Supervisor([puppet("a", restart="temporary"), puppet("b", trace)])
    async with System("app", root, on_event=EventLog(), on_dead_letter=send_on) as system:
        await started(system, "app/a").stop()
        system.named("app/a").cast("for a")
        await settle()
        assert offered == ["for a"]
        assert trace[-1] == "for a"
        assert system.dead_letters == 2


async def test_an_heir_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fail(letter: DeadLetter) -> None:
        raise Boom

    async with System("app", Supervisor([puppet("a")]), on_event=EventLog(), on_dead_letter=fail) as system:
        with caplog.at_level(logging.ERROR, logger="supervisors"):
            assert not system.named("nobody").cast("lost")
            assert not system.named("nobody").cast("lost")
        assert caplog.text.count("the reader of dead letters failed with one to nobody") == 2
        assert await started(system, "app/a").call(Ask()) == "a"


async def test_what_is_sent_to_a_passive_actor_whose_supervisor_ends_is_given_back() -> None:
    heir = Heir()
    spec = ChildSpec("pool", DynamicSupervisor, type="supervisor", restart="temporary")
    async with System("app", Supervisor([spec]), on_event=EventLog(), on_dead_letter=heir) as system:
        pool = started(system, "app/pool")
        ref = await start_child(pool, puppet("a", passivate_after=1))
        await start_child(pool, puppet("slow", on_terminate=sleep(3)))
        await anyio.sleep(2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.stop)
            await settle()
            assert not ref.cast("too late")
        assert [letter.message for letter in heir.letters] == ["too late"]


async def test_an_adopted_task_refuses_messages_which_the_sender_still_has() -> None:
    heir = Heir()
    async with System("app", DynamicSupervisor(), on_event=EventLog(), on_dead_letter=heir) as system:
        async with adopt(system.named("app"), "request") as ref:
            assert not ref.cast("one")
        assert heir.letters == []
