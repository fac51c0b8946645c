"""Stores of every format that was ever released open, whole, in this version. They are kept in `formats/` and never made anew."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer
from wardwright.domain.control_state import fold_control
from wardwright.domain.tools import ToolContext, ToolIdentity
from wardwright.ports.storage import StorageProvider
from wardwright.receipts.chain import verify
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.folder import FileStorage
from wardwright.storage.postgres import PostgresStorage
from wardwright.storage.sqlite import SqliteStorage
from wardwright.testing.sample_receipts import opened, sealed

FORMATS = Path(__file__).parent / "formats"
PROVIDERS: dict[str, Callable[[Path], StorageProvider]] = {
    "file-1": FileStorage,
    "file-2": FileStorage,
    "sqlite-1": SqliteStorage,
    "sqlite-2": SqliteStorage,
}


DUMPS = ("postgres-1",)


@pytest.fixture(params=sorted((*PROVIDERS, *DUMPS)))
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageProvider]:
    if request.param in DUMPS:
        server: PostgresServer = request.getfixturevalue("postgres")
        server.execute((FORMATS / request.param / "wardwright.sql").read_text())
        yield PostgresStorage(server.url())
        server.drop("wardwright")
    else:
        yield PROVIDERS[request.param](Path(shutil.copytree(FORMATS / request.param, tmp_path / "kept")))


def test_every_kept_store_has_its_test() -> None:
    assert sorted(folder.name for folder in FORMATS.iterdir()) == sorted((*PROVIDERS, *DUMPS))


def test_a_kept_store_tells_what_it_was_told(storage: StorageProvider) -> None:
    for receipts in (storage.read(), storage.open()):
        listed = receipts.page(ReceiptFilter()).data
        assert [(summary.receipt_id, summary.status) for summary in listed] == [
            ("rcpt_0003", None),
            ("rcpt_0002", "stream_policy_blocked"),
            ("rcpt_0001", "completed"),
        ]
        assert all(verify(receipts.payloads(summary.receipt_id)) is None for summary in listed)
        assert len(list(receipts.replay())) == 9
        assert [record[0].receipt_id for record in receipts.open_receipts()] == ["rcpt_0003"]
        assert receipts.newest_of_session("coding-balanced", "s1") == "rcpt_0001"
        receipts.close()


def test_a_kept_store_has_nothing_of_tools_until_something_comes(storage: StorageProvider) -> None:
    wanted = ReceiptFilter.parse({"tool_name": "search"})
    reader = storage.read()
    assert reader.page(wanted).data == ()
    receipts = storage.open()
    written = sealed(4, [opened(tools=ToolContext("planning", "exact", ToolIdentity("ns", "search", "tool_choice")))])
    receipts.append(written.payloads)
    for one in (receipts, reader):
        assert [summary.receipt_id for summary in one.page(wanted).data] == [written.receipt_id]
        one.close()


def test_a_kept_control_log_tells_what_it_was_told(storage: StorageProvider) -> None:
    state = fold_control(storage.read_control())
    assert [(key.label, key.revoked_at is not None) for key in state.keys.values()] == [
        ("first", True),
        ("second", False),
    ]


def test_a_kept_store_goes_on(storage: StorageProvider) -> None:
    receipts = storage.open()
    (left,) = receipts.open_receipts()
    before = receipts.payloads("rcpt_0001")
    receipts.append([*before, *receipts.payloads(left[0].receipt_id)])
    assert receipts.health().receipt_count == 3
    receipts.close()
