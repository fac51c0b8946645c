"""An actor that keeps notes and may go passive, and the tree that it lives in."""

import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import anyio

from supervisors import (
    NO_REPLY,
    Actor,
    ActorRef,
    Call,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    Helper,
    Passivate,
    ReplyTo,
    Stop,
    Supervisor,
    System,
    count_children,
    start_child,
)
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Boom, puppet

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


async def raise_boom(actor: Notebook) -> None:
    raise Boom


async def pause(seconds: float, actor: Notebook) -> None:
    await anyio.sleep(seconds)
