"""What a session has come to, read off its newest receipt: the only record there is of it."""

from collections.abc import Iterable, Mapping, Sequence

from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.receipts.events import AttemptFinished, Closed, Entry, Opened


def facts_after(entries: Sequence[Entry]) -> SessionFacts | None:
    """State what is known of a session after the request of this receipt; None when the receipt is of no session. Purity: pure."""
    opened = entries[0].event if entries else None
    if not isinstance(opened, Opened) or opened.session_turn is None:
        return None
    known = opened.decision.facts.session
    sticky = {} if known is None else known.sticky
    spent = () if known is None else known.spent_rules
    for entry in entries:
        if isinstance(entry.event, AttemptFinished) and entry.event.stream_policy is not None:
            spent = with_spent(spent, entry.event.stream_policy.spent)
    closed = entries[-1].event
    if isinstance(closed, Closed) and closed.selected_model is not None:
        sticky = settled(sticky, opened.decision.sticky, closed.selected_model)
    return SessionFacts(opened.session_turn, sticky, spent)


def with_spent(spent: tuple[str, ...], fired: Iterable[str]) -> tuple[str, ...]:
    """Add the rules that fired to those that a session has done with, each once. Purity: pure."""
    return tuple(dict.fromkeys((*spent, *fired)))


def settled(sticky: Mapping[str, str], choices: Iterable[StickyChoice], served: str) -> Mapping[str, str]:
    """Let the selectors that keep a session on a target keep it on the one that served, where it is theirs. Purity: pure."""
    kept = {choice.selector: served for choice in choices if served in choice.targets}
    return {**sticky, **kept} if kept else sticky
