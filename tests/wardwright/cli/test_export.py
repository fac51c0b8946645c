"""`wardwright receipts export`, `stats` and `tail`: many receipts, from the data folder or from a daemon."""

import csv
import io
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from wardwright.cli.client import CommandFailed, NoAnswer
from wardwright.cli.receipt_source import StoredReceipts
from wardwright.cli.receipt_tail import lines_of
from wardwright.receipts.events import Closed
from wardwright.receipts.fading import faded
from wardwright.receipts.fold import summarise
from wardwright.receipts.receipt import Receipt
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.memory import MemoryReceiptStore, MemoryStorage

from .conftest import Run, closed_port
from .fake_daemon import FakeDaemon
from .samples import FALLBACK, OPENED, payloads, receipt, write_receipts

RECEIPT = msgspec.json.decode(msgspec.json.encode(receipt(*FALLBACK)))
SUMMARY = msgspec.json.decode(msgspec.json.encode(summarise(receipt(*FALLBACK))))


class TestExport:
    def test_a_line_is_a_whole_receipt_newest_first(self, stored: Path, run: Run) -> None:
        result = run("receipts", "export")
        assert (result.exit_code, result.stderr) == (0, "")
        exported = [msgspec.json.decode(line, type=Receipt) for line in result.stdout.splitlines()]
        assert [one.receipt_id for one in exported] == ["rcpt_0002", "rcpt_0001"]
        assert exported[1] == receipt(*FALLBACK)

    def test_csv_is_a_heading_and_a_flat_line_each(self, stored: Path, run: Run) -> None:
        rows = list(csv.DictReader(io.StringIO(run("receipts", "export", "--format", "csv").stdout)))
        assert [(row["receipt_id"], row["status"]) for row in rows] == [("rcpt_0002", ""), ("rcpt_0001", "completed")]

    @pytest.mark.parametrize("form", ["ndjson", "csv"])
    def test_a_file_holds_what_stdout_would(self, stored: Path, run: Run, form: str) -> None:
        result = run("receipts", "export", "--format", form, "--output", "receipts.out")
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == "2 receipts written to receipts.out\n"
        assert Path("receipts.out").read_bytes() == run("receipts", "export", "--format", form).stdout_bytes
        assert {one.name for one in Path.cwd().iterdir()} == {"wardwright.toml", "data", "receipts.out"}

    def test_parquet_is_a_row_each_in_a_file(self, stored: Path, run: Run) -> None:
        result = run("receipts", "export", "--format", "parquet", "-o", "receipts.parquet")
        assert (result.exit_code, result.stderr) == (0, "2 receipts written to receipts.parquet\n")
        with duckdb.connect(":memory:") as database:
            rows = database.execute("SELECT receipt_id, status FROM 'receipts.parquet'").fetchall()
        assert rows == [("rcpt_0002", None), ("rcpt_0001", "completed")]

    @pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
    @pytest.mark.parametrize(("filters", "shown"), [([], "2/2"), (["--where", "status=completed"], "1/?")])
    def test_a_terminal_shows_how_far_it_is(
        self, stored: Path, run: Run, form: str, filters: list[str], shown: str
    ) -> None:
        terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100"}
        result = run("receipts", "export", "--format", form, "-o", "receipts.out", *filters, env=terminal)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "exporting receipts" in result.stderr
        assert shown in result.stderr

    def test_parquet_without_a_file_is_wrong_use(self, stored: Path, run: Run) -> None:
        result = run("receipts", "export", "--format", "parquet")
        assert result.exit_code == 2
        assert "Parquet goes to a file: name it" in " ".join(result.stderr.split())

    def test_a_pipe_is_written_to_and_stays_one(self, stored: Path, run: Run) -> None:
        os.mkfifo("pipe")
        heard: list[bytes] = []
        reading = threading.Thread(target=lambda: heard.append(Path("pipe").read_bytes()), daemon=True)
        reading.start()
        assert run("receipts", "export", "--output", "pipe").exit_code == 0
        reading.join()
        assert heard == [run("receipts", "export").stdout_bytes]
        assert Path("pipe").is_fifo()

    @pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
    def test_where_nothing_can_be_written_one_is_told(self, stored: Path, run: Run, form: str) -> None:
        result = run("receipts", "export", "--format", form, "--output", "nowhere/receipts")
        assert result.exit_code == 1
        assert "cannot write nowhere/receipts: " in result.stderr
        assert "written to" not in result.stderr
        assert "No such file or directory" in result.stderr

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            (["--where", "status=completed"], 1),
            (["--where", "status=completed", "--where", "session_id=s1"], 1),
            (["--where", "tenant_id=nobody"], 0),
            (["--model", "wardwright/coding-balanced"], 2),
            (["--since", "52w"], 2),
            (["--since", "2027-01-15", "--until", "2027-01-16"], 2),
            (["--until", "2027-01-15"], 0),
        ],
    )
    def test_filters_are_those_of_the_api(
        self, stored: Path, run: Run, monkeypatch: pytest.MonkeyPatch, filters: list[str], count: int
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1_800_000_100.0)
        assert len(run("receipts", "export", *filters).stdout.splitlines()) == count

    def test_a_daemon_named_by_url_is_asked_for_each(self, daemon: FakeDaemon, run: Run) -> None:
        pages = {"": "more", "more": None}
        daemon.lay(
            "GET",
            "/v1/receipts",
            lambda query: (200, {"data": [SUMMARY], "next_cursor": pages[query.get("cursor", "")]}),
        )
        daemon.lay("GET", "/v1/receipts/rcpt_0001", (200, RECEIPT))
        result = run("receipts", "export", "--url", daemon.url)
        assert [json.loads(line) for line in result.stdout.splitlines()] == [RECEIPT, RECEIPT]

    def test_where_nothing_was_kept_nothing_is_exported(self, folder: Path, run: Run) -> None:
        (folder / "wardwright.toml").write_text('[storage]\npath = "never"\n')
        assert (run("receipts", "export").exit_code, run("receipts", "export").stdout) == (0, "")
        assert run("receipts", "export", "--format", "csv").stdout.startswith("receipt_id,created_at,")

    def test_what_is_in_a_daemons_memory_is_asked_of_it(self, folder: Path, run: Run) -> None:
        text = f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\nkind = "memory"\n'
        (folder / "wardwright.toml").write_text(text)
        result = run("receipts", "export")
        assert result.exit_code == 1
        assert "no daemon answers" in result.stderr


