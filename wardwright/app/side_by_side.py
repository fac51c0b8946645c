"""Work on many parts in processes side by side; what they come to is given in the order of the parts.

The processes are new ones (spawned), which share nothing with this one but what they are sent. Each has its next part before its last one
has been taken from it, so that none waits for this process, and only so many are done and not given yet: memory does not grow with the
number of parts. They never see an interrupt, which is for this process to answer, and they end with it.
"""

import fcntl
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

_AT_ONCE = 2  # parts that a process has: one that it does, and the next
_AHEAD = 3  # parts for each process that may be under way, or done before their turn has come
_PIPE_BYTES = 1024 * 1024  # so that a process can put down what it has done and go on, whoever is late to take it


class _Process(NamedTuple):
    """Where a process takes parts from, and where it puts what they come to."""

    parts: Connection
    made: Connection


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
        working = {process.made: process for process in [ending.enter_context(_process(job)) for _ in range(processes)]}
        under_way = dict.fromkeys(working, 0)
        answers: dict[int, _Done | _Failed] = {}
        numbered, given = enumerate(parts), 0
        part = next(numbered, None)
        while part is not None or any(under_way.values()) or answers:
            least = min(under_way, key=under_way.__getitem__)
            if part is not None and under_way[least] < _AT_ONCE and part[0] < given + _AHEAD * processes:
                with _alive():
                    working[least].parts.send(part)
                under_way[least] += 1
                part = next(numbered, None)
            elif given in answers:
                yield _made(answers.pop(given))
                given += 1
            else:
                ready = wait([made for made, count in under_way.items() if count])
                for made in [made for made in working if made in ready]:
                    with _alive():
                        answer: _Done | _Failed = made.recv()
                    answers[answer.number] = answer
                    under_way[made] -= 1


def _made(answer: _Done | _Failed) -> Any:
    if isinstance(answer, _Failed):
        raise answer.error
    return answer.made


@contextmanager
def _alive() -> Iterator[None]:
    """Raises: InternalError when the process at the other end is there no more."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise InternalError("a process that was to do a part of the work has ended without doing it") from error


@contextmanager
def _process(job: Job[Part, Made]) -> Iterator[_Process]:
    """A process that does parts, until the block ends."""
    spawning = multiprocessing.get_context("spawn")
    its_parts, parts = spawning.Pipe(duplex=False)
    made, its_made = spawning.Pipe(duplex=False)
    with suppress(PermissionError):  # of whom has many large pipes already
        fcntl.fcntl(made.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    process = spawning.Process(target=_work, args=(job, its_parts, its_made), daemon=True)
    resource_tracker.ensure_running()  # else starting it would let interrupts through again
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        with parts, made:
            its_parts.close()
            its_made.close()
            yield _Process(parts, made)
    finally:
        process.terminate()
        process.join()
        process.close()


def _work(job: Job[Part, Made], parts: Connection, made: Connection) -> None:
    """What such a process does. Nobody is there any more when a connection breaks."""
    gc.disable()  # entries and receipts have no circles: to look for some takes a twentieth of the time
    with suppress(EOFError, ConnectionError), parts, made, ExitStack() as opened:
        do: Callable[[Part], Made] | None = None
        while True:
            number, part = parts.recv()
            try:
                do = do or opened.enter_context(job())
                answer: _Done | _Failed = _Done(number, do(part))
            except WardwrightError as error:
                answer = _Failed(number, error)
            made.send(answer)
