"""Storage in memory keeps the storage contract."""

import pytest

from wardwright.testing.storage_bench import MemoryBench
from wardwright.testing.storage_suite import *


@pytest.fixture
def store() -> StorageBench:
    return MemoryBench()
