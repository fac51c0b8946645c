"""What an operator reads when the daemon cannot start: one clear message, the right exit code, no traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.support.upstream import Upstream


def serve(folder: Path, config: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    file = folder / "wardwright.toml"
    file.write_text(config, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "wardwright.cli.main", "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "WARDWRIGHT_DATA_DIR": str(folder / "data"), **environment},
    )


def test_a_typo_in_the_configuration_is_named_with_its_place_and_the_nearest_key(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = (
        gateway_config(upstream, "ok")
        .replace("base_url", "base_ulr")
        .replace("context_window = 8192", 'context_window = "big"')
    )

    ended = serve(tmp_path, config)

    assert ended.returncode == 2
    assert "providers.up" in ended.stderr
    assert "base_ulr" in ended.stderr
    assert "base_url" in ended.stderr
    assert "context_window" in ended.stderr, "all problems at once"
    assert "Traceback" not in ended.stderr


def test_a_busy_port_is_said_so(upstream: Upstream, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve(tmp_path, gateway_config(upstream, "ok"), WARDWRIGHT_BIND=f"127.0.0.1:{port}")

    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "in use" in ended.stderr
    assert "WARDWRIGHT_BIND" in ended.stderr, "and what to do about it"
    assert "Traceback" not in ended.stderr


def test_an_unusable_data_folder_is_said_so(upstream: Upstream, tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file where the folder should be")

    ended = serve(tmp_path, gateway_config(upstream, "ok"), WARDWRIGHT_BIND="127.0.0.1:0")

    assert ended.returncode == 1
    assert ended.stderr == f"wardwright: cannot use the receipt folder {in_the_way}/receipts: Not a directory\n"


def test_a_second_daemon_on_the_same_data_is_refused(upstream: Upstream, start_daemon: StartDaemon) -> None:
    first = start_daemon(gateway_config(upstream, "ok"))

    ended = serve(first.folder, gateway_config(upstream, "ok"), WARDWRIGHT_BIND="127.0.0.1:0")

    assert ended.returncode == 1
    assert str(first.process.pid) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


def test_binding_beyond_this_machine_needs_a_token(upstream: Upstream, tmp_path: Path) -> None:
    ended = serve(tmp_path, gateway_config(upstream, "ok"), WARDWRIGHT_BIND="0.0.0.0:0", WARDWRIGHT_ADMIN_TOKEN="")

    assert ended.returncode == 2
    assert "WARDWRIGHT_ADMIN_TOKEN" in ended.stderr


@pytest.mark.parametrize("durability", ["strict", "batched", "none"])
def test_receipts_outlive_a_clean_restart(upstream: Upstream, start_daemon: StartDaemon, durability: str) -> None:
    config = gateway_config(upstream, "ok", extra=f'\n[storage]\ndurability = "{durability}"\n')
    first = start_daemon(config)
    receipt_id = first.chat().headers["x-wardwright-receipt-id"]
    before = first.receipt(receipt_id)
    assert first.stop() == 0

    second = start_daemon(config)

    assert second.receipt(receipt_id) == before
