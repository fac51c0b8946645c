"""What an exception that escaped from a member means for it.

Both backends wrap the errors of task groups in exception groups, so the one fault inside is looked for. A cancellation
that no scope of the tree claimed is a fault too. An interrupt or an exit request is never anybody's fault: it ends the
System.
"""

from supervisors._member import Hub
from supervisors._reasons import ExitReason
from supervisors.exceptions import ForeignCancellation
from supervisors.inspect import describe_traceback


def contain(error: BaseException, hub: Hub) -> ExitReason:
    """Turn an escaped exception into an exit reason.

    Raises:
        BaseException: `error` itself, if it is the task that is being taken down and not the member that failed.
    """
    if isinstance(error, GeneratorExit) or (isinstance(error, hub.backend.cancelled) and hub.collapsing):
        raise error
    leaves = _leaves(error, hub.backend.cancelled)
    for leaf in leaves:
        if isinstance(leaf, KeyboardInterrupt | SystemExit):
            hub.escalate(leaf)
            return ExitReason.crashed(leaf)
    if not leaves:
        return ExitReason.crashed(ForeignCancellation())
    return ExitReason.crashed(leaves[0] if len(leaves) == 1 else error)


def where(reason: ExitReason) -> tuple[str, ...]:
    """Show where a crash came from: source lines, never values."""
    return () if reason.error is None else describe_traceback(reason.error.__traceback__)


def _leaves(error: BaseException, cancelled: type[BaseException]) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner, cancelled)]
    return [] if isinstance(error, cancelled) else [error]
