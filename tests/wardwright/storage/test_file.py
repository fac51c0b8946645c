"""The file store: recovery from every kind of torn or damaged log, the lock, permissions, and reading beside a writer."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wardwright.storage.faulty_files import IO_ERROR, NO_SPACE, FaultyFiles, batches, flat, is_refused, stored
from wardwright.domain.errors import StorageUnavailable
from wardwright.receipts.chain import Chain
from wardwright.receipts.events import AttemptStarted, Closed
from wardwright.storage.control import FileControlLog
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.file_reading import FileReceiptReader
from wardwright.storage.files import FileOps
from wardwright.storage.index_format import note_format
from wardwright.storage.index_schema import FORMAT
from wardwright.storage.log import Durability

SEGMENT = "receipts-00000001.log"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A segment of eight batches, each synced before the next."""
    folder = tmp_path_factory.mktemp("whole")
    store = FileReceiptStore(folder)
    for batch in batches(8):
        store.append(batch)
    store.close()
    return (folder / SEGMENT).read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def laid_out(folder: Path, *segments: bytes) -> Path:
    """A fresh log folder with these segments."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, content in enumerate(segments, start=1):
        (folder / f"receipts-{number:08d}.log").write_bytes(content)
    return folder


def recovered(folder: Path, durability: Durability = "strict") -> tuple[list[bytes], int]:
    """What a writer finds in a log, and how many bytes it removed."""
    store = FileReceiptStore(folder, durability)
    store.close()
    return stored(folder), store.health().recovered_bytes


@pytest.mark.slow
def test_a_log_cut_off_anywhere_keeps_every_whole_entry_and_goes_on(whole: bytes, scratch: Path) -> None:
    entries = flat(batches(2))
    good_ends = [0, whole.index(b"\n") + 1, *(whole.index(payload) + len(payload) + 1 for payload in entries)]
    beside_ends = {end + step for end in good_ends for step in (-1, 0, 1)}
    for length in sorted({*range(0, good_ends[-1], 5), *beside_ends} & {*range(good_ends[-1] + 1)}):
        folder = laid_out(scratch, whole[:length])
        good = max(end for end in good_ends if end <= length)
        kept = max(good_ends.index(good) - 1, 0)
        assert recovered(folder, "none") == (entries[:kept], length - good)
        store = FileReceiptStore(folder, "none")
        store.append(entries)
        assert stored(folder) == entries
        store.close()


@pytest.mark.parametrize("zeros", [1, 31, 64, 4096, 1_500_000])
def test_a_zero_filled_tail_is_no_entry_and_nothing_torn(whole: bytes, scratch: Path, zeros: int) -> None:
    folder = laid_out(scratch, whole + bytes(zeros))
    assert recovered(folder) == (flat(batches(8)), 0)
    assert (folder / SEGMENT).read_bytes() == whole


@pytest.mark.parametrize("zeros", [1, 4096])
def test_zeros_behind_a_torn_entry_were_not_written_by_anybody(whole: bytes, scratch: Path, zeros: int) -> None:
    folder = laid_out(scratch, whole + whole[:40] + bytes(zeros))
    assert recovered(folder) == (flat(batches(8)), 40)
    assert (folder / SEGMENT).read_bytes() == whole


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_flipped_bit_in_what_was_synced_is_refused_or_costs_only_the_last_batch(
    whole: bytes, scratch: Path, data: st.DataObject
) -> None:
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    folder = laid_out(scratch, bytes(flipped))
    in_last_batch = bit // 8 >= whole.index(batches(8)[-1][0]) - 31
    if in_last_batch:
        payloads, _ = recovered(folder)
        assert payloads in (flat(batches(7)), flat(batches(8))[:-1])
    else:
        assert is_refused(folder)
        assert (folder / SEGMENT).read_bytes() == bytes(flipped)


@given(torn=st.integers(0, 2000), patches=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=64)), max_size=4))
@settings(max_examples=150, deadline=None)
def test_whatever_a_power_failure_leaves_of_the_unsynced_batch_all_acknowledged_entries_stay(
    whole: bytes, scratch: Path, torn: int, patches: list[tuple[int, bytes]]
) -> None:
    store = FileReceiptStore(laid_out(scratch, whole))
    store.append(flat(batches(3, first=8)))
    store.close()
    tail = bytearray((scratch / SEGMENT).read_bytes()[len(whole) :])
    del tail[torn:]
    for at, patch in patches:
        tail[at : at + len(patch)] = patch
    payloads, _ = recovered(laid_out(scratch, whole + bytes(tail)))
    everything = flat(batches(11))
    assert len(payloads) >= 16
    assert payloads == everything[: len(payloads)]


def test_after_recovery_the_recovered_part_counts_as_synced(whole: bytes, scratch: Path) -> None:
    folder = laid_out(scratch, whole[:-5])
    store = FileReceiptStore(folder)
    store.append(batches(8)[-1])
    store.close()
    content = bytearray((folder / SEGMENT).read_bytes())
    content[len(whole) - 700] ^= 1
    assert is_refused(laid_out(folder, bytes(content)))


@pytest.fixture
def rolled(tmp_path: Path) -> Path:
    """A log of several segments."""
    folder = tmp_path / "rolled"
    store = FileReceiptStore(folder, segment_bytes=1500)
    for batch in batches(10):
        store.append(batch)
    store.close()
    assert len(list(folder.glob("*.log"))) >= 4
    return folder


@pytest.mark.parametrize("offset", [3, 40, 200, -1])
def test_damage_before_the_last_segment_is_refused_with_its_place(rolled: Path, offset: int) -> None:
    segment = rolled / "receipts-00000002.log"
    content = bytearray(segment.read_bytes())
    content[offset] ^= 0x10
    segment.write_bytes(content)
    frames = [0, content.index(b"\n") + 1, content.rindex(b"ww1")]
    begin = max(at for at in frames if at <= offset % len(content))
    for opening in (FileReceiptStore, FileReceiptStore.read_only):
        with pytest.raises(StorageUnavailable) as refused:
            opening(rolled)
        assert f"{segment} is damaged at offset {begin}:" in refused.value.message


def test_a_segment_before_the_last_one_that_was_cut_short_is_refused(rolled: Path) -> None:
    os.truncate(rolled / "receipts-00000001.log", (rolled / "receipts-00000001.log").stat().st_size - 1)
    assert is_refused(rolled)


def test_a_missing_segment_is_refused(rolled: Path) -> None:
    (rolled / "receipts-00000002.log").unlink()
    with pytest.raises(StorageUnavailable, match=r"receipts-00000002\.log is missing"):
        FileReceiptStore(rolled)


def test_a_segment_under_another_number_is_refused(rolled: Path) -> None:
    shutil.copy(rolled / "receipts-00000001.log", rolled / f"receipts-{len(list(rolled.glob('*.log'))) + 1:08d}.log")
    assert is_refused(rolled)


@pytest.mark.parametrize("remainder", [b"", b"ww1 0000", bytes(4096)])
def test_a_segment_whose_creation_was_cut_off_is_begun_again(rolled: Path, remainder: bytes) -> None:
    last = rolled / f"receipts-{len(list(rolled.glob('*.log'))) + 1:08d}.log"
    last.write_bytes(remainder)
    assert recovered(rolled) == (flat(batches(10)), len(remainder))
    assert not last.exists()


def test_a_later_format_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardwright.storage.segments.FORMAT", 3)
    FileReceiptStore(tmp_path).close()
    monkeypatch.undo()
    with pytest.raises(StorageUnavailable, match=r"00000001\.log has format 3; this version reads formats up to 2"):
        FileReceiptStore(tmp_path)


def test_only_one_writer_at_a_time_and_the_message_names_it(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path)
    with pytest.raises(StorageUnavailable, match=f"{tmp_path} is in use by process {os.getpid()}"):
        FileReceiptStore(tmp_path)
    store.append(batches(1)[0])
    store.close()
    FileReceiptStore(tmp_path).close()


WRITER = """
import sys
from pathlib import Path
from tests.wardwright.storage.faulty_files import batches
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.log import Durability
store = FileReceiptStore(Path(sys.argv[1]), segment_bytes=5000)
for number in range(1_000_000):
    store.append(batches(1, first=number)[0])
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged_and_its_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
    ) as writer:
        assert writer.stdout is not None
        for _ in range(30):
            writer.stdout.readline()
        with pytest.raises(StorageUnavailable, match=f"in use by process {writer.pid}"):
            FileReceiptStore(tmp_path)
        writer.send_signal(signal.SIGKILL)
        acknowledged = 30 + len(writer.stdout.read().splitlines())
    payloads, _ = recovered(tmp_path)
    assert len(payloads) >= 2 * acknowledged
    assert payloads == flat(batches(acknowledged + 1))[: len(payloads)]


