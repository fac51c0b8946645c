"""What watchers are told of the supervision tree."""

from supervisors import (
    CrashReport,
    Event,
    Progress,
    RestartDelayed,
    SupervisorReport,
    Unstopped,
)
from wardwright.runtime import visible
from wardwright.runtime.visible import Fact


def fact_of_tree(event: Event) -> Fact | None:
    """The fact in a lifecycle event; None for first starts, and for what only the log is interested in. Purity: pure."""
    match event:
        case Progress(child=child) if child.restarts:
            return visible.ActorRestarted(path=child.path, kind=child.kind, restarts=child.restarts)
        case CrashReport():
            return visible.ActorCrashed(
                path=event.path, kind=event.kind, reason=str(event.reason), restarts=event.restarts
            )
        case SupervisorReport():
            return _reported(event)
        case RestartDelayed(child=child):
            return visible.RestartDelayed(path=child.path, for_s=round(event.seconds, 3), attempt=event.attempt)
        case Unstopped():
            return visible.StopFailed(path=event.path, reason="it was killed and still runs")
        case _:
            return None


def _reported(report: SupervisorReport) -> Fact:
    """A supervisor's report; one that is about several children at once is told of the supervisor."""
    offender, reason = report.offender, str(report.reason)
    path = report.supervisor if offender is None else offender.path
    match report.context:
        case "child_terminated":
            is_restarted = offender is not None and offender.restart != "temporary"
            kind = "" if offender is None else offender.kind
            return visible.ActorEnded(path=path, kind=kind, reason=reason, is_restarted=is_restarted)
        case "start_error":
            return visible.StartFailed(path=path, reason=reason)
        case "shutdown_error":
            return visible.StopFailed(path=path, reason=reason)
        case "shutdown":
            return visible.SupervisorGaveUp(
                path=report.supervisor, offender=None if offender is None else offender.path, reason=reason
            )
