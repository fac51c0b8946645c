"""A process that writes beside others: `python -m wardwright.testing.fellow_writer`, for the suite's clauses on concurrent writers.

It reads a pickled task from stdin, opens the store, says that it is ready, and begins when it is told to.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from wardwright.testing.sample_receipts import plain
from wardwright.testing.storage_bench import StorageBench

READY, DONE = "ready", "done"


class Task(NamedTuple):
    """What a fellow writes: the batches of entries in which it appends the receipts of these numbers."""

    bench: StorageBench
    place: Path
    boot: str
    batches: Sequence[Sequence[int]]


class Fellow:
    """The process, from outside."""

    def __init__(self, task: Task) -> None:
        command = [sys.executable, "-m", "wardwright.testing.fellow_writer"]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # it imports what the test has imported
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._tell(pickle.dumps(task))

    def wait_until(self, word: str) -> None:
        """Wait for what it says next."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n".encode()

    def begin(self) -> None:
        """Let it write."""
        self._tell(b"begin\n")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End it and let go of it. Idempotent."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _tell(self, what: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(what)
        self._process.stdin.flush()


@contextmanager
def fellows(*tasks: Task) -> Iterator[list[Fellow]]:
    """Processes that are ready to write, and gone at the end."""
    made: list[Fellow] = []
    try:
        for task in tasks:
            made.append(Fellow(task))
        for fellow in made:
            fellow.wait_until(READY)
        yield made
    finally:
        for fellow in made:
            fellow.end()


def main() -> None:
    """Write what the task says, then stay until killed."""
    task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test that started this process
    store = task.bench.at(task.place).open()
    store.enlist(task.boot)
    _say(READY)
    sys.stdin.buffer.readline()
    for batch in task.batches:
        store.append([payload for number in batch for payload in plain(number).payloads])
    _say(DONE)
    sys.stdin.buffer.readline()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