class TestStats:
    def test_a_group_is_a_line(self, stored: Path, run: Run) -> None:
        header, row = (line.split() for line in run("receipts", "stats").stdout.splitlines())
        assert header[:5] == ["MODEL", "REQUESTS", "COMPLETED", "FALLBACKS", "TRIGGERS"]
        assert row[:5] == ["coding-balanced", "2", "1", "1", "0"]
        assert row[7:9] == ["1850", "ms"]

    def test_an_answer_that_was_repaired_is_a_completed_one(self, folder: Path, run: Run) -> None:
        (folder / "wardwright.toml").write_text(f'[storage]\npath = "{folder / "data"}"\n')
        write_receipts(folder / "data", (OPENED, Closed("completed_after_guard", 2)), (OPENED, Closed("completed", 1)))
        _, row = (line.split() for line in run("receipts", "stats").stdout.splitlines())
        assert row[:3] == ["coding-balanced", "2", "2"]

    def test_several_groups_have_a_sum(self, stored: Path, run: Run) -> None:
        rows = [line.split()[:2] for line in run("receipts", "stats", "--by", "target").stdout.splitlines()]
        assert rows == [["TARGET", "REQUESTS"], ["cloud/large", "1"], ["local/small", "1"], ["all", "2"]]

    def test_json_has_everything(self, stored: Path, run: Run) -> None:
        found = json.loads(run("receipts", "stats", "--by", "status", "--json").stdout)
        assert found["all"]["latency_ms"] == {"p50": 1850.0, "p95": 1850.0, "p99": 1850.0}
        assert [(group["group"], group["requests"]) for group in found["groups"]] == [(None, 1), ("completed", 1)]

    def test_it_is_told_of_how_many_less_is_known(self, stored: Path, run: Run) -> None:
        assert "faded" not in run("receipts", "stats").stderr
        store = FileReceiptStore(stored / "receipts")
        store.replace(faded(store.entries("rcpt_0001")))
        store.close()
        assert "1 of them have faded: " in run("receipts", "stats").stderr
        assert json.loads(run("receipts", "stats", "--json").stdout)["all"]["faded"] == 1

    def test_nothing_is_said_to_be_nothing(self, stored: Path, run: Run) -> None:
        result = run("receipts", "stats", "--where", "tenant_id=nobody")
        assert (result.stdout, result.stderr) == ("", "no receipts match\n")

    def test_what_is_no_grouping_is_wrong_use(self, stored: Path, run: Run) -> None:
        assert run("receipts", "stats", "--by", "colour").exit_code == 2


