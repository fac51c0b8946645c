"""The storage suite: every clause of `contracts/storage-provider-contract.md`, for any provider.

A provider's test module takes the whole suite and says what is to be tested:

    from wardwright.testing.storage_bench import FolderBench
    from wardwright.testing.storage_suite import *

    @pytest.fixture
    def store() -> StorageBench:
        return FolderBench(MyStorage)

Clauses of a class with `needs` are skipped for a provider that does not declare that capability. Nothing else may be skipped or left
out, and nothing may be declared that no clause proves: the last class checks both.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from wardwright.ports.storage import StorageProvider
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.storage_suite.changes import TestReplacing, TestRetentionJobs
from wardwright.testing.storage_suite.clauses import SKIPPED, Clauses
from wardwright.testing.storage_suite.company import TestAdvisoryLocks, TestConcurrentWriters
from wardwright.testing.storage_suite.records import (
    TestAppending,
    TestBesideMemory,
    TestControl,
    TestDeclaration,
    TestHealth,
    TestQueries,
    TestReading,
    TestRuntimeHotStore,
    TestTimeRangeIndexes,
)
from wardwright.testing.storage_suite.replay import TestConsumerOffsets, TestEventReplay
from wardwright.testing.storage_suite.survival import TestDurable, TestTransactional

__all__ = [
    "StorageBench",
    "TestAdvisoryLocks",
    "TestAppending",
    "TestBesideMemory",
    "TestConcurrentWriters",
    "TestConsumerOffsets",
    "TestControl",
    "TestDeclaration",
    "TestDurable",
    "TestEventReplay",
    "TestHealth",
    "TestQueries",
    "TestReading",
    "TestReplacing",
    "TestRetentionJobs",
    "TestRuntimeHotStore",
    "TestTimeRangeIndexes",
    "TestTransactional",
    "TestWhatWasSkipped",
]


class TestWhatWasSkipped(Clauses):
    """Nothing is skipped in silence. Says everything only of a whole run of its module, in which it comes last."""

    def test_the_suite_is_whole_and_skips_just_what_is_not_declared(
        self, request: pytest.FixtureRequest, provider: StorageProvider
    ) -> None:
        collected = [item for item in request.session.items if item.path == request.node.path]
        asked = {getattr(item, "originalname", item.name) for item in collected}
        missing = sorted(set(_clauses()) - asked)
        if missing and _is_partial(request.config):
            pytest.skip("only a part of the suite was asked for")
        assert not missing, f"clauses left out: {missing}"
        assert not [item.name for item in collected if any(map(item.get_closest_marker, ("skip", "skipif", "xfail")))]
        assert provider.capabilities <= PROVABLE, "declared, and no clause proves it"
        skipped = request.session.stash[SKIPPED][request.node.path.as_posix()]
        undeclared = PROVABLE - provider.capabilities
        assert skipped <= undeclared
        if collected[-1] is request.node:
            assert skipped == undeclared


def _suite() -> list[type[Clauses]]:
    return [found for name in __all__ if isinstance(found := globals()[name], type) and issubclass(found, Clauses)]


def _clauses() -> list[str]:
    return [name for each in _suite() for name in vars(each) if name.startswith("test_")]


def _is_partial(config: pytest.Config) -> bool:
    selected: Sequence[Any] = (config.option.keyword, config.option.markexpr, *(a for a in config.args if "::" in a))
    return any(selected)


PROVABLE = frozenset(each.needs for each in _suite() if each.needs is not None)
"""The capabilities that have clauses: the only ones that can be declared yet."""
