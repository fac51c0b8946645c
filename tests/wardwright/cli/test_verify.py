"""`wardwright receipts verify`: sound records, edited ones, damaged ones."""

import json
from pathlib import Path

import pytest

from wardwright.cli.terminal import counted
from wardwright.receipts.fading import faded
from wardwright.storage.file import FileReceiptStore
from wardwright.storage.frame import encode_frame

from .conftest import Run, closed_port

SEGMENT = "receipts/receipts-00000001.log"


def edit(log: Path, before: bytes, after: bytes) -> None:
    """Change entries as somebody does who knows frames: with the checksum that goes with them."""
    lines = []
    for line in log.read_bytes().splitlines():
        synced, payload = int(line[13:21], 16), line[31:]
        lines.append(encode_frame(payload.replace(before, after), synced))
    log.write_bytes(b"".join(lines))


def test_a_sound_store_is_one_line(stored: Path, run: Run) -> None:
    result = run("receipts", "verify")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "2 receipts, 7 entries: every chain holds\n", "")


def test_one_receipt_can_be_verified_alone(stored: Path, run: Run) -> None:
    assert run("receipts", "verify", "rcpt_0001").stdout == "1 receipt, 6 entries: every chain holds\n"
    missing = run("receipts", "verify", "rcpt_9999")
    assert (missing.exit_code, missing.stderr) == (1, "wardwright: there is no receipt 'rcpt_9999'\n")


@pytest.mark.parametrize("arguments", [[], ["rcpt_0001"]])
def test_an_edited_entry_is_named(stored: Path, run: Run, arguments: list[str]) -> None:
    edit(stored / SEGMENT, b'"latency_ms":1834.0', b'"latency_ms":8834.0')
    result = run("receipts", "verify", *arguments)
    assert result.exit_code == 1
    assert result.stdout == "rcpt_0001: entry 5 of rcpt_0001 does not match its own hash (altered)\n"
    found = json.loads(run("receipts", "verify", *arguments, "--json").stdout)
    (finding,) = found["findings"]
    assert (finding["receipt_id"], finding["broken"]["position"], finding["broken"]["problem"]) == (
        "rcpt_0001",
        5,
        "altered",
    )


@pytest.mark.parametrize(("arguments", "receipts", "entries"), [([], 2, 7), (["rcpt_0001"], 1, 6)])
def test_what_has_faded_is_counted_and_is_no_fault(
    stored: Path, run: Run, arguments: list[str], receipts: int, entries: int
) -> None:
    store = FileReceiptStore(stored / "receipts")
    store.replace(faded(store.entries("rcpt_0001")))
    store.close()
    result = run("receipts", "verify", *arguments)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{counted(receipts, 'receipt')}, {entries} entries: every chain holds\n",
    )
    assert result.stderr.startswith("faded: 4 entries. ")
    assert json.loads(run("receipts", "verify", *arguments, "--json").stdout)["faded"] == 4


def test_damage_is_told_with_its_place(stored: Path, run: Run) -> None:
    log = stored / SEGMENT
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(bytes(content))
    result = run("receipts", "verify")
    assert result.exit_code == 1
    assert f"{log} is damaged at offset" in result.stderr


def test_where_nothing_was_kept_there_is_nothing_to_verify(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text('[storage]\npath = "never"\n')
    result = run("receipts", "verify")
    assert (result.exit_code, result.stderr) == (
        1,
        f"wardwright: there is nothing in {folder / 'never' / 'receipts'} yet\n",
    )


def test_a_memory_cannot_be_verified_from_outside(folder: Path, run: Run) -> None:
    (folder / "wardwright.toml").write_text(
        f'[server]\nbind = "127.0.0.1:{closed_port()}"\n[storage]\nkind = "memory"\n'
    )
    result = run("receipts", "verify")
    assert result.exit_code == 1
    assert "without its daemon" in result.stderr
