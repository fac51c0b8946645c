"""What a session has come to, read off its newest receipts: the only record there is of it."""

from collections.abc import Iterable, Mapping, Sequence

from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.receipts.events import AttemptFinished, Closed, Entry, Faded, Opened

_SOON_S = 5.0
"""A session hears of a request's end a moment after its receipt says so."""


def turn_of(entries: Sequence[Entry]) -> int | None:
    """The number of a receipt's request in its session; None without a session, or where that did not answer in time. Purity: pure."""
    opened = entries[0].event if entries else None
    return opened.session_turn if isinstance(opened, Opened) else None


def facts_after(counted: Sequence[Entry], others: Iterable[Sequence[Entry]] = ()) -> SessionFacts:
    """State what is known of a session after the request of its newest receipt that has a turn. Purity: pure.

    Where none has one that is any older receipt, and no turn was taken yet. `others` are receipts of requests whose outcome is in none of
    its facts: they may have been under way when that one began, or came after it and got no turn.
    """
    opened = counted[0].event if counted else None
    if not isinstance(opened, Opened):
        return SessionFacts(0)
    turn = opened.session_turn or 0
    known = opened.decision.facts.session or SessionFacts(turn)
    since = counted[0].at - _SOON_S
    late = [entries for entries in others if entries and entries[-1].at > since]
    sticky, spent = known.sticky, known.spent_rules
    for entries in sorted([*late, counted], key=lambda entries: (entries[-1].at, entries[0].receipt_id)):
        sticky, spent = _sticky_after(sticky, entries), _spent_after(spent, entries)
    return SessionFacts(turn, sticky, spent)


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
