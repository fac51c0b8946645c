"""`wardwright storage`: verify, snapshot, restore, migrate, salvage, compact."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from wardwright.domain.control import ControlEntry, KeyCreated, KeyRevoked
from wardwright.runtime.book_keeper import BookKeeper
from wardwright.runtime.snapshot import MARK, encode_covered, encode_snapshot
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.folder import FileStorage
from wardwright.storage.sqlite import SqliteStorage
from wardwright.testing.sample_receipts import plain

from .conftest import Run, closed_port

CREATED = ControlEntry(1, 1.0, KeyCreated("key_1", "m", "first", "wwk_1", "hash"))


def decide(data: Path, *entries: ControlEntry) -> None:
    log = FileStorage(data).open_control()
    log.append(entries)
    log.close()


class TestVerify:
    def test_sound_storage_is_two_lines(self, stored: Path, run: Run) -> None:
        decide(stored, CREATED)
        result = run("storage", "verify")
        assert (result.exit_code, result.stdout.splitlines()) == (
            0,
            [
                "2 receipts, 7 entries: every chain holds",
                "1 decision of operators: nothing contradicts itself",
            ],
        )
        assert json.loads(run("storage", "verify", "--json").stdout) == {
            "receipts": 2,
            "entries": 7,
            "unprovable": 0,
            "faded": 0,
            "findings": [],
            "control_entries": 1,
            "snapshot": None,
        }

    def test_a_snapshot_is_judged_and_one_of_no_use_is_no_fault(self, stored: Path, run: Run) -> None:
        with closing(FileStorage(stored).open()) as store:
            keeper = BookKeeper(store)
            while keeper.read_on(100):
                pass
            payload = encode_snapshot("boot", 1.0, {}, encode_covered(keeper.covered(1.0)))
            store.set_mark(MARK, payload)
        result = run("storage", "verify")
        assert result.stdout.splitlines()[2:] == ["the snapshot that a start goes on from: sound"]
        with closing(FileStorage(stored).open()) as store:
            store.set_mark(MARK, payload[:-1])
        result = run("storage", "verify", "--json")
        assert (result.exit_code, json.loads(result.stdout)["snapshot"][:27]) == (0, "of no use and not needed, i")

    def test_decisions_that_contradict_each_other_are_found(self, stored: Path, run: Run) -> None:
        decide(stored, ControlEntry(1, 1.0, KeyRevoked("key_9")))
        result = run("storage", "verify")
        assert result.exit_code == 1
        assert "the control log contradicts itself" in result.stderr

    def test_memory_has_nothing_to_verify(self, folder: Path, run: Run) -> None:
        (folder / "wardwright.toml").write_text('[storage]\nkind = "memory"\n')
        assert run("storage", "verify").exit_code == 1


class TestSnapshot:
    def test_configured_sinks_go_on_where_they_are(self, stored: Path, folder: Path, run: Run) -> None:
        with (folder / "wardwright.toml").open("a") as config:
            config.write(
                "".join(f'[[sinks]]\nid = "{each}"\nkind = "jsonl"\npath = "{each}.jsonl"\n' for each in ("a", "b"))
            )
        with closing(FileStorage(stored).open()) as store:
            store.set_mark("sink.b", b'{"delivered":7}')
        made = run("storage", "snapshot", "copy")
        assert made.stdout.splitlines()[1:] == ["1 sink goes on where it is"]
        with closing(FileStorage(folder / "copy").read()) as copy:
            assert (copy.mark("sink.a"), copy.mark("sink.b")) == (None, b'{"delivered":7}')

    def test_a_snapshot_is_a_data_folder_and_is_restored_from(self, stored: Path, folder: Path, run: Run) -> None:
        decide(stored, CREATED)
        made = run("storage", "snapshot", "copy")
        assert made.stdout == "2 receipts, 7 entries and 1 decision copied to copy\n"
        exported = run("receipts", "export").stdout
        assert run("receipts", "export", env={"WARDWRIGHT_DATA_DIR": str(folder / "copy")}).stdout == exported

        stored.rename(folder / "lost")
        restored = run("storage", "restore", "copy")
        assert restored.stdout == f"2 receipts, 7 entries and 1 decision restored to {stored / 'receipts'}\n"
        assert run("receipts", "export").stdout == exported

    def test_a_snapshot_is_made_beside_a_daemon(self, stored: Path, run: Run) -> None:
        writer = FileReceiptStore(stored / "receipts")
        assert json.loads(run("storage", "snapshot", "copy", "--json").stdout)["receipts"] == 2
        writer.close()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["snapshot", "data"], "there is something in data/receipts already"),
            (["restore", "nowhere"], "there is no snapshot in nowhere"),
            (["restore", "data"], "already: move it away first"),
        ],
    )
    def test_nothing_is_ever_written_over(self, stored: Path, run: Run, words: list[str], said: str) -> None:
        before = {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()}
        result = run("storage", *words)
        assert result.exit_code == 1
        assert said in result.stderr
        assert {path: path.read_bytes() for path in stored.rglob("*") if path.is_file()} == before

    def test_a_folder_with_two_kinds_is_no_snapshot(self, stored: Path, run: Run) -> None:
        SqliteStorage(stored).open().close()
        result = run("storage", "restore", "data")
        assert result.exit_code == 1
        assert "several kinds: file, sqlite" in result.stderr


class TestMigrate:
    def test_another_kind_of_storage_has_it_all(self, stored: Path, folder: Path, run: Run) -> None:
        exported = run("receipts", "export").stdout
        result = run("storage", "migrate", "sqlite")
        assert result.exit_code == 0
        assert result.stdout.endswith('wardwright.db; set kind = "sqlite" in [storage]\n')
        text = (folder / "wardwright.toml").read_text()
        (folder / "wardwright.toml").write_text(text.replace("[storage]", '[storage]\nkind = "sqlite"'))
        assert run("receipts", "export").stdout == exported
        assert run("receipts", "verify").exit_code == 0

    def test_not_while_a_daemon_writes(self, stored: Path, run: Run) -> None:
        writer = FileReceiptStore(stored / "receipts")
        result = run("storage", "migrate", "sqlite")
        writer.close()
        assert result.exit_code == 1
        assert "is in use by process" in result.stderr
        assert SqliteStorage(stored).is_new()

    @pytest.mark.parametrize("kind", ["file", "memory", "paper"])
    def test_only_to_another_kind_that_lasts(self, stored: Path, run: Run, kind: str) -> None:
        result = run("storage", "migrate", kind)
        assert result.exit_code == 2
        assert "is not one of sqlite" in " ".join(result.stderr.split())

    def test_not_from_nothing(self, folder: Path, run: Run) -> None:
        (folder / "wardwright.toml").write_text(
            f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\npath = "never"\n'
        )
        result = run("storage", "migrate", "sqlite")
        assert (result.exit_code, "there is nothing in" in result.stderr) == (1, True)


class TestSalvage:
    def test_what_is_whole_is_copied_and_what_is_not_is_told(self, stored: Path, folder: Path, run: Run) -> None:
        decide(stored, CREATED)
        with closing(FileReceiptStore(stored / "receipts", segment_bytes=1)) as store:
            for number in range(11, 15):
                store.append(plain(number).payloads)
        harmed = stored / "receipts" / "receipts-00000003.log"
        content = harmed.read_bytes()
        harmed.write_bytes(content.replace(b'"coding"', b'"cording"'))
        found = run("storage", "verify")
        assert found.exit_code == 1
        assert "wardwright storage salvage FOLDER" in found.stderr

        result = run("storage", "salvage", "saved")

        told = result.stdout.splitlines()
        assert result.exit_code == 1
        assert told[0] == "4 receipts, 15 entries and 1 decision copied to saved"
        assert told[1].startswith(f"{harmed}: bytes ")
        lost = [line for line in told if " is left out: " in line]
        assert lost[0] == (
            "rcpt_0002 is left out: it has no end, which may have stood where something is lost (1 entry can be read)"
        )
        assert lost[1].startswith("rcpt_0012 is left out: ")
        assert "receipts may be lost besides that nothing names any more" in result.stderr
        assert "2 receipts left out; everything that is lost is listed in saved/salvage.json" in result.stderr
        report = json.loads((folder / "saved" / "salvage.json").read_text())
        assert len(report["lost_receipts"]) == 2
        stored.rename(folder / "damaged")
        (folder / "saved").rename(stored)
        assert run("storage", "verify").exit_code == 0

    def test_nothing_lost_is_told_too(self, stored: Path, run: Run) -> None:
        result = run("storage", "salvage", "saved")
        assert (result.exit_code, result.stdout.splitlines()[1:]) == (0, ["nothing is lost"])
        again = run("storage", "salvage", "other", "--json")
        assert json.loads(again.stdout)["lost_receipts"] == []

    def test_not_while_a_daemon_writes_nor_over_anything(self, stored: Path, run: Run) -> None:
        with closing(FileReceiptStore(stored / "receipts")):
            result = run("storage", "salvage", "saved")
        assert (result.exit_code, "is in use by process" in result.stderr) == (1, True)
        result = run("storage", "salvage", "data")
        assert (result.exit_code, "there is something in" in result.stderr) == (1, True)


class TestCompact:
    def test_it_tells_what_it_came_to(self, stored: Path, run: Run) -> None:
        with closing(FileReceiptStore(stored / "receipts", segment_bytes=1)) as store:
            for number in range(11, 15):
                store.append(plain(number).payloads)
        before = run("storage", "verify", "--json").stdout
        result = run("storage", "compact")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[0].startswith("4 segments packed: 0.0 MB before, 0.0 MB now")
        assert run("storage", "verify", "--json").stdout == before
        assert set(json.loads(run("storage", "compact", "--json").stdout)) == {
            "segments",
            "forgotten_entries",
            "bytes_before",
            "bytes_after",
        }

    def test_not_while_a_daemon_writes(self, stored: Path, run: Run) -> None:
        with closing(FileReceiptStore(stored / "receipts")):
            result = run("storage", "compact")
        assert result.exit_code == 1
        assert "is in use by process" in result.stderr

    def test_not_where_there_is_nothing_to_do(self, folder: Path, run: Run) -> None:
        configured = folder / "wardwright.toml"
        for kind, said in (("file", "there is nothing in"), ("sqlite", "uses space again by itself")):
            configured.write_text(f'[storage]\nkind = "{kind}"\npath = "never"\n')
            result = run("storage", "compact")
            assert (result.exit_code, said in result.stderr) == (1, True)
