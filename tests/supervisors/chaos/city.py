"""A tree with something of everything, and the traffic that goes on in it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypedDict, get_args

import anyio
from anyio.lowlevel import checkpoint

from supervisors import (
    NO_REPLY,
    Actor,
    ActorKilled,
    ActorRef,
    Backoff,
    Call,
    ChildSpec,
    Down,
    DynamicSupervisor,
    ExitReason,
    Mailbox,
    Passivate,
    Pause,
    PubSub,
    Registered,
    ReplyTo,
    Stop,
    Supervisor,
    System,
    Unregistered,
    adopt,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from supervisors import sys as actors
from supervisors._child_spec import Strategy
from supervisors._reasons import Restart
from supervisors.testing import EventLog, Load
from tests.supervisors.actors import Boom

NEWS = "news"


class Limits(TypedDict, total=False):
    """How many restarts a supervisor bears, and when they come."""

    max_restarts: int
    max_seconds: float
    backoff: Backoff
    pause: Pause


ENDLESS: Limits = {"max_restarts": 10**9, "max_seconds": 1.0}
DELAYED: Limits = {**ENDLESS, "backoff": Backoff(min_seconds=0.1, max_seconds=0.5, reset_after=1)}
RESTFUL: Limits = {"pause": Pause(threshold=2, half_life=1, seconds=0.3)}


@dataclass(frozen=True, slots=True)
class Echo(Call[int]):
    """Answer with the number."""

    number: int


@dataclass(frozen=True, slots=True)
class EchoLater(Call[int]):
    """Answer with the number, from a helper and after a while."""

    number: int


@dataclass(frozen=True, slots=True)
class Forward(Call[int]):
    """Have somebody else answer with the number."""

    number: int
    to: str


@dataclass(frozen=True, slots=True)
class Draw(Call[None]):
    """Draw water from a well, alone."""

    wells: "Wells"
    well: int


class Wells:
    """At each well there is room for one of the living."""

    def __init__(self) -> None:
        self.drawn = 0
        self.crowded = 0
        self._at: dict[int, ActorRef | None] = {}

    async def draw(self, system: System, well: int, who: ActorRef | None) -> None:
        """Take the lock of a well and stay for a while."""
        async with system.lock(well, timeout=2):
            other = self._at.get(well, who)
            self.crowded += well in self._at and (other is None or other.alive)
            self._at[well] = who
            try:
                await anyio.sleep(0.1)
                self.drawn += 1
            finally:
                if self._at.get(well) == who:
                    del self._at[well]


class Citizen(Actor):
    """Answers at once, later, or by asking somebody else; starts and ends in its own time."""

    def __init__(self, *, slow_start: float = 0.0, slow_end: float = 0.0, deaf: bool = False) -> None:
        self._slow_start = slow_start
        self._slow_end = slow_end
        self._deaf = deaf

    async def init(self) -> None:
        await checkpoint()
        if self._slow_start:
            await anyio.sleep(self._slow_start)

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        match request:
            case Echo(number):
                await checkpoint()
                return number
            case EchoLater(number):
                self.spawn(self._answer, number, reply_to)
                return NO_REPLY
            case Forward(number, to):
                return await self.system.named(to).call(Echo(number), timeout=3)
            case Draw(wells, well):
                return await wells.draw(self.system, well, self.ref)
            case _:
                return await super().handle_call(request, reply_to)

    async def handle_cast(self, message: Any) -> Stop | None:
        await checkpoint()
        if message == "crash":
            raise Boom
        if message == "stop":
            return Stop()
        with anyio.CancelScope(shield=self._deaf):
            await anyio.sleep(message)
        return None

    async def terminate(self, reason: ExitReason) -> None:
        with anyio.CancelScope(shield=self._deaf):
            await anyio.sleep(self._slow_end)

    async def _answer(self, number: int, reply_to: ReplyTo[int]) -> None:
        await anyio.sleep(0.1)
        reply_to.reply(number)


class Hermit(Actor):
    """Counts its visits, and withdraws when nobody comes; the city knows how often each was visited."""

    def __init__(self, city: "City") -> None:
        self._city = city
        self._count = 0

    def passivate(self) -> int:
        return self._count

    async def activate(self, state: int) -> None:
        await checkpoint()
        self._city.returns += 1
        self._count = state

    async def handle_call(self, request: Echo, reply_to: ReplyTo[int]) -> Any:
        await checkpoint()
        self._count += 1
        visits = self._city.visits[self.ref] = self._city.visits.get(self.ref, 0) + 1
        if self._count != visits:
            self._city.wrongs.append(f"{self.ref} remembers {self._count} of {visits} visits")
        return Passivate(request.number) if request.number % 2 else request.number

    async def handle_cast(self, message: Any) -> None:
        await checkpoint()
        raise Boom


class Chronicler(Actor):
    """Watches whom it is told to, and holds the news of each death to what is promised of it."""

    def __init__(self, city: "City") -> None:
        self._city = city
        self._watched: dict[Any, ActorRef] = {}
        self._mayor: ActorRef | None = None

    async def init(self) -> None:
        self._city.news.subscribe(NEWS, self.ref)

    async def handle_cast(self, message: Any) -> None:
        self._watched[self.monitor(message)] = message

    async def handle_info(self, message: Any) -> None:
        await checkpoint()
        if isinstance(message, Registered):
            self._mayor = message.ref
        elif isinstance(message, Unregistered):
            if self._mayor not in (None, message.ref):
                self._city.wrongs.append(f"{message.ref} lost an office which it did not hold")
            self._mayor = None
        elif isinstance(message, Down):
            self._city.downs += 1
            ref = self._watched.pop(message.monitor)  # a second Down would be a KeyError
            if ref.alive or self.system.whereis(ref.path) == ref:
                self._city.wrongs.append(f"the news of {ref} came before its end")


class City:
    """The tree, its traffic, and what went wrong in it."""

    def __init__(self, seed: int) -> None:
        self.log = EventLog()
        self.news = PubSub()
        self.wells = Wells()
        self.wrongs: list[str] = []
        self.downs = 0
        self.visits: dict[ActorRef, int] = {}
        self.returns = 0
        self.system = System("city", self._root(), on_event=self.log, shutdown_budget=200)
        self._random = random.Random(seed)
        self._numbers = count(1)

    @property
    def traffic(self) -> Sequence[Load]:
        return (
            self._ask,
            self._ask,
            self._ask_an_incarnation,
            self._harm,
            self._harm,
            self._move_in,
            self._move_in,
            self._move_out,
            self._pass_through,
            self._pass_through,
            self._watch,
            self._watch,
            self._govern,
            self._publish,
            self._draw,
            self._draw,
            self._elect,
            self._withdraw,
            self._withdraw,
            self._visit,
            self._visit,
            self._disturb,
            self._stop,
            self._give_up_asking,
        )

    # --- the tree

    def _root(self) -> Supervisor:
        return Supervisor(
            [
                self._district("north", "one_for_all", ENDLESS),
                self._district("east", "rest_for_one", ENDLESS),
                self._district("south", "one_for_one", {"max_restarts": 2, "max_seconds": 1.0}),
                self._district("west", "rest_for_one", DELAYED),
                self._district("centre", "one_for_one", RESTFUL),
                ChildSpec("inn", partial(DynamicSupervisor, **DELAYED, max_children=12), type="supervisor"),
                ChildSpec("hostel", partial(DynamicSupervisor, max_restarts=1, max_seconds=1.0), type="supervisor"),
                ChildSpec("desert", partial(DynamicSupervisor, **ENDLESS), type="supervisor"),
                ChildSpec("chronicle", partial(Chronicler, self)),
            ],
            strategy="one_for_one",
            **ENDLESS,
        )

    def _district(self, name: str, strategy: Strategy, limits: Limits) -> ChildSpec:
        houses = [
            ChildSpec("a", Citizen),
            ChildSpec("slow", partial(Citizen, slow_start=0.2, slow_end=0.3), restart="transient"),
            ChildSpec("deaf", partial(Citizen, deaf=True, slow_end=4), shutdown=0.5),
            ChildSpec("brief", Citizen, restart="temporary", shutdown="brutal_kill"),
            ChildSpec("hasty", partial(Citizen, slow_end=0.1), interrupt=True, mailbox=Mailbox(3, "drop_oldest")),
            ChildSpec("yard", partial(Supervisor, [ChildSpec("cat", Citizen)], **limits), type="supervisor"),
        ]
        return ChildSpec(name, partial(Supervisor, houses, strategy=strategy, **limits), type="supervisor")

    # --- traffic

    def _somebody(self) -> str:
        district = self._random.choice(["north", "east", "south", "west", "centre"])
        house = self._random.choice(["a", "slow", "deaf", "brief", "hasty", "yard/cat"])
        return f"city/{district}/{house}"

    async def _ask(self) -> None:
        number = next(self._numbers)
        question = self._random.choice([Echo(number), EchoLater(number), Forward(number, to=self._somebody())])
        answer = await self.system.named(self._somebody()).call(question, timeout=self._random.choice([0.05, 2, 5]))
        assert answer == number

    async def _ask_an_incarnation(self) -> None:
        ref = self.system.whereis(self._somebody())
        if ref is not None:
            number = next(self._numbers)
            assert await ref.call(EchoLater(number)) == number

    async def _give_up_asking(self) -> None:
        with anyio.move_on_after(self._random.choice([0, 0.05, 0.3])):
            await self._random.choice([self._ask, self._move_in, self._move_out, self._govern, self._stop])()

    async def _harm(self) -> None:
        harm = self._random.choice(["crash", "stop", 0.5, 3])
        self.system.named(self._somebody()).cast(harm)

    async def _stop(self) -> None:
        ref = self.system.whereis(self._somebody())
        if ref is not None:
            await ref.stop(timeout=self._random.choice([0, 0.2, None]))

    async def _move_in(self) -> None:
        house = self._random.choice(["city/inn", "city/hostel"])
        restart: Restart = self._random.choice(get_args(Restart))
        start = partial(Citizen, slow_start=self._random.choice([0, 0.2]), slow_end=self._random.choice([0, 0.2]))
        guest = ChildSpec(str(self._random.randint(1, 10)), start, restart=restart)
        await start_child(self.system.named(house), guest, timeout=10)

    async def _move_out(self) -> None:
        house = self._random.choice(["city/inn", "city/hostel"])
        await terminate_child(self.system.named(house), str(self._random.randint(1, 10)), timeout=10)

    async def _pass_through(self) -> None:
        try:
            async with adopt(self.system.named("city/inn"), f"passer {next(self._numbers)}"):
                await anyio.sleep(self._random.choice([0, 0.1, 1]))
                await self._ask()
        except ActorKilled:
            await checkpoint()

    async def _watch(self) -> None:
        ref = self.system.whereis(self._somebody())
        if ref is not None:
            self.system.named("city/chronicle").cast(ref)
            if self._random.random() < 0.5:
                ref.kill()
                await self.system.monitor(ref).wait()
                assert self.system.whereis(ref.path) != ref

    async def _govern(self) -> None:
        district = self.system.named(f"city/{self._random.choice(['north', 'east', 'south'])}")
        house = self._random.choice(["a", "slow", "brief", "hasty", "yard"])
        match self._random.choice(["list", "stop", "delete", "start"]):
            case "list":
                await which_children(district, timeout=20)
            case "delete":
                await delete_child(district, "brief", timeout=20)
            case "start":
                await restart_child(district, house, timeout=20)
            case _:
                await terminate_child(district, house, timeout=20)
                await restart_child(district, house, timeout=20)

    async def _draw(self) -> None:
        well = self._random.randint(1, 3)
        if self._random.random() < 0.2:
            await self.wells.draw(self.system, well, None)
        else:
            await self.system.named(self._somebody()).call(Draw(self.wells, well), timeout=4)

    async def _elect(self) -> None:
        ref = self.system.whereis(self._somebody())
        chronicle = self.system.whereis("city/chronicle")
        if ref is not None and chronicle is not None:
            self.system.listen(chronicle)
            self.system.unregister("mayor")
            self.system.register("mayor", ref, next(self._numbers))

    def _hermit(self) -> str:
        return str(self._random.randint(1, 3))

    async def _withdraw(self) -> None:
        hermit = ChildSpec(
            self._hermit(),
            partial(Hermit, self),
            restart=self._random.choice(get_args(Restart)),
            passivate_after=self._random.choice([0.3, 2]),
        )
        await start_child(self.system.named("city/desert"), hermit, timeout=10)

    async def _visit(self) -> None:
        number = next(self._numbers)
        hermit = self.system.named(f"city/desert/{self._hermit()}")
        assert await hermit.call(Echo(number), timeout=2, wait_for_restart=False) == number

    async def _disturb(self) -> None:
        ref = self.system.whereis(f"city/desert/{self._hermit()}")
        if ref is not None:
            match self._random.choice(["suspend", "look", "watch", "crash", "later"]):
                case "suspend":
                    await actors.suspend(ref)
                    await anyio.sleep(0.1)
                    await actors.resume(ref)
                case "look":
                    await actors.get_state(ref)
                case "watch":
                    self.system.named("city/chronicle").cast(ref)
                case "crash":
                    ref.cast("crash")
                case _:
                    self.system.send_after(1, ref, "sand")

    async def _publish(self) -> None:
        self.news.publish(NEWS, "nothing new")
