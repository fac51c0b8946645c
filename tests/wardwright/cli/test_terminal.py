import json
import os
import pty
import subprocess
import sys

import pytest

from wardwright.cli.terminal import say, show_json, tell, visible

PROGRAM = """
from wardwright.cli.terminal import show, styled, table
made = table("NAME", "NOTE")
made.add_row(styled("long-id", "green"), styled("[red]" + "x" * 300))
show(made)
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode text", "plain ünïcode text"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines", "two\\nlines"),
        ("\u202eturned", "\\u202eturned"),
        (8192, "8192"),
    ],
)
def test_control_characters_are_spelled_out(text: object, shown: str) -> None:
    assert visible(text) == shown


def test_results_go_to_stdout_and_diagnostics_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("a result")
    tell("a remark")

    assert tuple(capsys.readouterr()) == ("a result\n", "a remark\n")


def test_json_keeps_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "\x1b[0m", "number": 1.5, "nothing": None, "list": [1, {}]}

    show_json(value)

    assert json.loads(capsys.readouterr().out) == value


def test_tables_in_a_pipe_are_never_cut_nor_coloured() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    header, row = result.stdout.splitlines()
    assert header.split() == ["NAME", "NOTE"]
    assert row.split() == ["long-id", "[red]" + "x" * 300]


def test_tables_on_a_terminal_are_coloured_and_fit_it() -> None:
    shown = on_a_terminal({"TERM": "xterm-256color", "COLUMNS": "60"})

    assert "\x1b[32m" in shown
    assert shown.count("x") == 300
    assert "long-id" in shown
    assert max(len(line) for line in shown.splitlines()) < 100  # 60 columns and the colours


def test_colour_is_left_out_where_it_is_not_wanted() -> None:
    shown = on_a_terminal({"TERM": "xterm-256color", "COLUMNS": "60", "NO_COLOR": "1"})

    assert "\x1b[32m" not in shown


def on_a_terminal(environment: dict[str, str]) -> str:
    """What the program writes when its stdout is a terminal."""
    controller, terminal = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=terminal, env=inherited | environment) as process:
        os.close(terminal)
        shown = b""
        try:
            while chunk := os.read(controller, 65536):
                shown += chunk
        except OSError:  # Linux's way to say that the other side is closed
            pass
    os.close(controller)
    assert process.returncode == 0
    return shown.decode()
