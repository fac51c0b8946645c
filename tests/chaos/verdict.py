"""How a part of the chaos ends: with what it has done, or with the promise that was broken."""

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

_MEMORY = Path("/dev/shm")
_TELL_EVERY_S = 10.0


class Broken(AssertionError):
    """A promise that did not hold. `kept` is the folder with what was on disk then."""

    def __init__(self, promise: str, kept: Path | None = None) -> None:
        super().__init__(promise)
        self.kept = kept


class Progress:
    """Tells now and then how far a part has come."""

    def __init__(self, what: str, count: int) -> None:
        self._what = what
        self._count = count
        self._told = time.monotonic()

    def at(self, number: int) -> None:
        """So many are done."""
        if time.monotonic() - self._told >= _TELL_EVERY_S:
            self._told = time.monotonic()
            say(f"  {number} of {self._count} {self._what}")


@contextmanager
def quiet() -> Iterator[None]:
    """Let nobody be warned meanwhile: every fault is meant. Of one where SQLite wants to know of none, apsw tells Python's own hook."""
    before, hook = structlog.get_config(), sys.unraisablehook
    sys.unraisablehook = lambda _: None
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
        sys.unraisablehook = hook


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def working_folder(*, in_memory: bool) -> Iterator[Path]:
    """A new folder, removed on leaving unless something broke. `in_memory`: where syncing costs nothing, if there is such a place."""
    place = _MEMORY if in_memory and _MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="wardwright-chaos-", dir=place))
    try:
        yield folder
    except Broken as broken:
        broken.kept = folder
        raise
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
