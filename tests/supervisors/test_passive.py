"""Passive actors: nothing is left of one but its state, and nobody who knows it notices."""

import gc
import math
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest

from supervisors import (
    NO_REPLY,
    Actor,
    ActorDown,
    ActorRef,
    AlreadyStarted,
    BadReturnValue,
    Call,
    CallCycle,
    CallTimeout,
    ChildCounts,
    ChildNotFound,
    ChildSpec,
    Continue,
    CrashReport,
    Down,
    DynamicSupervisor,
    ExitReason,
    Helper,
    Ignore,
    InvalidChildSpec,
    MailboxFull,
    MonitorRef,
    Passivate,
    PubSub,
    ReplyTo,
    StartTimeout,
    Stop,
    Supervisor,
    SupervisorReport,
    System,
    TooManyChildren,
    Traced,
    count_children,
    start_child,
    terminate_child,
    which_children,
)
from supervisors import sys as actors
from supervisors._admin import StartChild
from supervisors._child_spec import Mailbox
from supervisors._reasons import Restart
from supervisors.testing import EventLog, check_tree, count_tasks, settle
from tests.supervisors.actors import Ask, Boom, Do, puppet, started

pytestmark = pytest.mark.anyio

IDLE = 10.0


@dataclass(frozen=True, slots=True)
class Note(Call[int]):
    """Write something down; answered with how much is written by now."""

    text: str
    then: Any = None


@dataclass(frozen=True, slots=True)
class Read(Call[list[str]]):
    """Everything that was written down."""


@dataclass(frozen=True, slots=True)
class Owe(Call[None]):
    """Answer later, when told to."""


@dataclass(frozen=True, slots=True)
class Act(Call[Any]):
    """Run an action in the actor."""

    action: Callable[[Any], Awaitable[Any]]


class Notebook(Actor):
    """Writes down what it is told, and what happens to it in the trace."""

    living: ClassVar["weakref.WeakSet[Notebook]"] = weakref.WeakSet()

    def __init__(self, trace: list[str] | None = None, on_activate: Callable[["Notebook"], Any] | None = None) -> None:
        self.notes: list[str] = []
        self.owed: list[ReplyTo[None]] = []
        self.helpers: list[Helper] = []
        self.trace = trace if trace is not None else []
        self.on_activate = on_activate
        self.living.add(self)

    async def init(self) -> None:
        self.trace.append("init")

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        match request:
            case Note(text, then):
                self.notes.append(text)
                return then(len(self.notes)) if then is not None else len(self.notes)
            case Read():
                return list(self.notes)
            case Owe():
                self.owed.append(reply_to)
                return NO_REPLY
            case Act(action):
                return await action(self)
            case _:
                return await super().handle_call(request, reply_to)

    async def handle_cast(self, message: Any) -> Passivate | Stop | None:
        if callable(message):
            outcome: Passivate | Stop | None = await message(self)
            return outcome
        self.notes.append(message)
        return None

    async def handle_info(self, message: Any) -> Passivate | Stop | None:
        self.notes.append(f"info {message}" if isinstance(message, str) else f"info {type(message).__name__}")
        return None

    async def handle_continue(self, message: Any) -> None:
        self.notes.append(f"continue {message}")

    def passivate(self) -> tuple[str, ...]:
        self.trace.append("passivate")
        return tuple(self.notes)

    async def activate(self, state: tuple[str, ...]) -> Any:
        self.trace.append("activate")
        self.notes = list(state)
        return None if self.on_activate is None else await self.on_activate(self)

    async def terminate(self, reason: ExitReason) -> None:
        self.trace.append(f"terminate {reason}")


