"""`python -m tests.benchmarks.traced ARGUMENTS`: the command line, counting what Python executes between two SIGUSR1.

After the second it writes a JSON list of `[file, function, calls, bytecodes]` to the file that `COUNTS` names. It logs `counting` and
`counted`, so that whoever sends the signals knows what has been heard.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

COUNTS = "BENCHMARK_COUNTS"


class Counting:
    """Counts bytecodes and calls by function, in every thread, while it is on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._is_on = False
        self._bytecodes: Counter[CodeType] = Counter()
        self._calls: Counter[CodeType] = Counter()

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """See `sys.settrace`."""
        if not self._is_on:
            return None
        self._calls[frame.f_code] += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    def turn(self, number: int, frame: FrameType | None) -> None:
        """Begin to count, or stop and write down what was counted."""
        self._is_on = not self._is_on
        if self._is_on:
            sys.settrace(self.trace)
            _log("counting")
            return
        sys.settrace(None)
        counts = [
            (code.co_filename, code.co_qualname, self._calls[code], count) for code, count in self._bytecodes.items()
        ]
        self._file.write_text(json.dumps(counts), encoding="utf-8")
        _log("counted")

    def _count(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self._bytecodes[frame.f_code] += 1
        return self._count


def _log(event: str) -> None:
    sys.stderr.write(json.dumps({"event": event}) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    from wardwright.cli.main import main

    counting = Counting(Path(os.environ[COUNTS]))
    threading.settrace(counting.trace)  # the threads that write receipts are made later
    signal.signal(signal.SIGUSR1, counting.turn)
    main()
