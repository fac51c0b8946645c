"""Names, what their holders say with them, and those who wait for one.

Claims and releases are synchronous: a name is free the moment its holder is dead, and nobody ever finds a dead one.

There are two sorts of name. A path is where a member stands in the tree; it is claimed at the start and released at the
death, and that is all, because it happens with every member. A further name is *registered*: it has a value, and there
may be listeners.
"""

from typing import Generic, Protocol, TypeVar

from supervisors._backend import Waiter

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Listener(Protocol[T_contra]):
    """Somebody who is told of registered names, within the step in which they come and go."""

    def registered(self, name: str, holder: T_contra, value: object) -> None:
        """Hear that a name has a holder."""

    def unregistered(self, name: str, holder: T_contra) -> None:
        """Hear that it has none any more."""


class Registry(Generic[T]):
    """Who holds which name; `values` has the registered ones."""

    __slots__ = ("_holders", "_waiting", "listeners", "values")

    def __init__(self) -> None:
        self._holders: dict[str, T] = {}
        self._waiting: dict[str, list[Waiter]] = {}
        self.values: dict[str, object] = {}
        self.listeners: dict[Listener[T], None] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def claim(self, name: str, holder: T) -> T:
        """Take a name if it is free; whoever holds it now is returned, and that may be somebody else."""
        current = self._holders.setdefault(name, holder)
        if current is holder and self._waiting:
            self._wake(name)
        return current

    def pass_on(self, name: str, holder: T, successor: T) -> None:
        """Have another hold a name in the holder's place."""
        if self._holders.get(name) is holder:
            self._holders[name] = successor

    def release(self, name: str, holder: T) -> None:
        """Free a name, unless somebody else holds it by now."""
        if self._holders.get(name) is holder:
            del self._holders[name]

    def register(self, name: str, holder: T, value: object) -> T:
        """Take a name together with a value; whoever holds it now is returned. A second time changes nothing."""
        current = self.whereis(name)
        if current is not None:
            return current
        self.values[name] = value
        self.claim(name, holder)
        for listener in list(self.listeners):
            listener.registered(name, holder, value)
        return holder

    def unregister(self, name: str) -> None:
        """Free a registered name; nothing happens if there is none."""
        if name in self.values:
            del self.values[name]
            holder = self._holders.pop(name)
            for listener in list(self.listeners):
                listener.unregistered(name, holder)

    def whereis(self, name: str) -> T | None:
        """Look a name up."""
        return self._holders.get(name)

    def expect(self, name: str, waiter: Waiter) -> None:
        """Have `waiter` woken when the name is next claimed."""
        self._waiting.setdefault(name, []).append(waiter)

    def forget(self, name: str, waiter: Waiter) -> None:
        """Stop waiting for a name."""
        waiting = self._waiting.get(name)
        if waiting is None:
            return
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            del self._waiting[name]

    def wake_all(self) -> None:
        """Let everybody who waits look again: no name will be claimed any more."""
        for name in list(self._waiting):
            self._wake(name)

    def _wake(self, name: str) -> None:
        for waiter in self._waiting.pop(name, ()):
            waiter.wake()