class Home:
    """A dynamic supervisor, and the notebooks below it."""

    def __init__(self, system: System, log: EventLog) -> None:
        self.system = system
        self.log = log
        self.pool = system.named("app/pool")
        self.trace: list[str] = []

    async def notebook(self, id: str = "a", **options: Any) -> ActorRef:
        on_activate = options.pop("on_activate", None)
        start = options.pop("start", partial(Notebook, self.trace, on_activate))
        options.setdefault("passivate_after", IDLE)
        return await start_child(self.pool, ChildSpec(id, start, **options))

    async def sleeper(self, id: str = "a", **options: Any) -> ActorRef:
        """A notebook which has gone passive after one note."""
        ref = await self.notebook(id, **options)
        await ref.call(Note("before", Passivate))
        await settle()
        assert ref.info().status == "passive"
        return ref

    async def counts(self) -> tuple[int, int, int]:
        counts = await count_children(self.pool)
        return counts.specs, counts.active, counts.passive


@asynccontextmanager
async def home(**flags: Any) -> AsyncIterator[Home]:
    log = EventLog()
    pool = ChildSpec("pool", partial(DynamicSupervisor, **flags), type="supervisor", restart="temporary")
    async with System("app", Supervisor([pool, puppet("other")]), on_event=log) as system:
        yield Home(system, log)


# --- going passive, and coming back


async def test_an_idle_actor_goes_passive_and_the_next_message_brings_it_back_as_it_was() -> None:
    async with home() as here:
        tasks = count_tasks()
        ref = await here.notebook()
        await ref.call(Note("one"))
        await anyio.sleep(IDLE - 1)
        assert ref.info().status == "running"
        await anyio.sleep(2)
        assert ref.info().status == "passive"
        assert count_tasks() == tasks
        assert await ref.call(Note("two")) == 2
        assert here.trace == ["init", "passivate", "activate"]
        await settle()
        check_tree(here.system)


async def test_nothing_is_left_of_the_object() -> None:
    async with home() as here:
        gc.collect()
        before = len(Notebook.living)
        await here.sleeper()
        gc.collect()
        assert len(Notebook.living) == before


async def test_nothing_is_left_of_the_state_that_was_taken_up_again() -> None:
    class Leaving(Notebook):
        def passivate(self) -> Any:
            left.append(weakref.ref(state := LeftBehind()))
            return state

        async def activate(self, state: Any) -> None:
            assert isinstance(state, LeftBehind)

    left: list[weakref.ref[LeftBehind]] = []
    async with home() as here:
        ref = await here.sleeper(start=Leaving)
        [state] = left
        gc.collect()
        assert state() is not None
        await ref.call(Read())
        gc.collect()
        assert state() is None


class LeftBehind:
    pass


async def test_any_message_puts_it_off_by_the_whole_time() -> None:
    async with home() as here:
        ref = await here.notebook()
        for _ in range(3):
            await anyio.sleep(IDLE - 1)
            ref.cast("again")
        await anyio.sleep(IDLE - 1)
        assert here.trace == ["init"]
        await anyio.sleep(1.5)
        assert here.trace == ["init", "passivate"]


async def test_a_long_handler_is_no_idleness() -> None:
    async with home() as here:
        ref = await here.notebook()

        async def work(actor: Notebook) -> None:
            await anyio.sleep(2.5 * IDLE)

        ref.cast(work)
        await anyio.sleep(3.4 * IDLE)
        assert here.trace == ["init"]
        await anyio.sleep(0.2 * IDLE)
        assert here.trace == ["init", "passivate"]


@pytest.mark.parametrize("lane", ["call", "cast", "info", "continue"])
async def test_an_actor_may_ask_for_it(lane: str) -> None:
    async def ask(actor: Notebook) -> Passivate:
        return Passivate()

    class Asking(Notebook):
        async def init(self) -> Continue | None:  # type: ignore[override]
            return Continue("rest") if lane == "continue" else None

        async def handle_continue(self, message: Any) -> Passivate:  # type: ignore[override]
            return Passivate()

        async def handle_info(self, message: Any) -> Passivate:
            return Passivate()

    async with home() as here:
        ref = await here.notebook(start=Asking, passivate_after=math.inf)
        match lane:
            case "call":
                assert await ref.call(Note("one", Passivate)) == 1
            case "cast":
                ref.cast(ask)
            case "info":
                ref.send("rest")
        await settle()
        assert ref.info().status == "passive"
        assert await ref.call(Note("two")) == (2 if lane == "call" else 1)


