"""What is told of a life, and what is kept silent."""

import logging
from typing import Any

import anyio
import pytest

from supervisors import (
    Actor,
    ActorDown,
    Backoff,
    ChildSpec,
    CrashReport,
    DeadLetters,
    DynamicSupervisor,
    Neighbour,
    Pause,
    Progress,
    Supervisor,
    SupervisorReport,
    System,
    adopt,
)
from supervisors import sys as actors
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Ask, Boom, Do, Puppet, crash, group, hang, puppet, started

pytestmark = pytest.mark.anyio

SECRET = "sk-very-secret"


async def test_a_crash_report_says_who_what_and_where() -> None:
    log = EventLog()
    async with System("app", Supervisor([group(puppet("a")), puppet("b")]), on_event=log) as system:
        victim = started(system, "app/group/a")

        async def ask(actor: Puppet) -> None:
            with pytest.raises(ActorDown):
                await victim.call(Do(crash_with_mail))

        async def crash_with_mail(actor: Puppet) -> None:
            actor.ref.cast("unread")
            actor.ref.cast("unread")
            actor.ref.send(1)
            raise Boom("on the way")

        await started(system, "app/b").call(Do(ask))
        await settle()
    [report] = log.of(CrashReport)
    assert report.path == "app/group/a"
    assert (report.kind, report.module) == ("Puppet", "tests.supervisors.actors.Puppet")
    assert report.ancestors == ("app/group", "app")
    assert report.client == "app/b"
    assert "in test_a_crash_report_says_who_what_and_where.<locals>.ask" in "".join(report.client_stack)
    assert report.last_message == "Do"
    assert (report.mailbox_depth, report.messages) == (3, {"str": 2, "int": 1})
    assert report.status == {"name": "a"}
    assert "in test_a_crash_report_says_who_what_and_where.<locals>.crash_with_mail" in "".join(report.stack)
    assert (report.neighbours, report.log, report.restarts) == ((), (), 0)
    assert log.of(DeadLetters) == [DeadLetters("app/group/a", report.reason, {"str": 2, "int": 1})]


async def test_a_crash_report_shows_the_neighbours_and_the_last_messages() -> None:
    log = EventLog()
    specs = [puppet("a", restart="temporary"), puppet("b", restart="temporary"), puppet("c", restart="temporary")]
    async with System("app", Supervisor(specs), on_event=log) as system:
        a, b, c = (started(system, f"app/{name}") for name in "abc")

        async def link(actor: Puppet) -> None:
            actor.link(b)
            actor.link(c)

        await a.call(Do(link))
        await actors.log(a, keep=2)
        b.cast(hang)
        b.cast("waiting")
        await settle()
        a.cast("one")
        a.cast(crash)
        await settle()
    report = log.of(CrashReport)[0]
    assert report.links == ("app/b", "app/c")
    assert report.neighbours == (
        Neighbour("app/b", "Puppet", "running", 1, "function"),
        Neighbour("app/c", "Puppet", "running", 0, None),
    )
    assert [(traced.lane, traced.message_type) for traced in report.log] == [("cast", "str"), ("cast", "function")]


async def test_reports_tell_the_incarnations_apart() -> None:
    log = EventLog()
    async with System("app", Supervisor([puppet("a")]), on_event=log) as system:
        for _ in range(2):
            started(system, "app/a").cast(crash)
            await settle()
    assert [report.restarts for report in log.of(CrashReport)] == [0, 1]
    assert [event.child.restarts for event in log.of(Progress)] == [0, 1, 2]
    assert [report.offender.restarts for report in log.of(SupervisorReport) if report.offender] == [0, 1]


async def test_the_view_in_a_crash_report_is_cut_to_size_and_keeps_nothing_alive() -> None:
    class Hoarder(Puppet):
        def format_status(self) -> dict[str, object]:
            return {"text": "x" * 10_000, "many": list(range(10_000)), "self": self}

    log = EventLog()
    async with System("app", Supervisor([ChildSpec("a", Hoarder)]), on_event=log) as system:
        started(system, "app/a").cast(crash)
        await settle()
    [report] = log.of(CrashReport)
    assert len(repr(report.status)) < 1000
    assert all(isinstance(value, str | list) for value in report.status.values())


async def test_an_adopted_task_that_crashes_is_reported_with_the_view_it_gave_along() -> None:
    log = EventLog()
    async with System("app", DynamicSupervisor(), on_event=log) as system:
        with pytest.raises(Boom):
            async with adopt(system.named("app"), "request", status=lambda: {"text": "x" * 10_000}):
                raise Boom
    [report] = log.of(CrashReport)
    assert (report.path, report.kind, report.module) == ("app/request", "adopted", None)
    assert len(repr(report.status)) < 300


async def test_the_client_of_a_crash_may_be_an_adopted_task() -> None:
    log = EventLog()
    root = Supervisor([puppet("a"), ChildSpec("pool", DynamicSupervisor, type="supervisor")])
    async with System("app", root, on_event=log) as system, adopt(system.named("app/pool"), "request"):
        with pytest.raises(ActorDown):
            await started(system, "app/a").call(Do(crash))
    [report] = log.of(CrashReport)
    assert report.client == "app/pool/request"
    assert "test_the_client_of_a_crash_may_be_an_adopted_task" in "".join(report.client_stack)


