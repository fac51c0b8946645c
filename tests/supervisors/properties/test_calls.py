"""Whoever calls whom, for however long, whatever dies meanwhile: every call ends once, in time, and tells the truth.

The truth is what `started` says, which is what a retry goes by: a request that failed as not started was never looked
at and never will be; one that failed as started was begun, and once.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import anyio
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from supervisors import (
    NO_REPLY,
    Actor,
    ActorDown,
    Call,
    CallTimeout,
    ChildSpec,
    ExitReason,
    Mailbox,
    NotRunning,
    ReplyTo,
    Stop,
    Supervisor,
    SupervisorError,
    System,
)
from supervisors import sys as actors
from supervisors._child_spec import Overflow
from supervisors.testing import EventLog, check_nothing_left, check_tree, count_tasks, run_virtual, settle
from tests.supervisors.actors import Boom

Backend = Literal["asyncio", "trio"]
By: TypeAlias = Literal["reference", "name", "name, without waiting"]

NAMES = ["a", "b", "c"]


# --- the plan of a story


@dataclass(frozen=True)
class Sleep:
    seconds: float


@dataclass(frozen=True)
class Finish:
    """How a handler ends: it answers now or later, crashes, or stops the actor with or without an answer."""

    how: Literal["answer", "later", "crash", "stop", "stop and answer"]


@dataclass(frozen=True)
class Ask:
    """A call, what the handler does with it, and when the caller loses patience or is cancelled."""

    to: str
    by: By
    timeout: float
    work: tuple["Sleep | Ask", ...]
    finish: Finish
    cancelled_after: float | None


@dataclass(frozen=True)
class Harm:
    how: Literal["kill", "crash", "stop", "drain", "suspend", "resume"]
    whom: str


SECONDS = st.sampled_from([0.0, 0.5, 1.0, 2.0])
FINISHES = st.builds(
    Finish, st.sampled_from(["answer", "answer", "answer", "later", "crash", "stop", "stop and answer"])
)


def asks(depth: int) -> st.SearchStrategy[Ask]:
    steps: st.SearchStrategy[Sleep | Ask] = st.builds(Sleep, SECONDS)
    if depth:
        steps = st.one_of(steps, asks(depth - 1))
    return st.builds(
        Ask,
        to=st.sampled_from(NAMES),
        by=st.sampled_from(get_args(By)),
        timeout=st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0]),
        work=st.lists(steps, max_size=2).map(tuple),
        finish=FINISHES,
        cancelled_after=st.one_of(st.none(), st.none(), SECONDS),
    )


HARMS = st.builds(
    Harm, st.sampled_from(["kill", "crash", "stop", "drain", "suspend", "resume", "resume"]), st.sampled_from(NAMES)
)
STORIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]), st.one_of(asks(2), asks(1), HARMS)), max_size=12
)


# --- what happens


@dataclass(frozen=True)
class Request(Call[int]):
    number: int
    ask: Ask
    deadline: float


@dataclass
class Record:
    """One call: when it was made and until when it may last, and how and when it ended."""

    number: int
    ask: Ask
    made: float
    deadline: float
    outcome: object = None
    ended: list[float] = field(default_factory=list)


class Court:
    """Keeps a record of every call, and judges them in the end."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.begun: defaultdict[int, list[float]] = defaultdict(list)
        self.deaths: defaultdict[str, list[float]] = defaultdict(list)

    async def call(self, system: System, ask: Ask, inherited: float) -> None:
        """Make a call and record what becomes of it."""
        now = system.now()
        record = Record(len(self.records), ask, now, min(now + ask.timeout, inherited))
        self.records.append(record)
        patience = ask.cancelled_after if ask.cancelled_after is not None else float("inf")
        try:
            with anyio.move_on_after(patience):
                record.outcome = "cancelled"
                record.outcome = await self._send(system, Request(record.number, ask, record.deadline))
        except SupervisorError as error:
            record.outcome = error
        finally:
            record.ended.append(system.now())

    async def _send(self, system: System, request: Request) -> int:
        ask = request.ask
        name = system.named(f"app/{ask.to}")
        if ask.by != "reference":
            return await name.call(request, ask.timeout, wait_for_restart=ask.by == "name")
        ref = name.resolve()
        if ref is None:
            raise NotRunning(name.path)
        return await ref.call(request, ask.timeout)

    def judge(self) -> None:
        """See that every call ended once, in time, and as it says."""
        for record in self.records:
            begun = self.begun[record.number]
            assert len(record.ended) == 1, record
            assert len(begun) <= 1, f"begun {len(begun)} times: {record}"
            [ended] = record.ended
            assert ended <= max(record.deadline, record.made), f"too late: {record}"
            match record.outcome:
                case int(answer):
                    assert answer == record.number
                    assert begun
                case "cancelled":
                    assert all(at <= ended for at in begun), f"begun after its caller had gone: {record}"
                case CallTimeout() as late:
                    assert ended == max(record.deadline, record.made), f"too early: {record}"
                    assert late.started == bool(begun), record
                case ActorDown() as down:
                    assert down.started == bool(begun), record
                    if down.reason != ExitReason.NOPROC:
                        at_the_death = ended in self.deaths[down.path]
                        assert at_the_death or ended == record.made, f"neither at the death nor at once: {record}"
                case _:
                    assert not begun, f"refused, and begun: {record}"


