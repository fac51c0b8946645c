"""Where commands read receipts: a running daemon, or the data folder of one that does not run. Both answer in the API's JSON."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from wardwright.app.receipt_export import Block, Lines, rendered
from wardwright.cli.client import CommandFailed, Daemon, NoAnswer, connect, daemon_address, settings_of
from wardwright.cli.terminal import tell
from wardwright.domain.errors import NotFound
from wardwright.ports.storage import Capability, ReceiptReader, StorageProvider
from wardwright.receipts.fold import fold
from wardwright.receipts.query import MAX_LIMIT, ReceiptFilter
from wardwright.receipts.receipt import Receipt

T = TypeVar("T")
Json = dict[str, Any]


class ReceiptSource(Protocol):
    """Receipts by id, and lists of them."""

    def list(self, filters: Mapping[str, str], limit: int) -> Json:
        """Up to `limit` summaries, newest first, and the cursor to more of them or null."""
        ...

    def receipt(self, receipt_id: str) -> Json:
        """One receipt. Raises: WardwrightError when there is none of that id."""
        ...

    def each(self, filters: Mapping[str, str]) -> Iterator[Receipt]:
        """Every receipt that matches, whole, newest first, each read when it is asked for."""
        ...

    def rendered(self, filters: Mapping[str, str], lines: Lines, processes: int) -> Iterator[Block]:
        """What they come to in lines, in blocks; made in so many processes where that helps."""
        ...

    def total(self, filters: Mapping[str, str]) -> int:
        """How many match, as far as that is known beforehand; 0 where it is not."""
        ...


class DaemonReceipts:
    """The receipts of a running daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def list(self, filters: Mapping[str, str], limit: int) -> Json:
        """Ask page by page."""
        return _gather(
            lambda parameters: self._daemon.get("/v1/receipts", parameters, holding="next_cursor"), filters, limit
        )

    def receipt(self, receipt_id: str) -> Json:
        """Ask for one."""
        return self._daemon.get(f"/v1/receipts/{quote(receipt_id, safe='')}", holding="receipt_id")

    def each(self, filters: Mapping[str, str]) -> Iterator[Receipt]:
        """Ask for a page, and then for each receipt on it."""
        pages = _pages(lambda asked: self._daemon.get("/v1/receipts", asked, holding="next_cursor"), filters)
        return (read_receipt(self.receipt(summary["receipt_id"])) for page in pages for summary in page["data"])

    def rendered(self, filters: Mapping[str, str], lines: Lines, processes: int) -> Iterator[Block]:
        """As they come."""
        return lines(self.each(filters))

    def total(self, filters: Mapping[str, str]) -> int:
        """Not known: the daemon gives pages."""
        return 0


class StoredReceipts:
    """The receipts of a data folder."""

    def __init__(self, store: ReceiptReader, storage: StorageProvider) -> None:
        self._store = store
        self._storage = storage

    def list(self, filters: Mapping[str, str], limit: int) -> Json:
        """Read page by page, by the rules of the API."""
        return _gather(self._page, filters, limit)

    def receipt(self, receipt_id: str) -> Json:
        """Fold one from its entries."""
        entries = self._store.entries(receipt_id)
        if not entries:
            raise _not_found(receipt_id)
        return _as_json(fold(entries))

    def each(self, filters: Mapping[str, str]) -> Iterator[Receipt]:
        """Have the store select them."""
        return self._store.select(ReceiptFilter.parse(filters))

    def rendered(self, filters: Mapping[str, str], lines: Lines, processes: int) -> Iterator[Block]:
        """Have several processes read them."""
        return rendered(self._storage, ReceiptFilter.parse(filters), lines, processes)

    def total(self, filters: Mapping[str, str]) -> int:
        """All that there are, where all are asked for."""
        return 0 if filters else self._store.health().receipt_count

    def _page(self, parameters: Mapping[str, str]) -> Json:
        return _as_json(self._store.page(ReceiptFilter.parse(parameters)))


