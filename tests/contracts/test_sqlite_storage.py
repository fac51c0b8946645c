"""SQLite storage keeps the storage contract."""

from functools import partial

import pytest

from wardwright.storage.sqlite import SqliteStorage
from wardwright.testing.storage_bench import FolderBench
from wardwright.testing.storage_suite import *


@pytest.fixture
def store() -> StorageBench:
    return FolderBench(partial(SqliteStorage, durability="none"))
