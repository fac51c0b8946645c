"""Whatever is sent to an actor, in whatever order and under whatever bound: its mailbox does what plain lists would do."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from hypothesis import event, given, settings
from hypothesis import strategies as st

from supervisors import (
    Actor,
    ActorDown,
    ActorRef,
    Call,
    CallTimeout,
    ChildSpec,
    Down,
    Mailbox,
    MailboxFull,
    ReplyTo,
    Stop,
    Supervisor,
    System,
)
from supervisors import sys as actors
from supervisors._child_spec import Overflow
from supervisors._lobby import BlockingInbox
from supervisors.testing import EventLog, check_tree, run_virtual, settle
from tests.supervisors.actors import started
from tests.supervisors.properties.mailbox_model import Lane, Letter, MailboxModel

Backend = Literal["asyncio", "trio"]

OVERFLOWS: st.SearchStrategy[Overflow] = st.sampled_from([*get_args(Overflow), "block"])
CASUAL: list[Lane] = ["cast", "send", "signal"]
STEPS = st.one_of(
    st.tuples(st.just("arrive"), st.lists(st.sampled_from(CASUAL), min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["call", "wait"]), st.sampled_from([1.0, 1.5, 4.0, 1000.0])),
    st.tuples(st.sampled_from(["take", "take", "cancel"]), st.integers(0, 9)),
    st.tuples(st.just("ask"), st.sampled_from(["look", "suspend", "resume", "resume"])),
    st.tuples(st.just("pause"), st.sampled_from([0.5, 1.0, 3.0])),
)
ENDS = st.sampled_from(["read out", "kill", "stop", "drain"])


@dataclass(frozen=True)
class Numbered(Call[str]):
    number: int


class Holder(Actor):
    """Keeps each message in hand until it is told to take the next."""

    def __init__(self, begun: list[int]) -> None:
        self.begun = begun
        self.done = anyio.Event()

    async def _hold(self, number: int) -> None:
        self.begun.append(number)
        self.done = anyio.Event()
        await self.done.wait()

    async def handle_call(self, request: Numbered, reply_to: ReplyTo[str]) -> str:
        await self._hold(request.number)
        return "answered"

    async def handle_cast(self, message: int) -> None:
        await self._hold(message)

    async def handle_info(self, message: int) -> None:
        await self._hold(message)


class Correspondence:
    """The actor, those who write to it, and the model of both."""

    def __init__(self, capacity: int, overflow: Overflow, tasks: TaskGroup) -> None:
        self.model = MailboxModel(capacity, overflow)
        self.begun: list[int] = []
        self.told: dict[int, str] = {}
        self.tasks = tasks
        self.scopes: dict[int, anyio.CancelScope] = {}
        self.number = 0
        spec = ChildSpec("holder", lambda: Holder(self.begun), restart="temporary", mailbox=Mailbox(capacity, overflow))
        self.system = System("app", Supervisor([spec]), on_event=EventLog())

    @property
    def ref(self) -> ActorRef:
        return self._ref

    async def begin(self) -> None:
        self._ref = started(self.system, "app/holder")
        self._actor: Any = self._ref._cell.actor  # type: ignore[attr-defined]

    async def step(self, what: str, how: Any) -> None:
        match what:
            case "arrive":
                letters = [self._letter(lane) for lane in how]
                for letter in letters:
                    self._drop_in(letter)
                self.model.arrive(letters)
            case "call" | "wait":
                letter = self._letter(what, how)
                self._wait(letter.number, self._sending(letter, how))
                self.model.arrive([letter])
            case "take":
                self._actor.done.set()
                self.model.take()
            case "cancel":
                waiting = self.model.waiting()
                if waiting:
                    letter = waiting[how % len(waiting)]
                    self.scopes[letter.number].cancel()
                    self.model.cancel(letter)
            case "ask":
                self.number += 1
                errands = {"look": actors.get_state, "suspend": actors.suspend, "resume": actors.resume}
                self._wait(self.number, partial(self._asking, errands[how]))
                self.model.ask(self.number, how)
            case _:
                await anyio.sleep(how)
                self.model.pause(how)
        await settle()

    async def end(self, how: str) -> None:
        """Have the actor read everything, or die."""
        if how == "kill":
            self.ref.kill()
            self.model.kill()
        elif how == "stop":
            self.tasks.start_soon(partial(self.ref.stop, timeout=None))
            self.model.stop()
            await settle()
            await self.step("take", 0)
        elif how == "drain":
            self.tasks.start_soon(partial(self.ref.drain, timeout=None))
            self.model.drain()
            await settle()
            self.check()
            late: list[tuple[str, Any]] = [("arrive", CASUAL), ("call", 9.0), ("wait", 9.0), ("ask", "resume")]
            while self.model.alive:
                await self.step(*(late.pop(0) if late else ("take", 0)))
                self.check()
        else:
            await self.step("ask", "resume")
            while self.model.in_hand is not None:
                await self.step("take", 0)
        await settle()

    def check(self) -> None:
        """See that both are alike."""
        assert self.begun == self.model.begun
        assert self.told == self.model.told
        info = self.ref.info()
        assert info.mailbox_depth == len(self.model.queue)
        assert info.dropped == self.model.dropped
        inbox: Any = self.ref._cell._inbox  # type: ignore[attr-defined]
        assert (len(inbox._line) if isinstance(inbox, BlockingInbox) else 0) == len(self.model.line)
        assert (self.ref.alive, self.system.dead_letters) == (self.model.alive, self.model.buried)
        check_tree(self.system)

    # --- sending

    def _letter(self, lane: Lane, timeout: float = 0.0) -> Letter:
        self.number += 1
        return Letter(self.number, lane, self.system.now() + timeout)

    def _drop_in(self, letter: Letter) -> None:
        match letter.lane:
            case "signal":
                self.ref._cell.signal(letter.number)
            case "cast":
                self.told[letter.number] = str(self.ref.cast(letter.number))
            case _:
                self.told[letter.number] = str(self.ref.send(letter.number))

    def _sending(self, letter: Letter, timeout: float) -> Callable[[], Awaitable[object]]:
        if letter.lane == "call":
            return partial(self.ref.call, Numbered(letter.number), timeout)
        return partial(self.ref.cast_wait, letter.number, timeout)

    async def _asking(self, errand: Callable[..., Awaitable[object]]) -> str:
        await errand(self.ref, timeout=100_000)
        return "done"

    def _wait(self, number: int, send: Callable[[], Awaitable[object]]) -> None:
        scope = self.scopes[number] = anyio.CancelScope()

        async def run() -> None:
            with scope:
                self._tell(number, await outcome(send))
            if scope.cancelled_caught:
                self._tell(number, "cancelled")

        self.tasks.start_soon(run)

    def _tell(self, number: int, what: str) -> None:
        assert number not in self.told, "told twice"
        self.told[number] = what


async def outcome(send: Callable[[], Awaitable[object]]) -> str:
    """Say in one word how a request ended."""
    try:
        return str(await send())
    except MailboxFull:
        return "full"
    except CallTimeout as late:
        return f"timeout, started: {late.started}"
    except ActorDown as down:
        return f"down, started: {down.started}"


async def correspond(capacity: int, overflow: Overflow, steps: Sequence[tuple[str, Any]], end: str) -> None:
    async with anyio.create_task_group() as tasks:
        both = Correspondence(capacity, overflow, tasks)
        async with both.system:
            await both.begin()
            for what, how in steps:
                await both.step(what, how)
                both.check()
            await both.end(end)
            both.check()
    for told in set(both.told.values()):
        event(f"told: {told}")


@settings(max_examples=200, deadline=None)
@given(
    capacity=st.integers(1, 2),
    overflow=OVERFLOWS,
    steps=st.lists(STEPS, min_size=4, max_size=30),
    end=ENDS,
    seed=st.integers(0, 2**16),
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_mailbox_does_what_plain_lists_would_do(
    capacity: int, overflow: Overflow, steps: list[tuple[str, Any]], end: str, seed: int, backend: Backend
) -> None:
    run_virtual(correspond, capacity, overflow, steps, end, backend=backend, seed=seed)


# --- many senders at once


SCRIPTS = st.lists(st.sampled_from(["cast", "cast", "send", "wait", "yield", "nap"]), max_size=12)


class Sender(Actor):
    """Sends as its script says, and dies."""

    def __init__(self, name: str, script: Sequence[str], told: list[tuple[str, int, bool]]) -> None:
        self.name = name
        self._script = script
        self._told = told

    async def handle_cast(self, message: Any) -> Stop:
        receiver = self.system.named("app/receiver")
        for number, step in enumerate(self._script):
            match step:
                case "yield":
                    await checkpoint()
                case "nap":
                    await anyio.sleep(0.5)
                case "wait":
                    self._told.append((self.name, number, await receiver.cast_wait((self.name, number), timeout=2)))
                case "send":
                    self._told.append((self.name, number, receiver.send((self.name, number))))
                case _:
                    self._told.append((self.name, number, receiver.cast((self.name, number))))
        return Stop()


class Receiver(Actor):
    """Watches the senders, and takes its time with each message."""

    def __init__(self, senders: Sequence[str], pace: float, heard: list[tuple[str, int]]) -> None:
        self._senders = senders
        self._pace = pace
        self._heard = heard

    async def handle_cast(self, message: Any) -> None:
        if message == "watch":
            for name in self._senders:
                self.monitor(self.system.named(f"app/{name}"))
        else:
            await self.handle_info(message)

    async def handle_info(self, message: Any) -> None:
        await (anyio.sleep(self._pace) if self._pace else checkpoint())
        if isinstance(message, Down):
            self._heard.append((message.ref.path.removeprefix("app/"), DEATH))
        else:
            self._heard.append(message)


DEATH = 1_000_000
"""The last number of every sender."""


async def crowd(capacity: int, overflow: Overflow, scripts: Sequence[Sequence[str]], pace: float) -> None:
    told: list[tuple[str, int, bool]] = []
    heard: list[tuple[str, int]] = []
    names = [f"sender{position}" for position in range(len(scripts))]
    specs = [
        ChildSpec(name, partial(Sender, name, script, told), restart="temporary")
        for name, script in zip(names, scripts, strict=True)
    ]
    receiver = ChildSpec("receiver", partial(Receiver, names, pace, heard), mailbox=Mailbox(capacity, overflow))
    async with System("app", Supervisor([receiver, *specs]), on_event=EventLog()) as system:
        started(system, "app/receiver").cast("watch")
        await settle()
        for name in names:
            started(system, f"app/{name}").cast("begin")
        await anyio.sleep(1000)
        dropped = started(system, "app/receiver").info().dropped
    for name in names:
        order = [number for sender, number in heard if sender == name]
        assert order == sorted(set(order)), "out of order, or twice"
        assert order[-1] == DEATH, "the news of the death was lost, or came too early"
    welcome = {(name, number) for name, number, taken in told if taken}
    letters = {letter for letter in heard if letter[1] != DEATH}
    assert letters <= welcome
    assert len(letters) + dropped == len(welcome) if overflow.startswith("drop") else letters == welcome


@settings(max_examples=100, deadline=None)
@given(
    capacity=st.integers(1, 4),
    overflow=OVERFLOWS,
    scripts=st.lists(SCRIPTS, min_size=1, max_size=4),
    pace=st.sampled_from([0.0, 0.25]),
    seed=st.integers(0, 2**16),
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_senders_messages_keep_their_order_and_its_death_comes_last(
    capacity: int, overflow: Overflow, scripts: list[list[str]], pace: float, seed: int, backend: Backend
) -> None:
    run_virtual(crowd, capacity, overflow, scripts, pace, backend=backend, seed=seed)
