"""Names, and those who wait for one.

Claims and releases are synchronous: a name is free the moment its holder is dead, and nobody ever finds a dead one.
"""

from typing import Generic, TypeVar

from supervisors._backend import Waiter

T = TypeVar("T")


class Registry(Generic[T]):
    """Who holds which name."""

    __slots__ = ("_holders", "_waiting")

    def __init__(self) -> None:
        self._holders: dict[str, T] = {}
        self._waiting: dict[str, list[Waiter]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def claim(self, name: str, holder: T) -> T:
        """Take a name if it is free; whoever holds it now is returned, and that may be somebody else."""
        current = self._holders.setdefault(name, holder)
        if current is holder and self._waiting:
            self._wake(name)
        return current

    def release(self, name: str, holder: T) -> None:
        """Free a name, unless somebody else holds it by now."""
        if self._holders.get(name) is holder:
            del self._holders[name]

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
