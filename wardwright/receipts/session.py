"""What a session has come to, read off its newest receipts: the only record there is of it."""

from collections.abc import Iterable, Mapping, Sequence

from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.receipts.events import AttemptFinished, Closed, Entry, Faded, Opened

_SOON_S = 5.0
"""A session hears of a request's end a moment after its receipt says so."""


def facts_after(newest: Sequence[Entry], earlier: Iterable[Sequence[Entry]] = ()) -> SessionFacts | None:
    """State what is known of a session after the request of its newest receipt; None when that is of no session. Purity: pure.

    `earlier` are receipts of requests that may have been under way when that one began: what they came to then is in none of its facts.
    """
    opened = newest[0].event if newest else None
    if not isinstance(opened, Opened) or opened.session_turn is None:
        return None
    known = opened.decision.facts.session or SessionFacts(opened.session_turn)
    since = newest[0].at - _SOON_S
    under_way = [entries for entries in earlier if entries and entries[-1].at > since]
    sticky, spent = known.sticky, known.spent_rules
    for entries in sorted([*under_way, newest], key=lambda entries: (entries[-1].at, entries[0].receipt_id)):
        sticky, spent = _sticky_after(sticky, entries), _spent_after(spent, entries)
    return SessionFacts(opened.session_turn, sticky, spent)


def _sticky_after(sticky: Mapping[str, str], entries: Sequence[Entry]) -> Mapping[str, str]:
    opened, closed = entries[0].event, entries[-1].event
    if isinstance(opened, Opened) and isinstance(closed, Closed) and closed.selected_model is not None:
        return settled(sticky, opened.decision.sticky, closed.selected_model)
    return sticky


def _spent_after(spent: tuple[str, ...], entries: Sequence[Entry]) -> tuple[str, ...]:
    for entry in entries:
        if isinstance(entry.event, AttemptFinished) and entry.event.stream_policy is not None:
            spent = with_spent(spent, entry.event.stream_policy.spent)
        elif isinstance(entry.event, Faded):
            spent = with_spent(spent, entry.event.spent)
    return spent


def with_spent(spent: tuple[str, ...], fired: Iterable[str]) -> tuple[str, ...]:
    """Add the rules that fired to those that a session has done with, each once. Purity: pure."""
    return tuple(dict.fromkeys((*spent, *fired)))


def settled(sticky: Mapping[str, str], choices: Iterable[StickyChoice], served: str) -> Mapping[str, str]:
    """Let the selectors that keep a session on a target keep it on the one that served, where it is theirs. Purity: pure."""
    kept = {choice.selector: served for choice in choices if served in choice.targets}
    return {**sticky, **kept} if kept else sticky
