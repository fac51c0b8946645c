"""Who is stopped and who is started when a child has to come back, and what follows when one does not.

Pure. The same plan serves the first attempt and every retry: a retry names the child that failed to start, so
`rest_for_one` goes on from it and leaves those before it alone, while `one_for_all` begins again with everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from supervisors._child_spec import AutoShutdown, Strategy
from supervisors._reasons import Restart


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """Ids to stop, in stopping order (last started first), then ids to start, in start order."""

    stop: tuple[str, ...]
    start: tuple[str, ...]


def plan_restart(strategy: Strategy, children: Sequence[tuple[str, Restart]], failed: str) -> RestartPlan:
    """Plan the restart of `failed` among `children`, which are in start order.

    A temporary sibling that is stopped along with the group is not started again.
    """
    if strategy == "one_for_one":
        return RestartPlan(stop=(), start=(failed,))
    ids = [child_id for child_id, _ in children]
    group = children if strategy == "one_for_all" else children[ids.index(failed) :]
    return RestartPlan(
        stop=tuple(child_id for child_id, _ in reversed(group) if child_id != failed),
        start=tuple(child_id for child_id, restart in group if child_id == failed or restart != "temporary"),
    )


def ends_supervisor(auto_shutdown: AutoShutdown, significant_left: int) -> bool:
    """Decide whether the supervisor ends with a significant child that has ended and does not come back.

    `significant_left` counts the other significant children which live or are being restarted.
    """
    return auto_shutdown == "any_significant" or (auto_shutdown == "all_significant" and not significant_left)
