from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wardwright.cli.client import CommandFailed, connect, daemon_address
from wardwright.cli.receipt_source import DaemonReceipts, StoredReceipts, read_receipt
from wardwright.config.settings import Settings
from wardwright.domain.errors import NotFound
from wardwright.receipts.receipt import Receipt
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.folder import FileStorage

from .fake_daemon import FakeDaemon
from .samples import FALLBACK, OPENED, receipt, write_receipts


def test_a_list_is_gathered_over_short_and_empty_pages(daemon: FakeDaemon) -> None:
    pages = {"": ([1, 2], "b"), "b": ([], "c"), "c": ([3, 4, 5], "d")}

    def page(query: Mapping[str, str]) -> tuple[int, object]:
        data, cursor = pages[query.get("cursor", "")]
        return 200, {"data": data, "next_cursor": cursor}

    daemon.lay("GET", "/v1/receipts", page)
    with connect(daemon_address(daemon.url, Settings())) as asked:
        listed = DaemonReceipts(asked).list({"status": "completed"}, 5)

    assert listed == {"data": [1, 2, 3, 4, 5], "next_cursor": "d"}
    assert [request.query for request in daemon.asked] == [
        {"status": "completed", "limit": "5"},
        {"status": "completed", "limit": "3", "cursor": "b"},
        {"status": "completed", "limit": "3", "cursor": "c"},
    ]


def test_a_page_is_never_asked_to_be_larger_than_the_api_allows(daemon: FakeDaemon) -> None:
    daemon.lay("GET", "/v1/receipts", (200, {"data": [], "next_cursor": None}))
    with connect(daemon_address(daemon.url, Settings())) as asked:
        listed = DaemonReceipts(asked).list({}, 100_000)

    assert (listed, daemon.asked[0].query) == ({"data": [], "next_cursor": None}, {"limit": "500"})


def test_stored_receipts_answer_in_the_json_of_the_api(tmp_path: Path) -> None:
    ids = write_receipts(tmp_path, FALLBACK, (OPENED,), FALLBACK)
    store = FileReceiptStore.read_only(tmp_path / "receipts")
    source = StoredReceipts(store, FileStorage(tmp_path))

    newest = source.list({}, 2)
    completed = source.list({"status": "completed"}, 50)

    assert [summary["receipt_id"] for summary in newest["data"]] == [ids[2], ids[1]]
    assert newest["next_cursor"] is not None
    assert [summary["receipt_id"] for summary in completed["data"]] == [ids[2], ids[0]]
    assert completed["next_cursor"] is None
    assert source.receipt(ids[0]) == msgspec.json.decode(msgspec.json.encode(receipt(*FALLBACK)))
    with pytest.raises(NotFound):
        source.receipt("rcpt_9999")
    store.close()


def test_a_receipt_is_read_back_from_its_json() -> None:
    original = receipt(*FALLBACK)

    assert read_receipt(msgspec.to_builtins(original)) == original


def test_a_receipt_of_a_later_version_may_say_more() -> None:
    json: dict[str, Any] = msgspec.to_builtins(receipt(*FALLBACK))

    assert isinstance(read_receipt({**json, "later": 1}), Receipt)
    with pytest.raises(CommandFailed, match="--json"):
        read_receipt({**json, "receipt_schema": "v2"})