def test_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    store = FileReceiptStore(folder)
    store.append(batches(1)[0])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


class NotingFolders(FileOps):
    """Notes the folders whose names are synced."""

    def __init__(self) -> None:
        self.synced: list[Path] = []

    def sync_directory(self, path: Path) -> None:
        self.synced.append(path)
        super().sync_directory(path)


def test_folders_that_are_made_are_on_disk_with_their_names(tmp_path: Path) -> None:
    files = NotingFolders()
    FileReceiptStore(tmp_path / "data" / "receipts", files=files).close()
    assert set(files.synced) >= {tmp_path, tmp_path / "data"}
    files.synced.clear()
    FileControlLog(tmp_path / "data" / "control", files=files).close()
    assert tmp_path / "data" in files.synced
    files.synced.clear()
    FileReceiptStore(tmp_path / "data" / "receipts", files=files).close()
    assert files.synced == [], "which is done once"


@pytest.mark.parametrize("durability", ["strict", "none"])
def test_a_mark_takes_the_place_of_another_when_it_is_on_disk(tmp_path: Path, durability: Durability) -> None:
    files = FaultyFiles()
    store = FileReceiptStore(tmp_path, durability, files=files)
    store.set_mark("sink.a", b"before")
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        store.set_mark("sink.a", b"after")
    assert store.mark("sink.a") == b"before"
    files.heal()
    store.close()


