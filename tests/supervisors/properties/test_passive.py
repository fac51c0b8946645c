"""Whatever is sent to actors that go passive and come back, whoever ends them meanwhile: nothing is lost or out of order."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

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
    DynamicSupervisor,
    MonitorRef,
    Passivate,
    PubSub,
    ReplyTo,
    Supervisor,
    SupervisorError,
    System,
    start_child,
    terminate_child,
)
from supervisors import sys as actors
from supervisors._reasons import Restart
from supervisors.testing import EventLog, check_nothing_left, check_tree, count_tasks, run_virtual, settle
from tests.supervisors.actors import Boom
from tests.supervisors.properties.passive_model import Life

Backend = Literal["asyncio", "trio"]

IDLE = 2.0
LONG = 10_000.0
IDS = ["a", "b"]
PACES = [0.0, 0.0, 0.5, 3.0]
SENDING = ["cast", "cast", "send", "publish", "later", "call", "call", "hasty call"]
ENDING = ["kill", "stop", "crash", "terminate"]
OTHER = ["rest", "rest", "rest", "suspend", "resume", "look", "watch", "poison", "start"]
STEPS = st.tuples(
    st.sampled_from([*SENDING, *SENDING, *ENDING, *OTHER]),
    st.sampled_from(IDS),
    st.sampled_from(PACES),
    st.sampled_from(["none", "none", "yield", "settle", "idle", "moment"]),
)


@dataclass(frozen=True, slots=True)
class Numbered(Call[int]):
    """A message that takes so long."""

    number: int
    pace: float
    then: Literal["go on", "rest", "crash"] = "go on"


class World:
    """The System, everybody who writes to its actors, and a model of each incarnation."""

    def __init__(self, tasks: TaskGroup, restarts: Sequence[Restart]) -> None:
        self.tasks = tasks
        self.restarts = dict(zip(IDS, restarts, strict=True))
        self.lives: dict[ActorRef, Life] = {}
        self.news = PubSub()
        self.poisoned: set[str] = set()
        self.outcomes: dict[int, str] = {}
        self.monitors: dict[ActorRef, list[MonitorRef]] = {}
        self.waiting = 0
        self.number = 0
        pool = ChildSpec("pool", partial(DynamicSupervisor, max_restarts=10**6), type="supervisor")
        self.system = System("app", Supervisor([pool]), on_event=EventLog())

    # --- steps

    async def step(self, what: str, who: str, pace: float, pause: str) -> None:
        ref = self.system.whereis(f"app/pool/{who}")
        if what == "start":
            self.attempt(self.start(who))
        elif what == "poison":
            self.poisoned ^= {who}
        elif ref is not None and ref in self.lives:
            await self.deal_with(ref, self.lives[ref], what, pace)
        match pause:
            case "yield":
                await checkpoint()
            case "settle":
                await settle()
                self.check()
            case "idle":
                await anyio.sleep(2 * IDLE)
                await settle()
                self.check()
            case "moment":
                await anyio.sleep(0.25)

    async def deal_with(self, ref: ActorRef, life: Life, what: str, pace: float) -> None:
        match what:
            case "cast" | "send" | "publish" | "rest" | "crash":
                message = self.message(pace, "rest" if what == "rest" else "crash" if what == "crash" else "go on")
                send = ref.send if what == "send" else partial(self.publish, ref) if what == "publish" else ref.cast
                if send(message):
                    life.send(message.number)
            case "later":
                message = self.message(pace)
                self.system.send_after(1.0, ref, message)
                life.send_later(message.number)
            case "call" | "hasty call":
                self.attempt(self.call(ref, life, pace, 1.0 if what == "hasty call" else LONG))
            case "kill":
                ref.kill()
                life.end()
            case "stop":
                life.end()
                self.attempt(partial(ref.stop, None))
            case "terminate":
                self.attempt(self.terminate(ref, life))
            case "suspend":
                self.attempt(self.suspend(ref, life))
            case "resume":
                life.held = False
                self.attempt(partial(actors.resume, ref, LONG))
            case "look":
                self.attempt(partial(actors.get_state, ref, LONG))
            case _:
                self.monitors.setdefault(ref, []).append(self.system.monitor(ref))

    def message(self, pace: float, then: Literal["go on", "rest", "crash"] = "go on") -> Numbered:
        self.number += 1
        return Numbered(self.number, pace, then)

    def publish(self, ref: ActorRef, message: Numbered) -> bool:
        self.news.subscribe("topic", ref)
        taken = self.news.publish("topic", message)
        self.news.unsubscribe("topic", ref)
        return taken == 1

    def start(self, who: str) -> Callable[[], Awaitable[object]]:
        spec = ChildSpec(who, partial(Diarist, self), restart=self.restarts[who], passivate_after=IDLE)
        return partial(start_child, self.system.named("app/pool"), spec, LONG)

    def call(self, ref: ActorRef, life: Life, pace: float, timeout: float) -> Callable[[], Awaitable[object]]:
        message = self.message(pace)

        async def run() -> None:
            if not ref.alive:
                return
            life.send(message.number, call=True)
            try:
                place = await ref.call(message, timeout)
            except (ActorDown, CallTimeout) as error:
                self.outcomes[message.number] = "begun" if error.started else "not begun"
            else:
                self.outcomes[message.number] = "answered"
                assert life.notes[place - 1] == message.number

        return run

    def terminate(self, ref: ActorRef, life: Life) -> Callable[[], Awaitable[object]]:
        async def run() -> None:
            await terminate_child(self.system.named("app/pool"), ref, LONG)
            life.end()
            assert not ref.alive

        return run

    def suspend(self, ref: ActorRef, life: Life) -> Callable[[], Awaitable[object]]:
        async def run() -> None:
            await actors.suspend(ref, LONG)
            life.held = ref.info().status == "suspended"

        return run

    def attempt(self, request: Callable[[], Awaitable[object]]) -> None:
        async def run() -> None:
            self.waiting += 1
            try:
                await request()
            except SupervisorError:
                pass
            finally:
                self.waiting -= 1

        self.tasks.start_soon(run)

    # --- what has to hold

    def check(self) -> None:
        check_tree(self.system)
        for ref, life in self.lives.items():
            status = ref.info().status
            assert (status in ("passive", "suspended") and life.left is not None) or life.left is None or life.over
            assert status != "passive" or ref._cell.hub.names.whereis(ref.path) is ref._cell

    async def let_everything_happen(self) -> None:
        self.poisoned.clear()
        await anyio.sleep(LONG)  # so that no request to be suspended is still on its way
        for ref, life in self.lives.items():
            life.held = False
            self.attempt(partial(actors.resume, ref, LONG))
        await anyio.sleep(LONG)
        await settle()
        self.check()
        for ref, life in self.lives.items():
            if not ref.alive:
                life.end()
            life.check_quiet()
            assert all(self.outcomes[number] == "not begun" for number in life.passed_over)

    def check_ended(self) -> None:
        assert self.waiting == 0
        for ref, life in self.lives.items():
            assert not ref.alive
            for number in life.calls & set(life.notes):
                assert self.outcomes[number] in ("answered", "begun")
            for monitor in self.monitors.get(ref, ()):
                assert monitor._down is not None


class Diarist(Actor):
    """Handles one message at a time, tells its model of everything, and leaves what it has noted when it goes passive."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def life(self) -> Life:
        return self.world.lives[self.ref]

    async def init(self) -> None:
        assert self.ref not in self.world.lives, "begun twice"
        self.world.lives[self.ref] = Life()

    def passivate(self) -> tuple[int, ...]:
        left = self.life.passivate()
        self.life.rest(left)
        return left

    async def activate(self, state: tuple[int, ...]) -> None:
        self.life.activate(state)
        await checkpoint()
        if self.ref.path.rpartition("/")[2] in self.world.poisoned:
            self.life.end()
            raise Boom("poisoned")

    async def handle_call(self, request: Numbered, reply_to: ReplyTo[int]) -> Any:
        self.life.begin(request.number)
        await self._take_time(request.pace)
        return self.life.finish(request.number)

    async def handle_cast(self, message: Numbered) -> Passivate | None:
        self.life.begin(message.number)
        await self._take_time(message.pace)
        if message.then == "crash":
            self.life.end()
            raise Boom
        self.life.finish(message.number)
        return Passivate() if message.then == "rest" else None

    async def handle_info(self, message: Numbered) -> None:
        await self.handle_cast(message)

    async def _take_time(self, seconds: float) -> None:
        await (anyio.sleep(seconds) if seconds else checkpoint())