async def test_without_leave_to_do_so_it_goes_on() -> None:
    async with home() as here:
        ref = await here.notebook(passivate_after=None)
        assert await ref.call(Note("one", Passivate)) == 1
        await anyio.sleep(1000)
        assert ref.info().status == "running"


async def test_with_nothing_but_leave_it_waits_until_it_asks() -> None:
    async with home() as here:
        ref = await here.notebook(passivate_after=math.inf)
        await anyio.sleep(10**6)
        assert ref.info().status == "running"


async def test_by_default_the_attributes_are_the_state() -> None:
    class Plain(Actor):
        def __init__(self) -> None:
            self.total = 0

        async def handle_call(self, request: Note, reply_to: ReplyTo[int]) -> Any:
            self.total += 1
            return Passivate(self.total)

    async with home() as here:
        ref = await here.notebook(start=Plain)
        assert [await ref.call(Note("more")) for _ in range(3)] == [1, 2, 3]


async def test_what_a_temporary_child_was_made_from_is_kept_as_long_as_it_may_be_needed() -> None:
    async with home() as here:
        ref = await here.sleeper(restart="temporary")
        assert await ref.call(Read()) == ["before"]
        ref.cast(raise_boom)
        await settle()
        assert await here.counts() == (0, 0, 0)


# --- no message is lost, none is overtaken, nobody wakes it twice


async def test_messages_arrive_in_order_whoever_sends_them() -> None:
    async with home() as here:
        ref = await here.sleeper()
        name = here.system.named("app/pool/a")
        ref.cast("1")
        name.cast("2")
        ref.send("3")
        assert await name.call(Note("4")) == 5
        assert await ref.call(Read()) == ["before", "1", "2", "info 3", "4"]
        assert here.trace.count("activate") == 1


async def test_many_callers_at_once_wake_it_once() -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=partial(pause, 1))
        answers: list[int] = []

        async def note(number: int) -> None:
            answers.append(await here.system.named("app/pool/a").call(Note(str(number))))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(note, number)
        assert sorted(answers) == list(range(2, 22))
        assert here.trace.count("activate") == 1
        assert here.trace.count("init") == 1
        assert ref.alive


async def test_a_message_that_comes_of_going_passive_is_handled_and_the_actor_stays() -> None:
    class Torn(Notebook):
        def passivate(self) -> tuple[str, ...]:
            self.ref.cast("parting word")
            return super().passivate()

    async with home() as here:
        ref = await here.notebook(start=partial(Torn, here.trace), passivate_after=math.inf)
        await ref.call(Note("one", Passivate))
        await settle()
        assert ref.info().status == "running"
        assert here.trace == ["init", "passivate"]
        assert await ref.call(Read()) == ["one", "parting word"]


async def test_a_continuation_comes_before_what_woke_it() -> None:
    async def go_on(actor: Notebook) -> Continue:
        return Continue("unpack")

    async with home() as here:
        ref = await here.sleeper(on_activate=go_on)
        await ref.call(Note("after"))
        assert await ref.call(Read()) == ["before", "continue unpack", "after"]


async def test_its_mailbox_is_bounded_while_it_wakes() -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=partial(pause, 1), mailbox=Mailbox(2))
        assert [ref.cast(str(number)) for number in range(3)] == [True, True, False]
        with pytest.raises(MailboxFull):
            await ref.call(Read())


async def test_who_would_wait_for_room_finds_some() -> None:
    async with home() as here:
        ref = await here.sleeper(mailbox=Mailbox(1, "block"), on_activate=partial(pause, 1))
        assert await ref.cast_wait("1")
        assert await here.system.named("app/pool/a").cast_wait("2")
        assert await ref.call(Read()) == ["before", "1", "2"]


# --- what keeps it from going passive


async def owe(here: Home, ref: ActorRef) -> Callable[[], object]:
    waiting = anyio.create_task_group()
    await waiting.__aenter__()
    waiting.start_soon(ref.call, Owe(), 1000)
    await settle()

    async def settle_it(actor: Notebook) -> None:
        actor.owed.pop().reply(None)

    async def end() -> None:
        ref.cast(settle_it)
        await waiting.__aexit__(None, None, None)

    return end