class Clerk(Actor):
    """Does with a request what the request says."""

    def __init__(self, court: Court) -> None:
        self._court = court

    async def init(self) -> None:
        path, system = self.ref.path, self.system
        self._cell.at_exit(lambda: self._court.deaths[path].append(system.now()))

    async def handle_call(self, request: Request, reply_to: ReplyTo[int]) -> Any:
        self._court.begun[request.number].append(self.system.now())
        for step in request.ask.work:
            if isinstance(step, Sleep):
                await anyio.sleep(step.seconds)
            else:
                await self._court.call(self.system, step, request.deadline)
        match request.ask.finish.how:
            case "answer":
                return request.number
            case "later":
                self.spawn(self._answer, request.number, reply_to)
                return NO_REPLY
            case "stop":
                return Stop()
            case "stop and answer":
                return Stop(reply=request.number)
            case _:
                raise Boom

    async def handle_cast(self, message: object) -> None:
        raise Boom

    async def _answer(self, number: int, reply_to: ReplyTo[int]) -> None:
        await anyio.sleep(0.5)
        reply_to.reply(number)


async def harm(system: System, harm: Harm) -> None:
    name = system.named(f"app/{harm.whom}")
    ref = name.resolve()
    try:
        match harm.how:
            case "crash":
                name.cast("crash")
            case "kill":
                if ref is not None:
                    ref.kill()
            case "stop":
                if ref is not None:
                    await ref.stop(timeout=1)
            case "drain":
                if ref is not None:
                    await ref.drain(timeout=1)
            case "suspend":
                await actors.suspend(name, timeout=10)
            case _:
                await actors.resume(name, timeout=10)
    except SupervisorError:
        pass  # it had died already


async def live(story: Sequence[tuple[float, Ask | Harm]], bound: Mailbox) -> None:
    before = count_tasks()
    court = Court()
    specs = [ChildSpec(name, lambda: Clerk(court), mailbox=bound, shutdown=1) for name in NAMES]
    system = System("app", Supervisor(specs, max_restarts=10**6), on_event=EventLog())

    async def play(at: float, what: Ask | Harm) -> None:
        await anyio.sleep(at)
        if isinstance(what, Ask):
            await court.call(system, what, float("inf"))
        else:
            await harm(system, what)

    async with system:
        async with anyio.create_task_group() as tasks:
            for at, what in story:
                tasks.start_soon(play, at, what)
        await anyio.sleep(500)
        for name in NAMES:
            await harm(system, Harm("resume", name))
        await settle()
        check_tree(system)
        assert [node.waiting_on for node in system.tree().children] == [()] * len(NAMES)
    court.judge()
    await settle()
    check_nothing_left(system, before)
    for outcome in {type(record.outcome).__name__ for record in court.records}:
        event(f"ended: {outcome}")


@settings(max_examples=150, deadline=None)
@given(
    story=STORIES,
    bound=st.builds(Mailbox, st.sampled_from([1, 2, 1000]), st.sampled_from(get_args(Overflow))),
    seed=st.integers(0, 2**16),
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_call_ends_once_in_time_and_tells_the_truth(
    story: list[tuple[float, Ask | Harm]], bound: Mailbox, seed: int, backend: Backend
) -> None:
    run_virtual(live, story, bound, backend=backend, seed=seed)
