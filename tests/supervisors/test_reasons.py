import pytest

from supervisors import ExitReason
from supervisors._reasons import Restart, Shutdown, is_expected_exit, should_restart

CRASH = ExitReason.crashed(ValueError("no"))
DETAILED = ExitReason.shutdown("maintenance")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (ExitReason.NORMAL, "normal"),
        (ExitReason.SHUTDOWN, "shutdown"),
        (ExitReason.KILLED, "killed"),
        (DETAILED, "shutdown: maintenance"),
        (CRASH, "crashed: ValueError: no"),
        (ExitReason.crashed(ValueError()), "crashed: ValueError"),
    ],
)
def test_a_reason_reads_as_one_line(reason: ExitReason, text: str) -> None:
    assert str(reason) == text


def test_a_long_error_text_is_cut() -> None:
    assert len(str(ExitReason.crashed(ValueError("x" * 10_000)))) < 250


@pytest.mark.parametrize("reason", [ExitReason.NORMAL, ExitReason.SHUTDOWN, DETAILED])
def test_normal_class_ends_restart_only_the_permanent(reason: ExitReason) -> None:
    assert reason.is_normal
    assert should_restart("permanent", reason)
    assert not should_restart("transient", reason)
    assert not should_restart("temporary", reason)


@pytest.mark.parametrize("reason", [CRASH, ExitReason.KILLED])
def test_faults_restart_all_but_the_temporary(reason: ExitReason) -> None:
    assert not reason.is_normal
    assert should_restart("permanent", reason)
    assert should_restart("transient", reason)
    assert not should_restart("temporary", reason)


@pytest.mark.parametrize(
    ("shutdown", "restart", "reason", "expected"),
    [
        (5.0, "permanent", ExitReason.SHUTDOWN, True),
        (5.0, "permanent", DETAILED, True),
        (5.0, "permanent", ExitReason.NORMAL, False),
        (5.0, "transient", ExitReason.NORMAL, True),
        (5.0, "temporary", ExitReason.KILLED, False),
        ("infinity", "permanent", CRASH, False),
        ("brutal_kill", "permanent", ExitReason.KILLED, True),
        ("brutal_kill", "permanent", ExitReason.SHUTDOWN, False),
        ("brutal_kill", "transient", ExitReason.SHUTDOWN, True),
    ],
)
def test_an_end_during_shutdown_is_expected_or_reported(
    shutdown: Shutdown, restart: Restart, reason: ExitReason, expected: bool
) -> None:
    assert is_expected_exit(shutdown, restart, reason) is expected