async def story(restarts: Sequence[Restart], steps: Sequence[tuple[str, str, float, str]]) -> None:
    before = count_tasks()
    async with anyio.create_task_group() as tasks:
        world = World(tasks, restarts)
        async with world.system:
            for who in IDS:
                await world.start(who)()
            for step in steps:
                await world.step(*step)
            await world.let_everything_happen()
        await settle()
        world.check_ended()
    check_nothing_left(world.system, before)
    for outcome, number in Counter(world.outcomes.values()).items():
        event(f"calls {outcome}: {min(number, 5)}")
    event(f"rests: {min(sum(life.rests for life in world.lives.values()) // 3 * 3, 12)}")
    event(f"incarnations: {len(world.lives)}")


@settings(max_examples=100, deadline=None)
@given(
    restarts=st.lists(st.sampled_from(["permanent", "transient", "temporary"]), min_size=len(IDS), max_size=len(IDS)),
    steps=st.lists(STEPS, min_size=20, max_size=60),
    seed=st.integers(0, 2**16),
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_message_is_lost_or_overtaken_whoever_is_passive_in_between(
    restarts: list[Restart], steps: list[tuple[str, str, float, str]], seed: int, backend: Backend
) -> None:
    run_virtual(story, restarts, steps, backend=backend, seed=seed)
