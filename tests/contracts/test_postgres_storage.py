"""PostgreSQL storage keeps the storage contract, with a server's schema for each place."""

import pytest

from tests.support.postgres import PostgresBench, PostgresServer
from wardwright.testing.storage_suite import *


@pytest.fixture
def store(postgres: PostgresServer) -> StorageBench:
    return PostgresBench(postgres.url())
