"""The same receipts in every kind of storage, and the same queries to each: every answer is what the query means."""

import random
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from tests.chaos import made_up
from tests.chaos.verdict import Broken, Progress, working_folder
from tests.support.postgres import postgres_server
from wardwright.ports.storage import ReceiptReader, StorageProvider
from wardwright.receipts.events import decode_entry
from wardwright.receipts.fold import fold, summarise
from wardwright.receipts.query import ReceiptFilter
from wardwright.receipts.receipt import Receipt
from wardwright.storage.folder import FileStorage
from wardwright.storage.memory import MemoryStorage
from wardwright.storage.postgres import PostgresStorage
from wardwright.storage.sqlite import SqliteStorage
from wardwright.testing.sample_receipts import Written
from wardwright.testing.storage_machine import whole_answer

_SEGMENT_BYTES = 256 * 1024
_TAIL_ENTRIES = 200  # so that the index beside the log answers, and not memory alone
_BATCH = 50
_WHOLE_RECEIPTS_EVERY = 5  # queries: to give them out whole asks the same things once more


def providers(place: Path, postgres_url: str) -> dict[str, StorageProvider]:
    """Storage of each kind, all of them new."""
    return {
        "memory": MemoryStorage(),
        "file": FileStorage(place / "file", "batched", segment_bytes=_SEGMENT_BYTES, tail_entries=_TAIL_ENTRIES),
        "sqlite": SqliteStorage(place / "sqlite", "batched"),
        "postgres": PostgresStorage(postgres_url, "chaos", "none"),
    }


def run(seed: int, *, receipts: int = made_up.MOST, queries: int = 500) -> str:
    """Ask all of it; tell how much was compared. Raises: Broken."""
    with working_folder(in_memory=True) as folder, ExitStack() as opened:
        history = list(made_up.receipts(seed, receipts))
        meant = [fold([decode_entry(payload) for payload in record.payloads]) for record in reversed(history)]
        stores: dict[str, ReceiptReader] = {}
        server = opened.enter_context(postgres_server())
        for kind, provider in providers(folder, server.url()).items():
            stores[kind] = opened.enter_context(closing(_filled(provider, history, seed)))
        asked, found, progress = made_up.queries(seed, queries, receipts), 0, Progress("queries", queries)
        for number, wanted in enumerate(asked):
            expected = _meant(meant, wanted)
            found += len(expected)
            for kind, store in stores.items():
                _compare(kind, store, wanted, expected, whole=number % _WHOLE_RECEIPTS_EVERY == 0)
            progress.at(number)
    return f"{', '.join(stores)}: {receipts} receipts, {queries} queries, {found} receipts found by them: every answer the same"


def _filled(provider: StorageProvider, history: Sequence[Written], seed: int) -> ReceiptReader:
    """The store of a provider, opened anew with all of the history, which came in no order."""
    shuffled = random.Random(seed).sample(history, len(history))
    with closing(provider.open()) as store:
        for begin in range(0, len(shuffled), _BATCH):
            store.append([payload for record in shuffled[begin : begin + _BATCH] for payload in record.payloads])
    return provider.open()


def _meant(meant: Sequence[Receipt], wanted: ReceiptFilter) -> list[Receipt]:
    below = (receipt for receipt in meant if wanted.before is None or receipt.receipt_id < wanted.before)
    return [receipt for receipt in below if wanted.matches(receipt)]


def _compare(
    kind: str, store: ReceiptReader, wanted: ReceiptFilter, expected: Sequence[Receipt], *, whole: bool
) -> None:
    found = whole_answer(store, wanted)
    if found != [summarise(receipt) for receipt in expected]:
        raise Broken(f"{kind} finds {len(found)} receipts instead of these {len(expected)} for {wanted}")
    if whole and list(store.select(wanted)) != expected:
        raise Broken(f"{kind} gives out other receipts than are meant by {wanted}")
