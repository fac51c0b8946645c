"""The daemon's log: lines for people or for programs, and nothing of what a request contained."""

import dataclasses
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from supervisors import (
    ChildInfo,
    CrashReport,
    DeadLetters,
    Event,
    ExitReason,
    Progress,
    RestartDelayed,
    SupervisorReport,
    UnexpectedMessage,
    Unstopped,
)
from wardwright.app.log import LogFormat, TreeLog, configure_logging
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.server_process import ServerExited
from wardwright.runtime.visible import ActorCrashed, Fact

pytestmark = pytest.mark.usefixtures("own_logging")

FORMATS = pytest.mark.parametrize("log_format", ["text", "json"])
CHILD = ChildInfo("wardwright/storage", "Checkpointer", "permanent", 30.0, "worker")
CRASH = CrashReport(
    path="wardwright/storage",
    kind="Checkpointer",
    reason=ExitReason.crashed(RuntimeError("a bug")),
    ancestors=("wardwright",),
    mailbox_depth=3,
    last_message="Append",
    status={},
    client="wardwright/catalog",
    stack=('  File "x.py", line 1, in f\n',),
)


def logging_to(log_format: LogFormat) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(log_format, stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The events of a JSON log."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestFormats:
    def test_programs_get_a_json_object_per_line(self) -> None:
        stream = logging_to("json")
        structlog.get_logger("wardwright").info("ready", url="http://127.0.0.1:8791", where=Path("here"))

        [event] = lines(stream)
        assert event.pop("timestamp").endswith("Z")
        assert event == {
            "event": "ready",
            "level": "info",
            "url": "http://127.0.0.1:8791",
            "where": "here",
        }

    def test_people_get_text_without_colours_where_there_is_no_terminal(self) -> None:
        stream = logging_to("text")
        structlog.get_logger("wardwright").info("ready", url="http://127.0.0.1:8791")

        [line] = stream.getvalue().splitlines()
        assert "ready" in line
        assert "url=http://127.0.0.1:8791" in line
        assert "\x1b" not in line

    @FORMATS
    def test_debug_events_are_left_out(self, log_format: LogFormat) -> None:
        stream = logging_to(log_format)
        structlog.get_logger("wardwright").debug("a detail")
        assert stream.getvalue() == ""

    @FORMATS
    def test_warnings_of_libraries_are_in_the_same_log(self, log_format: LogFormat) -> None:
        stream = logging_to(log_format)
        logging.getLogger("hypercorn.error").warning("odd %s", "request")
        logging.getLogger("hypercorn.error").info("not of interest")

        assert len(stream.getvalue().splitlines()) == 1
        assert "odd request" in stream.getvalue()
        if log_format == "json":
            assert lines(stream)[0]["level"] == "warning"

    @FORMATS
    def test_a_report_has_its_traceback_and_no_value_of_any_variable(self, log_format: LogFormat) -> None:
        stream = logging_to(log_format)

        def stumble(prompt: str) -> None:
            raise RuntimeError("a bug")

        secret = "secret of a customer".title()  # what the source does not spell
        try:
            stumble(secret)
        except RuntimeError:
            structlog.get_logger("wardwright").exception("a run crashed")

        assert "RuntimeError: a bug" in stream.getvalue()
        assert "in stumble" in stream.getvalue()
        assert secret not in stream.getvalue()

    @FORMATS
    def test_a_librarys_report_has_its_traceback_too(self, log_format: LogFormat) -> None:
        stream = logging_to(log_format)
        try:
            raise RuntimeError("a bug of theirs")
        except RuntimeError:
            logging.getLogger("asyncio").exception("Task exception was never retrieved")
        assert "RuntimeError: a bug of theirs" in stream.getvalue()


class TestTree:
    def log(self, *events: Event) -> tuple[list[dict[str, Any]], Metrics]:
        stream = logging_to("json")
        metrics = Metrics()
        observe = TreeLog(metrics)
        for event in events:
            observe(event)
        return lines(stream), metrics

    def test_a_crash_is_an_error_with_its_place_and_is_counted(self) -> None:
        [event], metrics = self.log(CRASH)
        assert (event["level"], event["event"]) == ("error", "an actor crashed")
        assert (event["actor"], event["reason"]) == ("wardwright/storage", "crashed: RuntimeError: a bug")
        assert (event["message"], event["client"]) == ("Append", "wardwright/catalog")
        assert (event["unread"], event["restarts"]) == (3, 0)
        assert event["stack"] == '  File "x.py", line 1, in f\n'
        labels = {"kind": CRASH.kind}
        assert metrics.registry.get_sample_value("wardwright_actor_crashes_total", labels) == 1

    def test_who_watches_is_told_too(self) -> None:
        logging_to("json")
        told: list[Fact] = []
        observe = TreeLog(Metrics(), told.append)
        for event in (CRASH, Progress("wardwright", CHILD)):
            observe(event)
        [fact] = told
        assert isinstance(fact, ActorCrashed)
        assert (fact.path, fact.reason) == ("wardwright/storage", "crashed: RuntimeError: a bug")

    def test_what_a_supervisor_did_about_it_is_a_warning(self) -> None:
        one = SupervisorReport("wardwright", "child_terminated", ExitReason.KILLED, CHILD)
        many = SupervisorReport("wardwright/runs", "shutdown_error", ExitReason.KILLED, None, count=7)
        events, _ = self.log(one, many)
        assert [event["level"] for event in events] == ["warning", "warning"]
        assert [event["event"] for event in events] == [
            "an actor ended and is started again",
            "an actor did not stop in order",
        ]
        assert [event["actor"] for event in events] == ["wardwright/storage", "7 children"]
        assert events[0]["supervisor"] == "wardwright"
        assert events[0]["reason"] == "killed"

    def test_it_says_what_becomes_of_an_actor(self) -> None:
        passing = ChildInfo("wardwright/runs/rcpt_1", "adopted", "temporary", 5.0, "worker")
        events, _ = self.log(
            SupervisorReport("wardwright/runs", "child_terminated", ExitReason.KILLED, passing),
            SupervisorReport("wardwright", "shutdown", ExitReason.KILLED, CHILD),
        )
        assert [event["event"] for event in events] == ["an actor ended", "a supervisor gives up"]

    def test_the_end_of_a_model_server_is_told_without_our_own_stack(self) -> None:
        crash = dataclasses.replace(CRASH, kind="ServerProcess", reason=ExitReason.crashed(ServerExited("local", -9)))
        [event], metrics = self.log(crash)
        assert (event["level"], event["event"]) == ("error", "a model server ended by itself")
        assert event["reason"] == "the server of 'local' was killed by SIGKILL"
        assert "stack" not in event
        labels = {"kind": "ServerProcess"}
        assert metrics.registry.get_sample_value("wardwright_actor_crashes_total", labels) == 1

    def test_a_restart_that_waits_is_a_warning_with_its_delay(self) -> None:
        [event], _ = self.log(RestartDelayed("wardwright", CHILD, 1.23456, attempt=3))
        assert (event["level"], event["event"]) == ("warning", "a restart is delayed")
        assert (event["child"], event["seconds"], event["attempt"]) == ("wardwright/storage", 1.235, 3)

    def test_what_was_given_up_or_never_read_is_said(self) -> None:
        unread = DeadLetters("wardwright/edge", ExitReason.KILLED, {"Ping": 2})
        events, _ = self.log(Unstopped("wardwright/edge", ("here",)), unread)
        assert [event["level"] for event in events] == ["error", "warning"]
        assert events[0]["stack"] == "here"
        assert events[1]["messages"] == {"Ping": 2}

    def test_a_healthy_tree_says_nothing(self) -> None:
        events, _ = self.log(Progress("wardwright", CHILD), UnexpectedMessage("wardwright/edge", "cast", "str"))
        assert events == []
