"""How long a child waits before it is started again, and when a supervisor rests from restarting altogether.

Pure: whoever asks brings the draw, a number from 0 to less than 1 by which the delay is spread. Children which failed
together would otherwise come back together, again and again.
"""

from dataclasses import dataclass, fields

from supervisors._checks import is_count, is_finite
from supervisors.exceptions import InvalidChildSpec

_MOST_DOUBLINGS = 60
"""More could only overflow: no delay is that long."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays before the restarts of one child: none before the first, then twice as long each time.

    Restarts are in a row while the child does not stay up for `reset_after` seconds between them. The delay before
    the first of a row is none, before the second `min_seconds`, before the third twice that, and so on up to
    `max_seconds`. Each is lengthened by up to `jitter` times itself, at random.

    Restarts that are spread out never reach the supervisor's `max_restarts`, if the delays are longer than
    `max_seconds / max_restarts` of that limit. `max_attempts` is the limit which still holds then.

    Attributes:
        min_seconds: the delay before the second restart in a row.
        max_seconds: what no delay exceeds, before it is spread.
        jitter: by what part of itself a delay may be lengthened.
        reset_after: seconds the child has to stay up to begin a new row.
        max_attempts: how many restarts in a row are borne; one more, and the supervisor gives up as it does at its
            limit of restarts. None bears any number.
    """

    min_seconds: float = 0.1
    max_seconds: float = 30.0
    jitter: float = 0.5
    reset_after: float = 30.0
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        _validate_seconds("backoff", self)
        if self.max_seconds < self.min_seconds:
            problem = f"expected at least min_seconds, {self.min_seconds!r}, got {self.max_seconds!r}"
            raise InvalidChildSpec("backoff", "max_seconds", problem)
        if self.max_attempts is not None and not is_count(self.max_attempts, least=0):
            problem = f"expected a whole number from 0 or None, got {self.max_attempts!r}"
            raise InvalidChildSpec("backoff", "max_attempts", problem)

    def delay(self, attempts: int, draw: float) -> float:
        """Seconds to wait after so many restarts in a row."""
        if attempts == 0:
            return 0.0
        doublings = min(attempts - 1, _MOST_DOUBLINGS)
        return _spread(min(self.min_seconds * 2**doublings, self.max_seconds), self.jitter, draw)

    def exhausted(self, attempts: int) -> bool:
        """Whether so many restarts in a row leave none."""
        return self.max_attempts is not None and attempts >= self.max_attempts


@dataclass(frozen=True, slots=True)
class Pause:
    """Rests instead of giving up: a supervisor which has this stops restarting for a while when failures come too fast.

    Each failure of a child counts 1, and what was counted is halved every `half_life` seconds. When more than
    `threshold` has come together, nobody is restarted for `seconds`, lengthened by up to `jitter` times itself, at
    random. Children that run go on; those which fail meanwhile wait as well. Then all who wait are started, in the
    order in which they failed where there is an order, and the count begins anew.

    The supervisor never gives up by itself then, whatever `max_restarts` says, unless a `Backoff` has `max_attempts`.

    Attributes:
        threshold: how much is borne.
        half_life: seconds in which half of it is forgotten.
        seconds: the length of a pause.
        jitter: by what part of itself a pause may be lengthened.
    """

    threshold: float = 5.0
    half_life: float = 30.0
    seconds: float = 15.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        _validate_seconds("pause", self)
        if not self.half_life > 0:
            problem = f"expected a positive number of seconds, got {self.half_life!r}"
            raise InvalidChildSpec("pause", "half_life", problem)

    def length(self, draw: float) -> float:
        """Seconds to rest."""
        return _spread(self.seconds, self.jitter, draw)


def _spread(seconds: float, jitter: float, draw: float) -> float:
    return seconds * (1 + jitter * draw)


def _validate_seconds(subject: str, options: "Backoff | Pause") -> None:
    """Refuse what is no finite number from 0; all but the counts are."""
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name != "max_attempts" and not is_finite(value, least=0):
            raise InvalidChildSpec(subject, field.name, f"expected a finite number from 0, got {value!r}")
