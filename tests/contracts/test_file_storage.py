"""File storage keeps the storage contract, with segments so small that a log has many, and a torn write at the end of whatever dies."""

from functools import partial
from pathlib import Path

import pytest

from wardwright.storage.folder import FileStorage
from wardwright.testing.storage_bench import FolderBench
from wardwright.testing.storage_suite import *

TORN = b"ww1 00000100 00000000 00000000 {"


class TornBench(FolderBench):
    """Leaves the beginning of a frame behind, as a death in the middle of a write does."""

    def crash(self, place: Path, copy: Path) -> None:
        super().crash(place, copy)
        for log in ("receipts", "control"):
            for last in sorted((copy / log).glob("*.log"))[-1:]:
                last.write_bytes(last.read_bytes() + TORN)


@pytest.fixture
def store() -> StorageBench:
    return TornBench(partial(FileStorage, durability="none", segment_bytes=2000))
