"""An index that turns out to be damaged while the store is in use: it is made anew from the log, beside the appends."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.wardwright.storage.faulty_files import IO_ERROR, NO_SPACE, FaultyFiles
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.query import ReceiptFilter
from wardwright.storage import index_making, interim
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.index_file import IndexFile
from wardwright.storage.log_folder import LogFolder
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.testing.sample_receipts import after_fading, fadings, plain, receipt_id
from wardwright.testing.storage_machine import whole_answer

RECEIPTS = 60
TAIL = 8
ALL = 1000
BEING_MADE = "is being made anew from the log"

Spoil = Callable[[FileReceiptStore, Path], None]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_making, "STEP", 10)


def kept(path: Path, *, tail_entries: int = TAIL, files: FaultyFiles | None = None) -> FileReceiptStore:
    return FileReceiptStore(path, segment_bytes=10_000, tail_entries=tail_entries, files=files)


def filled(path: Path, *, tail_entries: int = TAIL) -> FileReceiptStore:
    """A store with closed receipts, nearly all of them in the index."""
    store = kept(path, tail_entries=tail_entries)
    for number in range(RECEIPTS):
        store.append(plain(number, session_id=f"s{number % 7}").payloads)
    while store.tend():
        pass
    assert len(LogFolder(path).numbers()) > 3
    return store


def index_of(path: Path) -> Path:
    return path / "index" / "receipts.db"


def read_each(store: FileReceiptStore) -> None:
    for number in range(2, RECEIPTS):
        store.entries(receipt_id(number))


def make_anew(store: FileReceiptStore) -> int:
    """Tend a store until its index is whole again; tell how many steps that took."""
    steps = 0
    while store.tend():
        steps += store.health().index_progress is not None
    assert store.health().index_progress is None
    return steps


def assert_alike(store: FileReceiptStore, expected: MemoryReceiptStore) -> None:
    """The store and memory tell the same."""
    assert list(store.newest()) == list(expected.newest())
    assert store.open_receipts() == expected.open_receipts()
    assert [stored.payload for stored in store.replay()] == [stored.payload for stored in expected.replay()]
    assert whole_answer(store, ReceiptFilter()) == whole_answer(expected, ReceiptFilter())
    counts = [(health.receipt_count, health.open_count) for health in (store.health(), expected.health())]
    assert counts[0] == counts[1]


def in_memory(*batches: tuple[bytes, ...]) -> MemoryReceiptStore:
    expected = MemoryReceiptStore()
    for batch in batches:
        expected.append(batch)
    return expected


def _overwrite_pages(store: FileReceiptStore, path: Path) -> None:
    """All but the first page, under the hands of who has the file open; and what SQLite has not moved there yet."""
    with sqlite3.connect(index_of(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = index_of(path).stat().st_size
    with index_of(path).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    store._index._file._readers._idle.clear()  # type: ignore[union-attr]  # what they have read they would not read again


def _take_away(store: FileReceiptStore, path: Path) -> None:
    for file in index_of(path).parent.iterdir():
        file.unlink()
    store._index._file._readers._idle.clear()  # type: ignore[union-attr]


def _swap_places(store: FileReceiptStore, path: Path) -> None:
    with sqlite3.connect(index_of(path)) as database:
        database.execute(
            "UPDATE receipts SET places = (SELECT places FROM receipts WHERE receipt_id = ?)", (receipt_id(1),)
        )


def _move_places(store: FileReceiptStore, path: Path) -> None:
    def moved(places: bytes) -> bytes:
        return (int.from_bytes(places[:8], "little") + 1).to_bytes(8, "little") + places[8:]

    with sqlite3.connect(index_of(path)) as database:
        database.create_function("moved", 1, moved)
        database.execute("UPDATE receipts SET places = moved(places)")


def _lead_behind_the_end(store: FileReceiptStore, path: Path) -> None:
    with sqlite3.connect(index_of(path)) as database:
        database.execute("UPDATE receipts SET places = ?", ((999 << 40).to_bytes(8, "little"),))


@pytest.mark.parametrize(
    "spoil",
    [_overwrite_pages, _take_away, _swap_places, _move_places, _lead_behind_the_end],
    ids=lambda each: each.__name__,
)
def test_an_index_that_turns_out_damaged_is_made_anew_beside_serving(tmp_path: Path, spoil: Spoil) -> None:
    store = filled(tmp_path)
    spoil(store, tmp_path)
    with pytest.raises(StorageUnavailable, match=r"index.*anew"):
        read_each(store)
    with capture_logs() as logged:
        assert store.tend()
    assert [entry["event"] for entry in logged] == [
        "the index of the receipts is made anew from the log, beside serving"
    ]
    with capture_logs() as logged:
        assert make_anew(store) > RECEIPTS * 4 / 10, "a little at a time"
    assert [entry["event"] for entry in logged] == ["the index of the receipts is made anew"]
    assert_alike(store, in_memory(*(plain(n, session_id=f"s{n % 7}").payloads for n in range(RECEIPTS))))
    store.close()
    again = kept(tmp_path)
    assert again._index.covered is not None, "the next start goes on from it"
    again.close()


def test_whoever_asks_meanwhile_is_told_and_appends_go_on(tmp_path: Path) -> None:
    store = filled(tmp_path)
    live, closed, new = plain(RECEIPTS, attempts=3).payloads, plain(RECEIPTS - 1).payloads, plain(RECEIPTS + 1).payloads
    store.append(live[:2])
    store._index.move(100, store._make_durable)
    position = list(store.replay())[-5].position
    store._index.give_up()
    assert store.tend()
    before = [stored.payload for stored in store.replay()]
    store.append(live[2:4])
    store.append(new)
    store.append([*live, *new])
    for ask in (
        lambda: store.entries(receipt_id(3)),
        lambda: store.payloads(receipt_id(3)),
        lambda: next(store.newest()),
        lambda: store.page(ReceiptFilter()),
        lambda: next(store.select(ReceiptFilter())),
        lambda: store.newest_of_session("coding", "s1"),
        store.open_receipts,
        lambda: store.forget(receipt_id(3)),
        lambda: store.replace([]),
        lambda: store.append(closed[:1]),
    ):
        with pytest.raises(StorageUnavailable, match=BEING_MADE):
            ask()
    assert (store.cuts(1), store.id_cuts(1)) == ([], [])
    assert [stored.payload for stored in store.replay()] == [*before, *live[2:4], *new, *live[4:]]
    assert [stored.payload for stored in store.replay(position)][:4] == before[-4:]
    health = store.health()
    assert (health.receipt_count, health.open_count) == (RECEIPTS + 2, 0)
    assert health.index_progress == 0.0
    seen = []
    while store.tend():
        seen.append(store.health().index_progress)
    told = [progress for progress in seen if progress is not None]
    assert told == sorted(told)
    assert 0.2 < told[len(told) // 2] < 0.8
    history = [plain(n, session_id=f"s{n % 7}").payloads for n in range(RECEIPTS)]
    assert_alike(store, in_memory(*history, live[:2], live[2:4], new, live[4:]))
    store.append(closed)
    assert store.payloads(receipt_id(RECEIPTS - 1)) == history[-1]
    store.close()


def test_a_reader_that_meets_the_damage_says_what_mends_it(tmp_path: Path) -> None:
    store, reader = filled(tmp_path), FileReceiptStore.read_only(tmp_path)
    _overwrite_pages(reader, tmp_path)  # type: ignore[arg-type]
    folder = index_of(tmp_path).parent
    with pytest.raises(StorageUnavailable, match=f"the daemon makes it anew .* when it starts without {folder}$"):
        list(reader.newest())
    reader.close()
    store.close()
    shutil.rmtree(folder)
    again = kept(tmp_path)
    assert_alike(again, in_memory(*(plain(n, session_id=f"s{n % 7}").payloads for n in range(RECEIPTS))))
    again.close()


def test_an_append_that_finds_the_damage_is_not_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    live = plain(RECEIPTS, attempts=3).payloads
    store.append(live[:2])
    store._index.move(100, store._make_durable)
    assert store._index.tail_length() == 0
    _overwrite_pages(store, tmp_path)
    store.append(live[2:])
    assert store.health().index_progress == 0.0
    make_anew(store)
    assert store.payloads(receipt_id(RECEIPTS)) == live
    store.close()


def test_a_damaged_index_is_made_anew_by_a_start(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(index_of(tmp_path)) as database:
        ((page,),) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'open_receipts'").fetchall()
    with index_of(tmp_path).open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    with capture_logs() as logged:
        store = kept(tmp_path)
    assert [entry["event"] for entry in logged] == ["the index of the receipts is made anew from the log"]
    assert_alike(store, in_memory(*(plain(n, session_id=f"s{n % 7}").payloads for n in range(RECEIPTS))))
    store.close()


def test_it_comes_to_an_end_where_nobody_tends_the_store(tmp_path: Path) -> None:
    store = filled(tmp_path, tail_entries=40)
    store._index.give_up()
    number = RECEIPTS
    while number == RECEIPTS or store.health().index_progress is not None:
        store.append(plain(number).payloads)
        assert number < 3 * RECEIPTS
        number += 1
    history = [plain(n, session_id=f"s{n % 7}").payloads for n in range(RECEIPTS)]
    assert_alike(store, in_memory(*history, *(plain(n).payloads for n in range(RECEIPTS, number))))
    store.close()


def test_what_is_in_memory_meanwhile_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interim, "KEPT_CLOSED", 6)
    filled(tmp_path).close()
    store = kept(tmp_path, tail_entries=100_000)
    store._index.give_up()
    for number in range(RECEIPTS, 4 * RECEIPTS):
        store.append(plain(number).payloads)
        assert len(store._interim._closed) <= 6 + TAIL  # type: ignore[union-attr]
    store.append(plain(4 * RECEIPTS - 1).payloads)
    with pytest.raises(StorageUnavailable, match=BEING_MADE):
        store.append(plain(RECEIPTS + 1).payloads)
    most = 0
    while store.tend():
        most = max(most, 0 if store._making is None else store._making.index.tail_length())
    assert 0 < most <= 2 * index_making.STEP
    store.append(plain(RECEIPTS + 1).payloads)
    assert store.health().receipt_count == 4 * RECEIPTS
    store.close()


def test_damage_in_the_log_is_told_as_what_it_is(tmp_path: Path) -> None:
    store = filled(tmp_path)
    segment = LogFolder(tmp_path).files(2)[0]
    whole = segment.read_bytes()
    place = len(whole) // 2
    segment.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(StorageUnavailable, match="is damaged at offset"):
        read_each(store)
    assert not store._index.is_damaged, "it is not the index that is at fault"
    store._index.give_up()
    with pytest.raises(StorageUnavailable, match="is damaged at offset"):
        make_anew(store)
    with pytest.raises(
        StorageUnavailable, match=r"cannot be made anew from the log: .*00000002.* is damaged at offset"
    ):
        store.page(ReceiptFilter())
    store.append(plain(RECEIPTS).payloads)
    segment.write_bytes(whole)
    make_anew(store)
    assert store.payloads(receipt_id(RECEIPTS)) == plain(RECEIPTS).payloads
    store.close()


def test_nothing_is_taken_in_that_was_refused_to_who_appended_it(tmp_path: Path) -> None:
    filled(tmp_path).close()
    files = FaultyFiles()
    store, refused = kept(tmp_path, files=files), plain(RECEIPTS).payloads
    store.append(plain(RECEIPTS + 1).payloads)
    for operation in (
        "fdatasync",
        "truncate",
    ):  # whole lines are left behind the end of the log, and nothing takes them away
        files.fail(operation, IO_ERROR)
    with pytest.raises(StorageUnavailable):
        store.append(refused)
    files.heal()
    assert refused[-1] in LogFolder(tmp_path).segment(LogFolder(tmp_path).numbers()[-1]).read_bytes()
    store._index.give_up()
    make_anew(store)
    assert store.entries(receipt_id(RECEIPTS)) == ()
    assert store.health().receipt_count == RECEIPTS + 1
    store.append(refused)
    assert store.payloads(receipt_id(RECEIPTS)) == refused
    store.close()


def test_what_is_forgotten_and_was_in_memory_alone_is_replayed_to_nobody_meanwhile(tmp_path: Path) -> None:
    filled(tmp_path).close()
    store = kept(tmp_path, tail_entries=ALL)
    for number in (RECEIPTS, RECEIPTS + 1):
        store.append(plain(number).payloads)
    assert store.forget(receipt_id(RECEIPTS + 1), ALL) == RECEIPTS + 1
    store._index.give_up()
    assert store.tend()
    with pytest.raises(StorageUnavailable, match=BEING_MADE):
        list(store.replay())
    make_anew(store)
    assert [stored.payload for stored in store.replay()] == list(plain(RECEIPTS + 1).payloads)
    store.close()


def test_a_name_that_could_not_be_made_durable_is_so_before_another_index_counts(tmp_path: Path) -> None:
    filled(tmp_path).close()
    files, whole = FaultyFiles(), plain(3, session_id="s3")
    store = kept(tmp_path, files=files)
    files.fail("sync_directory", IO_ERROR)
    with pytest.raises(StorageUnavailable):
        store.replace(fadings(whole))
    store._index.give_up()
    with pytest.raises(StorageUnavailable, match="cannot make durable"):
        make_anew(store)
    files.heal()
    make_anew(store)
    assert store.payloads(receipt_id(3)) == after_fading(whole).payloads
    store.close()


def test_the_new_index_may_turn_out_damaged_too(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store._index.give_up()
    for _ in range(12):
        store.tend()
    assert store._making is not None
    store._making.index.give_up()
    with pytest.raises(StorageUnavailable, match="is damaged"):
        make_anew(store)
    make_anew(store)
    assert_alike(store, in_memory(*(plain(n, session_id=f"s{n % 7}").payloads for n in range(RECEIPTS))))
    store.close()


def test_a_disk_that_takes_no_index_is_told_and_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    store._index.give_up()

    def fail(path: Path) -> IndexFile:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(IndexFile, "create", fail)
        for _ in range(3):
            with pytest.raises(StorageUnavailable, match="the disk is full"):
                make_anew(store)
        assert store._making is not None
        assert store._making.index.tail_length() <= 2 * index_making.STEP
        with pytest.raises(StorageUnavailable, match="cannot be made anew from the log: the disk is full"):
            store.open_receipts()
    make_anew(store)
    assert store.open_receipts() == ()
    store.close()


def test_who_was_being_answered_by_the_old_index_is_never_answered_by_the_new_one(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.forget(receipt_id(5))
    old, replaying, newest = store._index, store.replay(), store.newest()
    next(newest)
    store._index.give_up()
    for _ in range(20):
        store.tend()
    assert index_of(tmp_path).exists(), "another has its name"
    with pytest.raises(StorageUnavailable, match="index"):
        old.places(receipt_id(30))
    with pytest.raises(StorageUnavailable, match=BEING_MADE):
        next(newest)
    with pytest.raises(StorageUnavailable, match="index"):
        next(replaying)
    make_anew(store)
    newest = store.newest(receipt_id(RECEIPTS - 1))
    assert next(store.replay()).payload == plain(5, session_id="s5").payloads[0]
    assert next(newest)[0].receipt_id == receipt_id(RECEIPTS - 2)
    store.close()


def test_what_is_forgotten_stays_so_in_an_index_that_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_making, "STEP", 2)
    store = filled(tmp_path)
    old = plain(RECEIPTS + 1, attempts=3).payloads
    store.append(old[:2])
    store.append(plain(RECEIPTS + 2).payloads)
    store.forget(receipt_id(30))
    store.forget(receipt_id(RECEIPTS + 2))
    store._index.give_up()
    store.tend()
    store.append(old[2:])  # it is gone with this
    assert (store.health().receipt_count, store.health().open_count) == (1, 0)
    store.append(plain(3).payloads)
    with pytest.raises(StorageUnavailable, match=BEING_MADE):
        list(store.replay())
    make_anew(store)
    assert [entries[0].receipt_id for entries in store.newest()] == [receipt_id(RECEIPTS + 2)]
    assert [stored.payload for stored in store.replay()] == list(plain(RECEIPTS + 2).payloads)
    assert store.health().receipt_count == 1
    store.close()


_APPEND = st.tuples(st.integers(0, 11), st.integers(1, 6))
_STEPS = st.lists(
    st.one_of(
        _APPEND,
        st.sampled_from(["tend", "tend", "damage", "refuse a write", "refuse a sync", "roll", "finish", "restart"]),
    ),
    max_size=40,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_whatever_happens_meanwhile_the_index_is_that_of_the_log(
    steps: list[tuple[int, int] | str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, files, expected = tmp_path_factory.mktemp("log"), FaultyFiles(), MemoryReceiptStore()
    store, number = kept(path, files=files), 20
    for step in [*steps, "damage", "finish"]:
        match step:
            case "tend":
                store.tend()
            case "damage":
                store._index.give_up()
            case "refuse a write" | "refuse a sync":
                files.fail(*(("write", NO_SPACE) if step == "refuse a write" else ("fdatasync", IO_ERROR)))
                with pytest.raises(StorageUnavailable):
                    store.append(plain(number).payloads)
                files.heal()
                for one in (store, expected):  # with which a segment begins that takes back what was refused
                    one.append(plain(number + 1).payloads)
                number += 2
            case "roll":
                store._log.roll()  # type: ignore[union-attr]
                store._last_end = store._log.end()  # type: ignore[union-attr]
            case "finish":
                make_anew(store)
                assert_alike(store, expected)
            case "restart":
                store.close()
                store = kept(path, files=files)
            case (early, upto):
                batch = plain(early, attempts=2).payloads[:upto]
                with suppress(StorageUnavailable):  # it cannot be told now whether this is stored
                    store.append(batch)
                    expected.append(batch)
    store.close()
    reader = FileReceiptStore.read_only(path)
    assert list(reader.newest()) == list(expected.newest())
    reader.close()
