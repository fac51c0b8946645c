"""The daemon's log: structured events on stderr, as text for people or as JSON lines for programs.

Lifecycle events of the supervision tree become log events here. Nothing a request contained is ever logged.
"""

import logging
import sys
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from supervisors import CrashReport, DeadLetters, Event, RestartDelayed, SupervisorReport, Unstopped
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.server_process import ServerExited
from wardwright.runtime.tree_facts import fact_of_tree
from wardwright.runtime.visible import Tell, tell_nobody

LogFormat = Literal["text", "json"]

_log = structlog.get_logger("wardwright.tree")


def configure_logging(log_format: LogFormat, stream: TextIO = sys.stderr) -> None:
    """Send every log event of the process, the libraries' warnings included, to `stream`."""
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    )
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    bridge = logging.StreamHandler(stream)
    bridge.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*shared, _drop_meta, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [bridge]
    root.setLevel(logging.WARNING)
    # What it warns of is a connection that was lost, which we say ourselves.
    logging.getLogger("psycopg").setLevel(logging.ERROR)


class TreeLog:
    """Takes the tree's lifecycle events: crashes and give-ups to the log and to those who watch, crashes to the metrics too.

    While the daemon starts, a refused start is silent here: the command says why, once, and ends.
    """

    def __init__(self, metrics: Metrics, tell: Tell = tell_nobody) -> None:
        self._metrics = metrics
        self._tell = tell
        self.is_starting = True

    def __call__(self, event: Event) -> None:
        """Log one event, and make it visible. First starts are silent: a healthy tree says nothing."""
        fact = fact_of_tree(event)
        if fact is not None:
            self._tell(fact)
        if isinstance(event, CrashReport):
            self._metrics.actor_crashes.labels(event.kind).inc()
            _log_crash(event)
        elif isinstance(event, SupervisorReport):
            if event.context == "start_error" and self.is_starting:
                return
            offender = event.offender.path if event.offender is not None else f"{event.count} children"
            _log.warning(_what_happened(event), actor=offender, reason=str(event.reason), supervisor=event.supervisor)
        elif isinstance(event, RestartDelayed):
            _log.warning(
                "a restart is delayed",
                supervisor=event.supervisor,
                child=event.child.path,
                seconds=round(event.seconds, 3),
                attempt=event.attempt,
            )
        elif isinstance(event, Unstopped):
            _log.error("an actor was killed and still runs", actor=event.path, stack="".join(event.stack))
        elif isinstance(event, DeadLetters):
            _log.warning("an actor ended with unread messages", actor=event.path, messages=dict(event.messages))


def _log_crash(crash: CrashReport) -> None:
    if isinstance(crash.reason.error, ServerExited):  # another program's end: our stack would explain nothing
        _log.error("a model server ended by itself", actor=crash.path, reason=str(crash.reason.error))
        return
    _log.error(
        "an actor crashed",
        actor=crash.path,
        reason=str(crash.reason),
        message=crash.last_message,
        client=crash.client,
        unread=crash.mailbox_depth,
        restarts=crash.restarts,
        stack="".join(crash.stack) or None,
    )


def _what_happened(report: SupervisorReport) -> str:
    """A supervisor's report in an operator's words."""
    match report.context:
        case "child_terminated":
            ended = report.offender
            is_restarted = ended is not None and ended.restart != "temporary"
            return "an actor ended and is started again" if is_restarted else "an actor ended"
        case "start_error":
            return "an actor could not be started"
        case "shutdown_error":
            return "an actor did not stop in order"
        case "shutdown":
            return "a supervisor gives up"


def _to_json(event: EventDict, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _drop_meta(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event