async def test_no_event_carries_a_message_or_a_state() -> None:
    log = EventLog()

    class Keeper(Actor):
        def __init__(self) -> None:
            self.key = SECRET

        async def handle_cast(self, message: object) -> None:
            raise Boom("something else")

        def format_status(self) -> dict[str, object]:
            return {"key": "***"}

    async with System("app", Supervisor([ChildSpec("a", Keeper)]), on_event=log) as system:
        ref = started(system, "app/a")
        ref.cast(SECRET)
        ref.cast(SECRET)
        await settle()
        tree, info = repr(system.tree()), repr(ref.info())
    assert len(log.of(CrashReport)) == 1
    for event in log.events:
        assert SECRET not in repr(event)
    assert SECRET not in tree + info


async def test_a_failing_format_status_is_named_and_does_no_harm() -> None:
    class Broken(Puppet):
        def format_status(self) -> dict[str, object]:
            raise ValueError(SECRET)

    log = EventLog()
    async with System("app", Supervisor([ChildSpec("a", Broken)]), on_event=log) as system:
        ref = started(system, "app/a")
        assert ref.info().details == {"format_status": "raised ValueError"}
        ref.cast(crash)
        await settle()
    [report] = log.of(CrashReport)
    assert report.status == {"format_status": "raised ValueError"}


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_an_end_somebody_asked_for_is_no_crash(end: str) -> None:
    log = EventLog()
    async with System("app", Supervisor([puppet("a", restart="temporary")]), on_event=log) as system:
        ref = started(system, "app/a")
        if end == "stop":
            await ref.stop()
        else:
            ref.kill()
            await settle()
    assert log.of(CrashReport) == []


async def test_without_an_observer_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="supervisors"):
        async with System("app", Supervisor([puppet("a", shutdown=1)])) as system:
            ref = started(system, "app/a")
            ref.cast(1.5)
            await settle()
            ref.cast(crash)
            ref.cast("unread")
            await settle()

            async def stuck(actor: Puppet) -> None:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(10)

            started(system, "app/a").cast(stuck)
            await settle()
    for line in (
        "app started app/a",
        "app/a has no handler for the cast float",
        "app/a ended: crashed: Boom: a; handling function; 1 messages unread; status {'name': 'a'}",
        "app/a ended with unread messages: {'str': 1}",
        "app: child_terminated: app/a (crashed: Boom: a)",
        "app/a was killed and still runs",
        "app: shutdown_error: app/a (killed)",
    ):
        assert line in caplog.text


async def test_delays_and_pauses_are_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    flags: dict[str, Any] = {
        "backoff": Backoff(min_seconds=2, jitter=0),
        "pause": Pause(threshold=2, seconds=10, jitter=0),
    }
    with caplog.at_level(logging.INFO, logger="supervisors"):
        async with System("app", Supervisor([puppet("a")], **flags)) as system:
            for _ in range(3):
                started(system, "app/a").cast(crash)
                await anyio.sleep(3)
            await anyio.sleep(10)
    for line in (
        "app starts app/a again in 2 s",
        "app restarts nobody for 10 s, app/a being one too many",
        "app restarts its children again; 1 wait",
    ):
        assert line in caplog.text


async def test_whoever_observes_a_crash_finds_the_name_free_already() -> None:
    holders: list[object] = []

    def observe(event: object) -> None:
        if isinstance(event, CrashReport):
            holders.append(system.whereis(event.path))

    async with System("app", Supervisor([puppet("a")]), on_event=observe) as system:
        started(system, "app/a").cast(crash)
        await settle()
    assert holders == [None]


async def test_reports_name_the_offender() -> None:
    log = EventLog()
    async with System("app", Supervisor([puppet("a", restart="transient", shutdown=3)]), on_event=log) as system:
        started(system, "app/a").cast(crash)
        await settle()
        assert await started(system, "app/a").call(Ask()) == "a"
    [report] = log.of(SupervisorReport)
    assert report.offender is not None
    assert (report.offender.path, report.offender.kind, report.offender.restart) == ("app/a", "Puppet", "transient")
    assert (report.offender.shutdown, report.offender.type) == (3, "worker")
    assert log.of(Progress)[0].child == report.offender


async def test_nothing_secret_is_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Keeper(Puppet):
        """Has the secret in its state, and it is in every message."""

        def __init__(self) -> None:
            super().__init__()
            self.key = SECRET

        async def handle_cast(self, message: object) -> None:
            if message == SECRET * 2:
                raise Boom("something else")

        def format_status(self) -> dict[str, object]:
            return {"key": "***"}

    with caplog.at_level(logging.DEBUG, logger="supervisors"):
        async with System("app", Supervisor([ChildSpec("a", Keeper), puppet("b")])) as system:
            a, b = started(system, "app/a"), started(system, "app/b")
            await actors.trace(a, to=True)
            await actors.log(a, keep=10)
            for message in (SECRET, SECRET * 2, SECRET):
                a.cast(message)
            b.cast(frozenset({SECRET}))
            await settle()
            a.cast(SECRET)
            status = repr(await actors.get_status(started(system, "app/a")))
    assert "app/a ended: crashed: Boom: something else" in caplog.text
    assert "unread messages" in caplog.text
    assert "app/b has no handler for the cast frozenset" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in status