def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match=f"^cannot use the receipt folder {tmp_path}/file: File exists$"):
        FileReceiptStore(tmp_path / "file")
    with pytest.raises(StorageUnavailable, match="Not a directory"):
        FileReceiptStore(tmp_path / "file" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_write_permission_is_told_in_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageUnavailable, match="Permission denied"):
        FileReceiptStore(tmp_path)


def test_a_new_log_that_cannot_be_begun_is_refused_and_the_folder_is_free(tmp_path: Path) -> None:
    files = FaultyFiles()
    note_format(tmp_path, FORMAT, files, is_durable=True)
    files.fail("create", NO_SPACE)
    with pytest.raises(StorageUnavailable, match="cannot begin the segment"):
        FileReceiptStore(tmp_path, files=files)
    FileReceiptStore(tmp_path).close()


def test_health_tells_what_was_recovered_and_where(whole: bytes, scratch: Path) -> None:
    folder = laid_out(scratch, whole[:-5])
    store = FileReceiptStore(folder)
    health = store.health()
    assert (health.kind, health.durable, health.path) == ("file", True, str(folder))
    assert (health.receipt_count, health.open_count) == (8, 1)
    assert health.recovered_bytes > 0
    store.close()
    batched = FileReceiptStore(folder, "batched")
    assert (batched.health().durable, batched.health().recovered_bytes) == (False, 0)
    batched.close()


def test_entries_that_a_power_failure_took_from_the_middle_do_not_stop_the_log(tmp_path: Path) -> None:
    chain = Chain("rcpt_000000")
    opening, lost, later = (chain.seal(AttemptStarted(number, "m", "p", "u"), number) for number in (1, 2, 3))
    headless = batches(2)[1]
    files, now = FaultyFiles(), [0.0]
    store = FileReceiptStore(tmp_path, "batched", files=files, clock=lambda: now[0])
    now[0] = 1.0
    store.append([opening])
    on_disk = (tmp_path / SEGMENT).stat().st_size
    store.append([lost, headless[0]])
    now[0] = 2.0
    files.fail("fdatasync", IO_ERROR)
    with pytest.raises(StorageUnavailable):
        store.append([later])
    files.heal()
    store.append([later, headless[1]])
    store.close()
    os.truncate(tmp_path / SEGMENT, on_disk)
    reopened = FileReceiptStore(tmp_path)
    assert reopened.payloads("rcpt_000000") == (opening, later)
    assert reopened.health().receipt_count == 1
    closing = chain.seal(Closed("interrupted", 3), 4.0)
    reopened.append([lost, later, closing])
    assert reopened.payloads("rcpt_000000") == (opening, later, closing)
    reopened.close()


