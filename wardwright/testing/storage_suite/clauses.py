"""What the clauses of the storage suite share."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings

from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.ports.storage import Capability, ReceiptReader, ReceiptStore, StorageProvider
from wardwright.testing.storage_bench import StorageBench
from wardwright.testing.tidy_storage import TidyStorage

SKIPPED = pytest.StashKey[dict[str, set[Capability]]]()
"""The capabilities that a module's provider does not declare, by the module's path."""

PATIENCE_S = 60

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""A verdict never depends on how fast the machine is."""

CONTROL = (
    ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash")),
    ControlEntry(2, 2.0, KeyCreated("key_2", "m", "second", "wwk_2", "hash")),
    ControlEntry(3, 3.0, KeyRevoked("key_1")),
)


class Clauses:
    """What all classes of clauses share. `store` is the fixture that each module which takes the suite has.

    `needs` is the capability without which a provider is not asked.
    """

    needs: ClassVar[Capability | None] = None

    @pytest.fixture(autouse=True)
    def only_where_declared(self, request: pytest.FixtureRequest, store: StorageBench, tmp_path: Path) -> None:
        """Skip what the provider does not declare, and take note of it."""
        skipped = request.session.stash.setdefault(SKIPPED, {}).setdefault(request.node.path.as_posix(), set())
        if self.needs is not None and self.needs not in store.at(tmp_path / "asked").capabilities:
            skipped.add(self.needs)
            pytest.skip(f"the provider does not declare {self.needs}")

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A place where nothing was kept yet."""
        return tmp_path / "place"

    @pytest.fixture
    def provider(self, store: StorageBench, place: Path) -> Iterator[StorageProvider]:
        """The storage at that place. What it has opened is closed at the end."""
        with closing(TidyStorage(store.at(place))) as tidy:
            yield tidy

    @pytest.fixture
    def receipts(self, provider: StorageProvider) -> Iterator[ReceiptStore]:
        """Its receipts, open for writing."""
        opened = provider.open()
        yield opened
        opened.close()


def ids(receipts: ReceiptReader, before: str | None = None) -> list[str]:
    """The receipts below an id, newest first."""
    return [record[0].receipt_id for record in receipts.newest(before)]
