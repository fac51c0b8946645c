"""The system requests: what may be asked of any actor, whatever its class, between two of its messages.

They are requests like all others, with a deadline and a typed answer, but they wait in a lane of their own. The
functions of `supervisors.sys` send them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from supervisors._call import Call
from supervisors.events import Traced
from supervisors.inspect import ActorStatus, Statistics

Hook: TypeAlias = Callable[[Traced], object]


@dataclass(frozen=True, slots=True)
class Suspend(Call[None]):
    """Look at no message until told to go on."""


@dataclass(frozen=True, slots=True)
class Resume(Call[None]):
    """Go on."""


@dataclass(frozen=True, slots=True)
class GetState(Call[Any]):
    """Hand the state out."""


@dataclass(frozen=True, slots=True)
class ReplaceState(Call[Any]):
    """Go on with another state."""

    change: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class GetStatus(Call[ActorStatus]):
    """Describe yourself."""


@dataclass(frozen=True, slots=True)
class GetStatistics(Call[Statistics]):
    """Count the traffic."""


@dataclass(frozen=True, slots=True)
class Trace(Call[None]):
    """Tell a hook of every message, or the observer of the System (True), or nobody any more (False)."""

    to: bool | Hook


@dataclass(frozen=True, slots=True)
class Log(Call[tuple[Traced, ...]]):
    """Hand out the last messages, and keep so many from now on; None keeps as many as before."""

    keep: int | None
