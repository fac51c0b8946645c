"""Work on many parts in processes side by side; what they come to is given in the order of the parts.

The processes are new ones (spawned), which share nothing with this one but what they are sent. Each is sent a part when it is free, and
only so many are done and not given yet: memory does not grow with the number of parts. They never see an interrupt, which is for this
process to answer, and they end with it.
"""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar

from wardwright.domain.errors import InternalError, WardwrightError

Part = TypeVar("Part")
Made = TypeVar("Made")

Job = Callable[[], AbstractContextManager[Callable[[Part], Made]]]
"""Makes ready in the process that works, and gives the function that does a part. It is sent there, as are the parts."""

MOST_PROCESSES = 8

_AHEAD = 2  # parts for each process that may be under way, or done before their turn has come


class _Done(NamedTuple):
    number: int
    made: Any


class _Failed(NamedTuple):
    number: int
    error: WardwrightError


def usable_cores() -> int:
    """How many processes can work at the same time here, and are worth while."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def side_by_side(job: Job[Part, Made], parts: Iterable[Part], processes: int) -> Generator[Made, None, None]:
    """Do every part, and give what it comes to, in order. When the iterator is closed the processes are ended.

    Raises: WardwrightError that a part ended in, in its turn. InternalError when a process ends that should not.
    """
    with ExitStack() as ending:
        free = [ending.enter_context(_process(job)) for _ in range(processes)]
        busy: list[Connection] = []
        answers: dict[int, _Done | _Failed] = {}
        numbered, given = enumerate(parts), 0
        part = next(numbered, None)
        while part is not None or busy or answers:
            while free and part is not None and part[0] < given + _AHEAD * processes:
                free[-1].send(part)
                busy.append(free.pop())
                part = next(numbered, None)
            if given in answers:
                yield _made(answers.pop(given))
                given += 1
                continue
            ready = wait(busy)
            for connection in [one for one in busy if one in ready]:
                answer = _received(connection)
                answers[answer.number] = answer
                busy.remove(connection)
                free.append(connection)


def _made(answer: _Done | _Failed) -> Any:
    if isinstance(answer, _Failed):
        raise answer.error
    return answer.made


def _received(connection: Connection) -> _Done | _Failed:
    try:
        answer: _Done | _Failed = connection.recv()
    except (EOFError, ConnectionError) as error:
        raise InternalError("a process that was to do a part of the work has ended without doing it") from error
    return answer


@contextmanager
def _process(job: Job[Part, Made]) -> Iterator[Connection]:
    """A process that does parts, until the block ends."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_work, args=(job, theirs), daemon=True)
    resource_tracker.ensure_running()  # else starting it would let interrupts through again
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        with ours:
            theirs.close()
            yield ours
    finally:
        process.terminate()
        process.join()
        process.close()


def _work(job: Job[Part, Made], connection: Connection) -> None:
    """What such a process does. Nobody is there any more when the connection breaks."""
    gc.disable()  # entries and receipts have no circles: to look for some takes a twentieth of the time
    with suppress(EOFError, ConnectionError), connection, ExitStack() as opened:
        do: Callable[[Part], Made] | None = None
        while True:
            number, part = connection.recv()
            try:
                do = do or opened.enter_context(job())
                answer: _Done | _Failed = _Done(number, do(part))
            except WardwrightError as error:
                answer = _Failed(number, error)
            connection.send(answer)