class TestTail:
    def test_the_last_receipts_are_told_oldest_first(self, stored: Path, run: Run) -> None:
        lines = run("receipts", "tail").stdout.splitlines()
        assert [line.split()[2:5] for line in lines] == [
            ["rcpt_0001", "coding-balanced", "completed"],
            ["rcpt_0002", "coding-balanced", "open"],
        ]
        assert len(run("receipts", "tail", "-n", "1").stdout.splitlines()) == 1
        assert json.loads(run("receipts", "tail", "-n", "1", "--json").stdout)["receipt_id"] == "rcpt_0002"

    def test_followed_receipts_are_told_once_each_when_they_have_ended(self) -> None:
        store = MemoryReceiptStore()
        store.append([*payloads(FALLBACK, "rcpt_0001"), *payloads((OPENED,), "rcpt_0002")])
        ended = payloads((OPENED, FALLBACK[-1]), "rcpt_0002")
        happens = iter(
            [
                [*payloads(FALLBACK, "rcpt_0003"), *payloads((OPENED,), "rcpt_0004")],
                [],
                ended,
                [payload for number in range(5, 305) for payload in payloads(FALLBACK, f"rcpt_{number:04}")],
            ]
        )

        def wait(seconds: float) -> None:
            store.append(next(happens))

        lines = lines_of(StoredReceipts(store, MemoryStorage()), {}, 1, follow=True, as_json=True, pause=wait)
        told = [json.loads(next(lines)) for _ in range(303)]
        assert [(one["receipt_id"], one["status"]) for one in told[:3]] == [
            ("rcpt_0002", None),
            ("rcpt_0003", "completed"),
            ("rcpt_0002", "completed"),
        ]
        assert [one["receipt_id"] for one in told[3:]] == [f"rcpt_{number:04}" for number in range(5, 305)]

    def test_a_daemon_that_stops_meanwhile_ends_it(self) -> None:
        class Stopping(StoredReceipts):
            asked = 0

            def list(self, filters: Mapping[str, str], limit: int) -> dict[str, Any]:
                self.asked += 1
                if self.asked > 1:
                    raise NoAnswer("no daemon answers")
                return super().list(filters, limit)

        store = MemoryReceiptStore()
        store.append(payloads(FALLBACK))
        lines = lines_of(
            Stopping(store, MemoryStorage()), {}, 10, follow=True, as_json=True, pause=lambda seconds: None
        )
        assert len([next(lines)]) == 1
        with pytest.raises(CommandFailed) as caught:
            next(lines)
        assert not isinstance(caught.value, NoAnswer), "which would have the data folder asked, from the beginning"
