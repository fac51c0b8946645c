"""The file store against the storage contract where next to nothing is held in memory and segments are small."""

from functools import partial

import pytest

from wardwright.storage.folder import FileStorage
from wardwright.testing.storage_bench import FolderBench
from wardwright.testing.storage_suite import *


@pytest.fixture
def store() -> StorageBench:
    return FolderBench(partial(FileStorage, durability="none", tail_entries=2, segment_bytes=4000))
