import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Run

COMMAND = [sys.executable, "-m", "wardwright.cli.main", "serve"]


def test_a_configuration_with_problems_never_starts(folder: Path, run: Run) -> None:
    (folder / "bad.toml").write_text('[runtime]\nbackend = "curio"\n')

    result = run("serve", "--config", "bad.toml")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[0].startswith("runtime.backend: ")


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line_and_a_failure(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        (folder / "wardwright.toml").write_text(f'[server]\nbind = "{bind}"\n[storage]\nkind = "memory"\n')

        result = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("wardwright: ")
    assert bind in last
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_daemon_runs_until_it_is_told_to_stop(folder: Path) -> None:
    (folder / "wardwright.toml").write_text('[server]\nbind = "127.0.0.1:0"\n[storage]\nkind = "memory"\n')
    command = [*COMMAND, "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        ready = next(line for line in process.stderr if '"ready"' in line)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    assert '"url"' in ready
    assert process.returncode == 0
