"""The watchdog: a thread which notices when the event loop does not come round, and says who keeps it.

    async with System("app", root) as system:
        with Watchdog(system, threshold=0.5):
            ...

A handler that computes for long, or calls something that blocks, stops every actor at once, the timers and all
supervision included. Nothing on the loop can notice that, and nothing can end it: Python has no way to interrupt such
code. So the watchdog is a thread, and all it does is tell.

A few times per threshold it asks the loop for a sign of life. If none comes in time it takes the stack of the loop's
thread, finds the member of the tree whose code runs there, and reports; when the loop comes round at last it reports
once more, with the length. The tree pays nothing for this; the loop is woken four times per threshold.

It goes by the wall clock and counts from the last sign of life, so a report may be a quarter of the threshold too long.
Code that keeps the interpreter's lock as well, such as a long match of a regular expression, keeps the watchdog from
running: both reports then come when the lock is free again.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from traceback import extract_stack, format_list
from typing import Any, Self

from anyio.lowlevel import current_token

from supervisors._adopted import AdoptedCell
from supervisors._cell import Cell
from supervisors._host import HostCell
from supervisors._member import Member
from supervisors._runner import ActorCell
from supervisors._system import System

ASKS_PER_THRESHOLD = 4
_GOODBYE = 1.0
_TRIES = 5

_logger = logging.getLogger("supervisors")


@dataclass(frozen=True, slots=True)
class Blockage:
    """The event loop did not come round.

    Attributes:
        path: the member whose code held the loop; None when it was code outside the tree.
        stack: where that code was when it was found, outermost call first; source lines only. Empty when the blockage
            was over before anybody could look.
        seconds: how long ago the loop had given its last sign of life.
        over: whether the loop has come round since, so that `seconds` is the whole of it.
    """

    path: str | None
    stack: tuple[str, ...]
    seconds: float
    over: bool


def log_blockage(blockage: Blockage) -> None:
    """Write a report to the `supervisors` logger: what a watchdog does when it is not told otherwise."""
    who = blockage.path or "something outside the tree"
    if blockage.over:
        _logger.warning("%s held the event loop for %.3f s", who, blockage.seconds)
    else:
        _logger.error("%s has held the event loop for %.3f s\n%s", who, blockage.seconds, "".join(blockage.stack))


class Watchdog:
    """Watches the event loop in which its `with` block runs, from a daemon thread.

    Args:
        system: the tree among whose members the culprit is looked for.
        threshold: how many seconds the loop may be away.
        on_report: told of every blockage when it is found, and again when it is over. It is called in the watchdog's
            thread: it may block, and may not touch the tree.
    """

    def __init__(
        self, system: System, *, threshold: float = 1.0, on_report: Callable[[Blockage], None] = log_blockage
    ) -> None:
        if not threshold > 0:
            raise ValueError(f"threshold: expected a positive number of seconds, got {threshold!r}")
        self._system = system
        self._threshold = threshold
        self._on_report = on_report
        self._left = threading.Event()
        self._came_round = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watchdog of {system.name}", daemon=True)

    def __enter__(self) -> Self:
        self._ask = _find_doorbell()
        self._loop_thread = threading.get_ident()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._left.set()
        self._came_round.set()
        self._thread.join(_GOODBYE)

    # --- in the watchdog's own thread

    def _watch(self) -> None:
        interval = self._threshold / ASKS_PER_THRESHOLD
        alive = monotonic()
        while not self._left.wait(interval):
            due = alive + interval + self._threshold
            found = self._look(alive) if monotonic() > due else None  # if so, this thread was kept from running too
            if not self._ring():
                return
            found = found or self._wait_until(due, alive)
            if found is not None:
                self._tell(found)
                self._came_round.wait()
                self._tell(replace(found, seconds=monotonic() - alive, over=True))
            alive = monotonic()

    def _ring(self) -> bool:
        """Ask the loop for a sign of life; False when there is no need any more."""
        self._came_round.clear()
        if self._left.is_set():  # since before the clear, so that nobody would set it again
            return False
        try:
            self._ask(self._came_round.set)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _wait_until(self, due: float, alive: float) -> Blockage | None:
        if self._came_round.wait(due - monotonic()):
            return None
        found = self._look(alive)
        if self._came_round.is_set():  # it went on while we looked, so what we saw may be innocent
            return replace(found, path=None, stack=())
        return found

    def _look(self, alive: float) -> Blockage:
        frame = sys._current_frames().get(self._loop_thread)
        stack = () if frame is None else tuple(format_list(extract_stack(frame)))
        return Blockage(self._culprit(), stack, monotonic() - alive, over=False)

    def _culprit(self) -> str | None:
        for _ in range(_TRIES):
            try:
                return _running_member(self._system)
            except RuntimeError:
                continue  # the blocked code has changed the tree while we walked it
        return None

    def _tell(self, blockage: Blockage) -> None:
        try:
            self._on_report(blockage)
        except Exception:
            _logger.exception("the watchdog's observer failed")


def _find_doorbell() -> Callable[[Callable[[], object]], object]:
    """Find the running event loop's way to be called from another thread."""
    loop: Any = current_token().native_token
    ring: Callable[[Callable[[], object]], object]
    ring = loop.call_soon_threadsafe if hasattr(loop, "call_soon_threadsafe") else loop.run_sync_soon
    return ring


def _running_member(system: System) -> str | None:
    """Find the member whose code runs at this moment; where it has adopted its own task, the adopted one."""
    root = system._root
    if root is None:
        return None
    running = [cell for cell in (*_from_here_down(root), *system.hub.unstopped) if _is_running(cell)]
    if not running:
        return None
    return max(running, key=lambda cell: (isinstance(cell, AdoptedCell), cell.since)).path


def _from_here_down(cell: Member) -> Iterator[Member]:
    yield cell
    for child in cell.children:
        if isinstance(child, Cell):  # a passive one has no code
            yield from _from_here_down(child)


def _is_running(cell: Member) -> bool:
    return any(getattr(coroutine, "cr_running", False) for coroutine in _coroutines(cell))


def _coroutines(cell: Member) -> Iterator[object]:
    if isinstance(cell, AdoptedCell):
        yield cell.coroutine
    if isinstance(cell, ActorCell) and cell._task is not None:
        yield cell._task.coro
    if isinstance(cell, HostCell):
        yield from (helper._task.coro for helper in cell._helpers or () if helper._task is not None)