async def have_a_helper(here: Home, ref: ActorRef) -> Callable[[], object]:
    async def spawn(actor: Notebook) -> None:
        actor.helpers.append(actor.spawn(anyio.sleep_forever))

    async def dismiss(actor: Notebook) -> None:
        actor.helpers.pop().cancel()

    ref.cast(spawn)
    return partial(ref.call, Act(dismiss))


async def have_a_link(here: Home, ref: ActorRef) -> Callable[[], object]:
    other = started(here.system, "app/other")

    async def link(actor: Notebook) -> None:
        actor.link(other)

    async def unlink(actor: Notebook) -> None:
        actor.unlink(other)

    ref.cast(link)
    return partial(ref.call, Act(unlink))


async def expect_a_timeout(here: Home, ref: ActorRef) -> Callable[[], object]:
    async def expect(actor: Notebook) -> None:
        actor.receive_timeout(1000)

    async def forget(actor: Notebook) -> None:
        actor.receive_timeout(None)

    ref.cast(expect)
    return partial(ref.call, Act(forget))


async def be_suspended(here: Home, ref: ActorRef) -> Callable[[], object]:
    await actors.suspend(ref)
    return partial(actors.resume, ref)


@pytest.mark.parametrize("begin", [owe, have_a_helper, have_a_link, expect_a_timeout, be_suspended])
async def test_what_is_under_way_keeps_it_until_it_is_over(begin: Callable[..., Any]) -> None:
    async with home() as here:
        ref = await here.notebook()
        end = await begin(here, ref)
        await anyio.sleep(5 * IDLE)
        assert "passivate" not in here.trace
        await end()
        await anyio.sleep(2 * IDLE)
        assert here.trace == ["init", "passivate"]


async def test_somebody_who_waits_for_its_end_keeps_it() -> None:
    async with home() as here:
        ref = await here.notebook()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref._cell.wait_exit)
            await anyio.sleep(3 * IDLE)
            assert here.trace == ["init"]
            ref.kill()


# --- it is the same incarnation


async def test_its_handle_its_names_and_its_monitors_stay() -> None:
    async with home() as here:
        ref = await here.notebook()
        here.system.register("alias", ref)
        monitor = here.system.monitor(ref)
        for _ in range(3):
            await ref.call(Note("rest", Passivate))
            await settle()
            assert ref.alive
            assert here.system.whereis("app/pool/a") == ref
            assert here.system.whereis("alias") == ref
            assert len({ref, here.system.whereis("alias")}) == 1
            assert here.system.named("alias").cast("woken")
            await settle()
        ref.kill()
        assert (await monitor.wait()).reason == ExitReason.KILLED
        assert here.system.whereis("alias") is None


async def test_a_passive_actor_can_be_named_and_watched() -> None:
    async with home() as here:
        ref = await here.sleeper(restart="temporary")
        here.system.register("alias", ref)
        with pytest.raises(AlreadyStarted):
            here.system.register("app/other", ref)
        kept, dropped = here.system.monitor(ref), here.system.monitor(here.system.named("alias"))
        dropped.demonitor()
        here.system.unregister("alias")
        assert here.system.whereis("alias") is None
        assert ref.info().status == "passive"
        ref.kill()
        assert (await kept.wait()).ref == ref
        assert dropped._down is None


async def test_news_that_it_was_waiting_for_wakes_it() -> None:
    monitors: list[MonitorRef] = []

    async with home() as here:
        other = started(here.system, "app/other")

        async def watch(actor: Notebook) -> Passivate:
            monitors.append(actor.monitor(other))
            return Passivate()

        ref = await here.notebook()
        ref.cast(watch)
        await settle()
        assert ref.info().status == "passive"
        other.kill()
        await settle()
        assert await ref.call(Read()) == [f"info {Down.__name__}"]


