"""Actors that do what a test tells them to."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from supervisors import (
    NO_REPLY,
    Actor,
    ActorRef,
    Call,
    ChildSpec,
    ExitReason,
    Ignore,
    Passivate,
    ReplyTo,
    Stop,
    Supervisor,
    System,
)

Action = Callable[["Puppet"], Awaitable[Any]]


class Boom(Exception):
    """The crash of the tests."""


@dataclass(frozen=True, slots=True)
class Do(Call[Any]):
    """Run an action in the actor and answer with its result."""

    action: Action


@dataclass(frozen=True, slots=True)
class Ask(Call[str]):
    """Answer with the puppet's name."""


@dataclass(frozen=True, slots=True)
class Later(Call[str]):
    """Keep the `ReplyTo` and answer nothing."""


class Puppet(Actor):
    """Runs the actions it is sent and writes down what happens to it."""

    def __init__(
        self,
        name: str = "puppet",
        trace: list[str] | None = None,
        *,
        on_init: Action | None = None,
        on_terminate: Action | None = None,
    ) -> None:
        self.name = name
        self.trace = trace if trace is not None else []
        self.infos: list[Any] = []
        self.kept: list[ReplyTo[str]] = []
        self._on_init = on_init
        self._on_terminate = on_terminate

    async def init(self) -> Ignore | Stop | None:
        self.trace.append(f"{self.name} init")
        outcome: Ignore | Stop | None = await self._on_init(self) if self._on_init is not None else None
        self.trace.append(f"{self.name} up")
        return outcome

    async def handle_call(self, request: Any, reply_to: ReplyTo[Any]) -> Any:
        match request:
            case Do(action):
                return await action(self)
            case Ask():
                return self.name
            case Later():
                self.kept.append(reply_to)
                return NO_REPLY
            case _:
                return await super().handle_call(request, reply_to)

    async def handle_cast(self, message: Any) -> Passivate | Stop | None:
        if callable(message):
            outcome: Passivate | Stop | None = await message(self)
            return outcome
        if isinstance(message, str):
            self.trace.append(message)
            return None
        return await super().handle_cast(message)

    async def handle_info(self, message: Any) -> Stop | None:
        self.infos.append(message)
        return None

    async def terminate(self, reason: ExitReason) -> None:
        self.trace.append(f"{self.name} terminate {reason}")
        if self._on_terminate is not None:
            await self._on_terminate(self)

    def format_status(self) -> Mapping[str, object]:
        return {"name": self.name}


async def crash(puppet: Puppet) -> None:
    raise Boom(puppet.name)


async def stop_normally(puppet: Puppet) -> Stop:
    return Stop()


async def hang(puppet: Puppet) -> None:
    await anyio.sleep_forever()


async def hang_shielded(puppet: Puppet) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(1000)


def sleep(seconds: float) -> Action:
    async def action(puppet: Puppet) -> None:
        await anyio.sleep(seconds)

    return action


def answer(value: Any) -> Action:
    async def action(puppet: Puppet) -> Any:
        return value

    return action


def puppet(id: str, trace: list[str] | None = None, **options: Any) -> ChildSpec:
    """Make the spec of a puppet; the options of `Puppet` and of `ChildSpec` together."""
    own = {name: options.pop(name) for name in ("on_init", "on_terminate") if name in options}
    return ChildSpec(id, lambda: Puppet(id, trace, **own), **options)


def started(system: System, path: str) -> ActorRef:
    """Find an actor that is expected to run."""
    ref = system.whereis(path)
    assert ref is not None, f"{path} is not running"
    return ref


def puppet_of(ref: ActorRef) -> Puppet:
    """Look inside an actor, which only a test may do."""
    actor = ref._cell.actor  # type: ignore[attr-defined]
    assert isinstance(actor, Puppet)
    return actor


def group(*specs: ChildSpec, id: str = "group", **options: Any) -> ChildSpec:
    """Make the spec of a supervisor; `restart`, `shutdown` and `significant` are the spec's, the rest is its own."""
    own = {name: options.pop(name) for name in ("restart", "shutdown", "significant") if name in options}
    return ChildSpec(id, lambda: Supervisor(specs, **options), type="supervisor", **own)
