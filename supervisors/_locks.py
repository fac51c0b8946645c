"""Locks by key: what must not be done twice at once, and may be done for other keys meanwhile.

A key's lock goes from one to the next in order of arrival. Within the tree it is never held by the dead: it passes on
in the same synchronous step in which its holder's death is made known, even if the holder's code still runs. Whoever
waits for a lock waits for its present holder, so a circle of such waits is refused like that of any others.
"""

from collections import deque
from collections.abc import Hashable
from types import TracebackType

from supervisors._backend import Waiter
from supervisors._cell import Cell, current_cell
from supervisors._member import Hub
from supervisors._timers import Deadline
from supervisors.exceptions import ActorDown, LockTimeout


class Locks:
    """Who stands in which line; the first of each line holds the lock, and a key nobody wants has no line."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[Lock]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def enter(self, lock: "Lock") -> "Lock | None":
        """Take the lock if it is free; else whoever holds it is returned, and nothing has changed."""
        line = self._lines.get(lock.key)
        if line is not None:
            return line[0]
        self._lines[lock.key] = deque([lock])
        return None

    def line_up(self, lock: "Lock") -> None:
        """Stand in line for a lock that somebody holds."""
        self._lines[lock.key].append(lock)

    def wanted_by_the_dead(self) -> list[Hashable]:
        """List the keys for which somebody dead stands in line; there should be none."""
        return [key for key, line in self._lines.items() if any(lock.owner_is_dead for lock in line)]

    def leave(self, lock: "Lock") -> None:
        """Leave the line; from its head, that passes the lock on."""
        line = self._lines[lock.key]
        held = line[0] is lock
        line.remove(lock)
        if not line:
            del self._lines[lock.key]
        elif held:
            line[0].grant()
            for waiting in line:
                waiting.wait_for(line[0])


class Lock(Deadline):
    """One holding of one lock, from the moment it is asked for; good for one `async with`."""

    __slots__ = ("_hub", "_in_line", "_locks", "_owner", "_timeout", "_waiter", "_waits_for", "key")

    def __init__(self, hub: Hub, locks: Locks, key: Hashable, timeout: float) -> None:
        super().__init__()
        self.key = key
        self._hub = hub
        self._locks = locks
        self._timeout = timeout
        self._owner: Cell | None = None
        self._waits_for: Cell | None = None
        self._waiter: Waiter | None = None
        self._in_line = False

    async def __aenter__(self) -> None:
        owner = self._owner = current_cell.get()
        if owner is not None and owner.exit_reason is not None:
            raise ActorDown(owner.path, owner.exit_reason)
        holder = self._locks.enter(self)
        if holder is not None:
            self._begin_wait(holder)
            self._locks.line_up(self)
        self._in_line = True
        if owner is not None:
            owner.at_exit(self._give_up)
        if holder is not None:
            await self._stand_in_line(owner)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    @property
    def owner_is_dead(self) -> bool:
        """Whether the member that wants it has died."""
        return self._owner is not None and self._owner.exit_reason is not None

    def grant(self) -> None:
        """Become the holder."""
        self.settled = True
        self._wake()

    def wait_for(self, holder: "Lock") -> None:
        """Note whose turn it is, unless it is one's own."""
        self._end_wait()
        owner = holder._owner
        if holder is not self and self._owner is not None and owner is not None:
            self._owner.note_wait(owner)
            self._waits_for = owner

    def due(self) -> None:
        """Give the place up: the time is over."""
        self._give_up()

    async def _stand_in_line(self, owner: Cell | None) -> None:
        deadline = self._hub.backend.now() + self._timeout
        self._hub.timers.add(deadline if owner is None else min(deadline, owner.deadline), self)
        waiter = self._waiter = self._hub.backend.new_waiter()
        try:
            await waiter
        except BaseException:
            self._leave()
            raise
        finally:
            self._hub.timers.discard(self)
        if self._in_line:
            return
        if owner is not None and owner.exit_reason is not None:
            raise ActorDown(owner.path, owner.exit_reason)
        raise LockTimeout(self.key, self._timeout)

    def _begin_wait(self, holder: "Lock") -> None:
        if self._owner is not None and holder._owner is not None:
            self._owner.begin_wait(holder._owner)
            self._waits_for = holder._owner

    def _end_wait(self) -> None:
        waits_for, self._waits_for = self._waits_for, None
        if self._owner is not None and waits_for is not None:
            self._owner.end_wait(waits_for)

    def _give_up(self) -> None:
        """Leave before one's time, and wake up if one was waiting: the owner is dead, or the time is over."""
        self._leave()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.wake()

    def _leave(self) -> None:
        if not self._in_line:
            return  # since its owner died, or its time was over
        self._in_line = False
        self._end_wait()
        if self._owner is not None:
            self._owner.forget_exit(self._give_up)
        self._locks.leave(self)