async def test_its_own_watch_ends_with_it() -> None:
    async with home() as here:
        other = started(here.system, "app/other")

        async def watch(actor: Notebook) -> Passivate:
            actor.monitor(other)
            return Passivate()

        ref = await here.notebook(restart="temporary")
        ref.cast(watch)
        await settle()
        ref.kill()
        assert other._cell._tied().watchers == {}


async def test_what_is_published_wakes_it() -> None:
    topics = PubSub()
    async with home() as here:
        ref = await here.notebook(restart="temporary")
        topics.subscribe("news", ref)
        await ref.call(Note("one", Passivate))
        await settle()
        assert topics.publish("news", "rain") == 1
        assert await ref.call(Read()) == ["one", "info rain"]
        await ref.call(Note("rest", Passivate))
        await settle()
        ref.kill()
        assert topics.subscribers("news") == 0


async def test_a_timer_wakes_it() -> None:
    async with home() as here:
        ref = await here.notebook()
        here.system.send_after(5 * IDLE, ref, "alarm")
        await anyio.sleep(4 * IDLE)
        assert ref.info().status == "passive"
        await anyio.sleep(IDLE + 1)
        assert ref.info().status == "running"
        assert await ref.call(Read()) == ["info alarm"]


async def test_a_link_wakes_it() -> None:
    async with home() as here:
        ref = await here.sleeper(restart="temporary")
        other = started(here.system, "app/other")

        async def link(actor: Any) -> None:
            actor.link(ref)

        await other.call(Do(link))
        await settle()
        assert ref.info().links == ("app/other",)
        other.kill()
        await settle()
        assert ref.info().exit_reason == ExitReason.KILLED


async def test_a_trace_goes_on_and_what_was_said_once_is_not_said_again() -> None:
    class Strict(Notebook):
        async def handle_cast(self, message: Any) -> Passivate:
            await Actor.handle_cast(self, message)
            return Passivate()

    async with home() as here:
        ref = await here.notebook(start=Strict)
        await actors.trace(ref, to=True)
        for _ in range(3):
            ref.cast("unknown")
            await settle()
        assert [event.lane for event in here.log.of(Traced)] == ["cast"] * 3
        assert len(here.log.events) - len(here.log.of(Traced)) == 1 + len(
            [e for e in here.log.events if is_progress(e)]
        )


# --- suspended


async def test_suspending_and_resuming_it_leave_it_passive() -> None:
    async with home() as here:
        ref = await here.sleeper()
        await actors.suspend(ref)
        assert ref.info().status == "suspended"
        await actors.resume(ref)
        assert ref.info().status == "passive"
        assert here.trace == ["init", "passivate"]
        assert await ref.call(Read()) == ["before"]


async def test_a_message_to_a_suspended_one_waits_for_its_resumption() -> None:
    async with home() as here:
        ref = await here.sleeper()
        await actors.suspend(ref)
        ref.cast("1")
        ref.cast("2")
        await anyio.sleep(5 * IDLE)
        assert (ref.info().status, ref.info().mailbox_depth) == ("suspended", 2)
        await actors.resume(ref)
        assert await ref.call(Read()) == ["before", "1", "2"]


async def test_asking_for_its_state_wakes_it() -> None:
    async with home() as here:
        ref = await here.sleeper()
        assert (await actors.get_state(ref))["notes"] == ["before"]
        assert (await actors.get_status(ref)).status == "running"
        await anyio.sleep(2 * IDLE)
        assert ref.info().status == "passive"


# --- its end


async def raise_boom(actor: Notebook) -> None:
    raise Boom


