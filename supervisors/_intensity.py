"""The restart window: how many restarts a supervisor bears before it gives up.

Pure: the caller brings the time. One window per supervisor, not per child. The bound is inclusive at both ends: a
restart exactly `max_seconds` ago still counts, and exactly `max_restarts` of them are still borne.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RestartWindow:
    """The restarts of the last `max_seconds`, newest first."""

    max_restarts: int
    max_seconds: float
    restarts: tuple[float, ...] = ()

    def add(self, now: float) -> "RestartWindow":
        """Count one attempt to restart; a group restart is one attempt and so is every retry."""
        oldest = now - self.max_seconds
        return replace(self, restarts=(now, *(at for at in self.restarts if at >= oldest)))

    @property
    def exceeded(self) -> bool:
        """Whether the supervisor has to give up."""
        return len(self.restarts) > self.max_restarts
