import os
import queue
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import wardwright

from .conftest import Run
from .fake_daemon import FakeDaemon

COMMAND = [sys.executable, "-m", "wardwright.cli.main"]


def test_the_version_is_told(run: Run) -> None:
    result = run("--version")

    assert (result.exit_code, result.stdout) == (0, f"wardwright {wardwright.__version__}\n")


def test_help_names_every_command(run: Run) -> None:
    result = run("--help")

    assert result.exit_code == 0
    for command in ("serve", "check", "init", "models", "receipts", "actors"):
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("group", ["", "models", "receipts", "sinks", "storage", "actors", "keys"])
def test_a_list_of_commands_cuts_off_no_sentence(run: Run, group: str) -> None:
    _, _, commands = run(*group.split(), "--help", env={"COLUMNS": "80"}).stdout.partition("Commands:\n")

    assert commands.splitlines()
    assert [line for line in commands.splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("serv",),
        ("--no-such-option",),
        ("check", "a.toml", "b.toml"),
        ("serve", "--log-format", "xml"),
        ("receipts", "show"),
        ("receipts", "list", "--limit", "0"),
        ("actors", "kill"),
    ],
)
def test_wrong_use_exits_2_and_says_nothing_on_stdout(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error:" in result.stderr


def test_a_configuration_with_problems_exits_2_with_each_problem_on_a_line(run: Run, folder: Path) -> None:
    (folder / "wardwright.toml").write_text('[server]\nbind = "nowhere"\nbinn = 1\n')

    result = run("actors", "tree")

    assert (result.exit_code, result.stdout) == (2, "")
    *problems, summary = result.stderr.splitlines()
    assert {problem.partition(":")[0] for problem in problems} == {"server.bind", "server.binn"}
    assert summary == f"wardwright: 2 problems in {folder / 'wardwright.toml'}"


def test_a_failure_exits_1_with_one_line(run: Run, daemon: FakeDaemon) -> None:
    result = run("actors", "inspect", "wardwright/nobody", "--url", daemon.url)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "wardwright: there is nothing here (not_found)\n"


@pytest.mark.slow
def test_help_comes_up_without_importing_what_commands_need() -> None:
    program = (
        "import sys; from wardwright.cli.main import main; sys.argv = ['wardwright', '--help']\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(sys.modules), file=sys.stderr)"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "Usage: wardwright" in result.stdout
    assert not {"rich", "httpx2", "msgspec", "anyio", "wardwright.app"} & set(result.stderr.split())


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error_worth_a_word(daemon: FakeDaemon) -> None:
    model = {"id": "m" * 200, "active_version": "v", "route_type": "target", "description": "d" * 200}
    daemon.lay("GET", "/v1/wardwright/models", (200, {"data": [model] * 3}))
    for form in ([], ["--json"]):
        reading, writing = os.pipe()
        os.close(reading)  # whoever was to read is gone before the first line
        try:
            result = subprocess.run(
                [*COMMAND, "models", "list", "--url", daemon.url, *form],
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        finally:
            os.close(writing)

        assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.slow
def test_an_interrupted_command_ends_quietly(daemon: FakeDaemon) -> None:
    started: queue.Queue[subprocess.Popen[str]] = queue.Queue()

    def interrupt(_: object) -> tuple[int, object]:
        asking = started.get(timeout=60)
        asking.send_signal(signal.SIGINT)
        asking.wait(60)
        return 200, {}

    daemon.lay("GET", "/admin/runtime", interrupt)
    command = [*COMMAND, "actors", "tree", "--url", daemon.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        started.put(process)
        stdout, stderr = process.communicate(timeout=100)

    assert (process.returncode, stdout, stderr) == (130, "", "")