@pytest.mark.parametrize(
    ("restart", "end", "back"),
    [
        ("permanent", "kill", True),
        ("permanent", "stop", True),
        ("transient", "kill", True),
        ("transient", "stop", False),
        ("temporary", "kill", False),
        ("temporary", "stop", False),
    ],
)
async def test_a_passive_actor_that_is_ended_comes_back_as_its_restart_type_says(
    restart: Restart, end: str, back: bool
) -> None:
    async with home() as here:
        ref = await here.sleeper(restart=restart)
        monitor = here.system.monitor(ref)
        if end == "kill":
            ref.kill()
        else:
            assert await ref.stop() == ExitReason.NORMAL
        assert not ref.alive
        assert (await monitor.wait()).reason.kind == ("killed" if end == "kill" else "normal")
        await settle()
        assert await here.counts() == ((1, 1, 0) if back else (0, 0, 0))
        if back:
            successor = started(here.system, "app/pool/a")
            assert successor != ref
            assert await successor.call(Read()) == []
            assert successor.info().restarts == 1
        reports = [report for report in here.log.of(SupervisorReport) if report.context == "child_terminated"]
        assert len(reports) == (back or end == "kill")
        assert not any("terminate" in line for line in here.trace)
        assert not ref.cast("lost")
        with pytest.raises(ActorDown):
            await ref.call(Read())
        check_tree(here.system)


async def test_terminating_it_strikes_the_record_off() -> None:
    async with home() as here:
        ref = await here.sleeper()
        monitor = here.system.monitor(ref)
        await terminate_child(here.pool, "a")
        assert (await monitor.wait()).reason == ExitReason.SHUTDOWN
        assert here.system.whereis("app/pool/a") is None
        assert await here.counts() == (0, 0, 0)
        with pytest.raises(ChildNotFound):
            await terminate_child(here.pool, "a")
        assert here.log.of(SupervisorReport) == []


async def test_a_stop_ends_all_passive_children_without_a_word() -> None:
    async with home() as here:
        refs = [await here.sleeper(str(number)) for number in range(700)]
        monitors = [here.system.monitor(ref) for ref in refs]
        await terminate_child(here.system.named("app"), "pool")
        assert {str((await monitor.wait()).reason) for monitor in monitors} == {"shutdown"}
        assert len(here.system.hub.names) == 2
        assert here.log.of(SupervisorReport) == []
        assert here.trace.count("activate") == 0


async def test_who_is_asked_while_its_supervisor_ends_is_down() -> None:
    outcomes: list[object] = []

    class Late(Notebook):
        async def terminate(self, reason: ExitReason) -> None:
            ref = started(self.system, "app/pool/z")
            outcomes.append(ref.cast("too late"))
            try:
                await started(self.system, "app/pool/y").call(Read())
            except ActorDown as down:
                outcomes.append((str(down.reason), down.started))

    async with home() as here:
        for number in range(2000):
            await here.sleeper(str(number))
        await here.sleeper("y")
        await here.sleeper("z")
        await here.notebook("late", start=Late)
        await terminate_child(here.system.named("app"), "pool")
        assert outcomes == [False, ("shutdown", False)]
        assert here.trace.count("activate") == 0
        assert here.system.dead_letters == 1


async def test_passive_children_are_killed_with_their_supervisor() -> None:
    async with home() as here:
        ref = await here.sleeper()
        monitor = here.system.monitor(ref)
        started(here.system, "app/pool").kill()
        assert (await monitor.wait()).reason == ExitReason.KILLED
        await settle()
        assert here.system.whereis("app/pool/a") is None
        check_tree(here.system)


async def test_a_starter_who_never_saw_the_answer_takes_back_even_a_passive_child() -> None:
    class Quick(Notebook):
        async def init(self) -> Continue:  # type: ignore[override]
            return Continue("rest at once")

        async def handle_continue(self, message: Any) -> Passivate:  # type: ignore[override]
            return Passivate()

    async with home() as here:
        spec = StartChild(ChildSpec("a", Quick, passivate_after=IDLE))
        request = ReplyTo(spec, "app/pool", math.inf, math.inf, here.system.hub.backend.new_waiter())
        started(here.system, "app/pool")._cell.accept_request(request)
        await settle()
        assert request.settled
        assert await here.counts() == (1, 0, 1)
        request._abandon()  # as when the starter is cancelled in the step in which it is answered
        assert await here.counts() == (0, 0, 0)
        assert here.system.whereis("app/pool/a") is None


# --- when it cannot wake


async def fail(actor: Notebook) -> None:
    raise Boom


async def give_up(actor: Notebook) -> Stop:
    return Stop(ExitReason.shutdown("no more"))


