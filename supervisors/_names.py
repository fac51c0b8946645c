"""Further names of actors: with a value, and with listeners that hear of them.

A name is given to a living actor and freed at its death, in that synchronous step, so nobody finds it with the dead. Its
value is for others to read and for its holder to change; nobody else does, so a change needs no lock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from supervisors._cell import current_cell
from supervisors._member import Hub, Member
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef
from supervisors.exceptions import ActorDown, AlreadyStarted, NotTheHolder


@dataclass(frozen=True, slots=True)
class Registration:
    """A further name, the incarnation that holds it, and the value it was given last."""

    name: str
    ref: ActorRef
    value: Any


@dataclass(frozen=True, slots=True)
class Registered:
    """To a listener: an actor has a further name."""

    name: str
    ref: ActorRef
    value: Any


@dataclass(frozen=True, slots=True)
class Unregistered:
    """To a listener: a further name is free, because it was taken back or its holder has died."""

    name: str
    ref: ActorRef


@dataclass(frozen=True, slots=True)
class _Ear:
    """One actor that listens; equal to itself made anew."""

    ref: ActorRef

    def registered(self, name: str, holder: Member, value: object) -> None:
        self.ref._cell.signal(Registered(name, ActorRef(holder), value))

    def unregistered(self, name: str, holder: Member) -> None:
        self.ref._cell.signal(Unregistered(name, ActorRef(holder)))


class Names:
    """The further names of one System."""

    __slots__ = ("_registry",)

    def __init__(self, hub: Hub) -> None:
        self._registry = hub.names

    def register(self, name: str, ref: ActorRef, value: object) -> None:
        """Give an actor a name."""
        cell = _living(ref)
        holder = cell.register(name, value)
        if holder is not cell:
            raise AlreadyStarted(name, ActorRef(holder))

    def unregister(self, name: str) -> None:
        """Free a name."""
        holder = self._registry.whereis(name)
        if holder is not None:
            holder.unregister(name)

    def lookup(self, name: str) -> Registration | None:
        """Find a name with its value."""
        holder = self._registry.whereis(name)
        if holder is None or name not in self._registry.values:
            return None
        return Registration(name, ActorRef(holder), self._registry.values[name])

    def everything(self) -> tuple[Registration, ...]:
        """List all names."""
        found = (self.lookup(name) for name in self._registry.values)
        return tuple(registration for registration in found if registration is not None)

    def update_value(self, name: str, change: Callable[[Any], Any]) -> Any:
        """Change the value of a name on behalf of whoever's handler calls this."""
        holder = self._registry.whereis(name)
        if holder is None or name not in self._registry.values or holder is not current_cell.get():
            raise NotTheHolder(name, None if holder is None else ActorRef(holder))
        value = self._registry.values[name] = change(self._registry.values[name])
        return value

    def listen(self, ref: ActorRef) -> None:
        """Have an actor hear of names."""
        cell = _living(ref)
        ear = _Ear(ref)
        if ear not in self._registry.listeners:
            self._registry.listeners[ear] = None
            cell.at_exit(lambda: self._drop(ear))

    def unlisten(self, ref: ActorRef) -> None:
        """Have an actor hear no more."""
        self._drop(_Ear(ref))

    def _drop(self, ear: _Ear) -> None:
        self._registry.listeners.pop(ear, None)


def _living(ref: ActorRef) -> Member:
    if not ref.alive:
        raise ActorDown(ref.path, ExitReason.NOPROC)
    return ref._cell