class NoReceipts:
    """The receipts of a data folder that no daemon has used yet."""

    def list(self, filters: Mapping[str, str], limit: int) -> Json:
        """None, and no more of them."""
        return {"data": [], "next_cursor": None}

    def receipt(self, receipt_id: str) -> Json:
        """Find nothing."""
        raise _not_found(receipt_id)

    def each(self, filters: Mapping[str, str]) -> Iterator[Receipt]:
        """None."""
        return iter(())

    def rendered(self, filters: Mapping[str, str], lines: Lines, processes: int) -> Iterator[Block]:
        """None."""
        return iter(())

    def total(self, filters: Mapping[str, str]) -> int:
        """None."""
        return 0


def look_through(config: Path | None, url: str | None, question: Callable[[ReceiptSource], T]) -> T:
    """Put a question about many receipts to the data folder, beside a daemon or without one; to a daemon when it is named by URL.

    What is only in a daemon's memory is asked of that daemon. Raises: WardwrightError.
    """
    from wardwright.app.storage import storage_of

    settings = settings_of(config, url)
    storage = storage_of(settings)
    if url is not None or Capability.DURABLE not in storage.capabilities:
        with connect(daemon_address(url, settings)) as daemon:
            return question(DaemonReceipts(daemon))
    if storage.is_new():
        return question(NoReceipts())
    with contextlib.closing(storage.read()) as store:
        return question(StoredReceipts(store, storage))


def lasting_storage(config: Path | None) -> StorageProvider:
    """Storage in which there is something, to be read without its daemon. Raises: WardwrightError, for storage in memory too."""
    from wardwright.app.storage import storage_of

    settings = settings_of(config, None)
    storage = storage_of(settings)
    if Capability.DURABLE not in storage.capabilities:
        raise CommandFailed(
            f"storage of kind {storage.kind!r} keeps nothing that could be looked at without its daemon"
        )
    if storage.is_new():
        raise CommandFailed(f"there is nothing in {storage.where} yet")
    return storage


def ask(config: Path | None, url: str | None, question: Callable[[ReceiptSource], T]) -> T:
    """Put a question to the daemon; when none answers and none was named by URL, to the data folder.

    Raises: WardwrightError.
    """
    from wardwright.app.storage import storage_of

    settings = settings_of(config, url)
    storage = storage_of(settings)
    address = daemon_address(url, settings)
    try:
        with connect(address) as daemon:
            return question(DaemonReceipts(daemon))
    except NoAnswer:
        if address.is_named or Capability.DURABLE not in storage.capabilities:
            raise
    tell(f"no daemon answers at {address.url}; reading {storage.where}")
    if storage.is_new():
        return question(NoReceipts())
    with contextlib.closing(storage.read()) as store:
        return question(StoredReceipts(store, storage))


def read_receipt(receipt: Json) -> Receipt:
    """The receipt behind its JSON. Raises: CommandFailed for one that another version of Wardwright wrote differently."""
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(receipt, Receipt)
    raise CommandFailed("this receipt says more than this version of Wardwright can tell; --json shows it as it is")


def _not_found(receipt_id: str) -> NotFound:
    return NotFound(f"there is no receipt {receipt_id!r}", "receipt_not_found")


def _as_json(value: msgspec.Struct) -> Json:
    decoded: Json = msgspec.json.decode(msgspec.json.encode(value))
    return decoded


def _pages(ask_page: Callable[[Mapping[str, str]], Json], filters: Mapping[str, str]) -> Iterator[Json]:
    """Every page there is."""
    cursor: str | None = None
    while True:
        answer = ask_page({**filters, "limit": str(MAX_LIMIT), **({} if cursor is None else {"cursor": cursor})})
        yield answer
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def _gather(ask_page: Callable[[Mapping[str, str]], Json], filters: Mapping[str, str], limit: int) -> Json:
    """Pages may come short, even empty: a list goes on until it has what was asked for or nothing is left."""
    found: list[Json] = []
    cursor: str | None = None
    while True:
        parameters = {**filters, "limit": str(min(limit - len(found), MAX_LIMIT))}
        if cursor is not None:
            parameters["cursor"] = cursor
        answer = ask_page(parameters)
        found += answer["data"]
        cursor = answer["next_cursor"]
        if cursor is None or len(found) >= limit:
            return {"data": found, "next_cursor": cursor}