async def decline(actor: Notebook) -> Ignore:
    return Ignore()


async def babble(actor: Notebook) -> str:
    return "nonsense"


async def pause(seconds: float, actor: Notebook) -> None:
    await anyio.sleep(seconds)


@pytest.mark.parametrize(
    ("on_activate", "kind", "error", "back"),
    [
        (fail, "crashed", Boom, True),
        (give_up, "shutdown", None, False),
        (decline, "crashed", BadReturnValue, True),
        (babble, "crashed", BadReturnValue, True),
        (partial(pause, 100), "crashed", StartTimeout, True),
    ],
)
@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_a_failed_awakening_is_the_end_of_the_incarnation(
    on_activate: Any, kind: str, error: type[Exception] | None, back: bool, restart: Restart
) -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=on_activate, restart=restart, start_timeout=2)
        with pytest.raises(ActorDown) as caught:
            await ref.call(Read(), timeout=50)
        assert caught.value.reason.kind == kind
        assert error is None or isinstance(caught.value.reason.error, error)
        assert not caught.value.started
        await settle()
        returns = back and restart == "transient"
        assert await here.counts() == ((1, 1, 0) if returns else (0, 0, 0))
        reports = [report.context for report in here.log.of(SupervisorReport)]
        assert reports == (["child_terminated"] if back else [])
        assert not any("terminate" in line for line in here.trace)
        if returns:
            assert await started(here.system, "app/pool/a").call(Read()) == []


async def test_a_named_call_outlives_a_failed_awakening() -> None:
    async with home() as here:
        await here.sleeper(on_activate=fail, restart="transient")
        assert await here.system.named("app/pool/a").call(Read()) == []


async def test_an_awakening_counts_against_the_callers_deadline() -> None:
    async with home() as here:
        ref = await here.sleeper(on_activate=partial(pause, 3))
        with pytest.raises(CallTimeout) as caught:
            await ref.call(Note("lost"), timeout=2)
        assert not caught.value.started
        assert await ref.call(Read()) == ["before"]


async def test_whoever_wakes_it_cannot_be_called_by_its_awakening() -> None:
    caught: list[tuple[str, ...]] = []

    async def call_back(actor: Notebook) -> None:
        try:
            await actor.system.named("app/other").call(Ask(), timeout=1000)
        except CallCycle as cycle:
            caught.append(cycle.path)

    async with home() as here:
        ref = await here.sleeper(on_activate=call_back)

        async def wake(actor: Any) -> None:
            await ref.call(Read(), timeout=1000)

        await started(here.system, "app/other").call(Do(wake), timeout=1000)
        assert caught == [("app/pool/a", "app/other", "app/pool/a")]


async def test_a_passivate_that_raises_is_a_crash() -> None:
    class Clumsy(Notebook):
        def passivate(self) -> tuple[str, ...]:
            raise Boom("passivate")

    async with home() as here:
        ref = await here.notebook(start=Clumsy, restart="temporary")
        await anyio.sleep(2 * IDLE)
        assert str(ref.info().exit_reason) == "crashed: Boom: passivate"
        assert len(here.log.of(CrashReport)) == 1


# --- its supervisor's view


async def test_it_is_listed_and_counted_as_what_it_is() -> None:
    async with home() as here:
        ref = await here.sleeper("a/b")
        await here.notebook("live")
        assert await count_children(here.pool) == ChildCounts(2, 1, supervisors=0, workers=2, passive=1)
        live, passive = await which_children(here.pool)
        assert (live.id, live.status) == ("live", "running")
        assert (passive.id, passive.ref, passive.status, passive.restart) == ("a/b", ref, "passive", "permanent")
        node = here.system.tree().find("app/pool")
        assert node is not None
        assert ([child.id for child in node.children], node.passive) == (["live"], 1)
        node = here.system.node("app/pool/a%2Fb")
        assert node is not None
        assert (node.id, node.kind, node.status) == ("a/b", "Notebook", "passive")
        info = ref.info()
        assert (info.path, info.kind, info.mailbox_depth, info.details) == ("app/pool/a%2Fb", "Notebook", 0, {})