class SeenAndRefused(FileOps):
    """Files whose next write is whole, is looked at by a reader that `look` opens, and is refused after all."""

    def __init__(self) -> None:
        self.look: Callable[[], FileReceiptReader] | None = None
        self.seen: FileReceiptReader
        self.receipts_seen = 0

    def write(self, fd: int, data: memoryview, at: int) -> int:
        written = super().write(fd, data, at)
        if self.look is not None:
            self.seen, self.look = self.look(), None
            self.receipts_seen = self.seen.health().receipt_count
            raise OSError(NO_SPACE, os.strerror(NO_SPACE))
        return written


class TestReadingBesideAWriter:
    def test_a_reader_sees_what_was_added_since_over_segments(self, tmp_path: Path) -> None:
        store = FileReceiptStore(tmp_path, segment_bytes=1500)
        reader = FileReceiptStore.read_only(tmp_path)
        assert list(reader.newest()) == []
        for count, batch in enumerate(batches(10), start=1):
            store.append(batch)
            assert reader.health().receipt_count == count
            assert reader.entries(f"rcpt_{count - 1:06d}") == store.entries(f"rcpt_{count - 1:06d}")
        assert list(reader.newest()) == list(store.newest())
        store.close()

    def test_a_reader_changes_nothing_and_passes_over_a_torn_tail(self, whole: bytes, tmp_path: Path) -> None:
        folder = laid_out(tmp_path / "log", whole[:-5])
        reader = FileReceiptStore.read_only(folder)
        assert [record[0].receipt_id for record in reader.open_receipts()] == ["rcpt_000007"]
        assert os.listdir(folder) == [SEGMENT]
        assert (folder / SEGMENT).read_bytes() == whole[:-5]
        (folder / SEGMENT).write_bytes(whole)
        assert reader.open_receipts() == ()

    @pytest.mark.parametrize("length", [1, 2])
    def test_a_reader_follows_a_writer_that_took_back_a_refused_batch(self, tmp_path: Path, length: int) -> None:
        files = SeenAndRefused()
        store = FileReceiptStore(tmp_path, files=files)
        first, second, third = batches(3)
        store.append(first)
        files.look = lambda: FileReceiptStore.read_only(tmp_path)
        with pytest.raises(StorageUnavailable, match="No space left"):
            store.append(second)
        reader = files.seen
        assert files.receipts_seen == 2
        store.append(third[:length])
        assert [reader.payloads(f"rcpt_00000{number}") for number in (0, 1, 2)] == [
            tuple(first),
            (),
            tuple(third[:length]),
        ]

    def test_where_there_is_no_log_there_is_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(StorageUnavailable, match=r"cannot read from .*absent: No such file"):
            FileReceiptStore.read_only(tmp_path / "absent")


def test_a_payload_damaged_after_opening_is_refused_when_it_is_read(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path)
    store.append(batches(1)[0])
    content = bytearray((tmp_path / SEGMENT).read_bytes())
    content[content.rindex(b"\n") - 10] ^= 1
    (tmp_path / SEGMENT).write_bytes(content)
    with pytest.raises(StorageUnavailable, match="is damaged at offset"):
        store.entries("rcpt_000000")


def test_an_entry_of_an_unknown_kind_is_kept_and_told_when_it_is_read(tmp_path: Path) -> None:
    store = FileReceiptStore(tmp_path)
    store.append([b'{"receipt_id":"rcpt_1","seq":1,"at":1,"prev":"","event":{"type":"later.kind"},"hash":""}'])
    with pytest.raises(StorageUnavailable, match="rcpt_1 holds an entry that this version cannot read"):
        store.entries("rcpt_1")
    assert len(store.payloads("rcpt_1")) == 1
