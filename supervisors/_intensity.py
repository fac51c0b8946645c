"""How many failures a supervisor bears, in two ways of counting them.

Pure: the caller brings the time. There is one count per supervisor, not per child.

- The restart window counts the restarts of the last seconds and knows when to give up. The bound is inclusive at both
  ends: a restart exactly `max_seconds` ago still counts, and exactly `max_restarts` of them are still borne.
- The failure meter counts all failures there ever were, each for less the longer ago it was, and knows when to rest.
"""

from dataclasses import dataclass, replace

from supervisors._backoff import Pause


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


@dataclass(frozen=True, slots=True)
class FailureMeter:
    """The failures so far, halved with time as the pause has it; `level` is what they came to at the last of them."""

    pause: Pause
    level: float = 0.0
    at: float = 0.0

    def add(self, now: float) -> "FailureMeter":
        """Count one failure."""
        left = self.level * 0.5 ** ((now - self.at) / self.pause.half_life)
        return replace(self, level=left + 1, at=now)

    def reset(self) -> "FailureMeter":
        """Forget what was counted."""
        return replace(self, level=0.0)

    @property
    def exceeded(self) -> bool:
        """Whether it is time to rest."""
        return self.level > self.pause.threshold