async def test_it_has_its_place_among_the_children() -> None:
    async with home(max_children=2) as here:
        await here.sleeper("a")
        await here.sleeper("b")
        with pytest.raises(AlreadyStarted):
            await here.notebook("a")
        with pytest.raises(TooManyChildren):
            await here.notebook("c")
        here.system.named("app/pool/a").cast("woken")
        await settle()
        assert await here.counts() == (2, 1, 1)


async def test_those_that_have_been_passive_for_longest_give_way() -> None:
    async with home(max_passive=2) as here:
        a, b = await here.sleeper("a"), await here.sleeper("b")
        monitor = here.system.monitor(b)
        await a.call(Note("woken", Passivate))
        await settle()
        await here.sleeper("c")
        assert (await monitor.wait()).reason == ExitReason.SHUTDOWN
        assert here.system.whereis("app/pool/b") is None
        assert await here.counts() == (2, 0, 2)
        assert await a.call(Read()) == ["before", "woken"]
        assert here.log.of(SupervisorReport) == []
        check_tree(here.system)


async def test_its_history_is_not_forgotten() -> None:
    async with home() as here:
        await here.notebook()
        here.system.named("app/pool/a").cast(raise_boom)
        await settle()
        ref = started(here.system, "app/pool/a")
        await ref.call(Note("one", Passivate))
        await settle()
        assert ref.info().restarts == 1
        assert isinstance(ref.info().last_exit.error, Boom)  # type: ignore[union-attr]
        await ref.call(Read())
        assert ref.info().restarts == 1
        ref.cast(raise_boom)
        await settle()
        assert started(here.system, "app/pool/a").info().restarts == 2


async def test_children_made_alike_share_what_they_are_made_from() -> None:
    async with home() as here:
        factory = partial(Notebook, here.trace)
        refs = [await here.sleeper(str(number), start=factory) for number in range(40)]
        refs += [await here.sleeper(f"own {number}") for number in range(40)]
        recipes = {id(ref._cell.recipe) for ref in refs[:40]}  # type: ignore[attr-defined]
        assert len(recipes) == 1
        assert [await ref.call(Read()) for ref in refs] == [["before"]] * 80
        assert {ref.path for ref in refs} == {
            *(f"app/pool/{number}" for number in range(40)),
            *(f"app/pool/own {number}" for number in range(40)),
        }


@pytest.mark.parametrize("harm", ["kill passive", "crash awake"])
async def test_a_child_that_shares_what_it_is_made_from_comes_back_under_its_own_name(harm: str) -> None:
    async with home() as here:
        factory = partial(Notebook, here.trace)
        await here.sleeper("a", start=factory)
        ref = await here.sleeper("b/c", start=factory)
        if harm == "kill passive":
            ref.kill()
        else:
            ref.cast(raise_boom)
        await settle()
        successor = started(here.system, "app/pool/b%2Fc")
        assert successor != ref
        assert await successor.call(Read()) == []
        assert [child.id for child in await which_children(here.pool)] == ["b/c", "a"]


def is_progress(event: object) -> bool:
    return type(event).__name__ == "Progress"


# --- where there is no such thing


async def test_a_static_supervisor_has_no_passive_children() -> None:
    spec = ChildSpec("a", Notebook, passivate_after=1)
    with pytest.raises(InvalidChildSpec, match="passivate_after"):
        Supervisor([spec])
    async with System("app", Supervisor(), on_event=EventLog()) as system:
        with pytest.raises(InvalidChildSpec, match="passivate_after"):
            await start_child(system.named("app"), spec)


@pytest.mark.parametrize("seconds", [0, -1, "soon", True])
def test_a_time_that_makes_no_sense_is_named(seconds: Any) -> None:
    with pytest.raises(InvalidChildSpec, match="passivate_after"):
        ChildSpec("a", Notebook, passivate_after=seconds)


def test_a_supervisor_is_never_passive() -> None:
    with pytest.raises(InvalidChildSpec, match="passivate_after"):
        ChildSpec("a", Supervisor, type="supervisor", passivate_after=1)
