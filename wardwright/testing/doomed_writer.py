"""A process that appends until it is killed: `python -m wardwright.testing.doomed_writer`, for the suite's clauses on death.

It reads a pickled bench and place from stdin, and says after each batch on stdout how many receipts are acknowledged.
"""

import os
import pickle
import subprocess
import sys
from itertools import count
from pathlib import Path

from wardwright.testing.sample_receipts import plain
from wardwright.testing.storage_bench import StorageBench

RECEIPTS_IN_BATCH = 3


def kill_while_it_writes(bench: StorageBench, place: Path, batches: int) -> int:
    """Let a process of its own write at a place, kill it after so many batches, and tell how many receipts it had acknowledged."""
    command = [sys.executable, "-m", "wardwright.testing.doomed_writer"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # it imports what the test has imported
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pickle.dumps((bench, place)))
        process.stdin.close()
        for _ in range(batches):
            process.stdout.readline()
        process.kill()
        told = [line for line in process.stdout if line.endswith(b"\n")]
        return int(told[-1]) if told else batches * RECEIPTS_IN_BATCH


def main() -> None:
    """Write until killed."""
    bench, place = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test that started this process
    store = bench.at(place).open()
    for batch in count(1):
        first = (batch - 1) * RECEIPTS_IN_BATCH
        store.append(
            [payload for number in range(first, first + RECEIPTS_IN_BATCH) for payload in plain(number).payloads]
        )
        sys.stdout.write(f"{batch * RECEIPTS_IN_BATCH}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
