"""What is known of a provider's health, in a form that outlives the process: times by the wall clock, which all processes share.

It is believed again only at the same place, a provider with the same address, credential and kind, and only as long as it means anything:
what a breaker remembers reaches back for its window and keeps calls out for its open time, so what is older than both is forgotten.
However the clock was set meanwhile, nothing is left alone for longer than it would have been at first.
"""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from wardwright.config.settings import ProviderBase
from wardwright.domain.route import HealthReason
from wardwright.planner.breaker import SOUND, Breaker, BreakerPolicy, Closed, HalfOpen, Mark, Open
from wardwright.planner.holds import LONGEST_HOLD_S, Hold

TUNING = ("timeouts", "retry", "breaker", "max_concurrency")
"""What may be set otherwise without making another provider of it."""

_DIGITS = 3


class KeptMark(msgspec.Struct, frozen=True):
    """A failure: when it was, and how many answers there had been before it."""

    at: float
    answers_before: int


class KeptHold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A hold on a target, or without one on the whole provider."""

    until: float
    reason: HealthReason
    target: str | None = None
    guesses: int = 0


class KeptHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """One provider's health at `noted_at`, which nobody needs after `needed_until`. `open_until` is there when the breaker was not closed.

    All times are Unix seconds.
    """

    place: str
    noted_at: float
    needed_until: float
    open_until: float | None = None
    marks: tuple[KeptMark, ...] = ()
    answers: int = 0
    holds: tuple[KeptHold, ...] = ()


def place_of(settings: ProviderBase) -> str:
    """A name for where a provider is, equal for equal places, from which nothing can be read. Purity: pure."""
    facts = msgspec.to_builtins(settings, order="sorted", enc_hook=str)
    there = {name: value for name, value in facts.items() if name not in TUNING}
    return sha256(msgspec.json.encode(there, order="sorted")).hexdigest()[:16]


def kept(
    settings: ProviderBase, breaker: Breaker, holds: Mapping[str | None, Hold], *, now: float, wall: float
) -> KeptHealth:
    """Put down a provider's health. `now` is by the clock of its times, `wall` the same moment in Unix seconds. Purity: pure."""

    def at(moment: float) -> float:
        return round(moment + wall - now, _DIGITS)

    policy = settings.breaker
    closed = breaker if isinstance(breaker, Closed) else SOUND
    open_until = None if isinstance(breaker, Closed) else at(now if isinstance(breaker, HalfOpen) else breaker.until)
    return KeptHealth(
        place_of(settings),
        at(now),
        at(now + max(_believed_for_s(policy), LONGEST_HOLD_S)),
        open_until,
        tuple(KeptMark(at(mark.at), mark.answers_before) for mark in closed.marks),
        closed.answers,
        tuple(
            KeptHold(at(hold.until), hold.reason, target, hold.guesses)
            for target, hold in sorted(holds.items(), key=lambda item: item[0] or "")
        ),
    )


def breaker_again(known: KeptHealth, policy: BreakerPolicy, *, now: float, wall: float) -> Breaker:
    """The breaker's state by another clock, and maybe another policy. A probe that was under way has found out nothing. Purity: pure."""
    if wall - known.noted_at > _believed_for_s(policy):
        return SOUND
    if known.open_until is not None:
        return Open(now + min(known.open_until - wall, policy.open_s))
    marks = tuple(Mark(now - max(0.0, wall - mark.at), mark.answers_before) for mark in known.marks[-policy.failures :])
    return Closed(marks, known.answers) if marks else SOUND


def holds_again(known: KeptHealth, policy: BreakerPolicy, *, now: float, wall: float) -> dict[str | None, Hold]:
    """The holds by another clock. One that is over counts still, for how often it was guessed, as long as the breaker's past does."""
    is_recent = wall - known.noted_at <= _believed_for_s(policy)
    return {
        hold.target: Hold(now + min(hold.until - wall, LONGEST_HOLD_S), hold.reason, hold.guesses)
        for hold in known.holds
        if hold.until > wall or is_recent
    }


def _believed_for_s(policy: BreakerPolicy) -> float:
    """How long a breaker's past means anything."""
    return policy.window_s + policy.open_s
