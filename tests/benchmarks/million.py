"""The file store with a million receipts: its start, its pages, its memory, verifying, exporting; and group commit (`appending`).

`python -m tests.benchmarks --only storage` makes the receipts anew, which takes some minutes and 3 GB of disk. Reading is measured in a
process of its own, `python -m tests.benchmarks.million FOLDER COUNT`, so that its memory is that of reading.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import msgspec

from tests.benchmarks import appending
from tests.benchmarks.many_receipts import MODELS, RARE, TENANTS, USERS, made, receipt_at
from wardwright.app.receipt_export import ndjson_lines, rendered
from wardwright.app.side_by_side import usable_cores
from wardwright.app.storage_audit import audit_storage
from wardwright.receipts.audit import Audit
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.folder import FileStorage

RECEIPTS = 1_000_000
PROMISES = {
    "start s": 3.0,
    "growth of memory MB": 150.0,
    "page p99 ms": 50.0,
    "store beside bare loop": 1.3,
}
"""The most that a figure may be."""
RATES = {
    "verified entries/s, a process for each core": 200_000.0,
    "exported receipts/s, a process for each core": 50_000.0,
    f"appended entries/s, {appending.WRITERS} writers": 10_000.0,
}
"""The least that a figure may be. Those in a second of CPU say what they come to where nothing else runs."""

_BATCH = 1_000  # receipts
_PAGES = 60

Figures = dict[str, float]


def figures(folder: Path, count: int) -> Figures:
    """Everything, by name; what PROMISES and RATES name among it."""
    path = folder / "million" / "receipts"
    found = _write(path, count)
    output = subprocess.run([sys.executable, "-m", __name__, str(path), str(count)], stdout=subprocess.PIPE, check=True)
    found |= msgspec.json.decode(output.stdout, type=Figures)
    return found | appending.figures(folder)


def read_figures(path: Path, count: int) -> Figures:
    """What reading takes of a store of so many receipts."""
    before = _resident_mb()
    began = time.perf_counter()
    store = FileReceiptStore(path, "none")
    started_s = time.perf_counter() - began
    assert store.health().receipt_count == count
    started_mb = _resident_mb()
    pages = {name: [_page_ms(store, ask) for _ in range(_PAGES)] for name, ask in _questions(count).items()}
    worst = quantiles([taken for each in pages.values() for taken in each], n=100)[98]
    found = {
        "start s": started_s,
        **{f"page, {name}: p50 ms": median(taken) for name, taken in pages.items()},
        **{f"page, {name}: worst ms": max(taken) for name, taken in pages.items()},
        "page p99 ms": worst,
        "session looked up, µs": _session_us(store, count),
        "growth of memory MB, started": started_mb - before,
        "growth of memory MB": _resident_mb() - before,
        **_rates("verified entries", _verify, store),
        "verified entries/s, a process for each core": _verified_side_by_side(path),
        **_rates("exported receipts", _export, store),
        "exported receipts/s, a process for each core": count / _export_side_by_side(path),
        "growth of memory MB, in the end": _resident_mb() - before,
    }
    store.close()
    return found


def _write(path: Path, count: int) -> Figures:
    store = FileReceiptStore(path, "none")
    taken_s = 0.0
    for first in range(0, count, _BATCH):
        batch = [payload for record in made(min(_BATCH, count - first), first) for payload in record]
        began = time.perf_counter()
        store.append(batch)
        taken_s += time.perf_counter() - began
    began = time.perf_counter()
    while store.tend():
        pass
    taken_s += time.perf_counter() - began
    store.close()
    size, index = (sum(file.stat().st_size for file in path.glob(name)) / 1e6 for name in ("receipts-*", "index/*"))
    return {"written, indexed and packed receipts/s": count / taken_s, "log MB, packed": size, "index MB": index}


def _questions(count: int) -> dict[str, Callable[[], dict[str, str]]]:
    draw = random.Random(7)

    def hour() -> dict[str, str]:
        begin = receipt_at(draw.randrange(count))
        return {"created_at_min": str(int(begin)), "created_at_max": str(int(begin) + 3600)}

    def user() -> str:
        return f"user-{draw.randrange(USERS)}"

    return {
        "newest": dict,
        "rare status": lambda: {"status": RARE},
        "user": lambda: {"consuming_user_id": user()},
        "tenant": lambda: {"tenant_id": f"tenant-{draw.randrange(TENANTS)}"},
        "model": lambda: {"model": draw.choice(MODELS)},
        "hour": hour,
        "tenant within an hour": lambda: {**hour(), "tenant_id": f"tenant-{draw.randrange(TENANTS)}"},
        "model, failed, user": lambda: {"model": "chat", "status": "provider_error", "consuming_user_id": user()},
        "two that never meet": lambda: {"model": MODELS[1], "status": RARE},
        "nothing, by no index": lambda: {"simulation": "true"},
    }


def _page_ms(store: FileReceiptStore, ask: Callable[[], dict[str, str]]) -> float:
    wanted = ReceiptFilter.parse(ask())
    began = time.perf_counter()
    store.page(wanted)
    return (time.perf_counter() - began) * 1000


def _session_us(store: FileReceiptStore, count: int) -> float:
    draw, taken = random.Random(3), []
    for _ in range(200):
        session = f"session-{draw.randrange(count // 10)}"
        began = time.perf_counter()
        store.newest_of_session("coding", session)
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e6


def _rates(what: str, do: Callable[[FileReceiptStore], int], store: FileReceiptStore) -> Figures:
    began, began_cpu = time.perf_counter(), time.process_time()
    count = do(store)
    return {
        f"{what}/s": count / (time.perf_counter() - began),
        f"{what}/s of CPU": count / (time.process_time() - began_cpu),
    }


def _verify(store: FileReceiptStore) -> int:
    audit = Audit()
    for stored in store.replay():
        audit.take(stored.payload)
    assert not audit.findings
    return audit.entries


def _verified_side_by_side(path: Path) -> float:
    """Entries in a second by the clock, as `wardwright receipts verify` does it."""
    began = time.perf_counter()
    audit = audit_storage(FileStorage(path.parent), usable_cores(), lambda _: None)
    assert not audit.findings
    return audit.entries / (time.perf_counter() - began)


def _export_side_by_side(path: Path) -> float:
    """The seconds that it takes by the clock, as `wardwright receipts export` does it."""
    began = time.perf_counter()
    with Path(os.devnull).open("wb") as nowhere:
        blocks = rendered(FileStorage(path.parent), ReceiptFilter(), ndjson_lines, usable_cores())
        nowhere.writelines(block.lines for block in blocks)
    return time.perf_counter() - began


def _export(store: FileReceiptStore) -> int:
    count = 0
    with Path(os.devnull).open("wb") as nowhere:
        for receipt in store.select(ReceiptFilter()):
            nowhere.write(msgspec.json.encode(receipt) + b"\n")
            count += 1
    return count


def _resident_mb() -> float:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(read_figures(Path(sys.argv[1]), int(sys.argv[2]))))
